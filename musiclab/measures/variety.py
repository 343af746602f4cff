"""Measures of a set of windows against real ones: how far apart, how varied, how dependent on the start."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from musiclab.measures.rolls import (
    DRUMS,
    PITCH_CLASSES,
    PITCHED,
    PITCHES,
    POSITIONS,
    bars,
    cells_by_pitch,
    cells_by_step,
    checked,
    onset_positions,
    onsets,
    packed_by_step,
    pitch_classes,
    ratio,
)

# Usual register of each track of TRACKS (drums: a placeholder). A silent track counts as being there, because
# otherwise silence would look like a very low note.
_REGISTER = np.array([60.0, 60.0, 55.0, 40.0, 62.0])
# The smallest sd by which a feature is divided. Smaller differences have no musical meaning, and without a limit a
# feature that never varies in real music would dominate the distance.
_SMALLEST_PITCH_SD = 1.0
_SMALLEST_SD = 0.05
# Rows compared at once: 20 MB of float32 for windows of 32 steps.
_ROWS_AT_ONCE = 256
# Two windows with at least this Jaccard similarity count as duplicates.
DUPLICATE = 0.95

_PER_TRACK, _PER_PITCHED = 3, 2
_HARMONICS = PITCH_CLASSES // 2
SD_FLOORS = np.concatenate(
    [
        np.full(_PER_TRACK * len(_REGISTER), _SMALLEST_SD),
        np.full(_PER_PITCHED * len(PITCHED), _SMALLEST_PITCH_SD),
        np.full(_HARMONICS + 2 * POSITIONS + 1, _SMALLEST_SD),
    ]
)


def embed(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """One vector of musical features per window, the embedding of our Frechet distance. It is ours and untrained.

    The 46 features, in this order:
        15: for each track, log(1 + onsets per beat), the share of silent steps, and log(1 + mean number of pitches
            that sound at a step);
         8: for each pitched track, mean and sd of pitch over its sounding time, in semitones;
         6: magnitudes, at frequencies 1 to 6, of the discrete Fourier transform of the distribution of sounding time
            over pitch classes, of the pitched tracks together. They are the same in every key. The third is high for
            triads, the fifth for notes of one scale (Quinn 2006, Amiot 2016), and both fall if tracks disagree;
        16: shares of onsets at each eighth note of the bar, of the pitched tracks and of the drums;
         1: mean Jaccard similarity of a bar with the next one.

    Every feature is finite and changes little if a cell is added, because shares count one imaginary eighth note or
    onset in each bin, and mean pitch counts one imaginary eighth note in the track's usual register. So a silent track
    has its usual register as mean pitch, sd 0 and an even distribution. Two silent bars have similarity 1. Windows of
    less than two bars have similarity 0.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat; a bar is four beats.

    Returns:
        float64 `(n, 46)`.
    """
    starts = onsets(rolls)
    positions = onset_positions(starts, resolution)
    # In eighth notes, so that the imaginary note weighs the same at every resolution.
    eighths = cells_by_pitch(rolls)[:, PITCHED] * (2 / resolution)
    features = [
        _activity(rolls, starts, resolution),
        _register(eighths),
        _harmony(eighths),
        _shares(positions[:, PITCHED, :].sum(axis=1)),
        _shares(positions[:, DRUMS, :]),
        _bar_likeness(rolls, resolution)[:, None],
    ]
    return np.concatenate(features, axis=1)


def frechet_distance(a: np.ndarray, b: np.ndarray, reference: np.ndarray) -> float:
    """Frechet distance between two sets of windows, given as the vectors of `embed`.

    d^2 = |mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2), after each feature is divided by its sd in
    the reference set. The result is d^2, as is usual, in squared reference sds. Lower is better, 0 for identical sets.
    A feature that hardly varies in the reference is divided by a floor instead (1 semitone, or 0.05). So it adds
    nothing unless a set departs from it.

    Finite sets never reach 0: two samples of n and m windows from one Gaussian source are about
    (1/n + 1/m) (d + d (d + 1) / 4) apart, mostly because of the covariances. With d = 46 that is 4.6 for 256 windows
    each and 1.1 for 1,024 (less if features are correlated, as they are in music). Compare only distances of equally
    large sets, and read them beside the floor between two halves of real music of that size. The value depends on this
    embedding, so it cannot be compared with a published Frechet Music Distance or with any other.

    Args:
        a: vectors `(n, d)`.
        b: vectors `(m, d)`.
        reference: vectors `(r, d)` of real windows that set the scale. Use the same for all distances to be compared.

    Returns:
        d^2, at least 0; NaN if any of the three sets has fewer than two windows.

    Source: Dowson and Landau 1982; Heusel et al. 2017 (FID) for its use on generators.
    """
    if min(len(a), len(b), len(reference)) < 2:
        return float("nan")
    scale = np.maximum(reference.std(axis=0, ddof=1), SD_FLOORS)
    centre = reference.mean(axis=0)
    first, second = (a - centre) / scale, (b - centre) / scale
    between_means = np.sum((first.mean(axis=0) - second.mean(axis=0)) ** 2)
    first_covariance, second_covariance = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    # The trace of the inner root is the sum of the singular values of the product of the two roots. It is always real,
    # while a general matrix root of C_a C_b becomes complex for singular covariances.
    product = _root(first_covariance) @ _root(second_covariance)
    shared = np.linalg.svd(product, compute_uv=False).sum()
    squared = between_means + np.trace(first_covariance) + np.trace(second_covariance) - 2 * shared
    return float(max(squared, 0.0))


@dataclass(frozen=True)
class Pairs:
    """Numbers from the Jaccard distances of all pairs of windows of a set, computed together.

    Attributes:
        mean: mean distance, see `mean_distance`; NaN for fewer than two windows.
        between: mean distance of pairs of different groups; NaN if there is no such pair.
        within: mean distance of pairs of one group; NaN if there is no such pair.
        duplicate_rate: see `duplicate_rate`; NaN for fewer than two windows.
    """

    mean: float
    between: float
    within: float
    duplicate_rate: float

    @property
    def dependence(self) -> float:
        """How much further apart windows of different groups are than windows of one, see `start_sensitivity`."""
        return self.between - (0.0 if np.isnan(self.within) else self.within)


def pairs(rolls: np.ndarray, groups: np.ndarray | None = None) -> Pairs:
    """All pairs of a set in one pass. It takes n^2 time: about a fifth of a second for 1,000 windows of 32 steps.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        groups: `(n,)`, the start or song of each window, as any values that can be compared. One group if left out.

    Raises:
        ValueError: `groups` is not one value per window.
    """
    n = len(checked(rolls))
    groups = np.zeros(n) if groups is None else np.asarray(groups)
    if groups.shape != (n,):
        raise ValueError(f"groups must be one value per window, {(n,)}; got {groups.shape}.")
    return _pairs(flat_cells(rolls), np.unique(groups, return_inverse=True)[1])


def mean_distance(rolls: np.ndarray) -> float:
    """Mean Jaccard distance over all pairs of windows: 1 - cells on in both / cells on in either.

    0 if all windows are equal, 1 if no two share a cell. The distance of two silent windows is 0.

    Args:
        rolls: bool `(n, track, time, pitch)`.

    Returns:
        Between 0 and 1; NaN for fewer than two windows.
    """
    return pairs(rolls).mean


def diversity_ratio(generated: np.ndarray, real: np.ndarray) -> float:
    """How varied generated windows are compared with real ones: the ratio of the mean pairwise Jaccard distances.

    Best at 1; 0 is a set of equal windows. Random notes are above 1, so it tells collapse from variety, not music from
    noise.

    Args:
        generated: bool `(n, track, time, pitch)`.
        real: bool `(m, track, time, pitch)`, as many steps as `generated`.

    Returns:
        At least 0; NaN if either set has fewer than two windows or if all real windows are equal.
    """
    return float(ratio(mean_distance(generated), mean_distance(real)))


def duplicate_rate(rolls: np.ndarray) -> float:
    """Share of windows that have another window in the set with a Jaccard similarity of at least 0.95.

    Similarity = cells on in both / cells on in either; that of two silent windows is 1. Lower is better, down to the
    value of as many real windows, because real music repeats itself too. The rate grows with the number of windows and
    with the number of variations of one start, so compare only equally large sets. It takes n^2 time, see `pairs`.

    Args:
        rolls: bool `(n, track, time, pitch)`.

    Returns:
        Between 0 and 1; NaN for fewer than two windows.

    Source: after Arora and Zhang 2017, who recognise a collapsed generator by its share of near-duplicates.
    """
    return pairs(rolls).duplicate_rate


def start_sensitivity(generated: np.ndarray, starts: np.ndarray, real: np.ndarray) -> float:
    """How much windows depend on the start they continue: 0 not at all, 1 entirely and as varied as real music.

    (mean distance of windows of different starts - mean distance of windows of the same start) / mean distance of real
    windows. All are Jaccard distances, averaged over pairs. The second term removes what changes without the start, so
    a sampler that ignores the start scores 0 however varied it is. That term needs at least two windows of some start:
    several draws, or successive windows of one continuation. If no start has two windows, the term counts as 0. This
    is right only for a system without noise, or if the noise is the same for all starts.

    Best if closest to the value of real music, which is that of real windows with their songs as starts (see
    `suite.scale_measures`). The classic failure is 0: the output does not change with its condition.

    Args:
        generated: bool `(n, track, time, pitch)`.
        starts: `(n,)`, which start each window continues; any values that can be compared.
        real: bool `(m, track, time, pitch)`, real windows of as many steps, such as the real continuations.

    Returns:
        Usually between 0 and 1, slightly negative by chance; NaN if there are fewer than two starts, or if `real` has
        fewer than two windows or only equal ones.

    Source: ours.
    """
    return float(ratio(pairs(generated, starts).dependence, mean_distance(real)))


def noise_sensitivity(continuations: np.ndarray, real: np.ndarray) -> tuple[float, np.ndarray]:
    """How much noise alone changes what follows a start: 0 not at all, 1 as much as real windows differ.

    Mean distance of windows that continue the same start at the same place and differ only in their noise / mean
    distance of real windows. All are Jaccard distances, averaged over pairs. There is a value of whole windows and one
    of each track with its own cells alone. A pair of windows in which the track is silent has distance 0 in both means.

    It describes, so no direction is better. At 0 the sampler always returns the same. Far above the variety of real
    music, noise drowns the start. The values by track show which tracks follow the noise.

    Args:
        continuations: bool `(start, variation, continuation, track, time, pitch)`.
        real: bool `(m, track, time, pitch)`, real windows of as many steps.

    Returns:
        The value of whole windows, and the values `(track,)`, each at least 0. NaN if there are fewer than two
        variations, if there are no real windows or only equal ones, and if nothing sounds in any continuation, because
        a silent track neither follows the noise nor resists it.

    Source: ours.
    """
    values = ratio(noise_distances(continuations), np.array([mean_distance(real), *track_distances(real)]))
    return float(values[0]), values[1:]


def noise_distances(continuations: np.ndarray) -> np.ndarray:
    """The numerators of `noise_sensitivity`, `(1 + track,)`: of whole windows, then of each track. NaN likewise."""
    if continuations.shape[1] < 2:
        return np.full(1 + continuations.shape[3], np.nan)
    windows = np.packbits(continuations, axis=-1)
    total, count = np.zeros(1 + windows.shape[3]), 0
    # A lag at a time: each pair of variations has one lag, so all pairs are compared once.
    for lag in range(1, windows.shape[1]):
        one, other = windows[:, lag:], windows[:, :-lag]
        shared, either = _cells_on(one & other), _cells_on(one | other)
        distances = 1 - np.divide(shared, either, out=np.ones(shared.shape), where=either > 0)
        total += distances.sum(axis=0)
        count += len(distances)
    result = ratio(total, count)
    result[~_cells_on(windows).any(axis=0)] = np.nan
    return result


def track_distances(real: np.ndarray) -> np.ndarray:
    """The denominators of `noise_sensitivity` by track, `(track,)`: `mean_distance` of each track's cells alone."""
    return np.array([_pairs(flat_cells(checked(real)[:, track])).mean for track in range(real.shape[1])])


def _activity(rolls: np.ndarray, starts: np.ndarray, resolution: int) -> np.ndarray:
    """Onset density, share of silent steps and polyphony of each track, `(n, 15)`."""
    steps = rolls.shape[2]
    sounding = cells_by_step(rolls)
    density = np.log1p(cells_by_step(starts).sum(axis=2) * (resolution / steps))
    silent = 1 - (sounding > 0).mean(axis=2)
    polyphony = np.log1p(sounding.sum(axis=2) / steps)
    return np.stack([density, silent, polyphony], axis=2).reshape(len(rolls), _PER_TRACK * rolls.shape[1])


def _register(cells: np.ndarray) -> np.ndarray:
    """Mean and sd of pitch of each pitched track, `(n, 8)`, from its eighth notes `(n, pitched track, pitch)`."""
    pitch = np.arange(PITCHES)
    length = cells.sum(axis=2)
    mean = (cells @ pitch + _REGISTER[list(PITCHED)]) / (length + 1)
    playing = np.where(length > 0, length, 1)
    own_mean = cells @ pitch / playing
    variance = (cells * (pitch - own_mean[..., None]) ** 2).sum(axis=2) / playing
    return np.stack([mean, np.sqrt(variance)], axis=2).reshape(len(cells), _PER_PITCHED * len(PITCHED))


def _harmony(eighths: np.ndarray) -> np.ndarray:
    """Fourier magnitudes of the pitch classes of all pitched tracks together, `(n, 6)`; all 0 for an even mixture."""
    shares = _shares(pitch_classes(eighths.sum(axis=1)))
    k = np.arange(PITCH_CLASSES)
    waves = np.exp(-2j * np.pi * np.outer(k, np.arange(1, _HARMONICS + 1)) / PITCH_CLASSES)
    magnitudes: np.ndarray = np.abs(shares @ waves)
    return magnitudes


def _shares(counts: np.ndarray) -> np.ndarray:
    """Distribution `(n, bin)` of counts, with one added to each bin. So it is even if all counts are 0."""
    shares: np.ndarray = (counts + 1) / (counts.sum(axis=1, keepdims=True) + counts.shape[1])
    return shares


def _bar_likeness(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """Mean Jaccard similarity of each bar with the next, all tracks together, `(n,)`."""
    by_bar = np.packbits(bars(rolls, resolution), axis=-1)
    if by_bar.shape[2] < 2:
        return np.zeros(len(rolls))
    shared = packed_by_step(by_bar[:, :, :-1] & by_bar[:, :, 1:]).sum(axis=(1, 3))
    either = packed_by_step(by_bar[:, :, :-1] | by_bar[:, :, 1:]).sum(axis=(1, 3))
    similarities: np.ndarray = np.where(either, shared / np.maximum(either, 1), 1.0)
    likeness: np.ndarray = similarities.mean(axis=1)
    return likeness


def _root(covariance: np.ndarray) -> np.ndarray:
    """Symmetric square root of a covariance; eigenvalues that rounding made negative count as 0."""
    values, vectors = np.linalg.eigh(np.atleast_2d(covariance))
    root: np.ndarray = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def _cells_on(windows: np.ndarray) -> np.ndarray:
    """Number of cells on in packed windows `(..., track, time, 16)`: `(n, 1 + track)`, in all tracks, then in each."""
    by_track = packed_by_step(windows).sum(axis=-1).reshape(-1, windows.shape[-3])
    return np.concatenate([by_track.sum(axis=1, keepdims=True), by_track], axis=1)


def flat_cells(rolls: np.ndarray) -> np.ndarray:
    """All cells of each window in one row, `(n, cell)`; n may be 0."""
    return rolls.reshape(len(rolls), math.prod(rolls.shape[1:]))


def _pairs(cells: np.ndarray, groups: np.ndarray | None = None) -> Pairs:
    """`Pairs` of cells `(n, cell)` bool and groups `(n,)` int; one group if left out."""
    n = len(cells)
    groups = np.zeros(n, np.int64) if groups is None else groups
    sizes = np.bincount(groups)
    count, count_within = n * (n - 1) / 2, (sizes * (sizes - 1) / 2).sum()
    total = total_within = 0.0
    has_duplicate = np.zeros(n, bool)
    for rows, columns, similarities in similarity_blocks(cells):
        # A block on the diagonal holds each pair twice, and each window with itself.
        diagonal = rows == columns
        distances = 1 - similarities
        weight = 0.5 if diagonal else 1.0
        total += weight * distances.sum()
        total_within += weight * distances[groups[rows, None] == groups[columns]].sum()
        duplicates = similarities >= DUPLICATE
        if diagonal:
            np.fill_diagonal(duplicates, False)
        has_duplicate[rows] |= duplicates.any(axis=1)
        has_duplicate[columns] |= duplicates.any(axis=0)
    return Pairs(
        mean=float(ratio(total, count)),
        between=float(ratio(total - total_within, count - count_within)),
        within=float(ratio(total_within, count_within)),
        duplicate_rate=float(has_duplicate.mean()) if n > 1 else float("nan"),
    )


def similarity_blocks(cells: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Jaccard similarities of all pairs of rows, in blocks on and above the diagonal: rows, columns, values.

    Counts are sums of float32 products of zeros and ones. They are exact below 2^24 cells, so the order of summation
    cannot change them. Cells that no window uses, which are most cells, are left out first. The similarity of two
    silent windows is 1.
    """
    cells = cells[:, cells.any(axis=0)]
    sizes = cells.sum(axis=1, dtype=np.int64)
    for top in range(0, len(cells), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        block = cells[rows].astype(np.float32)
        for left in range(top, len(cells), _ROWS_AT_ONCE):
            columns = slice(left, left + _ROWS_AT_ONCE)
            other = block if left == top else cells[columns].astype(np.float32)
            shared = (block @ other.T).astype(np.float64)
            either = sizes[rows, None] + sizes[columns] - shared
            yield rows, columns, np.divide(shared, either, out=np.ones_like(shared), where=either > 0)
