"""A user's own measures in a study: how they are named, which keys they enter, and what is refused."""

import dataclasses
import importlib
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from musiclab import Claim, Expect, Float, Grid, Search, Study
from musiclab.design.design import Design
from musiclab.errors import UserError
from musiclab.measures import measure
from musiclab.storage.plans import StudyPlan
from musiclab.study.options import design_of, parse_options
from musiclab.systems.base import System
from musiclab.user_code import code_of
from tests.support.made_records import made_plan

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_measure.py"


@measure(unit="share", better="higher", title="Cells that sound")
def sounding(rolls):
    return rolls.mean()


@measure(unit="share", better="neither", title="Cells that are silent", needs=("target",))
def silent(rolls):
    return 1 - rolls.mean()


@measure(unit="share", better="higher", title="For targets", needs=("target",))
def aimed(rolls):
    return math.nan


def another(name: str) -> Any:
    @measure(unit="share", better="higher", title="Another")
    def sounding(rolls):
        return 0.5

    sounding.__name__ = name
    return sounding


NAMESAKE = another("sounding")


def plain(rolls):
    return 0.5


@pytest.fixture
def made(song_folder: Path) -> Callable[..., Design]:
    def made(**study: Any) -> Design:
        good = {"name": "q", "question": "?", "system": "vae_nn", "blocks": 2, "objective": "frechet"}
        good |= {"space": {"noise_sd": Grid(0.5, 1.0)}, "control": {"noise_sd": 0.5}}
        return design_of(Study(**good | study), parse_options("?", ["--data", f"midi:{song_folder}"]))

    return made


def test_a_function_a_reference_and_a_name_are_one_measure(made: Callable[..., Design]) -> None:
    claim = Claim("C1", "so", [
        Expect(sounding, {"noise_sd": 0.5}, "above", "random"), Expect("sounding", {"noise_sd": 1.0}, "below", "real"),
        Expect("frechet.Piano", {"noise_sd": 1.0}, "below", 3.0),
    ])  # fmt: skip
    design = made(objective=sounding, measures=[silent, f"{EXAMPLE}:leap"], claims=[claim])
    assert design.objective.full_name == design.spec.objective == "own/sounding"
    measures = [own.measure for own in design.own_measures]
    assert [(each.full_name, each.unit, each.better, each.title) for each in measures] == [
        ("own/sounding", "share", "higher", "Cells that sound"),
        ("own/silent", "share", "neither", "Cells that are silent"),
        ("own/leap", "semitones", "real", "How far the top voice moves at a time"),
    ]
    assert (design.own_measures[0].function, design.objective) == (sounding, measures[0])
    assert design.objective.place == "test_own_measures.py: sounding"
    assert [expect.measure for expect in design.spec.claims[0].expect] == ["own/sounding", "sounding", "frechet.Piano"]
    assert made(objective=f"{EXAMPLE}:leap").objective.better == "real"
    search = made(
        system="vae_nn", space=Search({"noise_sd": Float(0.1, 1.0)}, budget=4, also=(sounding, "precision")),
        control={"noise_sd": 0.5}, objective=f"{EXAMPLE}:leap",
    )  # fmt: skip
    assert [each.full_name for each in search.objectives] == ["own/leap", "own/sounding", "set/precision"]
    assert search.search and search.search.to_json()["also"] == ["own/sounding", "precision"]


def test_a_file_may_be_named_after_its_function(
    made: Callable[..., Design], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    text = EXAMPLE.read_text().partition("if __name__")[0]
    for name, function in (("polyphony", "poly"), ("spread", "spread")):  # one is the name of a measure of musiclab's
        file = tmp_path / f"{name}.py"
        file.write_text(text.replace("def leap", f"def {function}"))
        claim = Claim("C1", "so", [Expect(f"{file}:{function}", {"noise_sd": 0.5}, "above", "random")])
        design = made(objective=f"{file}:{function}", measures=(f"{file}:{function}",), claims=[claim])
        assert design.objective.full_name == design.spec.claims[0].expect[0].measure == f"own/{function}"


def test_its_code_enters_the_key_of_the_last_stage_alone(
    made: Callable[..., Design], monkeypatch: pytest.MonkeyPatch
) -> None:
    without, own = made(), made(measures=(sounding,))
    (trial,), (measured,) = without.trial_specs[:1], own.trial_specs[:1]
    for stage, key in trial.stages.items():
        assert (measured.stages[stage] == key) == (stage != "measure"), stage
    assert made(objective=sounding).trial_specs == own.trial_specs
    config = without.config(trial)
    system: System[Any] = without.systems["vae_nn"]
    assert trial.runtime and trial.stages == system.stage_keys(config, trial.block, trial.variant.data, trial.runtime)
    assert own.edition != without.edition
    codes = own.code("vae_nn")
    changed = dataclasses.replace(code_of(sounding), parts={"": "changed"})
    monkeypatch.setattr("musiclab.design.own_measures.code_of", lambda function: changed)
    edited = made(measures=(sounding,))
    assert edited.trial_specs[0].stages["generate"] == measured.stages["generate"]
    assert edited.trial_specs[0].key != measured.key
    assert edited.code("vae_nn")["own/sounding"] != codes["own/sounding"]
    assert {"own-measure", "own/sounding: test_own_measures.py"} <= codes.keys()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"objective": 5}, "A study's objective must be the name of a measure, a function under @measure, or path/fi"),
        ({"objective": plain}, "test_own_measures.py: plain must be a function under @measure"),
        ({"objective": silent}, "a measure with a better direction, such as frechet; got own/silent, which has none."),
        ({"objective": aimed}, "The objective aimed needs a target song"),
        ({"objective": another("frechet")}, "must have a name of its own; 'frechet' is a measure of musiclab's."),
        (
            {"objective": another("<lambda>")},
            "must have a name of letters, digits and '_', such as def my_measure.rolls",
        ),
        ({"objective": sounding, "measures": (NAMESAKE,)}, "Two measures have the name 'own/sounding': "),
        ({"measures": sounding}, "measures must be a tuple of measures of your own; got <function sounding"),
        ({"measures": ("frechet",)}, "measures must be functions under @measure, or path/file.py:Name; got 'frechet'."),
        (
            {"objective": f"{EXAMPLE}:leaps"},
            "must name a measure, but .*own_measure.py defines no 'leaps'; did you mea",
        ),
        ({"objective": "nowhere.py:leap"}, "nowhere.py"),
        ({"objective": "soundin", "measures": (sounding,)}, "got 'soundin' .nearest: own/sounding.. Known measures: "),
    ],
)
def test_what_is_no_measure_is_refused(made: Callable[..., Design], fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        made(**fields)


def test_a_plan_tells_what_a_measure_means_and_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"name": "leap", "unit": "semitones", "better": "real", "title": "<b>How far</b>", "place": "mine.py: leap"}
    plan = StudyPlan.from_json(made_plan(objective="own/leap").to_json() | {"measures": [words]})
    assert plan.criteria.objective.title == "<b>How far</b>" and plan.criteria.objective in plan.criteria.measures
    assert StudyPlan.from_json(plan.to_json()) == plan
    for wrong in (
        {"better": "best"},
        {"unit": ""},
        {"title": "two\nlines"},
        {"name": "../x"},
        {"name": None},
        {"place": None},
    ):
        with pytest.raises(ValueError, match=r"must|better"):
            StudyPlan.from_json(plan.to_json() | {"measures": [words | wrong]})
    (tmp_path / "hostile.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("hostile.py:leap", "hostile:leap"):
        with pytest.raises(UserError, match=f"must have a known name; got '{name}'"):
            _ = dataclasses.replace(plan, objective=name).criteria
    assert "hostile" not in sys.modules


def test_a_file_that_was_edited_after_its_import_is_refused(
    made: Callable[..., Design], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "edited_measure.py"
    text = EXAMPLE.read_text().partition("if __name__")[0]
    file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    leap = importlib.import_module("edited_measure").leap
    file.write_text(text.replace("piano = rolls[:, 1]", "piano = rolls[:, 2]"))
    with pytest.raises(UserError, match=r"edited_measure.py has changed since it was imported; restart the process"):
        made(objective=leap)
