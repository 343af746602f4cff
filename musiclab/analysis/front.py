"""The front of several objectives: the points that no other point beats."""

from collections.abc import Sequence


def front(points: dict[int, tuple[float, ...]]) -> dict[int, tuple[float, ...]]:
    """The points that no other beats: better by one objective and no worse by all. Larger is better."""
    members: dict[int, tuple[float, ...]] = {}
    # Whatever beats a point comes before it in this order, and is on the front or is beaten by a member of it.
    for number in sorted(points, key=lambda number: points[number], reverse=True):
        if not any(_beats(member, points[number]) for member in members.values()):
            members[number] = points[number]
    return {number: point for number, point in points.items() if number in members}


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a >= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)
