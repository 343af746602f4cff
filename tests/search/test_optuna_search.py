"""The sampler's side of a search: whose proposals it learns from."""

from collections.abc import Callable
from typing import Any

import optuna
import pytest

from musiclab.design.search import Float, Search
from musiclab.search.optuna_search import OptunaSearch
from musiclab.storage.search_documents import End, Proposal, Source

SPACE = {"noise_sd": Float(0, 2), "alpha": Float(0, 1)}
POPULATION = 20  # more than the first of NSGA-II or CMA-ES


def _told(sampler: Any, source: Source, sign: int = 1) -> OptunaSearch:
    """A sampler that was told of random proposals of this source, whose score is the first field or its negative."""
    search = OptunaSearch(Search(SPACE, sampler=sampler), [False], 3)
    chance = OptunaSearch(Search(SPACE, sampler="random"), [False], 4)  # whose draws are no sampler's own
    for number in range(POPULATION):
        values = chance.ask(number).values
        search.replay(Proposal(number=number, values=values, source=source, key="k", told=number, time=0.0))
        told = (sign * values["noise_sd"],)
        search.tell(End(number=number, state="finished", scores={}, told=told, order=number, time=0.0))
    return search


def _next(search: OptunaSearch) -> list[dict[str, Any]]:
    return [search.ask(POPULATION + more).values for more in range(6)]


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "nsga2"])
@pytest.mark.parametrize("source", ["start", "found", "sampler"])
def test_a_sampler_learns_from_starts_from_what_others_found_and_from_another_samplers(
    sampler: str, source: Source
) -> None:
    low, high = _told(sampler, source), _told(sampler, source, -1)
    assert _next(low) != _next(high)
    asked_again = sampler in ("cmaes", "nsga2") and source == "sampler"
    assert low.unlike == (list(range(POPULATION)) if asked_again else [])


@pytest.mark.parametrize(
    "make", [optuna.samplers.CmaEsSampler, optuna.samplers.NSGAIISampler, optuna.samplers.NSGAIIISampler]
)
def test_an_object_that_learns_by_generations_goes_on_with_the_next_one(make: Callable[..., Any]) -> None:
    own = make(seed=1) if make is optuna.samplers.CmaEsSampler else make(seed=1, population_size=16)
    search = _told(own, "sampler")
    search.ask(POPULATION)
    (generation,) = [
        value for name, value in search._study.trials[-1].system_attrs.items() if name.endswith(":generation")
    ]
    assert generation > 0
