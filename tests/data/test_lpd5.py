import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musiclab.data.lpd5 import Lpd5
from musiclab.data.songs import TRACKS, BadSong, Song
from musiclab.data.windows import WindowSpec, cut
from tests.support.made_songs import MUSIC, csc, npz, npz_bytes, write_files, write_tar

SAMPLE = Path(__file__).parents[3] / "shared" / "data"
TRACK_ID = "TRAAEQM128F28E8281"


def as_set(song: Song) -> set[tuple[int, ...]]:
    return set(map(tuple, song.notes.tolist()))


@pytest.mark.parametrize(("key", "resolution"), [("beat_resolution", 24), ("resolution", 24), ("resolution", 12)])
def test_both_layouts_give_the_notes_that_were_written(key: str, resolution: int) -> None:
    song = Lpd5.parse("x.npz", npz_bytes(resolution=resolution, key=key))
    drum = 24 // resolution  # a hit lasts one step of the file
    written = {(t, p, round(24 * a), round(24 * a) + drum if t == 0 else round(24 * b)) for t, p, a, b in MUSIC}
    assert as_set(song) == written
    assert song.length == 960
    assert song.bars.tolist() == list(range(0, 960, 96))
    assert song.tempo == 100.0


def test_tracks_merge_by_program_and_sound_a_common_cell_once() -> None:
    programs = [(0, True), (5, False), (48, False), (73, False), (100, False)]
    music = [(0, 36, 0, 1), (1, 60, 0, 1), (2, 70, 0, 2), (3, 70, 1, 3), (4, 80, 0, 4)]
    song = Lpd5.parse("x.npz", npz_bytes(music, beats=4, programs=programs))
    strings = TRACKS.index("Strings")
    assert as_set(song) == {(0, 36, 0, 1), (1, 60, 0, 24), (strings, 70, 0, 72)}


def test_neighbouring_pitches_and_the_ends_of_a_roll_do_not_join() -> None:
    music = [(1, 60, 3, 4), (1, 61, 0, 1), (4, 0, 3, 4), (1, 127, 3, 4), (2, 0, 0, 1)]
    song = Lpd5.parse("x.npz", npz_bytes(music, beats=4))
    assert as_set(song) == {(t, p, 24 * a, 24 * b) for t, p, a, b in music}


def test_velocity_zero_is_silence() -> None:
    roll = np.zeros((96, 128), np.uint8)
    roll[:48, 60] = 80
    arrays = csc("pianoroll_0_csc", roll)
    arrays["pianoroll_0_csc_data"] = np.repeat([80, 0], 24).astype(np.uint8)
    song = Lpd5.parse("x.npz", npz(arrays, {"resolution": 24, "0": {"program": 0, "is_drum": False}}))
    assert as_set(song) == {(1, 60, 0, 24)}
    assert song.tempo == 120.0


def test_downbeats_of_the_file_are_its_bar_lines() -> None:
    song = Lpd5.parse("x.npz", npz_bytes(beats=12, music=[(1, 60, 0, 12)], downbeat=[24, 96, 168, 240]))
    assert song.bars.tolist() == [24, 96, 168, 240]
    assert song.bar_ticks == 72


def info(**changes: object) -> dict:
    return {"resolution": 24, "0": {"program": 0, "is_drum": False}} | changes


def arrays(**changes: np.ndarray) -> dict[str, np.ndarray]:
    roll = np.zeros((96, 128), np.uint8)
    roll[:48, 60] = 80
    return csc("pianoroll_0_csc", roll) | {f"pianoroll_0_csc_{name}": value for name, value in changes.items()}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (npz(arrays(), info(resolution=0)), "resolution"),
        (npz(arrays(), info(resolution="24")), "resolution"),
        (npz(arrays(), "[]"), "no object"),
        (npz(arrays(), "{"), "JSON"),
        (npz(arrays(), "[" * 100_000), "Recursion"),
        (npz({}, info()), "missing"),
        (npz(arrays(), info(**{"0": None})), "track 0 is no object"),
        (npz(arrays(), {"name": "none"}), "resolution"),
        (npz(arrays(), info(resolution=24.5)), "resolution"),
        (npz(arrays(), info(resolution=float("nan"))), "resolution"),
        (npz(arrays(), info(**{"0": {"program": 100, "is_drum": False}})), "no notes"),
        (npz(arrays(shape=np.array([96, 64])), info()), "shape"),
        (npz(arrays(shape=np.array([1 << 40, 128])), info()), "shape"),
        (npz(arrays(shape=np.array([20, 128])), info()), "outside"),
        (npz(arrays(indices=np.arange(-1, 47)), info()), "outside"),
        (npz(arrays(indptr=np.arange(129)), info()), "broken index"),
        (npz(arrays(indptr=np.arange(129)[::-1].copy()), info()), "broken index"),
        (npz(arrays(indices=np.arange(48) + 0.5), info()), "whole numbers"),
        (npz(arrays(indices=np.full(48, np.nan)), info()), "whole numbers"),
        (npz(arrays(indices=np.full(48, 1e300)), info()), "outside"),
        (npz(arrays(indptr=np.full(129, 1e300)), info()), "broken index"),
        (npz(arrays(data=np.ones(3)), info()), "outside"),
        (npz(arrays(data=np.array(["a"] * 48)), info()), "plain list"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(data: bytes, reason: str) -> None:
    with pytest.raises(BadSong, match=reason):
        Lpd5.parse("x.npz", data)


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (tmp_path.joinpath("loaded").touch, ())

    evil = np.empty(48, object)
    evil[:] = [Evil() for _ in range(48)]
    with pytest.raises(BadSong, match="plain list"):
        Lpd5.parse("x.npz", npz(arrays(data=evil), info()))
    assert not (tmp_path / "loaded").exists()


def test_a_member_that_unpacks_to_gigabytes_is_not_unpacked() -> None:
    import tracemalloc

    data = npz(arrays(data=np.zeros(100 << 20, np.uint8)), info())
    assert len(data) < 1 << 20
    tracemalloc.start()
    with pytest.raises(BadSong, match="unpacks to"):
        Lpd5.parse("x.npz", data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_header_that_claims_gigabytes_allocates_nothing() -> None:
    import io

    header = io.BytesIO()
    claim = {"descr": "<i8", "fortran_order": False, "shape": (1 << 40,)}
    np.lib.format.write_array_header_1_0(header, claim)
    data = npz({name: value for name, value in arrays().items() if not name.endswith("data")}, info())
    file = io.BytesIO(data)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("pianoroll_0_csc_data.npy", header.getvalue() + bytes(80))
    with pytest.raises(BadSong, match="plain list"):
        Lpd5.parse("x.npz", file.getvalue())


@settings(max_examples=150)
@given(st.data())
def test_any_bytes_give_a_song_or_a_reason(data: st.DataObject) -> None:
    # Stored, so that a changed byte reaches the arrays; the checksums are left out of the way by writing anew.
    import io

    with np.load(io.BytesIO(npz_bytes(beats=4, music=MUSIC[40:41])), allow_pickle=False) as loaded:
        members = {name: loaded[name] for name in loaded.files if name != "info.json"}
        described = json.loads(loaded["info.json"])
    name = data.draw(st.sampled_from(sorted(members)))
    blob = bytearray(members[name].tobytes())
    for _ in range(data.draw(st.integers(1, 4))):
        if blob:
            blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    size = members[name].dtype.itemsize
    kept = data.draw(st.integers(0, len(blob) // size)) if data.draw(st.booleans()) else len(blob) // size
    members[name] = np.frombuffer(bytes(blob[: kept * size]), members[name].dtype)
    changed = bytearray(npz(members, described))
    if data.draw(st.booleans()):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        song = Lpd5.parse("x.npz", bytes(changed))
    except BadSong:
        return
    assert (song.notes[:, 3] > song.notes[:, 2]).all()
    assert np.isfinite(song.tempo)
    cut(song, WindowSpec())


NAMES = f"{TRACK_ID}<SEP>SOXXX<SEP>Sure Dread<SEP>Dis Dread\x1b Is Sure\nTRB<SEP>broken line\n".encode()


@pytest.mark.parametrize("first", [True, False])
def test_names_inside_an_archive_may_come_first_or_last(tmp_path: Path, first: bool) -> None:
    entries = [("unique_tracks.txt", NAMES), (f"lpd_5/A/A/E/{TRACK_ID}/md5.npz", npz_bytes())]
    source = Lpd5(write_tar(tmp_path / "lpd.tar.gz", dict(entries if first else entries[::-1])))
    assert [Lpd5.parse(name, data).id for name, data in source.items()] == [TRACK_ID]
    assert source.names([TRACK_ID, "TRB"]) == {TRACK_ID: ("Sure Dread", "Dis Dread\x1b Is Sure")}


def test_names_may_lie_in_the_folder_or_beside_it_and_count(tmp_path: Path) -> None:
    song = {f"{TRACK_ID}/md5.npz": npz_bytes()}
    inside = Lpd5(write_files(tmp_path / "inside" / "data", song | {"unique_tracks.txt": NAMES}))
    list(inside.items())
    beside = Lpd5(write_files(tmp_path / "beside" / "data", song))
    without = beside.fingerprint()
    write_files(tmp_path / "beside", {"unique_tracks.txt": NAMES})
    beside = Lpd5(beside.path)
    assert inside.names([TRACK_ID]) == beside.names([TRACK_ID]) == {TRACK_ID: ("Sure Dread", "Dis Dread\x1b Is Sure")}
    assert len({inside.fingerprint(), beside.fingerprint(), without}) == 3
    assert inside.count() == 1


def test_a_song_without_a_track_id_is_called_like_its_file() -> None:
    assert Lpd5.parse("lpd/abc.npz", npz_bytes()).id == "abc"


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample data beside the repository is absent")
def test_a_genuine_file_of_17_tracks_merges_into_its_lpd5_version() -> None:
    merged, made = (
        cut(Lpd5.parse(path.name, path.read_bytes()), WindowSpec())
        for path in sorted((SAMPLE / "genuine").glob("*.npz"))
    )
    assert len(merged) == 29
    assert np.array_equal(merged, made)
