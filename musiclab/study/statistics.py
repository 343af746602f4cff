"""Statistics over blocks: BCa intervals, exact sign-flip tests, Holm's correction; pure functions of numbers."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

ALPHA = 0.05
Alternative = Literal["two-sided", "greater", "less"]
_RESAMPLES = 9999
_AT_ONCE = 256  # columns of resampled means held at a time: 20 MB
_EXACT_UP_TO = 30
_FLIPS = 99_999
_Z = float(special.ndtri(1 - ALPHA / 2))


@dataclass(frozen=True)
class Interval:
    """A mean over `n` blocks with its 95 % interval; NaN bounds where too few blocks tell any, NaN throughout for 0."""

    mean: float
    low: float
    high: float
    n: int


NO_INTERVAL = Interval(math.nan, math.nan, math.nan, 0)


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % interval of one column; see `mean_intervals`."""
    return mean_intervals([values])[0]


def mean_intervals(columns: Sequence[Sequence[float]]) -> list[Interval]:
    """Means and 95 % BCa bootstrap intervals (Efron 1987), each of a column's own values; NaN is left out.

    Columns of the same length share their 9,999 resamples of blocks, a fixed stream. Bounds are NaN for fewer than 2
    values; equal values are their own bounds, for resampling can give nothing else.
    """
    kept = [x[~np.isnan(x)] for x in (np.asarray(column, float) for column in columns)]
    found = [Interval(float(x.mean()), math.nan, math.nan, len(x)) if len(x) else NO_INTERVAL for x in kept]
    alike: dict[int, list[int]] = {}
    for index, x in enumerate(kept):
        if len(x) > 1 and np.ptp(x) == 0:
            found[index] = Interval(float(x[0]), float(x[0]), float(x[0]), len(x))
        elif len(x) > 1:
            alike.setdefault(len(x), []).append(index)
    for n, indices in alike.items():
        for start in range(0, len(indices), _AT_ONCE):
            part = indices[start : start + _AT_ONCE]
            for index, (low, high) in zip(part, _bca(np.stack([kept[index] for index in part])), strict=True):
                found[index] = Interval(found[index].mean, float(low), float(high), n)
    return found


def _bca(x: np.ndarray) -> np.ndarray:
    """Bounds `(columns, 2)` of the means of x `(columns, n)`, n > 1, no column of equal values."""
    means = x.mean(1, keepdims=True)
    d = x - means
    resampled = d @ resamples(x.shape[1]).T / x.shape[1]
    resampled.sort(axis=1)
    tie = 1e-9 * np.abs(d).max(1, keepdims=True)  # means that are equal but for rounding count as equal
    below = ((resampled < -tie).mean(1) + (resampled <= tie).mean(1)) / 2
    bias = special.ndtri(below)[:, None]
    acceleration = ((d**3).sum(1) / (6 * (d**2).sum(1) ** 1.5))[:, None]  # what the jackknife comes to for a mean
    reach = bias + np.array([-_Z, _Z])
    place = special.ndtr(bias + reach / (1 - acceleration * reach)) * (_RESAMPLES - 1)
    under = np.floor(place).astype(int)
    lower, upper = (np.take_along_axis(resampled, at, 1) for at in (under, np.minimum(under + 1, _RESAMPLES - 1)))
    return means + lower + (place - under) * (upper - lower)


@functools.lru_cache(16)
def resamples(n: int) -> np.ndarray:
    """How often each of n blocks is drawn in each of the 9,999 resamples of n, `(9999, n)`; the same at every call."""
    return np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), _RESAMPLES).astype(float)


def sign_flip_p(differences: Sequence[float], alternative: Alternative = "two-sided") -> float:
    """p of the mean of paired differences under all 2^n sign flips (Fisher's randomisation test).

    Two-sided of symmetry about 0; with "greater" of a centre of 0 or less, with "less" of 0 or more. Exact up to 30
    blocks, beyond that by 99,999 flips from a fixed stream and the observed signs; NaN for no differences.
    """
    d = np.asarray(differences, float)
    if not len(d):
        return math.nan
    if alternative == "two-sided":
        return min(1.0, 2 * sign_flip_p(d if d.sum() > 0 else -d, "greater"))
    if alternative == "less":
        d = -d
    # Sums that are equal but for rounding count as equal: leaving the observed one out would give p = 0.
    least = d.sum() - 1e-9 * np.abs(d).sum()
    if len(d) > _EXACT_UP_TO:
        return float((1 + np.count_nonzero(_signs(len(d)) @ d >= least)) / (_FLIPS + 1))
    # A flip of all is one of the first half with one of the second: pairs are counted, not made.
    half = len(d) // 2
    lacking, second = np.sort(least - _flipped(d[:half])), np.sort(_flipped(d[half:]))
    return float(np.sum(len(second) - np.searchsorted(second, lacking)) / 2 ** len(d))


def _flipped(d: np.ndarray) -> np.ndarray:
    """The sums of d under all flips of signs, `(2^n,)`."""
    sums = np.zeros(1)
    for value in d:
        sums = np.concatenate([sums + value, sums - value])
    return sums


@functools.lru_cache(1)
def _signs(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 2, (_FLIPS, n)) * 2.0 - 1


def equivalence_p(differences: Sequence[float], margin: float) -> float:
    """p of a mean of the margin or more in either direction: two one-sided sign-flip tests (Schuirmann 1987)."""
    d = np.asarray(differences, float)
    return max(sign_flip_p(d + margin, "greater"), sign_flip_p(d - margin, "less"))


def smallest_shown(
    differences: Sequence[float], level: float, test: Callable[[Sequence[float]], float] = sign_flip_p
) -> float:
    """The mean that differences would have needed, scattering about it as they do, to have p <= level under the test.

    Found by bisection, to a hundredth, of a shift of all differences; of the two directions the one that needs more.
    inf where so few blocks reach that level by no shift, NaN for no differences.
    """
    d = np.asarray(differences, float)
    if not len(d):
        return math.nan
    if test(np.ones(len(d))) > level:
        return math.inf
    scatter = d - d.mean()
    return max(_shift_shown(side * scatter, level, test) for side in (1, -1))


def _shift_shown(scatter: np.ndarray, level: float, test: Callable[[Sequence[float]], float]) -> float:
    low, high = 0.0, float(np.abs(scatter).max())
    if high == 0:
        return 0.0
    while test(scatter + high) > level:
        low, high = high, 2 * high
    while high - low > 1e-2 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if test(scatter + middle) > level else (low, middle)
    return high


def improvement(differences: Sequence[float], higher: bool) -> Interval:
    """Probability that the variant does better on a block (Agarwal et al. 2021), with Wilson's (1927) 95 % interval.

    The share of blocks with a difference on the better side, above 0 if higher is better; a tie counts as half. With
    ties the interval is wider than it need be.
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
    """Holm's (1979) adjusted p-values, in the given order; NaN stays NaN and counts for nothing."""
    adjusted = [math.nan] * len(p)
    order = sorted((index for index, value in enumerate(p) if not math.isnan(value)), key=lambda index: p[index])
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, p[index] * (len(order) - rank)))
        adjusted[index] = running
    return adjusted


def smallest_p(blocks: int, comparisons: int, sides: int = 2) -> float:
    """Smallest Holm-adjusted p that the sign-flip test can give: `comparisons` x `sides` / 2^blocks, at most 1.

    Tests of a difference have 2 sides; those of equivalence have 1, for both of their one-sided tests must hold anyway.
    """
    return min(1.0, comparisons * sides * 2.0**-blocks)


def blocks_needed(comparisons: int, sides: int = 2) -> int:
    """Fewest blocks with which every one of `comparisons` can become significant at 5 % under Holm."""
    return math.ceil(math.log2(sides * max(1, comparisons) / ALPHA))
