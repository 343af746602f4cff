"""A sampler that is asked for a proposal of a search once more, told just what it had been told before."""

from collections.abc import Iterable, Mapping
from typing import Any

from musiclab.design.search import Search
from musiclab.search.optuna_search import OptunaSearch
from musiclab.storage.search_documents import End, Proposal


def asked_again(
    search: Search,
    higher: Iterable[bool],
    seed: int,
    proposals: Iterable[Proposal],
    ends: Mapping[int, End],
    number: int,
) -> dict[str, Any]:
    """The values that it proposes as `number`.

    Args:
        search: what is searched.
        higher: for each objective whether higher is better.
        seed: of the search.
        proposals: of the search, in their order.
        ends: how they ended, by number.
        number: of the proposal that is asked for.
    """
    sampler, known = OptunaSearch(search, higher, seed), set[int]()
    untold = sorted(ends.values(), key=lambda end: end.order)
    for proposal in proposals:
        while untold and untold[0].order < proposal.told:
            if (end := untold.pop(0)).number in known:  # else its proposal is lost
                sampler.tell(end)
        if proposal.number == number:
            return sampler.ask(number, proposal.values if proposal.source == "start" else None).values
        sampler.replay(proposal)
        known.add(proposal.number)
    raise AssertionError(f"there is no proposal {number}")
