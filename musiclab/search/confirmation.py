"""Confirmation: which proposals of a finished search are run again on fresh blocks."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from musiclab.analysis.front import front
from musiclab.design.design import Design
from musiclab.storage.search_documents import Confirmation, End, Proposal


def numbers_to_confirm(
    design: Design, proposals: Mapping[int, Proposal], ends: dict[int, End], before: Confirmation | None
) -> list[int]:
    """The numbers of the proposals that are run again beside the control once a search is over, the best first.

    Those that were confirmed for a smaller budget stay, because their verdicts have been seen. The control itself is
    left out, because it is there anyway.

    Args:
        design: of the search.
        proposals: all of them, by number.
        ends: how they ended, by number.
        before: what was confirmed for a smaller budget; None if nothing was.
    """
    assert design.search is not None, "the study is a search"
    control = design.proposed(design.spec.control).key
    signs = {measure.full_name: measure.sign for measure in design.objectives}
    candidates = [proposal for proposal in proposals.values() if proposal.key != control]
    numbers = chosen(candidates, ends, signs, design.search.confirm)
    return numbers + [number for number in (before.numbers if before else ()) if number not in numbers]


def called(number: int) -> str:
    """What a proposal is called."""
    return f"proposal {number}"


def confirmed_values(proposals: Mapping[int, Proposal], numbers: Iterable[int]) -> dict[str, dict[str, Any]]:
    """The values of proposals by what they are called; those without a readable file are left out."""
    return {called(number): dict(proposals[number].values) for number in numbers if number in proposals}


def chosen(proposals: Iterable[Proposal], ends: dict[int, End], signs: Mapping[str, int], count: int) -> list[int]:
    """The numbers of the proposals to confirm, at most `count`, the best first.

    Of one objective these are the best. Of several they are members of the front: the best by each objective in turn,
    then always the member that lies farthest from those chosen.

    Args:
        proposals: all of the search.
        ends: how they ended, by number.
        signs: by the full name of each objective 1 if higher is better, else -1.
        count: how many.
    """
    points: dict[int, tuple[float, ...]] = {}
    keys: set[str] = set()
    for proposal in proposals:
        end = ends.get(proposal.number)
        if end is None or end.state != "finished" or proposal.key in keys:
            continue
        point = tuple(sign * end.scores.get(name, math.nan) for name, sign in signs.items())
        if all(map(math.isfinite, point)):
            points[proposal.number] = point
            keys.add(proposal.key)
    if len(signs) == 1:
        return sorted(points, key=lambda number: points[number], reverse=True)[:count]
    return _spread(front(points), count)


def _spread(members: dict[int, tuple[float, ...]], count: int) -> list[int]:
    """At most `count` members that lie far apart, each objective scaled to the width of the front."""
    if not members:
        return []
    columns = list(zip(*members.values(), strict=True))
    widths = [(max(column) - min(column)) or 1.0 for column in columns]
    scaled = {
        number: [value / width for value, width in zip(point, widths, strict=True)] for number, point in members.items()
    }
    best = (max(members, key=lambda number: members[number][place]) for place in range(len(columns)))
    chosen = list(dict.fromkeys(best))[:count]
    while len(chosen) < min(count, len(members)):
        rest = [number for number in members if number not in chosen]
        chosen.append(max(rest, key=lambda number: min(math.dist(scaled[number], scaled[one]) for one in chosen)))
    return chosen
