"""Measures of a whole set of windows against real ones: how far apart, how varied, how much it heeds its start."""

from collections.abc import Iterator

import numpy as np

from musiclab.measures.rolls import (
    BEATS_PER_BAR,
    DRUMS,
    PITCH_CLASSES,
    PITCHED,
    PITCHES,
    bars,
    checked,
    onsets,
    pitch_classes,
    ratio,
)

# Onset positions are told apart to the eighth note, whatever the resolution.
_POSITIONS = 2 * BEATS_PER_BAR
# Usual register of each track of TRACKS (drums: a filler): what a silent track counts as, so that silence does not
# look like a very low note.
_REGISTER = np.array([60.0, 60.0, 55.0, 40.0, 62.0])
# The smallest sd by which a feature is divided. Below it a difference is no more musical than rounding, and a feature
# that never varies in real music would otherwise decide the distance alone.
_SMALLEST_PITCH_SD = 1.0
_SMALLEST_SD = 0.05
# Rows compared at once: 20 MB of float32 for windows of 32 steps.
_ROWS_AT_ONCE = 256

_PER_TRACK, _PER_PITCHED = 3, 2
_HARMONICS = PITCH_CLASSES // 2
_FLOORS = np.concatenate(
    [
        np.full(_PER_TRACK * len(_REGISTER), _SMALLEST_SD),
        np.full(_PER_PITCHED * len(PITCHED), _SMALLEST_PITCH_SD),
        np.full(_HARMONICS + 2 * _POSITIONS + 1, _SMALLEST_SD),
    ]
)


def embed(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """One vector of musical features for each window: the embedding of our Frechet distance, our own and untrained.

    Its 46 features, in this order:
        15: for each track, log(1 + onsets a beat), the share of silent steps, log(1 + mean number of pitches that
            sound at a step);
         8: for each pitched track, mean pitch and sd of pitch over its sounding time, in semitones;
         6: magnitudes of the discrete Fourier transform, at 1 to 6, of the distribution over pitch classes (as shares
            of sounding time) of the pitched tracks together: the same in every key; the third is high for triads, the
            fifth for notes of one scale (Quinn 2006, Amiot 2016), and both fall when tracks disagree;
        16: onset positions in the bar by eighth note, of the pitched tracks and of the drums, the share of onsets;
         1: likeness of neighbouring bars, the mean Jaccard similarity of a bar with the next one.

    Every feature is finite and changes little when a cell is added: shares have one imaginary eighth note or onset in
    each bin, and mean pitch one imaginary eighth note in the track's usual register. So a silent track stands there,
    with sd 0 and an even distribution. Two silent bars are alike (1); windows of less than two bars have likeness 0.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat; a bar is four beats.

    Returns:
        float64 `(n, 46)`.
    """
    starts = onsets(rolls)
    positions = _onset_positions(starts, resolution)
    # In eighth notes and not in cells, so that the imaginary note weighs the same at every resolution.
    eighths = rolls[:, PITCHED, :, :].sum(axis=2, dtype=np.int64) * (2 / resolution)
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
    the reference set; d^2 is returned, as is the custom, in squared reference sds. Lower is better, 0 for identical
    sets. A feature that hardly varies in the reference is divided by a floor instead (1 semitone, or 0.05), so that
    it drops out unless a set departs from it.

    Finite sets are never at 0: two samples of n and m windows of one Gaussian source are apart by about
    (1/n + 1/m) (d + d (d + 1) / 4), most of it from the covariances; with d = 46 that is 4.6 for 256 windows each and
    1.1 for 1,024 (fewer where features are correlated, as in music). Compare only distances of equally large sets,
    and read them beside the floor between two halves of real music of that size. The value depends on this embedding:
    it is not comparable with a published Frechet Music Distance or with any other.

    Args:
        a: vectors `(n, d)`.
        b: vectors `(m, d)`.
        reference: vectors `(r, d)` of real windows that set the scale; the same for all distances to be compared.

    Returns:
        The distance; NaN where any of the sets has fewer than two windows.

    Source: Dowson and Landau 1982; Heusel et al. 2017 (FID) for its use on generators.
    """
    if min(len(a), len(b), len(reference)) < 2:
        return float("nan")
    scale = np.maximum(reference.std(axis=0, ddof=1), _FLOORS)
    centre = reference.mean(axis=0)
    first, second = (a - centre) / scale, (b - centre) / scale
    between_means = np.sum((first.mean(axis=0) - second.mean(axis=0)) ** 2)
    first_covariance, second_covariance = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    # The trace of the inner root is the sum of the singular values of the product of the two roots: real by
    # construction, where a general matrix root of C_a C_b turns complex on singular covariances.
    product = _root(first_covariance) @ _root(second_covariance)
    shared = np.linalg.svd(product, compute_uv=False).sum()
    squared = between_means + np.trace(first_covariance) + np.trace(second_covariance) - 2 * shared
    return float(max(squared, 0.0))


def mean_distance(rolls: np.ndarray) -> float:
    """Mean Jaccard distance over all pairs of windows: 1 - cells on in both / cells on in either.

    0 where all windows are equal, 1 where no two share a cell; two silent windows are at 0. Takes n^2 time: about
    half a second for 1,000 windows of 32 steps.

    Args:
        rolls: bool `(n, track, time, pitch)`.

    Returns:
        Between 0 and 1; NaN for fewer than two windows.
    """
    n = len(rolls)
    if n < 2:
        return float("nan")
    return _sum_of_distances(checked(rolls)) / (n * (n - 1) / 2)


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


def start_sensitivity(generated: np.ndarray, starts: np.ndarray, real: np.ndarray) -> float:
    """How much windows depend on the start they continue: 0 not at all, 1 entirely and as varied as real music.

    (mean distance of windows of different starts - mean distance of windows of the same start) / mean distance of real
    windows, all Jaccard distances over pairs. The second term takes away what changes without the start: a sampler
    that ignores it scores 0 however varied it is. It needs at least two windows of some start, draws or successive
    windows of one continuation. Where no start has two, the term counts as 0, which is right only for a system without
    noise or one whose starts all share theirs.

    Best closest to the value of real music, which is that of real windows with their songs as starts (`suite.floors`).
    The classic failure is 0: the output does not change with its condition.

    Args:
        generated: bool `(n, track, time, pitch)`.
        starts: `(n,)`, which start each window continues; any values that compare equal.
        real: bool `(m, track, time, pitch)`, real windows of as many steps, such as the real continuations.

    Returns:
        Usually between 0 and 1, slightly negative by chance; NaN for fewer than two starts or where `real` has fewer
        than two windows or only equal ones.
    """
    starts = np.asarray(starts)
    if starts.shape != (len(checked(generated)),):
        raise ValueError(f"starts must name one start a window, not {starts.shape} for {len(generated)} windows")
    groups = [np.flatnonzero(starts == start) for start in np.unique(starts)]
    if len(groups) < 2:
        return float("nan")
    pairs = len(starts) * (len(starts) - 1) / 2
    pairs_within = sum(len(group) * (len(group) - 1) / 2 for group in groups)
    total = _sum_of_distances(generated)
    total_within = sum(_sum_of_distances(generated[group]) for group in groups)
    between = (total - total_within) / (pairs - pairs_within)
    within = total_within / pairs_within if pairs_within else 0.0
    return float(ratio(between - within, mean_distance(real)))


def _activity(rolls: np.ndarray, starts: np.ndarray, resolution: int) -> np.ndarray:
    """Onset density, share of silent steps and polyphony of each track, `(n, 15)`."""
    steps = rolls.shape[2]
    density = np.log1p(starts.sum(axis=(2, 3)) * (resolution / steps))
    silent = 1 - rolls.any(axis=3).mean(axis=2)
    polyphony = np.log1p(rolls.sum(axis=(2, 3)) / steps)
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
    return np.abs(shares @ waves)


def _onset_positions(starts: np.ndarray, resolution: int) -> np.ndarray:
    """Onsets of each track at each eighth of the bar, `(n, track, 8)`."""
    n, tracks, steps, _ = starts.shape
    bar = BEATS_PER_BAR * resolution
    eighths = np.arange(steps) % bar * _POSITIONS // bar
    by_step = starts.sum(axis=3, dtype=np.int64)
    result = np.zeros((n, tracks, _POSITIONS), dtype=np.int64)
    for eighth in range(_POSITIONS):
        result[:, :, eighth] = by_step[:, :, eighths == eighth].sum(axis=2)
    return result


def _shares(counts: np.ndarray) -> np.ndarray:
    """Distribution `(n, bin)` of counts, each bin one higher than counted, so that no counts at all are an even one."""
    return (counts + 1) / (counts.sum(axis=1, keepdims=True) + counts.shape[1])


def _bar_likeness(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """Mean Jaccard similarity of each bar with the next, all tracks together, `(n,)`."""
    by_bar = bars(rolls, resolution)
    if by_bar.shape[2] < 2:
        return np.zeros(len(rolls))
    shared = (by_bar[:, :, :-1] & by_bar[:, :, 1:]).sum(axis=(1, 3, 4))
    either = (by_bar[:, :, :-1] | by_bar[:, :, 1:]).sum(axis=(1, 3, 4))
    return np.where(either, shared / np.maximum(either, 1), 1.0).mean(axis=1)


def _root(covariance: np.ndarray) -> np.ndarray:
    """Symmetric square root of a covariance; eigenvalues that rounding made negative count as 0."""
    values, vectors = np.linalg.eigh(np.atleast_2d(covariance))
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def _sum_of_distances(rolls: np.ndarray) -> float:
    """Sum of the Jaccard distances of all pairs of windows."""
    return float(sum(block.sum() for block in _distances(rolls)))


def _distances(rolls: np.ndarray) -> Iterator[np.ndarray]:
    """Jaccard distances of all pairs of windows, each once, in blocks of rows.

    Counts are float32 products of zeros and ones: exact below 2^24 cells, so the order of summation cannot change
    them. Cells that no window uses are left out first, which is most of them.
    """
    cells = rolls.reshape(len(rolls), -1)
    cells = cells[:, cells.any(axis=0)]
    sizes = cells.sum(axis=1, dtype=np.int64)
    for top in range(0, len(cells), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        block = cells[rows].astype(np.float32)
        for left in range(top, len(cells), _ROWS_AT_ONCE):
            columns = slice(left, left + _ROWS_AT_ONCE)
            shared = (block @ cells[columns].astype(np.float32).T).astype(np.float64)
            either = sizes[rows, None] + sizes[columns] - shared
            distances = 1 - np.divide(shared, either, out=np.ones_like(shared), where=either > 0)
            yield np.triu(distances, k=1) if left == top else distances
