"""Measures of the notes themselves, for each track: what is empty, which pitch classes sound, how they fit together."""

from itertools import combinations

import numpy as np

from musiclab.data.songs import TRACKS
from musiclab.measures.rolls import DRUMS, PITCH_CLASSES, PITCHED, bars, checked, onsets, pitch_classes, ratio

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
    used = pitch_classes(bars(rolls, resolution).any(axis=3).astype(np.uint8)) > 0
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

    Best closest to the value of real music. It moves little when tracks are shuffled between songs, so it cannot
    certify harmony alone. Not comparable with MuseGAN's printed values, whose chroma is wrong.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat; a bar is four beats, and steps after the last whole bar are left out.

    Returns:
        `(pair,)` in the order of `PITCHED_PAIRS`, mean over the bars in which both tracks sound. NaN for a pair that
        never sounds in one bar.

    Source: Harte, Sandler and Gasser 2006, "Detecting harmonic change in musical audio".
    """
    cells = pitch_classes(bars(rolls, resolution).sum(axis=3, dtype=np.int64))
    sounding = cells.any(axis=3)
    centroids = (cells / np.maximum(cells.sum(axis=3, keepdims=True), 1)) @ _tonal_map()
    result = np.full(len(PITCHED_PAIRS), np.nan)
    for index, (first, second) in enumerate(PITCHED_PAIRS):
        both = sounding[:, first] & sounding[:, second]
        if both.any():
            apart = centroids[:, first][both] - centroids[:, second][both]
            result[index] = np.linalg.norm(apart, axis=1).mean()
    return result


def note_density(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """Onsets a beat, all pitches of a track together.

    Onsets / (windows x steps / resolution). Best closest to the value of real music. A note held into a window counts
    as an onset at its step 0.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat.

    Returns:
        `(track,)`, onsets a beat. A silent track gives 0; NaN where there is no step at all.
    """
    n, _, steps, _ = checked(rolls).shape
    return ratio(onsets(rolls).sum(axis=(0, 2, 3)), n * steps / resolution)


def pair_name(pair: tuple[int, int]) -> str:
    """The two tracks of a pair as they stand in a measure's key, such as `Piano-Guitar`."""
    return f"{TRACKS[pair[0]]}-{TRACKS[pair[1]]}"


def _tonal_map() -> np.ndarray:
    """Harte's map from chroma to tonal centroid, `(12, 6)`."""
    k = np.arange(PITCH_CLASSES)
    circles = ((7 * np.pi / 6, 1.0), (3 * np.pi / 2, 1.0), (2 * np.pi / 3, 0.5))
    return np.stack([radius * wave(angle * k) for angle, radius in circles for wave in (np.sin, np.cos)], axis=1)
