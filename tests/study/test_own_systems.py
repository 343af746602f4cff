"""A user's own system gets what the article's have: stages, resume, Ray, reports without its file, generation."""

import importlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from musiclab import Int, Search
from musiclab.cli.main import main
from musiclab.design.design import Design
from musiclab.errors import UserError
from musiclab.execution import trial
from musiclab.execution.trial import _again, _reason
from musiclab.generation import GenerateRequest, _continued, generate
from musiclab.maintenance.doctor import services
from musiclab.sending import Sent
from musiclab.storage.documents import verified
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.study import Claim, Expect, Grid, Study
from musiclab.study.forecast import _slow_lines
from musiclab.study.options import design_of, options_of, parse_options
from musiclab.systems import Config, StageRun, System, find_system
from musiclab.systems.own import given_system
from musiclab.training.runtime import Runtime
from musiclab.training.streams import Block
from musiclab.user_code import code_of
from tests.support.kept import Kept, empty
from tests.support.study_processes import Run, copied, run_study

ROOT = Path(__file__).parents[2]
EXAMPLE, FUNCTION = ROOT / "examples" / "own_system.py", ROOT / "examples" / "own_function.py"


class Nothing(System):
    """A system that is planned only."""

    name, config = "nothing", Config

    def train(self, stage: str, run: StageRun) -> None:
        raise NotImplementedError

    def continuations(self, run: StageRun, starts: Any) -> Any:
        raise NotImplementedError


class Other(Nothing):
    """Another one of the same name."""


class Nameless(Nothing):
    """One without a name."""

    name = None


@pytest.fixture
def designed(song_folder: Path) -> Callable[..., Design]:
    def made(*words: str, **study: Any) -> Design:
        asked = Study(
            **{
                "name": "q",
                "space": {"starts": Grid(8, 16)},
                "control": {"starts": 8},
                "blocks": 2,
                "question": "?",
                "objective": "frechet",
            }
            | study
        )
        return design_of(asked, parse_options("?", ["--data", f"midi:{song_folder}", *words]))

    return made


def test_a_class_a_reference_and_a_name_are_one_system(designed: Callable[..., Design]) -> None:
    by_class = designed(system=Nothing)
    assert by_class.variants[0].system == "nothing"
    assert list(by_class.own_systems) == ["nothing"]
    assert by_class.variants[0].config["max_train"] == 1024  # as the systems here have at this scale
    compared = designed(space=[{"system": Nothing}, {"system": "vae_nn"}], control={"system": "nothing"})
    assert [variant.name for variant in compared.variants] == ["nothing", "vae_nn"]
    assert compared.trial_specs[0].stages.keys() == {"train", "generate", "measure"}
    grid = designed(space={"system": Grid(Nothing, "vae_nn")}, control={"system": Nothing})
    assert grid.edition == designed(space={"system": Grid(Nothing, "vae_nn")}, control={"system": Nothing}).edition
    by_text = designed(system=f"{EXAMPLE}:StepLSTM", space={"hidden": Grid(4, 8)}, control={"hidden": 4})
    assert by_text.variants[0].system == "step_lstm"


def test_an_option_asks_about_another_system(designed: Callable[..., Design], song_folder: Path) -> None:
    mine = ("--system", f"{__name__}:Nothing")
    own = designed(system=Nothing)
    for study in ({"system": "vae_nn"}, {"system": ""}, {"system": "no/such/file.py:Mine"}):
        by_option = designed(*mine, **study)
        assert (by_option.edition, list(by_option.own_systems)) == (own.edition, ["nothing"])
    assert designed("--system", "note_rnn", system=Nothing).variants[0].system == "note_rnn"
    asked = Study(name="q", space={"starts": Grid(8, 16)}, control={"starts": 8}, blocks=2, objective="frechet")
    by_class = design_of(asked, options_of({"system": Nothing, "data": f"midi:{song_folder}"}))
    assert by_class.edition == own.edition
    by_text = designed("--system", f"{EXAMPLE}:StepLSTM", system="vae_nn")
    assert list(by_text.own_systems) == ["step_lstm"]


@pytest.mark.parametrize(
    ("study", "sentence"),
    [
        ({"space": {"system": Grid("note_rnn", "vae_nn")}}, "--system is not possible, because q says itself which"),
        ({"space": [{"system": "vae_nn"}, {"starts": 8}]}, "--system is not possible, because q says itself which"),
        ({"control": {"system": "vae_nn", "starts": 8}}, "--system is not possible, because q says itself which"),
        ({"space": {"beta": Grid(1.0, 2.0)}, "control": {"beta": 1.0}}, "There is no field 'beta' in Config"),
        ({"fixed": {"beta": 1.0}}, "There is no field 'beta' in Config"),
        (
            {"claims": [Claim("C1", "?", [Expect("frechet", {"system": "vae_nn"}, "below", 5)])]},
            "Claim C1 names vae_nn, but no variant of the study has that",
        ),
        (
            {"claims": [Claim("C1", "?", [Expect("frechet", {"beta": 1.0}, "below", 5)])]},
            "Claim C1 names beta=1.0, but no variant of the study has that",
        ),
    ],
)
def test_a_study_that_the_other_system_does_not_fit_refuses_it(
    study: dict[str, Any], sentence: str, designed: Callable[..., Design]
) -> None:
    with pytest.raises(UserError, match=rf"^{sentence}[^.]*(\.[^.]*)?\.$"):
        designed("--system", f"{__name__}:Nothing", **{"system": "vae_nn"} | study)


@pytest.mark.parametrize("given", [5, "", Nothing()])
def test_an_option_must_name_a_system(given: object) -> None:
    with pytest.raises(UserError, match=r"--system must be the name of a system, path/to/file.py:Name, or a clas"):
        options_of({"system": given})


def test_what_is_no_system_is_refused(designed: Callable[..., Design]) -> None:
    for given, said in (
        (Other, None),
        (Nothing(), "got an instance; give its class"),
        (
            Nameless,
            r"test_own_systems.py: Nameless must have a name of letters, .*, such as name = 'my_system'; got None",
        ),
        (Path, "A system must be the name of one, a class of musiclab.systems.System, or a function under @system"),
        (parse_options, "under @system; got options.py: parse_options."),
        ("nothing", "There is no system 'nothing'; there is note_rnn, "),
    ):
        if said:
            with pytest.raises(UserError, match=said):
                designed(system=given)
    with pytest.raises(
        UserError, match=r"Two systems have the name 'nothing': test_own_systems.py: Nothing, and test_"
    ):
        designed(space=[{"system": Nothing}, {"system": Other}], control={"system": Nothing})


def test_a_trial_whose_code_ends_the_process_fails(
    designed: Callable[..., Design], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_run", lambda *_: sys.exit(0))
    (spec, *_) = designed(system=Nothing).trial_specs
    trial.TrialRunner(str(tmp_path), "no lease", own_systems={"nothing": Sent(Nothing)})(spec.to_json())
    failure = Records(Storage(str(tmp_path))).failure(spec.key)
    assert failure and failure.reason.startswith(
        "a system must not end the process; it raises SystemExit: 0 (test_own_systems.py, line "
    )


def test_a_name_in_a_record_is_never_looked_up_as_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evil.py").write_text("from pathlib import Path\n\nPath('ran').touch()\nEvil = None\n")
    for name in ("evil.py:Evil", "evil:Evil", "evil"):
        with pytest.raises(UserError, match="There is no system"):
            find_system(name)  # what a worker asks, whose trials come from a plan
    assert not Path("ran").exists()


def test_a_class_travels_to_where_its_file_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "helping.py").write_text("def double(x):\n    return 2 * x\n")
    text = EXAMPLE.read_text().replace("import torch\n", "import helping\nimport torch\n", 1)
    text = text.replace("class StepLSTM(System):", "class StepLSTM(System):\n    twice = helping.double(1)\n", 1)
    (tmp_path / "travelling.py").write_text(text.replace("run.fit(epoch, 10", "run.fit(epoch, helping.double(5)"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    system = given_system(f"{tmp_path}/travelling.py:StepLSTM")
    (tmp_path / "sent").write_bytes(pickle.dumps(Sent(type(system))))
    (tmp_path / "helping.py").write_text("raise AssertionError('what lies here was imported')\n")
    (tmp_path / "travelling.py").unlink()
    code = (
        "import pickle, sys; from pathlib import Path;"
        "from musiclab.testing.made import MemoryFiles, song_store, stage_run;"
        "from musiclab.training.streams import Block;"
        "system = pickle.loads(Path(sys.argv[1]).read_bytes()).load()(); config = system.config(hidden=4, max_train=8);"
        "files = MemoryFiles(stage='train'); store = song_store(config.window_spec);"
        "system.train('train', stage_run(store, Block(0, 0), config, files)); print(len(files.trial))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "sent")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.stdout == "3\n", run.stderr  # checkpoint, curves and weights


EDITED = """from dataclasses import dataclass
from helping import LEVEL
from musiclab import Grid, Study
from musiclab.systems import Config, System, field


@dataclass(frozen=True)
class EditedConfig(Config):
    width: int = field(8, "train", "width")


class Edited(System):
    name, config = "edited", EditedConfig

    def train(self, stage, run):
        return LEVEL

    def continuations(self, run, starts):
        return starts

    def own_measures(self, run):
        from judging import LIMIT

        return {}


study = Study(name="s", system=Edited, space={"width": Grid(1, 2)}, control={"width": 1}, blocks=2, objective="frechet")
"""
FILES = {"edited": EDITED, "helping": "LEVEL = 1\n", "judging": "LIMIT = 1\n"}


def test_an_edit_runs_again_what_the_docs_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    block, runtime = Block(0, 0), Runtime("2.13", "cpu")

    def again(name: str, old: str, new: str) -> list[str]:
        """The stages that run again after an edit."""
        keys = []
        for text in (FILES[name], FILES[name].replace(old, new)):
            assert text == FILES[name] or old in FILES[name]
            for file, content in (FILES | {name: text}).items():
                (tmp_path / f"{file}.py").write_text(content)
                sys.modules.pop(file, None)
            importlib.invalidate_caches()
            code_of.cache_clear()
            system = given_system(f"{tmp_path}/edited.py:Edited")
            keys.append(system.stage_keys(system.config(), block, "d", runtime))
            assert set(code_of(type(system)).named) == {"edited.py", "helping.py", "judging.py"}
        return [stage for stage in keys[0] if keys[0][stage] != keys[1][stage]]

    every = ["train", "generate", "measure"]
    assert again("edited", "return LEVEL", "return LEVEL + 1") == every
    assert again("edited", "Grid(1, 2)", "Grid(1, 2, 4)") == []
    assert again("edited", "return starts", "return starts  # as they are") == []
    assert again("helping", "LEVEL = 1", "LEVEL = 2") == every
    assert again("helping", "LEVEL = 1", '"""Says what."""\n\nLEVEL = 1  # of all') == []
    assert again("judging", "LIMIT = 1", "LIMIT = 2") == ["measure"]
    for file in FILES:
        sys.modules.pop(file, None)


@pytest.mark.long
def test_a_study_runs_again_what_the_docs_say(own_options: list[str], storage: Path, tmp_path: Path) -> None:
    runs = EDITED.replace("return LEVEL", "run.files.write('level', bytes([LEVEL]))")
    runs = runs.replace("return starts", "return np.repeat(starts[:, None], run.config.continuation, axis=1)")
    runs = "import numpy as np\n" + runs.replace(
        '"edited", EditedConfig', '"edited", EditedConfig\n    conditions = ("start",)'
    )
    files = FILES | {"edited": runs + "if __name__ == '__main__':\n    study.main()\n"}

    def again(name: str, old: str, new: str) -> list[set[str]]:
        """The stages that each trial runs after an edit, which stays."""
        assert old in files[name]
        files[name] = files[name].replace(old, new)
        for file, text in files.items():
            (tmp_path / f"{file}.py").write_text(text)
        before = {file.parent.name for file in storage.glob("trials/*/run.json")}
        run = run_study(*own_options, "--in-process", storage=storage, file=tmp_path / "edited.py")
        assert not run.code, run.err
        costs = [file for file in storage.glob("trials/*/run.json") if file.parent.name not in before]
        return [set(json.loads(file.read_text())["seconds"]) & {"train", "generate", "measure"} for file in costs]

    every = {"train", "generate", "measure"}
    assert again("helping", "LEVEL = 1", "LEVEL = 2") == [every] * 2
    assert again("edited", 'width")', 'the width")  # in units') == [every] * 2  # a text, not a comment
    assert again("judging", "LIMIT = 1", "LIMIT = 2") == [{"measure"}] * 2
    assert again("edited", "Grid(1, 2)", "Grid(1, 2, 4)") == [every]
    assert again("edited", "def train", "# Learns.\n    def train") == []


def test_a_failure_names_the_line_of_the_user_s_file() -> None:
    def fails() -> None:
        raise ZeroDivisionError("division by zero")

    with pytest.raises(ZeroDivisionError) as raised:
        fails()
    assert _reason(raised.value, own=True).startswith("ZeroDivisionError: division by zero (test_own_systems.py, line ")
    assert _reason(raised.value, own=False) == "ZeroDivisionError: division by zero"


def test_a_file_that_a_user_s_system_lacks_is_no_disk_that_fails(tmp_path: Path) -> None:
    def opens(path: Path) -> bytes:
        return path.read_bytes()

    lacking, storage = tmp_path / "weights.bin", Storage(str(tmp_path))
    for call, again in ((lambda: opens(lacking), False), (lambda: storage.read("stages/none"), True)):
        with pytest.raises(FileNotFoundError) as raised:
            call()
        assert _again(raised.value, own=True) == again
        assert _again(raised.value, own=False)
        if not again:
            reason = _reason(raised.value, own=True)
            assert reason.startswith("FileNotFoundError: ") and "weights.bin' (test_own_systems.py, line " in reason


def test_what_a_worker_lacks_is_named() -> None:
    from musiclab.execution.ray_tune import _cause_of_death

    assert _cause_of_death("Traceback ...\nModuleNotFoundError: No module named 'hmmlearn'\n").startswith(
        "its worker cannot import what the study needs (No module named 'hmmlearn'); install packages on all machines"
    )


def test_early_stopping_needs_a_progress(designed: Callable[..., Design]) -> None:
    search = {"starts": Int(8, 16)}
    searching = designed(system=Nothing, space=Search(search))
    # The confirmation is another design of the same study.
    assert searching.confirming({"proposal 1": {"starts": 16}}).edition == searching.edition
    with pytest.raises(UserError, match="scheduler='asha' needs a progress of nothing, by which trials are compared"):
        designed(system=Nothing, space=Search(search, scheduler="asha"))


def test_a_plan_names_a_system_that_takes_long_for_a_window(designed: Callable[..., Design]) -> None:
    design = designed(system=Nothing)  # 8 or 16 starts, 4 windows after each
    for seconds, said in ((320.0, True), (300.0, False)):
        records: Any = SimpleNamespace(run=lambda key, took=seconds: SimpleNamespace(seconds={"generate": took}))
        lines = _slow_lines(design, records)
        assert len(lines) == said
        assert all(line.startswith("generating: nothing takes up to 10 s a window; fewer starts") for line in lines)


@pytest.mark.slow
def test_an_own_system_runs_and_its_records_are_read_without_its_file(
    own: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(own.records) == 2
    record = json.loads(next(iter(own.records.values())))
    assert record["system"] == "step_lstm" and record["measures"]["set/frechet"] > 0
    storage = tmp_path / "storage"
    copied(own.storage, storage)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(services, "cluster", lambda *_: iter(()))  # a Ray of its own, which looks at no record
    # One of the two trials names code that must never run.
    Path("evil.py").write_text("from pathlib import Path\n\nPath('ran').touch()\nEvil = None\n")
    (plan,) = storage.glob("studies/*/*/plan.json")
    trials = verified(plan.read_bytes())["trials"]
    trials[1]["variant"]["system"] = "evil.py:Evil"
    Kept.write(plan, trials=trials)
    key = trials[1]["stages"][-1][1]
    Kept.write(storage / "trials" / key / "record.json", system="evil.py:Evil")
    for words in (["report", str(storage)], ["clean", str(storage)], ["sync", str(storage)], ["doctor", str(storage)]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        printed = capsys.readouterr()
        assert words[0] == "doctor" or not ended.value.code, (words, printed)  # it says what is wrong with the machine
        assert "other code" not in printed.out + printed.err
    with pytest.raises(SystemExit):
        main(["generate", "vae_nn", "--trial", key, "--storage", str(storage)])
    assert f"--trial {key} is of evil.py:Evil, not of vae_nn." in capsys.readouterr().err
    assert not Path("ran").exists()


@pytest.mark.slow
def test_music_is_generated_from_a_trial_of_a_script_by_its_file(
    own: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", f"{EXAMPLE}:StepLSTM", "--storage", str(own.storage), "--out", str(tmp_path), "--samples", "2"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    printed = capsys.readouterr()
    assert not ended.value.code, printed.err
    key = printed.out.partition("(trial ")[2].partition(")")[0]
    sample = own.storage / "trials" / key / "samples" / "start-1.mid"
    assert (tmp_path / "step_lstm-1.mid").read_bytes() == sample.read_bytes()


@pytest.mark.long
def test_the_records_of_ray_are_those_of_one_process(own: Run, own_options: list[str], storage: Path) -> None:
    run = run_study(*own_options, "--workers", "1", storage=storage, file=EXAMPLE)
    assert run.records == own.records


def test_a_function_keeps_no_model_to_generate_from(tmp_path: Path) -> None:
    request = GenerateRequest(storage=str(tmp_path), system=f"{FUNCTION}:chord_markov")
    with pytest.raises(
        UserError, match=r"chord_markov trains nothing that is kept, so there is nothing to generate fr"
    ):
        generate(request)


@pytest.mark.long
def test_a_function_s_records_of_ray_are_those_of_one_process(
    own_options: list[str], storage: Path, database: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    runs = [
        run_study(*own_options, *where, storage=place, file=FUNCTION)
        for where, place in ((["--workers", "2"], storage), (["--in-process"], empty(tmp_path / "other", database)))
    ]
    assert len(runs[0].records) == 3
    assert runs[0].records == runs[1].records


def test_continuations_that_end_the_process_are_said_by_generate() -> None:
    class Ends(Nothing):
        def continued(self, run: StageRun, starts: Any) -> Any:
            sys.exit(0)

    with pytest.raises(UserError, match=r"Ends must not end the process; it raises SystemExit: 0 \(test_own_sys"):
        _continued(Ends(), *[None] * 3)  # type: ignore[arg-type]
