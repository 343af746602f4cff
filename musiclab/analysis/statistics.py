"""Statistics over blocks: BCa intervals, exact sign-flip tests and Holm's correction, as pure functions of numbers.

How far to trust them
    Tests take paired differences to be symmetric about their mean, and assume nothing else. Differences are symmetric
    if both variants have noise of one kind, skewed or not, because what a block does to both cancels. They are not if
    noise is skewed and one variant scatters more than the other. Then more than 5 % of the studies are wrong, with 10
    blocks as with 7. Differences and equivalence are two families, each kept to 5 % by itself.
    With 4 blocks nothing can be shown, and neither with 7 blocks and 8 variants.
    Intervals of so few blocks are too narrow. No verdict rests on them.

The tables of errors and power are in docs/verdicts.md; `python benchmarks/verdict_errors.py` computes them.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

ALPHA = 0.05
Alternative = Literal["two-sided", "greater", "less"]
_RESAMPLES = 9999
_AT_ONCE = 256  # columns whose resampled means are in memory at once: 20 MB
_EXACT_UP_TO = 30
_FLIPS = 99_999
_Z = float(special.ndtri(1 - ALPHA / 2))


@dataclass(frozen=True)
class Interval:
    """A mean over `n` blocks and its 95 % interval. Bounds are NaN if blocks are too few, and all is NaN if n is 0."""

    mean: float
    low: float
    high: float
    n: int


NO_INTERVAL = Interval(math.nan, math.nan, math.nan, 0)


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % interval of one column; see `mean_intervals`."""
    return mean_intervals([values])[0]


def mean_intervals(columns: Sequence[Sequence[float]]) -> list[Interval]:
    """Mean and 95 % BCa bootstrap interval (Efron 1987) of each column; NaN is left out.

    Columns of equal length share their 9,999 resamples of blocks, which come from a fixed stream. Bounds are NaN if
    there are fewer than 2 values or if a value is infinite. If all values are equal, they are the bounds too, because
    resampling cannot give anything else.
    """
    values_by_column = [x[~np.isnan(x)] for x in (np.asarray(column, float) for column in columns)]
    intervals = [
        Interval(float(x.mean()), math.nan, math.nan, len(x)) if len(x) else NO_INTERVAL for x in values_by_column
    ]
    columns_by_length: dict[int, list[int]] = {}
    for index, x in enumerate(values_by_column):
        if len(x) < 2 or np.isinf(x).any():
            continue
        if np.ptp(x) == 0:
            intervals[index] = Interval(float(x[0]), float(x[0]), float(x[0]), len(x))
        else:
            columns_by_length.setdefault(len(x), []).append(index)
    for n, indices in columns_by_length.items():
        for start in range(0, len(indices), _AT_ONCE):
            batch = indices[start : start + _AT_ONCE]
            bounds = _bca(np.stack([values_by_column[index] for index in batch]))
            for index, (low, high) in zip(batch, bounds, strict=True):
                intervals[index] = Interval(intervals[index].mean, float(low), float(high), n)
    return intervals


def _bca(x: np.ndarray) -> np.ndarray:
    """Bounds `(columns, 2)` of the means of x `(columns, n)`; n > 1, and no column has only equal values."""
    means = x.mean(1, keepdims=True)
    d = x - means
    resampled = d @ resamples(x.shape[1]).T / x.shape[1]
    resampled.sort(axis=1)
    tie = 1e-9 * np.abs(d).max(1, keepdims=True)  # means that differ only by rounding count as equal
    below = ((resampled < -tie).mean(1) + (resampled <= tie).mean(1)) / 2
    bias = special.ndtri(below)[:, None]
    acceleration = ((d**3).sum(1) / (6 * (d**2).sum(1) ** 1.5))[
        :, None
    ]  # the jackknife estimate, in closed form for a mean
    reach = bias + np.array([-_Z, _Z])
    place = special.ndtr(bias + reach / (1 - acceleration * reach)) * (_RESAMPLES - 1)
    under = np.floor(place).astype(int)
    lower = np.take_along_axis(resampled, under, 1)
    upper = np.take_along_axis(resampled, np.minimum(under + 1, _RESAMPLES - 1), 1)
    bounds: np.ndarray = means + lower + (place - under) * (upper - lower)
    return bounds


@functools.lru_cache(16)
def resamples(n: int) -> np.ndarray:
    """How often each of n blocks is drawn in each of the 9,999 resamples, `(9999, n)`; the same at every call."""
    return np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), _RESAMPLES).astype(float)


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
    """p of a mean of at least the margin in either direction: two one-sided sign-flip tests (Schuirmann 1987)."""
    d = np.asarray(differences, float)
    return max(sign_flip_p(d + margin, "greater"), sign_flip_p(d - margin, "less"))


def smallest_shown(differences: ArrayLike, level: float, test: Callable[[ArrayLike], float] = sign_flip_p) -> float:
    """The mean difference that would have had p <= level under the test, if differences scattered about it as they do.

    Bisection, to one per cent, finds the shift of all differences that is needed; of the two directions it takes the
    one that needs more. Sign flips of more than 30 blocks use the normal distribution, which they nearly follow.

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
    if test is sign_flip_p and len(d) > _EXACT_UP_TO:
        # Flipped sums of many differences are normal. Their variance is the sum of squares, shift included.
        z = float(special.ndtri(1 - level / 2))
        return z * math.sqrt((scatter**2).sum() / (len(d) ** 2 - z**2 * len(d)))
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


def improvement(differences: ArrayLike, higher: bool) -> Interval:
    """Probability that the variant does better on a block (Agarwal et al. 2021), with Wilson's (1927) 95 % interval.

    It is the share of blocks whose difference is on the better side: above 0 if `higher`, else below 0. A tie counts as
    half a block. With ties the interval is wider than necessary.
    """
    d = np.asarray(differences, float) * (1 if higher else -1)
    n = len(d)
    if not n:
        return NO_INTERVAL
    share = float((d > 0).mean() + (d == 0).mean() / 2)
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half), n)


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
    """Smallest Holm-adjusted p that the sign-flip test can give: `comparisons` x `sides` / 2^blocks, at most 1.

    Tests of a difference have 2 sides. Tests of equivalence have 1, because both of their one-sided tests must hold.
    """
    return min(1.0, comparisons * sides * 2.0**-blocks)


def blocks_needed(comparisons: int, sides: int = 2) -> int:
    """Smallest number of blocks with which each of `comparisons` can be significant at 5 % under Holm."""
    return math.ceil(math.log2(sides * max(1, comparisons) / ALPHA))
