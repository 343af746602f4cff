"""Intervals: of means by Student's t, and of differences by inverting the very test that gives the verdict.

An interval of a difference holds the means that its test does not reject. So it excludes 0 exactly if the p of the
comparison is at most 5 % before any correction. It is unbounded if blocks are too few for the test to reject anything:
below 6 blocks for a difference, below 5 for equivalence. No interval is corrected for the number of comparisons.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from musiclab.analysis.sequential import anytime_end
from musiclab.analysis.statistics import ALPHA, flip_ends, paired_p, student_reach

_Z = float(special.ndtri(1 - ALPHA / 2))


@dataclass(frozen=True)
class Interval:
    """A mean over `n` blocks and its interval.

    Bounds of a difference are infinite if its blocks are too few for any verdict. Bounds are NaN if there is no
    interval, and all is NaN if n is 0.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def is_bounded(self) -> bool:
        """Whether both bounds are finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)


NO_INTERVAL = Interval(math.nan, math.nan, math.nan, 0)


def mean_intervals(columns: Sequence[Sequence[float]]) -> list[Interval]:
    """Mean and Student's 95 % interval of each column; NaN is left out.

    Bounds are NaN if there are fewer than 2 values or if a value is infinite. If all values are equal, they are the
    bounds too.
    """
    values_by_column = [x[~np.isnan(x)] for x in (np.asarray(column, float) for column in columns)]
    intervals = [NO_INTERVAL] * len(values_by_column)
    columns_by_length: dict[int, list[int]] = {}
    for index, x in enumerate(values_by_column):
        if len(x):
            columns_by_length.setdefault(len(x), []).append(index)
    for n, indices in columns_by_length.items():
        values = np.stack([values_by_column[index] for index in indices])
        with np.errstate(invalid="ignore"):  # infinite values
            means, reaches = values.mean(1), student_reach(values, ALPHA)
            lows, highs = means - reaches, means + reaches
        for index, mean, low, high in zip(indices, means.tolist(), lows.tolist(), highs.tolist(), strict=True):
            intervals[index] = Interval(mean, low, high, n)
    return intervals


def difference_interval(differences: ArrayLike, sequential: bool = False) -> Interval:
    """Mean of paired differences and its 95 % interval, which inverts `paired_p`, or `anytime_p` if `sequential`.

    Args:
        differences: `(n,)`, in the order of blocks.
        sequential: whether the number of blocks depends on what was seen.

    Returns:
        Bounds are NaN if a difference is not finite. If the differences drift from block to block, their mean may be a
        bound of an anytime-valid interval.
    """
    d = np.asarray(differences, float)
    if not np.isfinite(d).all() or not len(d):
        return _unknown(d)
    mean = float(d.mean())
    if sequential:
        # At the mean and beyond, no test rejects; the bounds found there may miss it by rounding.
        low = min(mean, anytime_end(d, ALPHA / 2, 0.0 if mean > 0 else -math.inf))
        high = max(mean, -anytime_end(-d, ALPHA / 2, 0.0 if mean < 0 else -math.inf))
    else:
        low, high = _ends(d, ALPHA / 2)
        if paired_p(d) > ALPHA:  # an end that differs from 0 only by rounding
            low, high = min(low, 0.0), max(high, 0.0)
    return Interval(mean, low, high, len(d))


def equivalence_interval(differences: ArrayLike, margin: float, sequential: bool = False) -> Interval:
    """Mean of paired differences and its 90 % interval, which inverts the two one-sided tests of equivalence.

    It lies within the margin to both sides of 0 exactly if p of equivalence is at most 5 % before any correction.
    Arguments and bounds are as in `difference_interval`.
    """
    d = np.asarray(differences, float)
    if not np.isfinite(d).all() or not len(d):
        return _unknown(d)
    if sequential:
        low, high = anytime_end(d, ALPHA, -margin), -anytime_end(-d, ALPHA, -margin)
    else:
        low, high = _ends(d, ALPHA)
        if paired_p(d + margin, "greater") > ALPHA:
            low = min(low, -margin)
        if paired_p(d - margin, "less") > ALPHA:
            high = max(high, margin)
    return Interval(float(d.mean()), low, high, len(d))


def _unknown(d: np.ndarray) -> Interval:
    """The interval of differences of which there are none, or of which one is not finite."""
    with np.errstate(invalid="ignore"):
        return Interval(float(d.mean()), math.nan, math.nan, len(d)) if len(d) else NO_INTERVAL


def _ends(d: np.ndarray, tail: float) -> tuple[float, float]:
    """The means between which no one-sided `paired_p` is at most `tail`."""
    low, high = flip_ends(d, tail)
    if math.isinf(low):
        return low, high
    reach = float(student_reach(d[None], 2 * tail)[0])
    mean = float(np.clip(d.mean(), d.min(), d.max()))  # the mean of equal values may differ from them by rounding
    return min(low, mean - reach), max(high, mean + reach)


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
    # Rounding must not make 2.8e-17 of an end at 0.
    return Interval(share, max(0.0, centre - half) if share else 0.0, min(1.0, centre + half) if share < 1 else 1.0, n)
