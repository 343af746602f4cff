"""An embedding of windows in musical features, of all tracks or of each alone, and the Frechet distance in it."""

import numpy as np

from musiclab.data.songs import DRUMS
from musiclab.measures.rolls import (
    PITCH_CLASSES,
    PITCHED,
    PITCHES,
    POSITIONS,
    bars,
    cells_by_pitch,
    cells_by_step,
    onset_positions,
    onsets,
    packed_by_step,
    pitch_classes,
)

# Usual register of each track of TRACKS. Drums have no pitch, so theirs is a placeholder. A silent track counts as
# being there, because otherwise silence would look like a very low note.
_REGISTER = np.array([60.0, 60.0, 55.0, 40.0, 62.0])

# The smallest sd by which a feature is divided. Smaller differences have no musical meaning, and without a limit a
# feature that never varies in real music would dominate the distance.
_SMALLEST_PITCH_SD = 1.0
_SMALLEST_SD = 0.05
_PER_TRACK, _PER_PITCHED = 3, 2
_HARMONICS = PITCH_CLASSES // 2


def _sd_floors(tracks: int, pitched: int, distributions: int) -> np.ndarray:
    """The floors of features of so many tracks, pitched tracks and distributions of onsets."""
    return np.concatenate(
        [
            np.full(_PER_TRACK * tracks, _SMALLEST_SD),
            np.full(_PER_PITCHED * pitched, _SMALLEST_PITCH_SD),
            np.full(_HARMONICS + distributions * POSITIONS + 1, _SMALLEST_SD),
        ]
    )


# The smallest sds of the features of `embed`, and of those of one track of `embed_tracks`.
SD_FLOORS = _sd_floors(len(_REGISTER), len(PITCHED), 2)
TRACK_SD_FLOORS = _sd_floors(1, 1, 1)


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
    shared, either = _cells_of_neighbouring_bars(rolls, resolution)
    features = [
        _activity(rolls, starts, resolution).reshape(len(rolls), _PER_TRACK * len(_REGISTER)),
        _register(eighths, _REGISTER[list(PITCHED)]).reshape(len(rolls), _PER_PITCHED * len(PITCHED)),
        _harmony(eighths.sum(axis=1)),
        _shares(positions[:, PITCHED, :].sum(axis=1)),
        _shares(positions[:, DRUMS, :]),
        _bar_likeness(shared.sum(axis=1), either.sum(axis=1))[:, None],
    ]
    return np.concatenate(features, axis=1)


def embed_tracks(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """The features of `embed` for each track alone: what they are if all other tracks are silent.

    The 20 features, in this order, without those that the silence of the others makes constant:
        3: log(1 + onsets per beat), the share of silent steps, log(1 + mean number of pitches);
        2: mean and sd of pitch;
        6: the magnitudes of the Fourier transform over pitch classes;
        8: shares of onsets at each eighth note of the bar;
        1: mean Jaccard similarity of a bar with the next one.
    Drums have no pitch, so their mean and sd of pitch and their magnitudes are constant.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat; a bar is four beats.

    Returns:
        float64 `(n, track, 20)`.
    """
    starts = onsets(rolls)
    eighths = cells_by_pitch(rolls) * (2 / resolution)
    eighths[:, DRUMS] = 0
    features = [
        _activity(rolls, starts, resolution),
        _register(eighths, _REGISTER),
        _harmony(eighths),
        _shares(onset_positions(starts, resolution)),
        _bar_likeness(*_cells_of_neighbouring_bars(rolls, resolution))[..., None],
    ]
    return np.concatenate(features, axis=2)


def frechet_distance(a: np.ndarray, b: np.ndarray, reference: np.ndarray, sd_floors: np.ndarray = SD_FLOORS) -> float:
    """Frechet distance between two sets of windows, given as the vectors of `embed` or of a track of `embed_tracks`.

    d^2 = |mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2), after each feature is divided by its sd in
    the reference set. The result is d^2, as is usual, in squared reference sds. Lower is better, 0 for identical sets.
    A feature that hardly varies in the reference is divided by a floor instead (1 semitone, or 0.05). So it adds
    nothing unless a set departs from it.

    Finite sets never reach 0: two samples of n and m windows from one Gaussian source are about
    (1/n + 1/m) (d + d (d + 1) / 4) apart, mostly because of the covariances. With d = 46 that is 4.6 for 256 windows
    each and 1.1 for 1,024, and .98 and .24 with the 20 features of one track (less if features are correlated, as they
    are in music). Compare only distances of equally large sets, and read them beside the floor between two halves of
    real music of that size. The value depends on this embedding, so it cannot be compared with a published Frechet
    Music Distance or with any other.

    Args:
        a: vectors `(n, d)`.
        b: vectors `(m, d)`.
        reference: vectors `(r, d)` of real windows that set the scale. Use the same for all distances to be compared.
        sd_floors: the smallest sds `(d,)` of the embedding, SD_FLOORS or TRACK_SD_FLOORS.

    Returns:
        d^2, at least 0; NaN if any of the three sets has fewer than two windows.

    Source: Dowson and Landau 1982; Heusel et al. 2017 (FID) for its use on generators.
    """
    if min(len(a), len(b), len(reference)) < 2:
        return float("nan")
    scale = np.maximum(reference.std(axis=0, ddof=1), sd_floors)
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


def _activity(rolls: np.ndarray, starts: np.ndarray, resolution: int) -> np.ndarray:
    """Onset density, share of silent steps and polyphony of each track, `(n, track, 3)`."""
    steps = rolls.shape[2]
    sounding = cells_by_step(rolls)
    density = np.log1p(cells_by_step(starts).sum(axis=2) * (resolution / steps))
    silent = 1 - (sounding > 0).mean(axis=2)
    polyphony = np.log1p(sounding.sum(axis=2) / steps)
    return np.stack([density, silent, polyphony], axis=2)


def _register(cells: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Mean and sd of pitch of tracks, `(n, track, 2)`, from eighth notes `(n, track, pitch)` and usual registers."""
    pitch = np.arange(PITCHES)
    length = cells.sum(axis=2)
    mean = (cells @ pitch + usual) / (length + 1)
    playing = np.where(length > 0, length, 1)
    own_mean = cells @ pitch / playing
    variance = (cells * (pitch - own_mean[..., None]) ** 2).sum(axis=2) / playing
    return np.stack([mean, np.sqrt(variance)], axis=2)


def _harmony(eighths: np.ndarray) -> np.ndarray:
    """Fourier magnitudes `(..., 6)` of the pitch classes of eighth notes `(..., pitch)`; all 0 for an even mixture."""
    shares = _shares(pitch_classes(eighths))
    k = np.arange(PITCH_CLASSES)
    waves = np.exp(-2j * np.pi * np.outer(k, np.arange(1, _HARMONICS + 1)) / PITCH_CLASSES)
    magnitudes: np.ndarray = np.abs(shares @ waves)
    return magnitudes


def _shares(counts: np.ndarray) -> np.ndarray:
    """Distribution `(..., bin)` of counts, with one added to each bin. So it is even if all counts are 0."""
    shares: np.ndarray = (counts + 1) / (counts.sum(axis=-1, keepdims=True) + counts.shape[-1])
    return shares


def _cells_of_neighbouring_bars(rolls: np.ndarray, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """How many cells each bar shares with the next, and how many are in either, both `(n, track, bar - 1)`."""
    by_bar = np.packbits(bars(rolls, resolution), axis=-1)
    one, following = by_bar[:, :, :-1], by_bar[:, :, 1:]
    return packed_by_step(one & following).sum(axis=3), packed_by_step(one | following).sum(axis=3)


def _bar_likeness(shared: np.ndarray, either: np.ndarray) -> np.ndarray:
    """Mean Jaccard similarity `(...)` of each bar with the next, from their cells `(..., bar - 1)`."""
    if not shared.shape[-1]:
        return np.zeros(shared.shape[:-1])
    similarities: np.ndarray = np.where(either, shared / np.maximum(either, 1), 1.0)
    likeness: np.ndarray = similarities.mean(axis=-1)
    return likeness


def _root(covariance: np.ndarray) -> np.ndarray:
    """Symmetric square root of a covariance; eigenvalues that rounding made negative count as 0."""
    values, vectors = np.linalg.eigh(np.atleast_2d(covariance))
    root: np.ndarray = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root
