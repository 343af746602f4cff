"""`musiclab generate`: music from what a study has trained."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from study_processes import Run, files

from musiclab import cli
from musiclab.data.midi import Midi, file_windows
from musiclab.data.store import open_store
from musiclab.data.windows import WindowSpec, cut
from musiclab.rendering.midi import to_midi

pytestmark = pytest.mark.slow


@pytest.fixture
def generated(
    finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture
) -> Callable[..., tuple[int, str, str, dict[str, bytes]]]:
    """Runs the command on the finished study; its exit status, output, errors and files."""

    def run(*options: str, storage: Path = finished.storage) -> tuple[int, str, str, dict[str, bytes]]:
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        with pytest.raises(SystemExit) as ended:
            cli.main(["generate", "vae_nn", "--storage", str(storage), "--out", str(out), *options])
        printed = capsys.readouterr()
        made = {file.name: file.read_bytes() for file in sorted(out.iterdir())} if out.exists() else {}
        return ended.value.code, printed.out, printed.err, made

    return run


def _windows(midi: bytes) -> np.ndarray:
    return cut(Midi.parse("x.mid", midi), WindowSpec())


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
        assert made[f"vae_nn-{number}.mp3"] == (samples / f"start-{number}.mp3").read_bytes()
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
    np.testing.assert_array_equal(first[0], file_windows(str(mine), WindowSpec(), "--start")[-1])
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
        (["--set", "latent_dim=4"], "--set latent_dim would take training anew; here it can set starts, continuation,"),
        (["--set", "noise=4"], "There is no field 'noise' in VaeNNConfig; did you mean 'noise_sd'?"),
        (["--set", "noise_sd=x"], "noise_sd takes a number from 0 to 100, not 'x'."),
        (["--set", "target=drawn"], "--set target is for studies; here it is --style."),
        (["--style", "artist:Nobody At All"], "--style: there is no artist 'Nobody At All' in"),
        (["--style", "loud"], "--style takes song:TITLE, artist:NAME or a MIDI file"),
        (["--style", "none.mid"], "--style: there is no file none.mid; give a MIDI file."),
        (["--start", "none.mid"], "--start: there is no file none.mid; give a MIDI file."),
        (["--study", "none"], "has no finished trial of vae_nn in the study none; run a study of it with this"),
        (["--trial", "none"], "--trial none: "),
        (["--study", "a", "--trial", "b"], "Argument --trial: not allowed with argument --study"),
        (["--samples", "0"], "Argument --samples: takes a whole number of at least 1 and at most 1000, not '0'"),
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
    shutil.copytree(finished.storage, bare, ignore=shutil.ignore_patterns("data", "mlflow*"))
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
