"""The sampler's side of a search: whose proposals it learns from."""

from typing import Any

import pytest

from musiclab.design.search import Float, Search
from musiclab.search.optuna_search import OptunaSearch
from musiclab.storage.search_documents import End, Proposal, Source

SPACE = {"noise_sd": Float(0, 2), "alpha": Float(0, 1)}
POPULATION = 20  # more than the first of NSGA-II or CMA-ES


def _next(sampler: str, source: Source, sign: int) -> tuple[list[dict[str, Any]], list[int]]:
    """What a sampler proposes after random proposals of this source, whose score is the first field or its negative.

    Beside it the numbers of those that the sampler did not make again.
    """
    search = OptunaSearch(Search(SPACE, sampler=sampler), [False], 3)
    chance = OptunaSearch(Search(SPACE, sampler="random"), [False], 4)  # whose draws are no sampler's own
    for number in range(POPULATION):
        values = chance.ask(number).values
        search.replay(Proposal(number=number, values=values, source=source, key="k", told=number, time=0.0))
        told = (sign * values["noise_sd"],)
        search.tell(End(number=number, state="finished", scores={}, told=told, order=number, time=0.0))
    return [search.ask(POPULATION + more).values for more in range(6)], search.unlike


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "nsga2"])
@pytest.mark.parametrize("source", ["start", "found", "sampler"])
def test_a_sampler_learns_from_starts_from_what_others_found_and_from_another_samplers(
    sampler: str, source: Source
) -> None:
    low, unlike = _next(sampler, source, 1)
    high, _ = _next(sampler, source, -1)
    assert low != high
    asked_again = sampler in ("cmaes", "nsga2") and source == "sampler"
    assert unlike == (list(range(POPULATION)) if asked_again else [])
