"""`musiclab generate`: music from what a study has trained."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from musiclab.analysis.results import Results
from musiclab.cli import main as cli
from musiclab.data.midi import Midi, file_windows
from musiclab.data.store import WindowStore, open_store
from musiclab.data.transposition import moved_rolls
from musiclab.data.windows import WindowSpec, cut, unpack
from musiclab.design.listening import Place
from musiclab.rendering.midi import from_midi, to_midi
from musiclab.rendering.sample import render_samples
from musiclab.rendering.sound import Player
from musiclab.report.samples import RealMusic, Samples
from musiclab.storage.documents import with_checksum
from musiclab.storage.files import Storage
from musiclab.storage.windows import trial_windows
from musiclab.systems import find_system
from musiclab.systems.vae_nn.system import VaeNN
from tests.support.kept import empty
from tests.support.study_processes import Run, copied, files, run_study

pytestmark = pytest.mark.slow

# Systems that differ in what their music hangs on; vae_nn with a style of its own.
_SEVERAL = """
from musiclab.study import Grid, Study

if __name__ == "__main__":
    Study(
        name="several", space={"system": Grid("vae_nn", "gan", "note_rnn", "melody_harmony_cnn")},
        control={"system": "vae_nn"}, blocks=1, objective="frechet", fixed={
            "target": "drawn", "alpha": 0.75, "width": 4, "latent_dim": 8, "vae_epochs": 3, "vae_batch": 16,
            "latent_epochs": 2, "epochs": 1, "batch": 16, "hidden": 16, "dense_layers": 2, "vocabulary": 32,
            "sequence": 16, "max_eval": 32, "starts": 5, "continuation": 2,
        },
    ).main()
"""


@pytest.fixture(scope="module")
def several(song_folder: Path, database: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished study of several systems, not to be changed."""
    folder = tmp_path_factory.mktemp("several")
    (folder / "several.py").write_text(_SEVERAL)
    return run_study(
        "--data", f"midi:{song_folder}", "--in-process", storage=empty(folder, database), file=folder / "several.py"
    )


@pytest.fixture(scope="module")
def in_one_key(song_folder: Path, database: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same study of songs that were all moved to one key."""
    folder = tmp_path_factory.mktemp("in_one_key")
    (folder / "several.py").write_text(_SEVERAL)
    return run_study(
        "--data", f"midi:{song_folder}", "--in-process", "--set", "transpose=to_c", "--set", "vae_lr=0.001",
        storage=empty(folder, database), file=folder / "several.py",
    )  # fmt: skip


@pytest.fixture
def generated(
    finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture
) -> Callable[..., tuple[int, str, str, dict[str, bytes]]]:
    """Runs the command on the finished study; its exit status, output, errors and files."""

    def run(
        *options: str, system: str = "vae_nn", storage: Path = finished.storage
    ) -> tuple[int, str, str, dict[str, bytes]]:
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        with pytest.raises(SystemExit) as ended:
            cli.main(["generate", system, "--storage", str(storage), "--out", str(out), *options])
        printed = capsys.readouterr()
        made = {file.name: file.read_bytes() for file in sorted(out.iterdir())} if out.exists() else {}
        return ended.value.code, printed.out, printed.err, made

    return run


def _windows(midi: bytes) -> np.ndarray:
    return cut(Midi.parse("x.mid", midi), WindowSpec())


def _sample(storage: Path, out: str, name: str) -> bytes:
    """A sample that the trial left which the command named."""
    key = out.partition("(trial ")[2].partition(")")[0]
    return (storage / "trials" / key / "samples" / name).read_bytes()


def test_the_best_variant_plays_what_its_trial_played(finished: Run, generated) -> None:
    before = files(finished.storage)
    code, out, err, made = generated()
    assert (code, err) == (0, "")
    assert "vae_nn from the best variant of latent_dim, latent_dim=" in out
    assert set(made) == {f"vae_nn-{number}.{kind}" for number in (1, 2, 3, 4) for kind in ("mid", "png", "mp3")}
    key = out.partition("(trial ")[2].partition(")")[0]
    samples = finished.storage / "trials" / key / "samples"
    for number in (1, 2, 3, 4):
        assert made[f"vae_nn-{number}.mid"] == (samples / f"start-{number}.mid").read_bytes()
    assert made["vae_nn-1.mp3"] == (samples / "start-1.mp3").read_bytes()
    frechet = {
        record["config"]["latent_dim"]: record["measures"]["set/frechet"]
        for record in map(json.loads, finished.records.values())
    }
    assert f"latent_dim={min(frechet, key=frechet.get)}," in out
    assert files(finished.storage) == before


def test_a_file_of_one_s_own_is_continued(generated, tmp_path: Path) -> None:
    roll = np.zeros((5, 64, 128), bool)
    roll[1, ::2, 60] = True
    roll[1, 32::4, 67] = True  # only its last window has this
    mine = tmp_path / "mine.mid"
    mine.write_bytes(to_midi(roll, 2))
    code, _, err, made = generated("--start", str(mine), "--samples", "2", "--windows", "3", "--set", "noise_sd=2.0")
    assert (code, err) == (0, "")
    assert len(made) == 6
    first, second = (_windows(made[f"vae_nn-{number}.mid"]) for number in (1, 2))
    assert len(first) == 1 + 3
    np.testing.assert_array_equal(first[0], file_windows(str(mine), WindowSpec(), "--start").windows[-1])
    assert (first[1:] != second[1:]).any()  # the same start, other noise


def test_another_seed_is_other_music_and_the_same_seed_the_same(generated) -> None:
    one, again, other = (
        generated("--samples", "1", "--set", "noise_sd=2.0", "--seed", seed)[3]["vae_nn-1.mid"] for seed in "112"
    )
    assert one == again != other


def test_a_style_is_followed(generated, finished: Run, song_folder: Path) -> None:
    data = next(folder for folder in (finished.storage / "data").iterdir() if folder.is_dir())
    title = open_store(data).songs[3].title
    follow = ("--samples", "1", "--windows", "16", "--set", "noise_sd=0", "--set", "alpha=1", "--style")
    plain = generated(*follow[:6])[3]["vae_nn-1.mid"]
    song, file, hybrid = (
        generated(*follow, style)[3]["vae_nn-1.mid"]
        for style in (
            f"song:{title}",
            str(song_folder / f"{title}.mid"),
            f'song:"{title}" + {song_folder / "song 07.mid"}*4',
        )
    )
    assert plain != song
    assert song == file  # the same windows, from the store and from the file
    assert hybrid not in (plain, song)


def test_a_trial_is_taken_by_its_key(generated, finished: Run) -> None:
    for key in list(finished.records)[:2]:
        code, out, _, made = generated("--trial", key, "--samples", "1")
        assert code == 0
        assert f"vae_nn from trial {key}" in out
        assert made["vae_nn-1.mid"] == (finished.storage / "trials" / key / "samples" / "start-1.mid").read_bytes()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (["--set", "latent_dim=4"], "--set latent_dim would need new training; --set can change starts, continuation,"),
        (["--set", "noise=4"], "There is no field 'noise' in VaeNNConfig; did you mean 'noise_sd'?"),
        (["--set", "noise_sd=x"], "noise_sd must be a number from 0 to 100; got 'x'."),
        (["--set", "target=drawn"], "--set target is for studies; use --style instead."),
        (["--style", "artist:Nobody At All"], "--style: there is no artist 'Nobody At All' in"),
        (["--style", "loud"], "--style must be song:TITLE, artist:NAME or a MIDI file"),
        (["--style", "none.mid"], "--style: there is no file none.mid; give a MIDI file."),
        (["--start", "none.mid"], "--start: there is no file none.mid; give a MIDI file."),
        (["--study", "none"], "has no finished trial of vae_nn in the study none; run a study of it with this"),
        (["--trial", "none"], "--trial none: "),
        (["--study", "../x"], "Argument --study: must be a name of letters, digits, '_', '-', '.'; got '../x'"),
        (["--study", ""], "Argument --study: must be a name of letters, digits, '_', '-', '.'; got ''"),
        (["--trial", "../x"], "Argument --trial: must be a name of letters, digits, '_', '-', '.'; got '../x'"),
        (["--set", "alpha=1"], "--set alpha says how a target is followed, but there is none; give --style."),
        (["--set", "alpha_mix=coded"], "--set alpha_mix says how a target is followed, but there is none; give"),
        (["--study", "a", "--trial", "b"], "Argument --trial: not allowed with argument --study"),
        (["--samples", "0"], "Argument --samples: must be a whole number from 1 to 1000; got '0'"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(asked: list[str], sentence: str, generated) -> None:
    code, _, err, made = generated(*asked)
    assert code == 2
    assert sentence in err
    assert err.startswith("error: ") and err.count("\n") == 1
    assert made == {}


def test_damaged_and_missing_files_are_named(generated, finished: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mid"
    broken.write_bytes(b"MThd nothing")
    assert f"--start: {broken} cannot be used" in generated("--start", str(broken))[2]
    short = tmp_path / "short.mid"
    short.write_bytes(to_midi(np.pad(np.ones((5, 4, 1), bool), ((0, 0), (0, 0), (60, 67))), 2))
    assert "is shorter than one window of 16 beats; give a longer song." in generated("--start", str(short))[2]
    bare = tmp_path / "bare"
    copied(finished.storage, bare, "data", "mlflow*")
    assert "give --start FILE.mid." in generated(storage=bare)[2]
    mine = next(finished.storage.glob("trials/*/samples/start-1.mid"))
    assert generated("--start", str(mine), "--samples", "1", storage=bare)[0] == 0  # it takes no data
    shutil.rmtree(bare / "stages")
    assert "are gone: " in generated("--start", str(mine), storage=bare)[2]


def test_another_system_s_trial_is_refused(generated, finished: Run, capsys: pytest.CaptureFixture) -> None:
    key = next(iter(finished.records))
    with pytest.raises(SystemExit) as ended:
        cli.main(["generate", "gan", "--storage", str(finished.storage), "--trial", key])
    assert ended.value.code == 2
    assert f"--trial {key} is of vae_nn, not of gan." in capsys.readouterr().err


def test_a_trial_s_own_style_is_kept_where_it_starts_as_it_did(generated, several: Run, song_folder: Path) -> None:
    code, out, err, made = generated(storage=several.storage)
    assert (code, err) == (0, "")
    assert "target" not in out
    assert made["vae_nn-1.mid"] == _sample(several.storage, out, "start-1.mid")
    assert made["vae_nn-4.mid"] == _sample(several.storage, out, "start-4.mid")
    less = generated("--set", "alpha=0.1", storage=several.storage)[3]
    assert less["vae_nn-1.mid"] != made["vae_nn-1.mid"]
    start = ("--start", str(song_folder / "song 03.mid"))
    assert ", without its target 'drawn'\n" in generated(*start, storage=several.storage)[1]
    assert "; give --style." in generated(*start, "--set", "alpha=0.1", storage=several.storage)[2]
    code, out, _, made = generated(*start, "--style", str(song_folder / "song 07.mid"), storage=several.storage)
    assert code == 0
    assert "target" not in out


def test_a_system_that_continues_nothing_has_no_start(generated, several: Run, song_folder: Path) -> None:
    code, out, err, made = generated(system="gan", storage=several.storage)
    assert (code, err) == (0, "")
    assert made["gan-1.mid"] == _sample(several.storage, out, "start-1.mid")
    roll = np.concatenate(list(np.unpackbits(_windows(made["gan-1.mid"]), axis=-1).astype(bool)), axis=1)
    assert roll.shape == (5, 2 * 32, 128)  # what was generated, and nothing before it
    for start_steps, equal in ((0, True), (32, False)):
        rendered = next(render_samples([roll], ["gan-1"], 2, 120.0, start_steps))
        assert (made["gan-1.png"] == rendered["png"]) == equal
    code, _, err, made = generated("--start", str(song_folder / "song 03.mid"), system="gan", storage=several.storage)
    assert (code, made) == (2, {})
    assert "--start is not for gan, which continues nothing; leave it out." in err
    assert "--style is not for gan" in generated("--style", "song:x", system="gan", storage=several.storage)[2]


def test_temperature_can_be_set_of_a_system_that_samples(generated, several: Run) -> None:
    code, out, err, made = generated(system="note_rnn", storage=several.storage)
    assert (code, err) == (0, "")
    assert made["note_rnn-1.mid"] == _sample(several.storage, out, "start-1.mid")
    hot = generated("--set", "temperature=50", system="note_rnn", storage=several.storage)[3]
    assert hot["note_rnn-1.mid"] != made["note_rnn-1.mid"]


def test_without_noise_one_start_has_one_continuation(generated, several: Run, song_folder: Path) -> None:
    of = {"system": "melody_harmony_cnn", "storage": several.storage}
    code, out, err, made = generated(**of)
    assert (code, err, len(made)) == (0, "", 4 * 3)
    assert made["melody_harmony_cnn-1.mid"] == _sample(several.storage, out, "start-1.mid")
    mine = song_folder / "song 03.mid"
    code, out, err, made = generated("--start", str(mine), **of)
    assert (code, err, len(made)) == (0, "", 3)
    assert "  1 instead of 4: melody_harmony_cnn draws nothing" in out
    played = _windows(made["melody_harmony_cnn-1.mid"])
    np.testing.assert_array_equal(played[0], file_windows(str(mine), WindowSpec(), "--start").windows[-1])


def test_more_samples_take_more_starts_as_far_as_there_are_any(generated, several: Run) -> None:
    code, out, _, made = generated("--samples", "7", "--windows", "1", storage=several.storage)  # the trial had 5
    assert (code, len(made)) == (0, 7 * 3)
    assert "instead of" not in out
    code, out, _, made = generated("--samples", "40", "--windows", "1", storage=several.storage)
    assert code == 0
    assert f"  {len(made) // 3} instead of 40: the validation songs of block 0 have no more start windows\n" in out
    assert 7 < len(made) // 3 < 40


def test_networks_of_other_code_are_refused(
    generated, finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = next(iter(finished.records))
    sentence = f"error: trial {key} was trained by other code than this; run its study again.\n"
    with monkeypatch.context() as patch:
        patch.setattr("musiclab.measures.REVISION", 99)
        assert generated("--trial", key, "--samples", "1")[0] == 0  # it only measures otherwise
        patch.setattr(VaeNN, "stages", VaeNN.stages | {"vae": 99})
        code, _, err, made = generated("--trial", key)
        assert (code, err, made) == (2, sentence, {})
    for field, value in (("gone", 1), ("kl", "no such")):
        storage = tmp_path / field
        copied(finished.storage, storage, "mlflow*")
        record = json.loads(finished.records[key])
        record["config"][field] = value
        record.pop("sha256")
        (storage / "trials" / key / "record.json").write_bytes(with_checksum(record))
        assert generated("--trial", key, storage=storage)[2] == sentence


def test_a_place_that_cannot_be_written_to_is_said_before_anything_is_made(
    generated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"mine")
    monkeypatch.setattr("musiclab.systems.vae_nn.system.VaeNN.continuations", None)  # nothing is generated
    for out in (file, file / "in it"):
        code, _, err, _ = generated("--out", str(out))
        assert code == 2
        assert err.startswith(f"error: --out {out} cannot be written to: ") and err.count("\n") == 1
    assert file.read_bytes() == b"mine"
    monkeypatch.undo()
    (tmp_path / "taken" / "vae_nn-1.mid").mkdir(parents=True)
    assert f"error: --out {tmp_path / 'taken'} cannot be written to: " in generated("--out", str(tmp_path / "taken"))[2]


def _played(midi: bytes) -> np.ndarray:
    """What a sample plays, `(window, track, time, pitch)` bool."""
    roll, _, _ = from_midi(midi)
    return np.stack(np.split(roll, roll.shape[1] // 32, axis=1))


def test_samples_are_in_the_keys_of_the_songs_that_they_start_from(
    in_one_key: Run, store: WindowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Player, "mp3", lambda self, midi: b"")
    results = Results.read(Storage(str(in_one_key.storage)), "several")
    assert len(results.trial_specs) == len(results.records) == 4
    real = RealMusic(results, Samples(results))
    moved_by = set()
    for trial in results.trial_specs:
        system, config = trial.variant.system, find_system(trial.variant.system).config(**trial.variant.config)
        windows = trial_windows(results.storage, trial, config)
        starts = windows.starts[:4, 0]
        generated = unpack(np.load(in_one_key.storage / "stages" / trial.stages["generate"] / "generated.npy"))
        for number, (start, semitones) in enumerate(zip(starts, windows.store.transposed(starts), strict=True), 1):
            sample = _played(results.storage.read(f"trials/{trial.key}/samples/start-{number}.mid"))
            if system == "gan":
                np.testing.assert_array_equal(sample, generated[number - 1])
                continue
            # The same windows as if nothing had been moved, and after them what was generated, moved back.
            np.testing.assert_array_equal(sample[0], store.batch(np.array([start]))[0])
            np.testing.assert_array_equal(sample[1:], moved_rolls(generated[number - 1], -semitones))
            moved_by.add(int(semitones))
            place = real.get(Place(0, number))
            end = min(start + 1 + config.continuation, (start // 6 + 1) * 6)  # a song has six windows
            written = np.concatenate(list(store.batch(np.arange(start, end))), axis=1)
            np.testing.assert_array_equal(place.roll, written)
    assert len(moved_by) > 1 and any(moved_by)


@pytest.mark.parametrize("system", ["vae_nn", "note_rnn", "melody_harmony_cnn"])
def test_a_start_in_another_key_gives_the_same_music_in_that_key(
    system: str, generated, in_one_key: Run, song_folder: Path, tmp_path: Path
) -> None:
    of = {"system": system, "storage": in_one_key.storage}
    code, out, err, made = generated(**of)
    assert (code, err) == (0, "")
    assert made[f"{system}-2.mid"] == _sample(in_one_key.storage, out, "start-2.mid")
    written = song_folder / "song 03.mid"
    moved_by = file_windows(str(written), WindowSpec(transpose="to_c"), "--start").transposed
    played = []
    # As far away as a song can be that is moved to the same place. Farther away, the least interval is the other way.
    for semitones in (0, moved_by + 5, moved_by - 6):
        mine = tmp_path / f"{semitones}.mid"
        mine.write_bytes(to_midi(moved_rolls(from_midi(written.read_bytes())[0], semitones), 2))
        made = generated("--start", str(mine), "--samples", "1", **of)[3][f"{system}-1.mid"]
        np.testing.assert_array_equal(_played(made)[0], _played(mine.read_bytes())[-1])
        played.append(moved_rolls(_played(made), -semitones))
    # What is played at the ends of the range may have come back an octave from where it was.
    first, *others = (rolls[..., 24:104] for rolls in played)
    assert first.any()
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_a_style_is_the_same_in_any_key(generated, in_one_key: Run, song_folder: Path, tmp_path: Path) -> None:
    written, other = song_folder / "song 03.mid", tmp_path / "other.mid"
    moved_by = file_windows(str(written), WindowSpec(transpose="to_c"), "--style").transposed
    other.write_bytes(to_midi(moved_rolls(from_midi(written.read_bytes())[0], moved_by + 1), 2))
    song, file, moved, another = (
        generated("--samples", "2", "--set", "alpha=1", "--style", style, storage=in_one_key.storage)[3]
        for style in ('song:"song 03"', str(written), str(other), str(song_folder / "song 07.mid"))
    )
    assert song == file == moved
    assert song != another
