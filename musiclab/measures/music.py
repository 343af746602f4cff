"""Measures of the notes themselves, for each track: what is empty, which pitch classes sound, how they fit together."""

from itertools import combinations

import numpy as np

from musiclab.data.songs import TRACKS
from musiclab.measures.notes import in_blocks, note_starts, packed
from musiclab.measures.rolls import (
    DRUMS,
    PITCH_CLASSES,
    PITCHED,
    bars,
    cells_by_pitch,
    checked,
    packed_by_step,
    pitch_classes,
    ratio,
)

PITCHED_PAIRS = tuple(combinations(PITCHED, 2))


def empty_bars(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """Share of bars in which a track plays nothing (EB of MuseGAN).

    EB = empty bars / bars, over all bars of all windows. Best closest to the value of real music.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat; a bar is four beats, and steps after the last whole bar are left out.

    Returns:
        `(track,)`, between 0 and 1. A silent track gives 1; NaN where there is no bar at all.

    Source: Dong et al. 2018, MuseGAN, section "Objective metrics".
    """
    sounding = bars(rolls, resolution).any(axis=(3, 4))
    return ratio((~sounding).sum(axis=(0, 2)), sounding[:, 0].size)


def used_pitch_classes(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """Mean number of distinct pitch classes (pitch mod 12) in a bar in which the track plays (UPC of MuseGAN).

    Best closest to the value of real music. Not comparable with MuseGAN's printed values, whose chroma is wrong.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat; a bar is four beats, and steps after the last whole bar are left out.

    Returns:
        `(track,)`, pitch classes a bar, 1 to 12. NaN for drums, whose pitches name instruments, and for a track
        without a sounding bar.

    Source: Dong et al. 2018, MuseGAN, section "Objective metrics"; chroma after Fujishima 1999.
    """
    bits = np.bitwise_or.reduce(np.packbits(bars(rolls, resolution), axis=-1), axis=3)
    used = pitch_classes(np.unpackbits(bits, axis=-1)) > 0
    result = ratio(used.sum(axis=(0, 2, 3)), used.any(axis=3).sum(axis=(0, 2)))
    result[DRUMS] = np.nan
    return result


def tonal_distance(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """Mean harmonic distance of two tracks within a bar (TD of MuseGAN).

    A bar's chroma c is the number of cells of each pitch class that are on, divided by their sum. The tonal centroid
    is six-dimensional: over k = pitch class, r sin(a k) and r cos(a k) summed with weights c, for (a, r) =
    (7 pi/6, 1), (3 pi/2, 1), (2 pi/3, 1/2), the circles of fifths, minor thirds and major thirds. The distance is
    L2 between the two centroids: 0 for equal harmony, unchanged when both tracks are transposed together. MuseGAN
    takes it beat by beat; here it is bar by bar, so that a melody and its slow accompaniment meet in every bar.

    Best closest to the value of real music. What it is by chance hangs on how many pitch classes sound, so it cannot
    certify harmony alone: see `harmony_gain`. Not comparable with MuseGAN's printed values, whose chroma is wrong.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat; a bar is four beats, and steps after the last whole bar are left out.

    Returns:
        `(pair,)` in the order of `PITCHED_PAIRS`, mean over the bars in which both tracks sound. NaN for a pair that
        never sounds in one bar.

    Source: Harte, Sandler and Gasser 2006, "Detecting harmonic change in musical audio".
    """
    centroids, sounding = _centroids(rolls, resolution)
    return _pair_distances(centroids, sounding, centroids, sounding)


def harmony_gain(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """How much closer in harmony two tracks are than when one of them is taken from another window.

    Tonal distance (`tonal_distance`) of a track of each window and the other track of the window half the set further
    on, bar by bar, minus that of the two tracks as they are. Above 0 tracks fit one another better than by chance, at 0
    they do not. Best closest to the value of real music.

    The exchange is a fixed shift and not drawn: no window meets itself, and the same windows always score the same.
    Half the set is the furthest there is on a circle. Windows that continue one start, or come from one song, stand
    next to each other where they are generated and are shuffled where they are real, so that with two starts or more
    tracks of different starts meet. That they then differ in key too is part of the gain.

    For scale, 384 windows at a time: .29 (sd .01) on chorales and .66 (sd .03) on the LPD-5 sample, and .00 (sd .01)
    where tracks are already exchanged. Most of that tells songs apart, their keys among the rest: a track of the next
    window of the same song adds only .09 and .24. In other comparisons tonal distance barely told real from shuffled
    music (.01 to .10 apart): read a gain beside its real value and floor, and take a small one as no proof of harmony.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat; a bar is four beats, and steps after the last whole bar are left out.

    Returns:
        `(pair,)` in the order of `PITCHED_PAIRS`, in Harte distances. NaN for fewer than two windows and for a pair
        that never sounds in one bar, as it is or exchanged.

    Source: Dong et al. 2018 (MuseGAN) compare tonal distances with those of shuffled tracks; distance after Harte.
    """
    if len(checked(rolls)) < 2:
        return np.full(len(PITCHED_PAIRS), np.nan)
    centroids, sounding = _centroids(rolls, resolution)
    shift = len(rolls) // 2
    others, others_sounding = np.roll(centroids, shift, axis=0), np.roll(sounding, shift, axis=0)
    exchanged = _pair_distances(centroids, sounding, others, others_sounding)
    return exchanged - _pair_distances(centroids, sounding, centroids, sounding)


def note_density(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """Onsets a beat, all pitches of a track together.

    Onsets / (windows x steps / resolution). Best closest to the value of real music. A note held into a window counts
    as an onset at its step 0. A drum hit lasts one step, so that each cell of the drums is an onset (`note_starts`).

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat.

    Returns:
        `(track,)`, onsets a beat. A silent track gives 0; NaN where there is no step at all.
    """
    n, _, steps, _ = checked(rolls).shape
    return ratio(packed_by_step(note_starts(packed(rolls))).sum(axis=(0, 2)), n * steps / resolution)


def tonal_centroids(chroma: np.ndarray) -> np.ndarray:
    """Harte's tonal centroids `(..., 6)` of chroma `(..., 12)`, see `tonal_distance`; NaN where nothing sounds."""
    return ratio(chroma, chroma.sum(axis=-1, keepdims=True)) @ _tonal_map()


def pair_name(pair: tuple[int, int]) -> str:
    """The two tracks of a pair as they stand in a measure's key, such as `Piano-Guitar`."""
    return f"{TRACKS[pair[0]]}-{TRACKS[pair[1]]}"


def _centroids(rolls: np.ndarray, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Tonal centroids of each bar `(n, track, bar, 6)`, and whether the track sounds in it `(n, track, bar)`."""
    cells = in_blocks(lambda some: pitch_classes(cells_by_pitch(bars(some, resolution))), checked(rolls))
    return tonal_centroids(cells), cells.any(axis=3)


def _pair_distances(
    firsts: np.ndarray, firsts_sounding: np.ndarray, seconds: np.ndarray, seconds_sounding: np.ndarray
) -> np.ndarray:
    """Mean distance `(pair,)` of the first track in `firsts` and the second in `seconds`, where both sound."""
    result = np.full(len(PITCHED_PAIRS), np.nan)
    for index, (first, second) in enumerate(PITCHED_PAIRS):
        both = firsts_sounding[:, first] & seconds_sounding[:, second]
        if both.any():
            apart = firsts[:, first][both] - seconds[:, second][both]
            result[index] = np.linalg.norm(apart, axis=1).mean()
    return result


def _tonal_map() -> np.ndarray:
    """Harte's map from chroma to tonal centroid, `(12, 6)`."""
    k = np.arange(PITCH_CLASSES)
    circles = ((7 * np.pi / 6, 1.0), (3 * np.pi / 2, 1.0), (2 * np.pi / 3, 0.5))
    return np.stack([radius * wave(angle * k) for angle, radius in circles for wave in (np.sin, np.cos)], axis=1)
