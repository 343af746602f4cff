"""Importance by PED-ANOVA: found for what decides, told of conditional fields, kept when a search has ended."""

import math
from pathlib import Path
from typing import Any

import pytest

from musiclab import Categorical, Float, Int, Search, Study
from musiclab.search.optuna_search import importance
from musiclab.search.run import SearchRun
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.study.options import design_of, parse_options
from tests.support.made_records import made_cost, made_record
from tests.support.made_search import SPACE, made_values


def _scores(count: int, score: Any) -> list[tuple[dict[str, Any], tuple[float, ...]]]:
    return [(values, score(values)) for values in map(made_values, range(1, count + 1))]


def _distance(values: dict[str, Any]) -> tuple[float, ...]:
    return (abs(math.log10(values["lr"]) + 2),)


@pytest.mark.parametrize("higher", [False, True])
def test_what_decides_is_most_important_whichever_way_is_better(higher: bool) -> None:
    sign = -1 if higher else 1
    shares = importance(Search(SPACE), [higher], _scores(100, lambda values: (sign * _distance(values)[0],)))
    assert set(shares) == set(SPACE)
    assert next(iter(shares)) == "lr"
    assert shares["lr"] > 0.5
    assert sum(shares.values()) == pytest.approx(1)


def test_a_conditional_field_is_judged_where_it_applies() -> None:
    scores = _scores(200, lambda values: (values.get("strength", 3.0),))
    shares = importance(Search(SPACE), [False], scores)
    assert max(shares, key=lambda name: shares[name]) == "strength"


def test_several_objectives_have_one_importance_and_few_trials_have_none() -> None:
    both = _scores(60, lambda values: (_distance(values)[0], 1 - _distance(values)[0] / 2))
    assert set(importance(Search(SPACE), [False, False], both)) == set(SPACE)
    assert importance(Search(SPACE), [False], _scores(9, _distance)) == {}
    assert importance(Search(SPACE), [False], _scores(10, _distance)) != {}


def test_a_search_that_has_spent_its_budget_writes_its_conclusion(song_folder: Path, tmp_path: Path) -> None:
    space = {"latent_dim": Int(2, 64, log=True), "noise_sd": Float(0, 2), "peaks": Categorical(-1, 0, 1)}

    def run(budget: int, trials: int) -> SearchRun:
        study = Study(
            name="q", system="vae_nn", space=Search(space, sampler="random", budget=budget), blocks=3,
            objective="frechet", question="?",
        )  # fmt: skip
        design = design_of(study, parse_options("?", ["--data", f"midi:{song_folder}", "--in-process"]))
        search_run = SearchRun(design, Records(Storage(str(tmp_path))))
        search_run.start()
        for _ in range(trials):
            trial = search_run.propose()
            assert trial is not None
            score = {"set/frechet": trial.variant.values["noise_sd"]}
            config, block = trial.variant.config, trial.block
            record = made_record(score, key=trial.key, config=config, block=block)
            search_run.records.put(trial.key, record, made_cost(), {})
            search_run.on_trial_end(trial, None)
        search_run.confirmed()
        return search_run

    assert run(12, 11).files.conclusion() is None
    conclusion = run(12, 1).files.conclusion()
    assert conclusion is not None
    assert (conclusion.proposals, conclusion.budget["trials"]) == (12, 12)
    assert next(iter(conclusion.importance)) == "noise_sd"
    assert run(14, 1).files.conclusion() == conclusion  # the larger budget is not spent
    larger = run(14, 1).files.conclusion()
    assert larger is not None
    assert (larger.proposals, larger.budget["trials"]) == (14, 14)
