"""Measures of a set of windows against real ones: how far apart, how varied, how dependent on the start."""

import numpy as np

from musiclab.measures.pairs import Pairs, cells_on, flat_cells, pairs_of_rows
from musiclab.measures.rolls import (
    checked,
    ratio,
)


def diversity_ratio(generated: Pairs, real: Pairs) -> float:
    """How varied generated windows are compared with real ones: the ratio of the mean pairwise Jaccard distances.

    Best at 1; 0 is a set of equal windows. Random notes are above 1, so it tells collapse from variety, not music from
    noise.

    Args:
        generated: pairs of generated windows.
        real: pairs of real windows of as many steps.

    Returns:
        At least 0; NaN if either set has fewer than two windows or if all real windows are equal.
    """
    return float(ratio(generated.mean, real.mean))


def start_sensitivity(generated: Pairs, real: Pairs) -> float:
    """How much windows depend on the start they continue: 0 not at all, 1 entirely and as varied as real music.

    (mean distance of windows of different starts - mean distance of windows of the same start) / mean distance of real
    windows. All are Jaccard distances, averaged over pairs. The second term removes what changes without the start, so
    a sampler that ignores the start scores 0 however varied it is. That term needs at least two windows of some start:
    several draws, or successive windows of one continuation. If no start has two windows, the term counts as 0. This
    is right only for a system without noise, or if the noise is the same for all starts.

    Best if closest to the value of real music, which is that of real windows with their songs as starts (see
    `suite.baseline_measures`). The classic failure is 0: the output does not change with its condition.

    Args:
        generated: pairs of generated windows, grouped by the start that each window continues.
        real: pairs of real windows of as many steps, such as the real continuations.

    Returns:
        Usually between 0 and 1, slightly negative by chance; NaN if there are fewer than two starts, or if there are
        fewer than two real windows or only equal ones.

    Source: ours.
    """
    return float(ratio(generated.dependence, real.mean))


def noise_distances(continuations: np.ndarray) -> np.ndarray:
    """The numerators of `noise_sensitivity`, `(1 + track,)`: of whole windows, then of each track. NaN likewise."""
    if continuations.shape[1] < 2:
        return np.full(1 + continuations.shape[3], np.nan)
    windows = np.packbits(continuations, axis=-1)
    total, count = np.zeros(1 + windows.shape[3]), 0
    # A lag at a time: each pair of variations has one lag, so all pairs are compared once.
    for lag in range(1, windows.shape[1]):
        one, other = windows[:, lag:], windows[:, :-lag]
        shared, either = cells_on(one & other), cells_on(one | other)
        distances = 1 - np.divide(shared, either, out=np.ones(shared.shape), where=either > 0)
        total += distances.sum(axis=0)
        count += len(distances)
    result = ratio(total, count)
    result[~cells_on(windows).any(axis=0)] = np.nan
    return result


def track_distances(real: np.ndarray) -> np.ndarray:
    """The denominators of `noise_sensitivity` by track, `(track,)`: `mean_distance` of each track's cells alone."""
    return np.array([pairs_of_rows(flat_cells(checked(real)[:, track])).mean for track in range(real.shape[1])])
