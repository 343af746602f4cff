"""Statistics over blocks: BCa intervals, exact sign-flip tests, Holm's correction; pure functions of numbers."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

ALPHA = 0.05
_EXACT_UP_TO = 20


@dataclass(frozen=True)
class Interval:
    """A mean over `n` blocks with its 95 % interval; NaN bounds where n < 2, NaN throughout where n = 0."""

    mean: float
    low: float
    high: float
    n: int


NO_INTERVAL = Interval(math.nan, math.nan, math.nan, 0)


def mean_interval(values: list[float]) -> Interval:
    """Mean and 95 % BCa bootstrap interval (Efron 1987; 9,999 resamples of blocks, a fixed stream); NaN is left out."""
    x = np.array([value for value in values if not math.isnan(value)])
    if len(x) < 2:
        return Interval(float(x.mean()) if len(x) else math.nan, math.nan, math.nan, len(x))
    if np.ptp(x) == 0:  # resampling equal values can only give that value, which BCa divides by
        return Interval(float(x[0]), float(x[0]), float(x[0]), len(x))
    found = stats.bootstrap((x,), np.mean, n_resamples=9999, method="BCa", rng=np.random.default_rng(0), batch=9999)
    low, high = found.confidence_interval
    return Interval(float(x.mean()), float(low), float(high), len(x))


def sign_flip_p(differences: list[float]) -> float:
    """Two-sided p of the mean of paired differences under all 2^n sign flips (Fisher's randomisation test).

    Exact up to 20 blocks, beyond that by a million flips from a fixed stream; NaN for no differences.
    """
    d = np.asarray(differences, float)
    if not len(d):
        return math.nan
    if len(d) <= _EXACT_UP_TO:
        sums = np.zeros(1)
        for value in d:
            sums = np.concatenate([sums + value, sums - value])
    else:
        rng = np.random.default_rng(0)
        flips = [rng.integers(0, 2, (10_000, len(d))) * 2 - 1 for _ in range(100)]
        sums = np.concatenate([[d.sum()], *(part @ d for part in flips)])
    # Sums that are equal but for rounding count as equal: leaving the observed one out would give p = 0.
    slack = 1e-9 * np.abs(d).sum()
    return float(np.mean(np.abs(sums) >= abs(d.sum()) - slack))


def holm(p: list[float]) -> list[float]:
    """Holm's (1979) adjusted p-values, in the given order; NaN stays NaN and counts for nothing."""
    adjusted = [math.nan] * len(p)
    order = sorted((index for index, value in enumerate(p) if not math.isnan(value)), key=lambda index: p[index])
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, p[index] * (len(order) - rank)))
        adjusted[index] = running
    return adjusted


def smallest_p(blocks: int, comparisons: int) -> float:
    """Smallest Holm-adjusted p that the sign-flip test can give: `comparisons` x 2 / 2^blocks, at most 1."""
    return min(1.0, comparisons * 2.0 ** (1 - blocks))


def blocks_needed(comparisons: int) -> int:
    """Fewest blocks with which every one of `comparisons` can become significant at 5 % under Holm."""
    return math.ceil(1 + math.log2(max(1, comparisons) / ALPHA))
