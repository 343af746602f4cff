"""What a study says of a user's system that breaks a promise while it runs: one sentence with file and class."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musiclab import Grid, Study
from musiclab.study import session
from musiclab.systems import Config, StageRun, System, field
from tests.support.kept import Kept
from tests.support.no_mirror import NoMirror
from tests.support.study_processes import ROOT, Run, copied

SENTENCES = {
    "nothing": "test_own_failures.py: Wrong: the stage train must write a file; it wrote none.",
    "shape": (
        "test_own_failures.py: Wrong: continuations must be rolls (start, window, track, step, pitch) of shape "
        "(4, 2, 5, 32, 128) and type bool; got (4, 1, 5, 32, 128), bool."
    ),
    "type": (
        "test_own_failures.py: Wrong: continuations must be rolls (start, window, track, step, pitch) of shape "
        "(4, 2, 5, 32, 128) and type bool; got (4, 2, 5, 32, 128), float32."
    ),
    "field": (
        "test_own_failures.py: Wrong: the stage train must not read louder, a field of generate, because trials that "
        "differ in it share what train leaves; make it a field of train."
    ),
    "number": "test_own_failures.py: Wrong: own_measures must return a number; got 'x' for latent/kl.",
    "ragged": "test_own_failures.py: Wrong: continuations must be an array: setting an array element with a sequence.",
    "error": "ZeroDivisionError: float division by zero (test_own_failures.py, line ",
    "import": "ModuleNotFoundError: No module named 'not_installed_there' (test_own_failures.py, line ",
}


@dataclass(frozen=True)
class WrongConfig(Config):
    wrong: str = field("shape", "train", "what is wrong", choices=tuple(SENTENCES))
    louder: float = field(0.0, "generate", "nothing")


class Wrong(System):
    """Plays the start again and again, unless something is wrong."""

    name, config, conditions = "wrong", WrongConfig, ("start",)

    def train(self, stage: str, run: StageRun) -> None:
        if run.config.wrong == "import":
            import not_installed_there  # noqa: F401
        if run.config.wrong == "error":
            raise ZeroDivisionError("float division by zero")
        if run.config.wrong == "field":
            run.files.write("learnt", str(run.config.louder).encode())
        if run.config.wrong != "nothing":
            run.files.write("learnt", b"nothing")

    def own_measures(self, run: StageRun) -> dict[str, Any]:
        return {"latent/kl": "x"}

    def continuations(self, run: StageRun, starts: np.ndarray) -> Any:
        rolls = np.repeat(starts[:, None], run.config.continuation, axis=1)
        if run.config.wrong == "number":
            return rolls
        if run.config.wrong == "ragged":
            return [[1], [1, 2]]
        return rolls[:, :1] if run.config.wrong == "shape" else rolls.astype(np.float32)


@pytest.fixture(autouse=True)
def mirrorless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "Mirror", NoMirror)


@pytest.fixture
def keywords(song_folder: Path, tmp_path: Path) -> dict[str, Any]:
    """Keywords of a run that takes seconds."""
    few = {"max_train": 16, "max_eval": 16, "starts": 4, "continuation": 2}
    return {"data": f"midi:{song_folder}", "storage": tmp_path / "storage", "in_process": True, "set": few}


def test_each_broken_promise_is_one_sentence_and_the_others_run(keywords: dict[str, Any]) -> None:
    study = Study(
        name="wrong", question="?", system=Wrong, space={"wrong": Grid(*SENTENCES)}, control={"wrong": "shape"},
        blocks=1, objective="frechet",
    )  # fmt: skip
    results = study.run(**keywords)
    reasons = {failure.variant.removeprefix("wrong="): failure.reason for failure in results.failures}
    assert reasons.keys() == SENTENCES.keys()
    for wrong, sentence in SENTENCES.items():
        assert reasons[wrong].startswith(sentence), reasons[wrong]
        assert "\n" not in reasons[wrong]
    assert reasons["import"].endswith("; install it on all machines that run trials")


CHANGING = """from dataclasses import dataclass
from pathlib import Path

import numpy as np

from musiclab.systems import Config, System, field

LEVEL = 1


@dataclass(frozen=True)
class ChangingConfig(Config):
    width: int = field(1, "train", "width")


class Changing(System):
    name, config, conditions = "changing", ChangingConfig, ("start",)

    def train(self, stage, run):
        Path(__file__).write_text(Path(__file__).read_text().replace("LEVEL = 1", "LEVEL = 2"))
        run.files.write("level", bytes([LEVEL]))

    def continuations(self, run, starts):
        return np.repeat(starts[:, None], run.config.continuation, axis=1)
"""


def test_a_file_that_changes_while_its_study_runs_changes_nothing_until_the_next_run_says_so(
    keywords: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "changing.py").write_text(CHANGING)

    def study() -> Study:
        return Study(
            name="changing", question="?", system=f"{tmp_path}/changing.py:Changing", space={"width": Grid(1, 2)},
            control={"width": 1}, blocks=1, objective="frechet",
        )  # fmt: skip

    try:
        assert list(study().run(**keywords).frame()["status"]) == ["finished"] * 2
        assert "LEVEL = 2" in (tmp_path / "changing.py").read_text()
        assert [file.read_bytes() for file in keywords["storage"].glob("stages/*/level")] == [b"\x01"] * 2
        del sys.modules["changing"]  # as in another process
        assert (
            "2 records from an earlier run cannot be reused (they are kept): the code of changing.py has changed."
            in (study().plan(**keywords))
        )
    finally:
        sys.modules.pop("changing", None)


@pytest.mark.slow
def test_a_plan_says_that_a_generator_takes_a_minute_a_window(
    own: Run, own_options: list[str], tmp_path: Path, keywords: dict[str, Any]
) -> None:
    copied(own.storage, tmp_path / "storage")
    study = Study(
        name="step_lstm", question="?", system=f"{ROOT}/examples/own_system.py:StepLSTM",
        space={"hidden": Grid(32, 128)}, control={"hidden": 128}, blocks=1, objective="frechet",
    )  # fmt: skip
    fields = dict(option.split("=") for option in own_options if "=" in option)
    assert "a window" not in study.plan(**keywords | {"set": fields})
    for cost in (tmp_path / "storage").glob("trials/*/run.json"):
        Kept.write(cost, seconds={"train": 1.0, "generate": 8 * 2 * 60.0, "measure": 1.0})
    lines = study.plan(**keywords | {"set": fields}).splitlines()
    assert (
        "generating: step_lstm takes up to 60 s a window; fewer starts, a shorter continuation or fewer variations "
        "make its trials shorter"
    ) in lines
