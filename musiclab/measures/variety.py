"""Measures of a whole set of windows against real ones: how far apart, how varied, how much it heeds its start."""

import numpy as np

from musiclab.measures.pairs import cells_on, flat_rows, mean_distance, pairs, pairs_of_rows
from musiclab.measures.rolls import (
    checked,
    ratio,
)


def diversity_ratio(generated: np.ndarray, real: np.ndarray) -> float:
    """How varied generated windows are, real ones being 1: the quotient of their mean pairwise Jaccard distances.

    Best at 1; 0 is a set of equal windows. Random notes come out above 1, so it tells collapse from variety, not music
    from noise.

    Args:
        generated: bool `(n, track, time, pitch)`.
        real: bool `(m, track, time, pitch)`, as many steps as `generated`.

    Returns:
        At least 0; NaN where either set has fewer than two windows or all the real ones are equal.
    """
    return float(ratio(mean_distance(generated), mean_distance(real)))


def duplicate_rate(rolls: np.ndarray) -> float:
    """Share of windows that have another window in the set with a Jaccard similarity of at least 0.95.

    Similarity = cells on in both / cells on in either; two silent windows are alike. Lower is better, down to the value
    of as many real windows, for real music repeats itself too. It grows with the number of windows and with that of
    variations of one start: compare only equally large sets. Takes n^2 time, see `pairs`.

    Args:
        rolls: bool `(n, track, time, pitch)`.

    Returns:
        Between 0 and 1; NaN for fewer than two windows.

    Source: after the share of near-duplicates that tells a collapsed generator (Arora and Zhang 2017).
    """
    return pairs(rolls).duplicate_rate


def start_sensitivity(generated: np.ndarray, starts: np.ndarray, real: np.ndarray) -> float:
    """How much windows depend on the start they continue: 0 not at all, 1 entirely and as varied as real music.

    (mean distance of windows of different starts - mean distance of windows of the same start) / mean distance of real
    windows, all Jaccard distances over pairs. The second term takes away what changes without the start: a sampler
    that ignores it scores 0 however varied it is. It needs at least two windows of some start, draws or successive
    windows of one continuation. Where no start has two, the term counts as 0, which is right only for a system without
    noise or one whose starts all share theirs.

    Best closest to the value of real music, which is that of real windows with their songs as starts (see
    `suite.baseline_measures`).
    The classic failure is 0: the output does not change with its condition.

    Args:
        generated: bool `(n, track, time, pitch)`.
        starts: `(n,)`, which start each window continues; any values that compare equal.
        real: bool `(m, track, time, pitch)`, real windows of as many steps, such as the real continuations.

    Returns:
        Usually between 0 and 1, slightly negative by chance; NaN for fewer than two starts or where `real` has fewer
        than two windows or only equal ones.
    """
    return float(ratio(pairs(generated, starts).dependence, mean_distance(real)))


def noise_sensitivity(continuations: np.ndarray, real: np.ndarray) -> tuple[float, np.ndarray]:
    """How much noise alone changes what follows a start: 0 not at all, 1 as much as real windows differ.

    Mean distance of windows that continue the same start at the same place, and differ in their noise only, / mean
    distance of real windows; all Jaccard distances over pairs. For whole windows, and for each track with its own cells
    alone, where a pair of windows in which the track is silent counts as 0, in both means.

    It describes and has no better direction: 0 is a sampler that always says the same, and far above the variety of
    real music noise drowns the start. By track it tells who follows the noise and who does not.

    Args:
        continuations: bool `(start, variation, continuation, track, time, pitch)`.
        real: bool `(m, track, time, pitch)`, real windows of as many steps.

    Returns:
        The value of whole windows, and `(track,)`, each at least 0. NaN for fewer than two variations, for no or only
        equal real windows, and where nothing sounds in any of the continuations: a silent track neither follows the
        noise nor resists it.
    """
    values = ratio(noise_distances(continuations), np.array([mean_distance(real), *track_distances(real)]))
    return float(values[0]), values[1:]


def noise_distances(continuations: np.ndarray) -> np.ndarray:
    """The numerators of `noise_sensitivity`, `(1 + track,)`: of whole windows, then of each track."""
    if continuations.shape[1] < 2:
        return np.full(1 + continuations.shape[3], np.nan)
    windows = np.packbits(continuations, axis=-1)
    total, count = np.zeros(1 + windows.shape[3]), 0
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
    """Its denominators by track, `(track,)`: `mean_distance` of the cells of each track alone."""
    return np.array([pairs_of_rows(flat_rows(checked(real)[:, track])).mean for track in range(real.shape[1])])
