"""Confirmation: which proposals of a finished search are run again on fresh blocks."""

import math
from collections.abc import Iterable, Mapping

from musiclab.analysis.front import front
from musiclab.storage.search_documents import End, Proposal


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
