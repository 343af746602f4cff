"""Fractions: the few runs of a two-level design that keep its effects apart as far as a resolution asks."""

from collections.abc import Iterator


def generators(factors: int, resolution: int) -> tuple[tuple[int, ...], ...]:
    """How the last factors of a regular two-level fraction are set by the first ones (Box, Hunter & Hunter 2005).

    Returns:
        For each of the last factors the indices of the first ones whose product it is, so that 4 factors at resolution
        4 give `((0, 1, 2),)`, D = ABC. It is the fraction of the fewest runs that has at least this resolution (no word
        of the defining relation is shorter) and among those the one of minimum aberration: the fewest shortest words,
        then the fewest of the next length (Fries & Hunter 1980). Empty where only all combinations will do.
    """
    for basic in range(1, factors):
        found = _sets(basic, factors - basic, resolution)
        # The pattern comes first in each pair; of equal ones the first in order, so that a study never changes.
        _, best = min(found, default=((), ()))
        if best:
            return tuple(tuple(place for place in range(basic) if mask >> place & 1) for mask in best)
    return ()


def _sets(basic: int, added: int, resolution: int) -> Iterator[tuple[list[int], tuple[int, ...]]]:
    """Every set of `added` generators (bit masks of basic factors) that fits, after the lengths of all its words."""

    def more(chosen: tuple[int, ...], start: int, words: list[tuple[int, int]]) -> Iterator:
        if len(chosen) == added:
            lengths = [word.bit_count() + factors for word, factors in words[1:]]
            yield [lengths.count(length) for length in range(basic + added + 1)], chosen
            return
        for mask in range(start, 1 << basic):
            new = [(word ^ mask, factors + 1) for word, factors in words]
            if all(word.bit_count() + factors >= resolution for word, factors in new):
                yield from more((*chosen, mask), mask + 1, words + new)

    return more((), 1, [(0, 0)])  # a word: the basic factors in it, and how many of the added ones
