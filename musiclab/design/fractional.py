"""Fractions: the few runs of a two-level design that separate its effects as far as a resolution requires."""

from collections.abc import Iterator

# How many words there are of each length, and the generators: bit masks of basic factors.
_Generators = tuple[list[int], tuple[int, ...]]


def generators(factors: int, resolution: int) -> tuple[tuple[int, ...], ...]:
    """How the first factors of a regular two-level fraction determine the last ones (Box, Hunter & Hunter 2005).

    The fraction has the fewest runs with at least this resolution: no word of the defining relation is shorter. Among
    those it has minimum aberration: the fewest shortest words, then the fewest of the next length (Fries & Hunter
    1980).

    Returns:
        For each of the last factors, the indices of the first factors whose product it is. For example, 4 factors at
        resolution 4 give `((0, 1, 2),)`, D = ABC. Empty if only the full design has this resolution.
    """
    for basic in range(1, factors):
        candidates = _sets(basic, factors - basic, resolution)
        # Each candidate begins with its word lengths. Of equal ones the first in order wins, so a study never changes.
        _, best = min(candidates, default=([], ()))
        if best:
            return tuple(tuple(index for index in range(basic) if mask >> index & 1) for mask in best)
    return ()


def _sets(basic: int, added: int, resolution: int) -> Iterator[_Generators]:
    """Every set of `added` generators that has the resolution."""

    def more(chosen: tuple[int, ...], start: int, words: list[tuple[int, int]]) -> Iterator[_Generators]:
        """The sets that begin with `chosen` and go on with masks from `start`; `words` are those of `chosen`."""
        if len(chosen) == added:
            lengths = [word.bit_count() + factors for word, factors in words[1:]]
            yield [lengths.count(length) for length in range(basic + added + 1)], chosen
            return
        for mask in range(start, 1 << basic):
            new = [(word ^ mask, factors + 1) for word, factors in words]
            if all(word.bit_count() + factors >= resolution for word, factors in new):
                yield from more((*chosen, mask), mask + 1, words + new)

    return more((), 1, [(0, 0)])  # a word: the mask of its basic factors, and the number of its added factors
