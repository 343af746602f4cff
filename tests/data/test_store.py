import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from musiclab.code_lock import StageCode
from musiclab.data import store as store_module
from musiclab.data.lpd5 import Lpd5
from musiclab.data.midi import Midi
from musiclab.data.splits import split_songs
from musiclab.data.store import WindowStore, build, open_store, store_fingerprint
from musiclab.data.transposition import TO_C
from musiclab.data.windows import WindowSpec, cut, unpack
from musiclab.data.workers import CRASHED
from musiclab.errors import UserError
from musiclab.hashing import content_hash
from tests.support.made_songs import MUSIC, midi_bytes, npz_bytes, write_files, write_tar
from tests.support.waiting import outcome, run_to_end, wait_until

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT.parent / "shared" / "data"
SPEC, IN_ONE_KEY = WindowSpec(), WindowSpec(transpose=TO_C)


def song_of(windows: int, pitch: int) -> bytes:
    return midi_bytes([(1, pitch, 0, 16 * windows), (1, pitch + 1, 1, 2)])


@pytest.fixture
def source(tmp_path: Path) -> Midi:
    """Songs of 2, 1 and 3 windows; one too short and one damaged."""
    files = {"a.mid": song_of(2, 60), "b.mid": song_of(1, 62), "c/d.mid": song_of(3, 64)}
    return Midi(write_files(tmp_path / "songs", files | {"bad.mid": b"MThd", "short.mid": midi_bytes(MUSIC[40:41])}))


@pytest.fixture
def store(source: Midi, tmp_path: Path) -> WindowStore:
    return build(source, SPEC, tmp_path / "stores", workers=1)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_store_holds_every_song_s_windows_in_order(source: Midi, store: WindowStore) -> None:
    songs = {name: source.parse(name, data) for name, data in source.items() if name not in ("bad.mid", "short.mid")}
    assert [(row.id, row.first, row.count) for row in store.songs] == [("a", 0, 2), ("b", 2, 1), ("c/d", 3, 3)]
    assert np.array_equal(store.windows, np.concatenate([cut(song, SPEC) for song in songs.values()]))
    assert store.windows.dtype == np.uint8
    assert isinstance(store.windows, np.memmap)
    row = store.songs[2]
    assert (row.artist, row.title, row.tempo, row.bar_ticks) == ("c", "d", 100.0, 96)
    assert store.source == source.spec
    assert store.spec == SPEC
    assert store.fingerprint == store.folder.name == store_fingerprint(source, SPEC)


def test_skipped_songs_are_listed_with_their_reasons(store: WindowStore) -> None:
    assert [name for name, _ in store.skipped] == ["bad.mid", "short.mid"]
    assert store.skipped[1][1] == "shorter than one window"


def test_indices_pairs_and_batches(store: WindowStore) -> None:
    assert store.indices(["c/d", "a"]).tolist() == [3, 4, 5, 0, 1]
    assert store.indices([]).dtype == np.int64
    assert store.pairs(["a", "b", "c/d"]).tolist() == [[0, 1], [3, 4], [4, 5]]
    assert store.pairs(["b"]).shape == (0, 2)
    batch = store.batch(np.array([5, 0]))
    assert batch.dtype == bool
    assert np.array_equal(batch, unpack(store.windows[[5, 0]]))
    assert batch[1, 1, :, 60].all()
    with pytest.raises(KeyError):
        store.indices(["nobody"])


def test_a_store_is_pickled_by_its_folder(store: WindowStore) -> None:
    blob = pickle.dumps(store)
    assert len(blob) < 1000
    assert np.array_equal(pickle.loads(blob).windows, store.windows)


def test_a_finished_store_is_opened_and_not_built(source: Midi, store: WindowStore, monkeypatch) -> None:
    monkeypatch.setattr(store_module, "_build_parts", None)
    assert build(source, SPEC, store.folder.parent, workers=1).songs == store.songs


def test_the_fingerprint_is_of_data_and_spec(source: Midi) -> None:
    first = store_fingerprint(source, SPEC)
    assert store_fingerprint(source, WindowSpec(resolution=4)) != first
    (source.path / "a.mid").write_bytes(song_of(2, 61))
    assert store_fingerprint(Midi(source.path), SPEC) != first


def test_songs_as_they_are_written_keep_the_fingerprint_and_the_table_that_they_had(
    source: Midi, store: WindowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = json.loads((store.folder / "songs.json").read_text())
    assert table["spec"] == {"resolution": 2, "steps": 32, "hop": 32}
    assert list(table["songs"][0]) == [
        "id", "artist", "title", "count", "tempo", "bar_ticks", "content", "first", "work",
    ]  # fmt: skip
    assert store.transposed(np.arange(6)).tolist() == [0] * 6
    monkeypatch.setattr(store_module, "code_of_windows", lambda _: StageCode("data/midi", 2, "locked"))
    as_before = content_hash([source.fingerprint(), table["spec"], "locked"])
    assert store_fingerprint(source, SPEC) == as_before != store_fingerprint(source, IN_ONE_KEY)


def test_songs_in_one_key_say_by_how_much_they_were_moved(source: Midi, store: WindowStore) -> None:
    moved = build(source, IN_ONE_KEY, store.folder.parent, workers=1)
    assert open_store(moved.folder).spec == IN_ONE_KEY
    assert [song.transposed for song in moved.songs] == [0, -2, -4]
    assert moved.transposed(np.array([5, 0, 2])).tolist() == [-4, 0, -2]
    assert [np.unique(np.argwhere(moved.batch(np.array([first])))[:, -1]).tolist() for first in (0, 2, 3)] == [
        [60, 61]
    ] * 3
    assert [song.work for song in moved.songs] == ["a", "b", "c/d"]
    assert [song.work for song in store.songs] == ["a", "b", "c/d"]


def test_a_song_in_two_keys_is_two_songs_unless_all_are_moved_to_one(tmp_path: Path) -> None:
    source = Midi(write_files(tmp_path / "songs", {"a.mid": song_of(1, 60), "b.mid": song_of(1, 63)}))
    written, moved = (build(source, spec, tmp_path / "stores", 1) for spec in (SPEC, IN_ONE_KEY))
    assert written.works == {"a": "a", "b": "b"}
    assert moved.works == {"a": "a", "b": "a"}


def test_the_result_does_not_depend_on_the_number_of_workers(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(store_module, "_CHUNK_SONGS", 3)
    songs = {f"{number:02}.mid": song_of(1 + number % 3, 40 + number) for number in range(20)}
    source = Midi(write_files(tmp_path / "songs", songs | {"07.mid": b"damaged"}))
    one, two = (build(source, SPEC, tmp_path / str(count), count) for count in (1, 2))
    assert files_of(one.folder) == files_of(two.folder)
    assert len(one.songs) == 19


def test_a_store_of_one_chunk_equals_one_of_many(tmp_path: Path, monkeypatch) -> None:
    songs = {f"{number:02}.mid": song_of(1, 40 + number) for number in range(7)}
    source = Midi(write_files(tmp_path / "songs", songs))
    one = build(source, SPEC, tmp_path / "one", 1)
    monkeypatch.setattr(store_module, "_CHUNK_BYTES", 1)
    assert files_of(build(source, SPEC, tmp_path / "many", 2).folder) == files_of(one.folder)


def test_ids_are_unique_and_names_clean(tmp_path: Path) -> None:
    track = "TRAAEQM128F28E8281"
    names = f"{track}<SEP>S<SEP>{'A' * 9999}<SEP>two\x1b[2J\x85lines\n".encode()
    files = {f"{track}/1.npz": npz_bytes(), f"{track}/2.npz": npz_bytes(), "unique_tracks.txt": names}
    store = build(Lpd5(write_tar(tmp_path / "x.tgz", files)), SPEC, tmp_path / "stores", 1)
    assert [row.id for row in store.songs] == [track, f"{track} #2"]
    assert {(row.artist, row.title) for row in store.songs} == {("A" * 200, "two [2J lines")}


def test_copies_and_versions_are_one_work(tmp_path: Path) -> None:
    a, b, c, d = (song_of(2, pitch) for pitch in (50, 60, 70, 80))
    slower = midi_bytes([(1, 50, 0, 32), (1, 51, 1, 2)], resolution=480, micros=900_000)  # the same windows as `a`
    files = {
        **{"1.mid": a, "2.mid": b, "3.mid": c, "4.mid": slower},
        **{"5.midi": d, "5.mid": b},  # of one id, so `d` and `b` are one work
        **{"6 #1.mid": song_of(2, 90), "6 #2.mid": song_of(2, 95)},  # titles, not versions
        **{"7.mid": song_of(1, 50)},  # the beginning of `a` only
    }
    store = build(Midi(write_files(tmp_path / "songs", files)), SPEC, tmp_path / "stores", 1)
    assert store.works == {
        **{"1": "1", "2": "2", "3": "3", "4": "1", "5": "2", "5 #2": "2", "6 #1": "6 #1", "6 #2": "6 #2", "7": "7"},
    }
    contents = {song.id: song.content for song in store.songs}
    assert contents["1"] == contents["4"]
    assert contents["2"] == contents["5"]
    assert len(set(contents.values())) == len(contents) - 2
    split = split_songs(store.works | {f"x{n}": f"x{n}" for n in range(9)}, np.random.default_rng(0))
    assert any({"2", "5", "5 #2"} <= set(part) for part in (split.train, split.validation, split.test))


def test_a_chain_of_copies_and_versions_is_one_work(tmp_path: Path) -> None:
    files = {f"{name}.{suffix}": song_of(1, 40 + pitch) for name, suffix, pitch in (
        ("e", "mid", 5), ("e", "midi", 4), ("a", "mid", 4), ("a", "midi", 3), ("b", "mid", 3), ("z", "mid", 9),
    )}  # fmt: skip
    store = build(Midi(write_files(tmp_path / "songs", files)), SPEC, tmp_path / "stores", 1)
    assert set(store.works.values()) == {"a", "z"}


def test_a_store_of_an_earlier_version_is_opened_with_its_works(store: WindowStore) -> None:
    table = json.loads((store.folder / "songs.json").read_text())
    for number, row in enumerate(table["songs"]):
        del row["content"], row["work"]
        row["id"] = ("a", "a #2", "b")[number]
    (store.folder / "songs.json").write_text(json.dumps(table))
    opened = open_store(store.folder)
    assert opened.works == {"a": "a", "a #2": "a", "b": "b"}
    assert [song.content for song in opened.songs] == ["a", "a #2", "b"]


def test_no_usable_song_names_the_source_and_the_commonest_reason(tmp_path: Path) -> None:
    files = {f"{number}.mid": midi_bytes(MUSIC[40:41]) for number in range(3)} | {"bad.mid": b"MThd"}
    source = Midi(write_files(tmp_path / "songs", files))
    with pytest.raises(UserError, match="all 4 were skipped, 3 of them as: shorter than one window") as error:
        build(source, SPEC, tmp_path / "stores", 1)
    assert source.spec in str(error.value)
    assert not list((tmp_path / "stores").glob("*.building"))


def test_a_tar_without_songs_names_the_source(tmp_path: Path) -> None:
    source = Midi(write_tar(tmp_path / "archive", {"readme": b"1"}))
    with pytest.raises(UserError, match=r"holds no .mid, .midi, .kar or .rmi files"):
        build(source, SPEC, tmp_path / "stores", 1)


def test_a_truncated_archive_is_no_smaller_data_set(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive", {f"{number}.bin.mid": os.urandom(9000) for number in range(9)})
    path.write_bytes(path.read_bytes()[:40_000])
    with pytest.raises(UserError, match=r"archive .* is damaged or ends early"):
        build(Midi(path), SPEC, tmp_path / "stores", 1)


def test_a_place_that_cannot_be_written_is_named(source: Midi, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=r"cannot be written in .*file"):
        build(source, SPEC, tmp_path / "file" / "stores", 1)


def test_a_missing_store_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no window store"):
        open_store(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["windows.npy", "songs.json"])
@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "other"])
def test_a_damaged_store_is_named(store: WindowStore, source: Midi, name: str, damage: str) -> None:
    path = store.folder / name
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes({"cut": data[:-100], "empty": b"", "other": b"[1, 2]"}[damage])
    with pytest.raises(UserError, match="damaged window store"):
        open_store(store.folder)
    with pytest.raises(UserError, match=store.fingerprint):
        build(source, SPEC, store.folder.parent, 1)


# A source whose songs crash or hang the process that reads them, told by their names. From number HOLD_FROM on, slow
# ones wait until there is a file "go on".
SCRIPT = """
import faulthandler, os, sys, time
from pathlib import Path
from musiclab.data import store
from musiclab.data.midi import Midi
from musiclab.data.windows import WindowSpec

store._CHUNK_SONGS = 4
limit, limits = faulthandler.dump_traceback_later, []


def remembered(seconds, **options):
    limits.append(options)
    limit(seconds, **options)


faulthandler.dump_traceback_later = remembered



class Slow(Midi):
    @classmethod
    def read(cls, name, data):
        with open(os.environ["READ_LOG"], "a") as log:
            print(name, file=log)
        if "slow" in name and int(name[:3]) >= int(os.environ.get("HOLD_FROM", "1000")):
            while not Path(os.environ["READ_LOG"]).with_name("go on").exists():
                time.sleep(0.05)
        if "crash" in name:
            os.abort()
        if "hang" in name:
            limit(1, **limits[-1])  # the limit that was set for this song, but sooner
            time.sleep(600)
        return super().read(name, data)


if __name__ == "__main__":
    built = store.build(Slow(Path(sys.argv[1])), WindowSpec(), Path(sys.argv[2]), int(sys.argv[3]))
    print(len(built.songs), built.skipped)
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch) -> list[str]:
    monkeypatch.setenv("READ_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "script.py").write_text(SCRIPT)
    return [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "songs")]


def test_songs_that_kill_or_stall_their_reader_are_skipped_alone(script: list[str], tmp_path: Path) -> None:
    files = {f"{number:02}.mid": song_of(1, 40 + number) for number in range(10)}
    bad = ("05 crash.mid", "06 crash.mid", "08 hang.mid")
    write_files(tmp_path / "songs", files | {name: song_of(1, 90) for name in bad})
    done = run_to_end([*script, str(tmp_path / "stores"), "2"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"10 {[(name, CRASHED) for name in bad]}"


def test_a_killed_build_goes_on_where_it_stopped(script: list[str], tmp_path: Path) -> None:
    names = [f"{number:03} slow.mid" for number in range(60)]
    write_files(tmp_path / "songs", {name: song_of(1, 30 + number) for number, name in enumerate(names)})
    stores, log = tmp_path / "stores", tmp_path / "log"
    environment, quiet = os.environ | {"HOLD_FROM": "40"}, {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*script, str(stores), "2"], env=environment, **quiet) as killed:
        wait_until(lambda: len(list(stores.glob("*.building/*.json"))) >= 4, "four parts", process=killed)
        assert len(orphans(tmp_path / "script.py")) == 2
        killed.send_signal(signal.SIGKILL)
    assert not [path for path in stores.iterdir() if path.is_dir() and path.suffix != ".building"]
    (tmp_path / "go on").touch()
    wait_until(lambda: not orphans(tmp_path / "script.py"), "the workers' end")  # they do not outlive it
    kept = {f"{int(path.stem):06}" for path in stores.glob("*.building/*.json")}
    log.unlink()
    done = run_to_end([*script, str(stores), "2"])
    assert done.stdout == "60 []\n", done.stderr
    assert sorted(log.read_text().splitlines()) == [n for i, n in enumerate(names) if f"{i // 4:06}" not in kept]
    assert not list(stores.glob("*.building"))
    fresh = run_to_end([*script, str(tmp_path / "fresh"), "1"])
    assert fresh.returncode == 0
    one, two = (files_of(next(p for p in root.iterdir() if p.is_dir())) for root in (stores, tmp_path / "fresh"))
    assert one == two


def test_two_builds_at_once_make_one_store(script: list[str], tmp_path: Path) -> None:
    names = [f"{number:03} slow.mid" for number in range(20)]
    write_files(tmp_path / "songs", {name: song_of(1, 30 + number) for number, name in enumerate(names)})
    command = [*script, str(tmp_path / "stores"), "1"]
    logs = [tmp_path / "one.err", tmp_path / "two.err"]
    both = []
    for log in logs:
        with log.open("w") as errors:
            environment = os.environ | {"HOLD_FROM": "10"}
            both.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment))
    wait_until(lambda: any("waiting for it" in log.read_text() for log in logs), "the second one's waiting")
    (tmp_path / "go on").touch()
    assert [outcome(process, "the build")[0] for process in both] == ["20 []\n"] * 2
    assert sum("waiting for it" in log.read_text() for log in logs) == 1
    assert sorted((tmp_path / "log").read_text().splitlines()) == names  # each song was read once


def test_progress_says_what_is_done(script: list[str], tmp_path: Path) -> None:
    write_files(tmp_path / "songs", {"a.mid": song_of(1, 60)})
    done = run_to_end([*script, str(tmp_path / "stores"), "1"])
    assert done.stderr.endswith("songs cut into windows 1/1, left 0 s\n")
    assert "1/1" in done.stderr


def orphans(script: Path) -> list[str]:
    """Processes that were spawned by the script, by what their parents told them to import."""
    found = []
    for process in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment, command = process.read_bytes(), process.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if str(script.parent / "log").encode() in environment and b"spawn_main" in command:
            found.append(process.parent.name)
    return found


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample data beside the repository is absent")
@pytest.mark.parametrize(
    ("spec", "songs", "windows"),
    [
        ("lpd5:lpd_5_sample.tar.gz", 400, 10_268),
        pytest.param("midi:midi_songs.tar.xz", 1325, 32_170, marks=pytest.mark.slow),
    ],
)
def test_the_sample_data_builds_whole(spec: str, songs: int, windows: int, tmp_path: Path) -> None:
    kind, _, name = spec.partition(":")
    source = {"lpd5": Lpd5, "midi": Midi}[kind](SAMPLE / name)
    store = build(source, SPEC, tmp_path, workers=2)
    assert (len(store.songs), len(store.windows), store.skipped) == (songs, windows, [])
    assert all(row.title for row in store.songs)
    assert sum(bool(row.artist) for row in store.songs) > songs / 3


def test_a_script_without_a_guard_ends_with_a_sentence(song_folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "bare.py"
    script.write_text(
        "from pathlib import Path\n"
        "from musiclab.data.sources import open_source\n"
        "from musiclab.data.store import build\n"
        "from musiclab.data.windows import WindowSpec\n"
        f"build(open_source('midi:{song_folder}'), WindowSpec(), Path('{tmp_path}'), workers=1)\n"
    )
    ended = run_to_end([sys.executable, script])
    assert ended.returncode != 0
    assert "needs `if __name__ == '__main__':` around what it does" in ended.stderr
