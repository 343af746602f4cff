"""Wrong input, the whole list: one sentence that says what would be right, exit code 2, and no traceback."""

import io
import os
import runpy
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from musiclab.cli import data
from musiclab.cli import main as cli
from musiclab.data.sources import CHOICES
from musiclab.study import Grid, Study, session
from musiclab.systems import SYSTEMS, find_system
from musiclab.systems.config import FORMS

ROOT = Path(__file__).parents[2]
LATENT_DIM = Study(
    name="latent_dim", system="vae_nn", space={"latent_dim": Grid(2, 3)}, control={"latent_dim": 2}, blocks=2,
    objective="frechet", question="?",
)  # fmt: skip
STUDY_FILE = '''"""How large?"""
from musiclab.study import Grid, Study

study = Study({})

if __name__ == "__main__":
    study.main()
'''
FIELDS = {
    "name": '"q"',
    "system": '"vae_nn"',
    "space": '{"latent_dim": Grid(2, 3)}',
    "control": '{"latent_dim": 2}',
    "blocks": "2",
    "objective": '"frechet"',
}


def _refused(run: Callable[[], None], capsys: pytest.CaptureFixture) -> str:
    """The one sentence that `run` ends with, after "error: "."""
    with pytest.raises(SystemExit) as ended:
        run()
    out, err = capsys.readouterr()
    assert ended.value.code == 2, err
    assert "Traceback" not in out + err
    *before, last = err.splitlines()
    # Songs that are read to be found wanting leave their line of progress.
    assert all(line.startswith("songs cut into windows ") for line in before), err
    assert last.startswith("error: ")
    return last.removeprefix("error: ")


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture, song_folder: Path) -> Callable[..., str]:
    """What a study says to options that come after good ones; later ones win."""

    def said(*options: str) -> str:
        good = ["--storage", str(tmp_path / "storage"), "--data", f"midi:{song_folder}", "--in-process"]
        return _refused(lambda: LATENT_DIM.main([*good, *options]), capsys)

    return said


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--sett", "a=1"], "Unrecognized arguments: --sett a=1; --help lists the options."),
        (["--block", "3"], "Unrecognized arguments: --block 3; --help lists the options."),  # no abbreviations either
        (["7"], "Unrecognized arguments: 7; --help lists the options."),
        (["--set"], "Argument --set: expected one argument; --help lists the options."),
        (["--set", "beta"], "Argument --set: must be FIELD=VALUE; got 'beta'; --help lists the options."),
        (["--set", "=2"], "Argument --set: must be FIELD=VALUE; got '=2'; --help lists the options."),
        (["--set", "beta="], "Argument --set: must be FIELD=VALUE; got 'beta='; --help lists the options."),
        (["--set", "bta=1"], "There is no field 'bta' in VaeNNConfig; did you mean 'beta'?"),
        (["--set", "beta=much"], "beta must be a number from 0 to 100; got 'much'."),
        (["--set", "beta=nan"], "beta must be a number from 0 to 100; got 'nan'."),
        (["--set", "beta=-1"], "beta must be a number from 0 to 100; got '-1'."),
        (["--set", "width=3.5"], "width must be a whole number from 1 to 512; got '3.5'."),
        (["--set", "width=0"], "width must be a whole number from 1 to 512; got '0'."),
        (["--set", "max_train=1"], "max_train must be 0, for all windows, or at least 2; got 1."),
        (["--set", "max_eval=1"], "max_eval must be 0, for all windows, or at least 2; got 1."),
        (["--set", "kl=exact"], "kl must be one of analytic, sample; got 'exact'."),
        (["--set", "steps=40"], "steps must be a multiple of 16, because the convolutions divide by it; got 40."),
        (["--set", "resolution=5"], "resolution must be a divisor of 24; got 5."),
        (
            ["--set", "latent_dim=4"],
            "--set latent_dim is not possible, because latent_dim compares values of latent_dim.",
        ),
        (
            ["--blocks", "0"],
            "Argument --blocks: must be a whole number from 1 to 10000; got '0'; --help lists the options.",
        ),
        (
            ["--blocks", "2.5"],
            "Argument --blocks: must be a whole number from 1 to 10000; got '2.5'; --help lists the options.",
        ),
        (["--until-clear"], "--until-clear needs --max-blocks too: how many blocks there may be at most."),
        (
            ["--max-blocks", "9"],
            "--max-blocks needs --until-clear too; for a fixed number of blocks use --blocks instead.",
        ),
        (
            ["--until-clear", "--max-blocks", "9", "--blocks", "8"],
            "--until-clear decides how many blocks there are; leave out --blocks or --until-clear.",
        ),
        (
            ["--until-clear", "--max-blocks", "5"],
            "--max-blocks 5 is too few for anything to become clear: anytime-valid tests of 1 comparison need at least "
            "6 blocks.",
        ),
        (
            ["--until-clear", "--max-blocks", "0"],
            "Argument --max-blocks: must be a whole number from 1 to 1000; got '0'; --help lists the options.",
        ),
        (["--workers", "2"], "--in-process runs one trial at a time; leave out --workers or --in-process."),
        (
            ["--gpus-per-trial", "1"],
            "--gpus-per-trial must be 0, for CPUs, with --in-process; leave out --gpus-per-trial or --in-process.",
        ),
        (
            ["--gpus-per-trial", "1.5"],
            "Argument --gpus-per-trial: must be a fraction up to 1 or a whole number; got '1.5'; --help lists the "
            "options.",
        ),
        (
            ["--tracking-uri", "localhost:5000"],
            "--tracking-uri must be http://HOST:PORT or a database such as sqlite:////FOLDER/mlflow.db; got "
            "'localhost:5000'.",
        ),
        (
            ["--data", "mid:songs"],
            f"--data must be {CHOICES}; got 'mid:songs'.",
        ),
        (["--data", "midi:"], f"--data must be {CHOICES}; got 'midi:'."),
        (["--data", "midi"], f"--data must be {CHOICES}; got 'midi'."),
    ],
)
def test_wrong_options(options: list[str], sentence: str, refused: Callable[..., str]) -> None:
    assert refused(*options) == sentence


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        (512, "all 20 were skipped, 20 of them as: shorter than one window; give longer songs, or set fewer steps."),
        (
            128,
            "is too little for windows of 64 beats (steps 128, resolution 2): block 0 has 0 training pair windows and "
            "needs at least 2; give more songs, or longer ones, or set fewer steps.",
        ),
    ],
)
def test_windows_that_are_too_long_for_the_songs(
    steps: int, sentence: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert refused("--set", f"steps={steps}", "--set", f"hop={steps}").endswith(sentence)


@pytest.mark.parametrize("uri", ["http://", "http://host:port", "http://h:99999", "ftp://h", "mlflow.db", "sqlite://"])
def test_addresses_that_are_none(uri: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused("--tracking-uri", uri).endswith(f"sqlite:////FOLDER/mlflow.db; got {uri!r}.")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert refused().endswith(f"got {uri!r}. Unset it, or give another address by --tracking-uri.")


@pytest.mark.parametrize(
    ("option", "choices"), [("--scale", ("demo", "article")), ("--form", ("mended", "written", "coded"))]
)
def test_sizes_and_forms_that_are_none(option: str, choices: tuple[str, ...], refused: Callable[..., str]) -> None:
    said = refused(option, "huge")
    assert said.startswith(f"Argument {option}: invalid choice: 'huge' (choose from ")
    assert all(choice in said for choice in choices)


def test_the_forms_of_the_option_are_those_of_every_system() -> None:
    assert all(tuple(find_system(name).forms) == FORMS for name in SYSTEMS)


def test_storage_that_cannot_be_written(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file/below", "nonsense://x"):
        assert refused("--storage", str(place)).startswith(f"--storage {str(place)!r} cannot be written to: ")


# Data.


def _broken(kind: str, folder: Path, songs: Path) -> Path:
    """A folder or archive with this fault."""
    path = folder / kind
    if kind == "empty folder":
        path.mkdir()
    elif kind == "folder without music":
        path.mkdir()
        (path / "notes.txt").write_text("la la la")
    elif kind == "songs that are none":
        path.mkdir()
        for number in range(12):
            (path / f"{number}.mid").write_bytes(b"la la la" * number)
    elif kind == "too few songs":
        path.mkdir()
        for song in sorted(songs.glob("*.mid"))[:9]:
            (path / song.name).write_bytes(song.read_bytes())
    elif kind == "no archive":
        path.write_bytes(b"la la la" * 200)
    elif kind == "cut off.tar.gz":
        with tarfile.open(path, "w:gz") as tar:
            for song in sorted(songs.glob("*.mid")):
                tar.add(song, song.name)
        path.write_bytes(path.read_bytes()[:-200])
    elif kind == "outward.tar":
        with tarfile.open(path, "w") as tar:
            member = tarfile.TarInfo("../../evil.mid")
            member.size = 4
            tar.addfile(member, io.BytesIO(b"MThd"))
    elif kind == "outward.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("good.mid", b"MThd")
            archive.writestr("../evil.mid", b"MThd")
    return path


FAULTS = {
    "missing": "does not exist; give a folder or an archive of .mid, .midi, .kar or .rmi files.",
    "empty folder": "holds no .mid, .midi, .kar or .rmi files; give a folder or an archive that does.",
    "folder without music": "holds no .mid, .midi, .kar or .rmi files; give a folder or an archive that does.",
    "songs that are none": "holds no usable song: all 12 were skipped",
    "too few songs": "The data has 9 different songs, and a split by song needs at least 10; give more songs.",
    "no archive": "must be a folder or a whole tar or zip archive",
    "cut off.tar.gz": "is damaged or ends early",
    "outward.tar": "its member '../../evil.mid' points out of the archive.",
    "outward.zip": "its member '../evil.mid' points out of the archive.",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_wrong_data(
    kind: str, tmp_path: Path, song_folder: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert FAULTS[kind] in refused("--data", f"midi:{_broken(kind, tmp_path, song_folder)}")
    assert not list(tmp_path.parent.glob("evil.mid"))
    assert not (tmp_path / "storage" / "studies").exists()


@pytest.mark.parametrize("command", ["build", "describe"])
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], f"--data must be {CHOICES}; got 'nothing'."),
        (["midi:/no/such/folder"], "--data: /no/such/folder does not exist; give a folder or an archive of "),
        ([], "The following arguments are required: SOURCE; --help lists the options."),
        (["chorales", "--resolution", "5"], "resolution must be a divisor of 24; got 5."),
        (["chorales", "--resolution", "two"], "Argument --resolution: must be a whole number from 1 to 24; got 'two'"),
        (["chorales", "--steps", "0"], "Argument --steps: must be a whole number from 1 to 512; got '0'"),
        (["chorales", "--hop", "-1"], "Argument --hop: must be a whole number from 1 to 512; got '-1'"),
        (["chorales", "--workers", "0"], "Argument --workers: must be a whole number from 1 to 256; got '0'"),
        (["chorales", "--storage", "nonsense://x"], "--storage 'nonsense://x' cannot be written to: "),
        (["chorales", "--stage", "x"], "Unrecognized arguments: --stage x; --help lists the options."),
    ],
)
def test_wrong_use_of_the_data_command(
    command: str, arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    storage = [] if "--storage" in arguments else ["--storage", str(tmp_path)]
    said = _refused(lambda: cli.main(["data", command, *storage, *arguments]), capsys)
    assert said.startswith(sentence)


@pytest.mark.parametrize("arguments", [[], ["data"], ["date"], ["data", "bild", "chorales"]])
def test_no_such_command(arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    assert _refused(lambda: cli.main(arguments), capsys).endswith("; --help lists the options.")


def test_the_data_command_at_work(song_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    common = [f"midi:{song_folder}", "--storage", str(tmp_path), "--workers", "1"]
    for command, words in (("build", "20 songs, 120 windows, 0 skipped"), ("describe", "Windows   120 of 16 beats")):
        with pytest.raises(SystemExit) as ended:
            cli.main(["data", command, *common])
        assert ended.value.code == 0
        assert words in capsys.readouterr().out


# Study files: their objects are made while the file is imported, where an error could only be a traceback.


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("space", '{"latent_dim": Grid()}', "space['latent_dim'] must have at least one value, such as"),
        ("space", '{"latent_dim": [2, 3]}', "space['latent_dim'] must be a Grid, such as Grid(8, 16); got [2, 3]."),
        ("space", "{}", "space must be fields with their grids, such as {'latent_dim': Grid(8, 16)}; got {}."),
        ("space", "None", "space must be fields with their grids"),
        ("space", '{"latent_dims": Grid(2)}', "There is no field 'latent_dims' in VaeNNConfig; did you mean"),
        ("space", '{"latent_dim": Grid(2, "x")}', "latent_dim must be a whole number from 1 to 256; got 'x'."),
        ("space", '{"latent_dim": Grid(2, 3, 2)}', "The variants of q must differ; got latent_dim=2 2 times."),
        ("space", '{"latent_dim": Grid(2, "2")}', "The variants of q must differ; got latent_dim=2 2 times."),
        (
            "space",
            '{"latent_dim": Grid(2, None)}',
            "space['latent_dim'] must have numbers or texts, such as 8 or 'sample'; got None.",
        ),
        ("system", '"vae_n"', "There is no system 'vae_n'; did you mean 'vae_nn'?"),
        ("system", '"x"', "There is no system 'x'; there is note_rnn, multitrack_rnn, melody_harmony_cnn, vae_nn, "),
        ("system", "None", "q names no system; give the study one, or each variant of its space."),
        ("space", "[]", "space must be grids, or a list of variants such as [{}, {'layers': 2}]; got []."),
        ("space", "[3]", "space must be grids, or a list of variants such as [{}, {'layers': 2}]; got [3]."),
        ("space", '[{"latent_dim": 2}, {"latent_dims": 3}]', "There is no field 'latent_dims' in VaeNNConfig; did you"),
        ("space", '[{"latent_dim": 2}, {"latent_dim": 2}]', "The variants of q must differ; got latent_dim=2 2 times."),
        ("space", '[{"latent_dim": 2, "system": "gann"}]', "There is no system 'gann'; did you mean 'gan'?"),
        (
            "space",
            '{"latent_dim": Grid(2, 3), "system": Grid("vae_nn", "note_rnn")}',
            "There is no field 'latent_dim' in N",
        ),
        (
            "control",
            '{"latent_dim": 2, "system": "gan"}',
            "control must be one variant of the space with all its fields",
        ),
        ("fixed", "2", "fixed must be fields with their values, such as {'alpha': 0.5}; got 2."),
        ("fixed", '{"bta": 2}', "There is no field 'bta' in VaeNNConfig; did you mean 'beta'?"),
        ("fixed", '{"beta": "x"}', "beta must be a number from 0 to 100; got 'x'."),
        ("fixed", '{"latent_dim": 4}', "q both fixes latent_dim and compares values of it; leave one out."),
        ("control", '{"latent_dim": 4}', "control must be one variant of the space with all its fields, such as"),
        (
            "control",
            "{}",
            "control must be one variant of the space with all its fields, such as {'latent_dim': 2}; got ",
        ),
        ("control", '{"latentdim": 2}', "There is no field 'latentdim' in VaeNNConfig; did you mean 'latent_dim'?"),
        ("control", '{"latent_dim": "two"}', "latent_dim must be a whole number from 1 to 256; got 'two'."),
        ("control", "2", "control must be fields with their values, such as {'latent_dim': 16}; got 2."),
        (
            "objective",
            '"frechett"',
            "A measure must have a known name; got 'frechett' (nearest: set/frechet). Known measures: ",
        ),
        (
            "objective",
            '"kl"',
            "The objective must be a measure with a better direction, such as frechet; got kl",
        ),
        (
            "objective",
            '"perplexity"',
            "The objective perplexity needs tokens, but vae_nn has none; choose other systems, or an objective "
            "that all have, such as frechet.",
        ),
        ("margin", "0", "A study's margin must be a number above 0, in the objective's unit, or None; got 0."),
        ("margin", "-0.5", "A study's margin must be a number above 0, in the objective's unit, or None; got -0.5."),
        ("margin", '"5"', "A study's margin must be a number above 0, in the objective's unit, or None; got '5'."),
        ("margin", "True", "A study's margin must be a number above 0, in the objective's unit, or None; got True."),
        (
            "margin",
            'float("nan")',
            "A study's margin must be a number above 0, in the objective's unit, or None; got nan.",
        ),
        (
            "margin",
            'float("inf")',
            "A study's margin must be a number above 0, in the objective's unit, or None; got inf.",
        ),
        ("blocks", "0", "A study's blocks must be a whole number from 1 to 10000; got 0."),
        ("blocks", '"2"', "A study's blocks must be a whole number from 1 to 10000; got '2'."),
        (
            "name",
            '"../q"',
            "A study's name must be up to 200 letters, digits, '_', '-' or '.', because it beco",
        ),
        ("name", '""', "A study's name must be up to 200 letters"),
        ("name", "None", "A study's name must be up to 200 letters"),
    ],
)
def test_wrong_study_files(
    field: str,
    value: str,
    sentence: str,
    tmp_path: Path,
    song_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    fields = ", ".join(f"{name}={text}" for name, text in (FIELDS | {field: value}).items())
    (tmp_path / "q.py").write_text(STUDY_FILE.replace("{}", fields))
    options = ["--storage", str(tmp_path / "s"), "--data", f"midi:{song_folder}", "--plan"]
    monkeypatch.setattr(sys, "argv", ["q.py", *options])
    said = _refused(lambda: runpy.run_path(str(tmp_path / "q.py"), run_name="__main__"), capsys)
    assert said.startswith(sentence)


@pytest.mark.parametrize(
    ("objective", "systems", "sentence"),
    [
        (
            "frame_f1",
            ("vae_nn", "gan"),
            "The objective frame_f1 needs latents, but gan has none; choose",
        ),
        (
            "next_f1",
            ("gan", "note_rnn"),
            "The objective next_f1 needs predicted pairs of windows, but gan and note_rnn",
        ),
        (
            "start_sensitivity",
            ("vae_nn", "gan"),
            "The objective start_sensitivity needs a start window, but gan has none",
        ),
        (
            "specificity",
            ("note_rnn",),
            "The objective specificity needs a target song to follow, but note_rnn has none",
        ),
    ],
)
def test_an_objective_that_not_every_system_can_have_is_refused(
    objective: str, systems: tuple[str, ...], sentence: str, tmp_path: Path, song_folder: Path, capsys: Any
) -> None:
    space = {"system": Grid(*systems), "variations": Grid(1, 2)}
    control = {"variations": 1}
    asked = Study(name="q", space=space, control=control, blocks=2, objective=objective, question="?")
    options = ["--storage", str(tmp_path / "s"), "--data", f"midi:{song_folder}", "--in-process"]
    assert _refused(lambda: asked.main(options), capsys).startswith(sentence)
    assert not (tmp_path / "s/studies").exists()


def test_a_target_s_objective_without_a_target_is_refused(
    tmp_path: Path, song_folder: Path, capsys: pytest.CaptureFixture
) -> None:
    asked = Study(
        name="q", system="vae_nn", space={"alpha": Grid(0.0, 1.0)}, control={"alpha": 0.0}, blocks=2,
        objective="specificity", question="?",
    )  # fmt: skip
    options = ["--storage", str(tmp_path / "s"), "--data", f"midi:{song_folder}", "--in-process"]
    said = _refused(lambda: asked.main(options), capsys)
    assert said.startswith("The objective specificity needs a target song, but alpha=0.0 has none; fix target")


def test_nothing_compared_can_become_clear(tmp_path: Path, song_folder: Path, capsys: pytest.CaptureFixture) -> None:
    alone = Study(
        name="q", system="vae_nn", space={"latent_dim": Grid(2)}, control={"latent_dim": 2}, blocks=2,
        objective="frechet", question="?",
    )  # fmt: skip
    options = ["--storage", str(tmp_path), "--data", f"midi:{song_folder}", "--until-clear", "--max-blocks", "9"]
    said = _refused(lambda: alone.main(options), capsys)
    assert said == "q compares nothing that could become clear; leave out --until-clear."


def test_a_right_study_file_has_its_docstring_as_the_question(
    tmp_path: Path, song_folder: Path, capsys: pytest.CaptureFixture
) -> None:
    """Run as users run it: the file's own process, and nothing but the plan."""
    fields = ", ".join(f"{name}={text}" for name, text in FIELDS.items())
    (tmp_path / "q.py").write_text(STUDY_FILE.replace("{}", fields))
    options = ["--plan", "--storage", str(tmp_path / "s"), "--data", f"midi:{song_folder}"]
    done = subprocess.run(
        [sys.executable, str(tmp_path / "q.py"), *options],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("q: How large?\n2 variants x 2 blocks = 4 trials: 0 done, 4 to run\n")
    assert list((tmp_path / "s").iterdir()) == []  # a plan starts nothing and leaves nothing


def test_an_error_in_a_process_of_its_own_is_one_line_too(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "studies/latent_dim.py"), "--storage", str(tmp_path), "--data", "midi:/none"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --data: /none does not exist")
    assert done.stderr.count("\n") == 1


# Interrupted.


def test_an_interrupt_ends_a_study_with_130_and_says_how_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "ensure_store", interrupted)
    with pytest.raises(SystemExit) as ended:
        LATENT_DIM.main(["--in-process", "--storage", str(tmp_path)])
    assert ended.value.code == 130
    err = capsys.readouterr().err
    assert err.strip() == "Interrupted; run the same command again to resume."


def test_an_interrupt_ends_the_data_command_with_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(data, "build", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    with pytest.raises(SystemExit) as ended:
        cli.main(["data", "build", "chorales", "--storage", str(tmp_path)])
    assert ended.value.code == 130
    assert "Traceback" not in capsys.readouterr().err
