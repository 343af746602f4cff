"""Tests and bootstraps of answers that were given by several listeners to the music of several blocks.

Both are samples: another listener has another taste, and another block has other models, which may be lucky. A test
over listeners alone takes the luck of these few models for a difference. A test over blocks alone takes the taste of
these few listeners for one. The larger p of both is close to right, but it errs in up to 7 % of comparisons if tastes
and luck are about equally large. So a third test counts too, which adds both variances (Clark's quasi-F, 1973).

All starts of a block are continued by the same trained models. So a block is the unit, not a start: with several starts
a block, sign flips over starts may be wrong in a fifth of studies and more.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from musiclab.analysis.comparisons import Verdict
from musiclab.analysis.intervals import Interval
from musiclab.analysis.statistics import ALPHA, paired_p

RESAMPLES = 1000  # of the bootstrap


@dataclass(frozen=True)
class TwoWay:
    """p of a mean of 0 by listeners, by blocks, by both variances together, and the largest of them, which counts."""

    listeners: float
    blocks: float
    together: float

    @property
    def p(self) -> float:
        """The largest; NaN if there are no answers."""
        return max(self.listeners, self.blocks, self.together)


def two_way(x: np.ndarray, listener: np.ndarray, block: np.ndarray) -> TwoWay:
    """Test whether answers are 0 on the whole.

    By listeners and by blocks, the sums of their answers are tested as paired differences are: by sign flips and
    Student's t, of which the larger p counts.

    Args:
        x: `(n,)`, what each answer says for one side.
        listener: `(n,)`, who gave it.
        block: `(n,)`, whose music it is about.
    """
    if not len(x):
        return TwoWay(math.nan, math.nan, math.nan)
    sums, counts = tables(x, listener, block)
    by_listener, by_block = sums.sum(1), sums.sum(0)
    return TwoWay(paired_p(by_listener), paired_p(by_block), quasi_f_p(sums, counts))


def tables(x: np.ndarray, listener: np.ndarray, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the answers and how many there are, `(listeners, blocks)`, of those that have any."""
    _, row = np.unique(listener, return_inverse=True)
    _, column = np.unique(block, return_inverse=True)
    shape = (int(row.max()) + 1, int(column.max()) + 1)
    cell = row * shape[1] + column
    size = shape[0] * shape[1]
    return np.bincount(cell, x, size).reshape(shape), np.bincount(cell, minlength=size).reshape(shape).astype(float)


def quasi_f_p(sums: np.ndarray, counts: np.ndarray) -> float:
    """p of a mean of 0 if listeners and blocks are random: t with the variance of both, less what both have counted.

    The variances of the sum over listeners, over blocks and of the rest are those of a two-way table. The degrees of
    freedom are Satterthwaite's (1946). The variance is at least that over listeners or over blocks alone.

    Args:
        sums: `(listeners, blocks)`, of the answers.
        counts: `(listeners, blocks)`, how many there are; no row and no column is empty.
    """
    rows, columns = sums.shape
    if min(rows, columns) < 2:
        return 1.0
    total, n = sums.sum(), counts.sum()
    of_row, of_column = counts.sum(1, keepdims=True), counts.sum(0, keepdims=True)
    row_sums, column_sums, mean = sums.sum(1, keepdims=True), sums.sum(0, keepdims=True), total / n
    by_row = ((row_sums - of_row * mean) ** 2).sum() * rows / (rows - 1)
    by_column = ((column_sums - of_column * mean) ** 2).sum() * columns / (columns - 1)
    rest = sums - counts * (row_sums / of_row + column_sums / of_column - mean)
    by_cell = (rest**2).sum() * rows * columns / ((rows - 1) * (columns - 1))
    variance = by_row + by_column - by_cell
    if variance > max(by_row, by_column):
        freedom = variance**2 / (
            by_row**2 / (rows - 1) + by_column**2 / (columns - 1) + by_cell**2 / ((rows - 1) * (columns - 1))
        )
    else:
        variance, freedom = max((by_row, rows - 1), (by_column, columns - 1))
    if variance == 0:
        return 0.0 if total else 1.0
    return float(2 * special.stdtr(freedom, -abs(total) / math.sqrt(variance)))


def resampled(n: int, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """How often each of n listeners or blocks is in each resample, `(resamples, n)`."""
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)


def resampled_both(listeners: int, blocks: int, seed: int, resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each listener, and each block, is in each resample of both, `(resamples, listeners or blocks)` each.

    There are none if there are fewer than 2 listeners or blocks, because these say nothing of others.
    """
    if min(listeners, blocks) < 2:
        return np.empty((0, listeners)), np.empty((0, blocks))
    rng = np.random.default_rng(seed)
    return resampled(listeners, rng, resamples), resampled(blocks, rng, resamples)


def middle_interval(mean: float, drawn: np.ndarray, n: int) -> Interval:
    """A mean of n answers with the middle 95 % of what was drawn, but NaN; no bounds if nothing was."""
    if not n:
        return Interval(math.nan, math.nan, math.nan, 0)
    if not len(drawn):
        return Interval(mean, math.nan, math.nan, n)
    low, high = np.nanquantile(drawn, (ALPHA / 2, 1 - ALPHA / 2))
    return Interval(mean, float(low), float(high), n)


def verdict(difference: float, p_holm: float, smallest: float) -> Verdict:
    """The verdict of a comparison by ear, in which more is better.

    Args:
        difference: the variant's mean or sum less the control's.
        p_holm: its corrected p; NaN if nothing was compared.
        smallest: the smallest corrected p that so few listeners or blocks can have.
    """
    if math.isnan(p_holm):
        return "not compared"
    if p_holm <= ALPHA:
        return "better" if difference > 0 else "worse"
    return "underpowered" if smallest > ALPHA else "no difference shown"
