"""Statistics over blocks: BCa intervals, exact sign-flip tests, Holm's correction; pure functions of numbers.

How far to trust them
    Tests take paired differences to be symmetric about their mean, whatever else they are like. They are where two
    variants have noise of one kind, skewed or not; what a block does to both of them cancels. Where noise is skewed and
    one variant scatters more than the other they are not: then more than 5 % of the studies are wrong, with 10
    blocks as with 7. Differences and equivalence are two families, each kept to 5 % by itself.
    With 4 blocks nothing can be shown, nor with 7 and 8 variants; nothing was, in any study below.
    Intervals of so few blocks are too narrow. No verdict rests on them.

The tables below are what `python benchmarks/verdict_errors.py` prints, less counts and cells of zeros: percent of 4,000
simulated studies, 2,000 where one looks after every block, with a binomial 95 % interval; `7 x 4` is 7 blocks of 4
variants. The first variant is the control. Effects and margins are in sds of a paired difference; `1:3` says that the
last variant scatters 3 times as much as the control, `skewed` is lognormal, `heavy-tailed` Student's t with 3 degrees
of freedom. Behind the interval stands the mean number of blocks where that depends on what is seen. (The 5.6 of 10 x 2
is chance: of symmetric differences 10 blocks can reject 50 of 1,024 sign patterns, 4.9 %.)

Wrong: no effect, and any variant is called better or worse
                          7 x 2              7 x 4             10 x 2             10 x 4             10 x 8
normal           4.7 [4.1, 5.4]     4.7 [4.0, 5.3]     5.6 [4.9, 6.4]     4.5 [3.9, 5.2]     3.8 [3.2, 4.4]
skewed           4.8 [4.1, 5.5]     5.0 [4.3, 5.7]     4.9 [4.3, 5.6]     3.9 [3.3, 4.6]     3.9 [3.3, 4.5]
heavy-tailed     4.7 [4.1, 5.4]     4.3 [3.7, 5.0]     4.9 [4.3, 5.6]     4.8 [4.1, 5.5]     3.8 [3.2, 4.4]
normal 1:3       4.8 [4.2, 5.5]     5.0 [4.3, 5.7]     4.4 [3.8, 5.1]     4.7 [4.0, 5.4]     4.2 [3.6, 4.8]
skewed 1:1.5     7.0 [6.3, 7.9]     6.6 [5.8, 7.4]     7.0 [6.2, 7.8]     6.9 [6.2, 7.8]     6.2 [5.5, 7.0]
skewed 1:3    12.5 [11.5, 13.6]  13.7 [12.7, 14.8]  12.1 [11.1, 13.2]  15.0 [13.9, 16.2]  15.4 [14.3, 16.5]

Wrong: all variants better by just the margin of 1 sd, and any is called equivalent
                          7 x 2              7 x 4             10 x 2             10 x 4             10 x 8
normal           4.2 [3.6, 4.9]     3.5 [2.9, 4.1]     3.8 [3.3, 4.5]     3.8 [3.2, 4.4]     3.4 [2.8, 4.0]
skewed           1.9 [1.5, 2.4]     2.0 [1.6, 2.5]     1.4 [1.0, 1.8]     2.0 [1.6, 2.5]     1.6 [1.3, 2.1]
heavy-tailed     2.6 [2.2, 3.2]     2.5 [2.0, 3.0]     2.6 [2.1, 3.1]     2.5 [2.1, 3.1]     2.4 [2.0, 3.0]
normal 1:3       0.5 [0.3, 0.8]     1.2 [0.9, 1.6]     1.4 [1.1, 1.8]     1.9 [1.5, 2.4]     1.6 [1.2, 2.0]
skewed 1:1.5     4.3 [3.7, 5.0]     5.8 [5.1, 6.6]     4.0 [3.4, 4.6]     4.5 [3.9, 5.2]     4.6 [3.9, 5.3]
skewed 1:3    14.4 [13.3, 15.5]  13.1 [12.0, 14.2]  13.2 [12.2, 14.3]  14.2 [13.1, 15.3]  16.5 [15.4, 17.7]

Found: only the last variant is better by an effect, and is called so (normal noise)
                    7 x 2              7 x 4              10 x 2             10 x 4             10 x 8
0.5 sd  19.1 [17.9, 20.4]     7.3 [6.5, 8.1]   29.2 [27.8, 30.6]  13.7 [12.7, 14.8]     5.6 [4.9, 6.4]
1 sd    56.3 [54.7, 57.8]  28.6 [27.2, 30.0]   79.8 [78.5, 81.1]  56.4 [54.8, 57.9]  37.6 [36.1, 39.1]
2 sd    98.6 [98.2, 98.9]  84.5 [83.4, 85.7]  99.9 [99.8, 100.0]  99.6 [99.4, 99.8]  96.4 [95.7, 96.9]

Found: no effect, and the last variant is called equivalent within a margin (normal noise)
                    7 x 2              7 x 4             10 x 2             10 x 4             10 x 8
0.5 sd     2.6 [2.2, 3.2]     0.7 [0.4, 1.0]     6.0 [5.3, 6.8]     1.2 [0.9, 1.6]     0.2 [0.1, 0.4]
1 sd    49.0 [47.5, 50.6]  24.2 [22.9, 25.6]  77.4 [76.1, 78.7]  61.4 [59.9, 62.9]  36.5 [35.0, 38.0]
2 sd    94.7 [94.0, 95.4]  96.8 [96.2, 97.3]  94.8 [94.0, 95.4]  98.3 [97.8, 98.7]  99.2 [98.9, 99.5]

Looking after every block up to 30. Wrong: no effect, and any variant is ever called better or worse
                          2 variants              4 variants              8 variants
normal           3.0 [2.3, 3.9] 29.4     2.8 [2.1, 3.6] 30.0     2.9 [2.2, 3.7] 30.0
skewed           3.0 [2.3, 3.8] 29.4     3.2 [2.5, 4.1] 30.0     2.4 [1.8, 3.2] 30.0
heavy-tailed     3.1 [2.4, 4.0] 29.5     3.0 [2.3, 3.8] 30.0     2.6 [2.0, 3.5] 30.0
normal 1:3       3.2 [2.5, 4.1] 29.3     3.1 [2.4, 4.0] 30.0     3.2 [2.5, 4.1] 30.0
skewed 1:1.5     6.2 [5.2, 7.3] 28.9     6.0 [5.0, 7.1] 30.0     5.3 [4.4, 6.4] 30.0
skewed 1:3    14.5 [13.0, 16.1] 27.3  16.0 [14.4, 17.7] 30.0  19.6 [17.8, 21.4] 30.0

Looking. Wrong: all variants better by just the margin of 1 sd, and any is ever called equivalent
                       2 variants           4 variants           8 variants
normal        3.0 [2.3, 3.9] 12.6  1.1 [0.7, 1.7] 17.7  1.1 [0.7, 1.6] 21.0
skewed         2.4 [1.7, 3.1] 9.7  0.4 [0.2, 0.8] 12.3  0.1 [0.0, 0.4] 14.1
heavy-tailed  3.0 [2.3, 3.8] 10.4  0.9 [0.6, 1.5] 14.6  0.8 [0.4, 1.2] 17.7

Looking. Found: all variants better by an effect, and the last one is called so (normal noise)
                     2 variants               4 variants                8 variants
0.5 sd   40.9 [38.7, 43.1] 24.6   31.6 [29.6, 33.7] 28.9    20.8 [19.0, 22.6] 29.7
1 sd     98.2 [97.5, 98.7] 12.9   97.6 [96.8, 98.2] 17.7    96.2 [95.3, 97.0] 20.9
2 sd    100.0 [99.8, 100.0] 7.2  100.0 [99.8, 100.0] 8.7  100.0 [99.8, 100.0] 10.2

Looking. Found: no effect, and the last variant is called equivalent within a margin (normal noise)
                    2 variants              4 variants               8 variants
0.5 sd  16.8 [15.1, 18.5] 28.0     5.3 [4.4, 6.4] 30.0      1.4 [1.0, 2.1] 30.0
1 sd    95.4 [94.4, 96.3] 14.2  96.5 [95.6, 97.3] 19.5   96.9 [96.0, 97.6] 23.0
2 sd     99.0 [98.5, 99.4] 6.4   99.7 [99.3, 99.9] 8.1  100.0 [99.7, 100.0] 9.8

95 % intervals of a mean difference that hold it
                       4 blocks           7 blocks          10 blocks
normal        78.9 [77.6, 80.2]  87.2 [86.2, 88.2]  89.2 [88.2, 90.2]
skewed        78.0 [76.7, 79.3]  80.9 [79.6, 82.1]  83.0 [81.8, 84.1]
heavy-tailed  79.5 [78.2, 80.7]  85.3 [84.1, 86.4]  86.8 [85.7, 87.8]
normal 1:3    79.8 [78.5, 81.1]  87.6 [86.6, 88.6]  90.3 [89.4, 91.2]
skewed 1:1.5  74.2 [72.8, 75.5]  79.4 [78.1, 80.6]  83.0 [81.8, 84.2]
skewed 1:3    70.5 [69.1, 72.0]  78.8 [77.5, 80.1]  81.8 [80.6, 83.0]
"""

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
    values and where one is infinite; equal values are their own bounds, for resampling can give nothing else.
    """
    kept = [x[~np.isnan(x)] for x in (np.asarray(column, float) for column in columns)]
    found = [Interval(float(x.mean()), math.nan, math.nan, len(x)) if len(x) else NO_INTERVAL for x in kept]
    alike: dict[int, list[int]] = {}
    for index, x in enumerate(kept):
        if len(x) < 2 or np.isinf(x).any():
            continue
        if np.ptp(x) == 0:
            found[index] = Interval(float(x[0]), float(x[0]), float(x[0]), len(x))
        else:
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
    blocks, beyond that by 99,999 flips from a fixed stream and the observed signs; NaN for no differences, or where one
    is not finite.
    """
    d = np.asarray(differences, float)
    if not len(d) or not np.isfinite(d).all():
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
    For more than 30 blocks by the normal distribution, which the flips of so many nearly follow.
    inf where so few blocks reach that level by no shift, NaN for no differences, or where one is not finite.
    """
    d = np.asarray(differences, float)
    if not len(d) or not np.isfinite(d).all():
        return math.nan
    if test(np.ones(len(d))) > level:
        return math.inf
    scatter = d - d.mean()
    if test is sign_flip_p and len(d) > _EXACT_UP_TO:
        # Flipped sums of many are normal, with the sum of squares, shift included, for variance.
        z = float(special.ndtri(1 - level / 2))
        return z * math.sqrt((scatter**2).sum() / (len(d) ** 2 - z**2 * len(d)))
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
