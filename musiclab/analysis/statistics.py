"""Tests of paired differences over blocks and Holm's correction, as pure functions of numbers.

How far to trust them
    Sign flips take paired differences to be symmetric about their mean, and assume nothing else. Differences are
    symmetric if both variants have noise of one kind, skewed or not, because what a block does to both cancels. They
    are not if noise is skewed and one variant scatters more than the other. Student's t, whose p counts if it is the
    larger one, keeps errors to 5 % if one scatters half as much again. If it scatters three times as much, 9 to 12 % of
    the studies are wrong, with 10 blocks as with 7.
    Differences and equivalence are two families, each kept to 5 % by itself.
    With 4 blocks nothing can be shown, and neither with 7 blocks and 8 variants.

The tables of errors and power are in docs/verdicts.md; `python benchmarks/verdict_errors.py` computes them.
"""

import functools
import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special
from scipy.optimize import brentq

ALPHA = 0.05
Alternative = Literal["two-sided", "greater", "less"]
_EXACT_UP_TO = 30
_FLIPS = 99_999
_LISTED_UP_TO = 14  # blocks whose 2^n sets are listed in less time than a search takes


def paired_p(differences: ArrayLike, alternative: Alternative = "two-sided") -> float:
    """p of the mean of paired differences: the larger of `sign_flip_p` and `student_p`.

    Each makes up for a weakness of the other: Student's t errs less if differences are skewed, and sign flips are exact
    if they are a few large steps, such as those of coins.

    Args:
        differences: `(n,)`.
        alternative: the direction that the test is to show.

    Returns:
        p; NaN if there are no differences or if one is not finite.
    """
    flips = sign_flip_p(differences, alternative)
    return flips if math.isnan(flips) else max(flips, student_p(differences, alternative))


def student_p(differences: ArrayLike, alternative: Alternative = "two-sided") -> float:
    """p of the mean of paired differences by Student's t; as `paired_p`.

    If nothing scatters, t is infinite and p is 0, or 1 if all differences are 0. One difference has p = 1.
    """
    d = np.asarray(differences, float)
    if not len(d) or not np.isfinite(d).all():
        return math.nan
    if alternative == "two-sided":
        return min(1.0, 2 * student_p(d if d.sum() > 0 else -d, "greater"))
    mean = float(d.mean()) if alternative == "greater" else -float(d.mean())
    if len(d) == 1 or mean == 0:
        return 1.0 if len(d) == 1 else 0.5
    scatter = float(d.std(ddof=1))
    if scatter == 0 or np.ptp(d) == 0:
        return 0.0 if mean > 0 else 1.0
    return float(special.stdtr(len(d) - 1, -mean / (scatter / math.sqrt(len(d)))))


def sign_flip_p(differences: ArrayLike, alternative: Alternative = "two-sided") -> float:
    """p of the mean of paired differences under all 2^n sign flips (Fisher's randomisation test).

    The null hypothesis is symmetry about 0 for "two-sided", about 0 or less for "greater", and about 0 or more for
    "less". The test is exact up to 30 blocks. For more blocks it uses 99,999 flips from a fixed stream and the observed
    signs.

    Args:
        differences: `(n,)`.
        alternative: the direction that the test is to show.

    Returns:
        p; NaN if there are no differences or if one is not finite.
    """
    d = np.asarray(differences, float)
    if not len(d) or not np.isfinite(d).all():
        return math.nan
    if alternative == "two-sided":
        return min(1.0, 2 * sign_flip_p(d if d.sum() > 0 else -d, "greater"))
    if alternative == "less":
        d = -d
    # Sums that differ only by rounding count as equal: otherwise the observed sum could be missed, and p would be 0.
    least = d.sum() - 1e-9 * np.abs(d).sum()
    if len(d) > _EXACT_UP_TO:
        return float((1 + np.count_nonzero(_signs(len(d)) @ d >= least)) / (_FLIPS + 1))
    # Every flip is a flip of the first half and one of the second. Sorting counts the pairs without listing them.
    half = len(d) // 2
    missing, second = np.sort(least - _flipped(d[:half])), np.sort(_flipped(d[half:]))
    return float(np.sum(len(second) - np.searchsorted(second, missing)) / 2 ** len(d))


def _flipped(d: np.ndarray) -> np.ndarray:
    """The sums of d under all flips of its signs, `(2^n,)`."""
    sums = np.zeros(1)
    for value in d:
        sums = np.concatenate([sums + value, sums - value])
    return sums


@functools.lru_cache(1)
def _signs(n: int) -> np.ndarray:
    """Random signs for n blocks, `(99999, n)`; the same at every call."""
    return np.random.default_rng(n).integers(0, 2, (_FLIPS, n)) * 2.0 - 1


def equivalence_p(differences: ArrayLike, margin: float) -> float:
    """p of a mean of at least the margin in either direction: two one-sided tests (Schuirmann 1987)."""
    d = np.asarray(differences, float)
    return max(paired_p(d + margin, "greater"), paired_p(d - margin, "less"))


def flip_ends(differences: np.ndarray, tail: float) -> tuple[float, float]:
    """The means between which no one-sided sign-flip test has p <= tail; infinite if blocks are too few.

    A test of a mean `mu` counts the sets of differences whose own mean is at most `mu`, so that the ends are the k-th
    smallest and the k-th largest mean of a set (Hartigan 1969).
    """
    d = differences
    if len(d) > _EXACT_UP_TO:
        signs = _signs(len(d))
        sums, sizes = (d.sum() - signs @ d) / 2, (len(d) - signs.sum(axis=1)) / 2
        means = np.divide(sums, sizes, out=np.full(_FLIPS, d.mean()), where=sizes > 0)
        rank = math.floor(tail * (_FLIPS + 1))
        ordered = np.partition(means, [rank - 1, _FLIPS - rank])
        return float(ordered[rank - 1]), float(ordered[_FLIPS - rank])
    rank = math.floor(tail * 2 ** len(d))
    return (_ranked_mean(d, rank), -_ranked_mean(-d, rank)) if rank else (-math.inf, math.inf)


def _ranked_mean(d: np.ndarray, rank: int) -> float:
    """The mean of that rank, from 1 for the smallest, among those of all nonempty sets of up to 30 differences.

    If the sets are too many to list, a search counts those whose mean is at most the one in question, as pairs of a set
    of the first half of the differences and a set of the second.
    """
    if len(d) <= _LISTED_UP_TO:
        means = _set_sums(d)[1:] / _set_sums(np.ones(len(d)))[1:]
        return float(np.partition(means, rank - 1)[rank - 1])
    lowest, highest, half = float(d.min()), float(d.max()), len(d) // 2
    precision = 1e-12 * float(np.abs(d).max())
    if highest - lowest <= precision:
        return lowest

    def beyond(mean: float) -> float:
        first, second = np.sort(_set_sums(d[:half] - mean)), np.sort(_set_sums(d[half:] - mean))
        count = int(np.searchsorted(second, -first, side="right").sum()) - 1  # without the empty set
        return count - rank + 0.5

    found = float(brentq(beyond, lowest - precision, highest + precision, xtol=precision))
    return max(lowest, found - precision)


def _set_sums(d: np.ndarray) -> np.ndarray:
    """The sums of all sets of differences, the empty one first, `(2^n,)`."""
    sums = np.zeros(1)
    for value in d:
        sums = np.concatenate([sums, sums + value])
    return sums


def student_reach(values: np.ndarray, level: float) -> np.ndarray:
    """How far Student's interval at 1 - `level` reaches to either side of the mean of each row of `(rows, n)` values.

    Returns:
        `(rows,)`: NaN if n is 1, and exactly 0 for a row of equal values.
    """
    rows, n = values.shape
    if n == 1:
        return np.full(rows, math.nan)
    reach: np.ndarray = special.stdtrit(n - 1, 1 - level / 2) * values.std(axis=1, ddof=1) / math.sqrt(n)
    return np.where(values.max(axis=1) == values.min(axis=1), 0.0, reach)


def smallest_shown(differences: ArrayLike, level: float, test: Callable[[ArrayLike], float] = paired_p) -> float:
    """The mean difference that would have had p <= level under the test, if differences scattered about it as they do.

    Bisection, to one per cent, finds the shift of all differences that is needed; of the two directions it takes the
    one that needs more. For `paired_p` of more than 30 blocks, sign flips are taken as normal, which they nearly are.

    Returns:
        At least 0; inf if no shift of so few blocks reaches the level; NaN if there are no differences or if one is
        not finite.
    """
    d = np.asarray(differences, float)
    if not len(d) or not np.isfinite(d).all():
        return math.nan
    if test(np.ones(len(d))) > level:
        return math.inf
    scatter = d - d.mean()
    if test is paired_p and len(d) > _EXACT_UP_TO:
        # Flipped sums of many differences are normal. Their variance is the sum of squares, shift included.
        z = float(special.ndtri(1 - level / 2))
        flips = z * math.sqrt((scatter**2).sum() / (len(d) ** 2 - z**2 * len(d)))
        return max(flips, float(student_reach(scatter[None], level)[0]))
    return max(_shift_shown(side * scatter, level, test) for side in (1, -1))


def _shift_shown(scatter: np.ndarray, level: float, test: Callable[[ArrayLike], float]) -> float:
    """The smallest shift upwards, to one per cent, with which the test has p <= level."""
    low, high = 0.0, float(np.abs(scatter).max())
    if high == 0:
        return 0.0
    while test(scatter + high) > level:
        low, high = high, 2 * high
    while high - low > 1e-2 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if test(scatter + middle) > level else (low, middle)
    return high


def holm(p: list[float]) -> list[float]:
    """Holm's (1979) adjusted p-values, in the given order; NaN stays NaN and does not count as a test."""
    adjusted = [math.nan] * len(p)
    order = sorted((index for index, value in enumerate(p) if not math.isnan(value)), key=lambda index: p[index])
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, p[index] * (len(order) - rank)))
        adjusted[index] = largest
    return adjusted


def smallest_p(blocks: int, comparisons: int, sides: int = 2) -> float:
    """Smallest Holm-adjusted p that `paired_p` can give: `comparisons` x `sides` / 2^blocks, at most 1.

    It is that of sign flips, because Student's p has no smallest value. Tests of a difference have 2 sides. Tests of
    equivalence have 1, because both of their one-sided tests must hold.
    """
    return min(1.0, comparisons * sides * 2.0**-blocks)


def blocks_needed(comparisons: int, sides: int = 2) -> int:
    """Smallest number of blocks with which each of `comparisons` can be significant at 5 % under Holm."""
    return math.ceil(math.log2(sides * max(1, comparisons) / ALPHA))
