"""Measures of the notes of each track: empty bars, pitch classes, density, and harmony between tracks."""

from itertools import combinations

import numpy as np

from musiclab.data.songs import DRUMS, TRACKS
from musiclab.measures.notes import in_blocks, note_starts, packed
from musiclab.measures.rolls import (
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

    EB = empty bars / bars, over all bars of all windows. Best if closest to the value of real music.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat; a bar is four beats, and steps after the last whole bar are left out.

    Returns:
        `(track,)`, between 0 and 1; 1 for a silent track. NaN if there is no whole bar.

    Source: Dong et al. 2018, MuseGAN, section "Objective metrics".
    """
    sounding: np.ndarray = np.any(bars(rolls, resolution), axis=(3, 4))
    return ratio((~sounding).sum(axis=(0, 2)), sounding[:, 0].size)


def used_pitch_classes(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """Mean number of distinct pitch classes (pitch mod 12) in a bar in which the track plays (UPC of MuseGAN).

    UPC = pitch classes used in a bar, averaged over all bars in which the track sounds. Best if closest to the value
    of real music. Not comparable with MuseGAN's printed values, because their chroma is wrong.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat; a bar is four beats, and steps after the last whole bar are left out.

    Returns:
        `(track,)`, pitch classes a bar, 1 to 12. NaN for drums, because their pitches name instruments, and for a
        track without a sounding bar.

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
    has six dimensions: the sums over pitch classes k of c_k r sin(a k) and c_k r cos(a k), for (a, r) = (7 pi/6, 1),
    (3 pi/2, 1) and (2 pi/3, 1/2), the circles of fifths, minor thirds and major thirds. The distance of two tracks is
    the L2 distance of their centroids. It is 0 for equal harmony and does not change if both tracks are transposed
    together. MuseGAN compares beat by beat. Here bars are compared, so that a melody and its slow accompaniment meet
    in every bar.

    Best if closest to the value of real music. The value by chance depends on how many pitch classes sound, so this
    measure alone does not prove harmony: see `harmony_gain`. Not comparable with MuseGAN's printed values, because
    their chroma is wrong.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat; a bar is four beats, and steps after the last whole bar are left out.

    Returns:
        `(pair,)` in the order of `PITCHED_PAIRS`, mean over the bars in which both tracks sound. NaN for a pair that
        never sounds in the same bar.

    Source: Harte, Sandler and Gasser 2006, "Detecting harmonic change in musical audio".
    """
    centroids, sounding = _centroids(rolls, resolution)
    return _pair_distances(centroids, sounding, centroids, sounding)


def harmony_gain(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """How much closer in harmony two tracks are than if one of them is taken from another window.

    The gain is the tonal distance (`tonal_distance`) after an exchange minus the tonal distance without it. The
    exchange pairs one track of each window with the other track of the window half the set further on. Above 0 tracks
    fit each other better than by chance; at 0 they do not. Best if closest to the value of real music.

    The exchange is a fixed shift and not drawn, so the same windows always score the same, and no window meets itself.
    On a circle half the set is as far as one can go. Generated windows that continue one start stand next to each
    other, and real windows are shuffled, so with two or more starts the tracks that meet come from different starts.
    These often differ in key too, and that is part of the gain.

    For comparison, with 384 windows: .29 (sd .01) on chorales, .66 (sd .03) on the LPD-5 sample, and .00 (sd .01) on
    tracks that are already exchanged. Most of the gain tells songs apart, by key among other things: exchanging with
    the next window of the same song gives a gain of only .09 and .24. In other comparisons tonal distance barely told
    real from shuffled music (.01 to .10 apart). So read a gain beside its real value and floor, and do not take a
    small one as proof of harmony.

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat; a bar is four beats, and steps after the last whole bar are left out.

    Returns:
        `(pair,)` in the order of `PITCHED_PAIRS`, in Harte distances. NaN for fewer than two windows and for a pair
        that never sounds in the same bar, with or without the exchange.

    Source: Dong et al. 2018 (MuseGAN), who compare tonal distances with those of shuffled tracks; the distance is that
    of Harte, Sandler and Gasser 2006.
    """
    if len(checked(rolls)) < 2:
        return np.full(len(PITCHED_PAIRS), np.nan)
    centroids, sounding = _centroids(rolls, resolution)
    shift = len(rolls) // 2
    others, others_sounding = np.roll(centroids, shift, axis=0), np.roll(sounding, shift, axis=0)
    exchanged = _pair_distances(centroids, sounding, others, others_sounding)
    gain: np.ndarray = exchanged - _pair_distances(centroids, sounding, centroids, sounding)
    return gain


def note_density(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """Onsets per beat, over all pitches of a track.

    Onsets / (windows x steps / resolution). Best if closest to the value of real music. A note held into a window
    counts as an onset at its step 0. A drum hit lasts one step, so every drum cell is an onset (`note_starts`).

    Args:
        rolls: bool `(n, track, time, pitch)`.
        resolution: steps a beat.

    Returns:
        `(track,)`, onsets per beat; 0 for a silent track. NaN if there is no step at all.
    """
    n, _, steps, _ = checked(rolls).shape
    onsets = packed_by_step(note_starts(packed(rolls))).sum(axis=(0, 2))
    return ratio(onsets, n * steps / resolution)


def tonal_centroids(chroma: np.ndarray) -> np.ndarray:
    """Harte's tonal centroids `(..., 6)` of chroma `(..., 12)`, see `tonal_distance`; NaN where nothing sounds."""
    centroids: np.ndarray = ratio(chroma, chroma.sum(axis=-1, keepdims=True)) @ _tonal_map()
    return centroids


def pair_name(pair: tuple[int, int]) -> str:
    """The name of a pair of tracks in a measure's key, such as `Piano-Guitar`."""
    return f"{TRACKS[pair[0]]}-{TRACKS[pair[1]]}"


def _centroids(rolls: np.ndarray, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Tonal centroids of each bar `(n, track, bar, 6)`, and whether the track sounds in it `(n, track, bar)`."""
    cells = in_blocks(lambda block: pitch_classes(cells_by_pitch(bars(block, resolution))), checked(rolls))
    sounding: np.ndarray = np.any(cells, axis=3)
    return tonal_centroids(cells), sounding


def _pair_distances(
    firsts: np.ndarray, firsts_sounding: np.ndarray, seconds: np.ndarray, seconds_sounding: np.ndarray
) -> np.ndarray:
    """Mean distance `(pair,)` of the first track of `firsts` and the second of `seconds` over bars where both sound."""
    result = np.full(len(PITCHED_PAIRS), np.nan)
    for index, (first, second) in enumerate(PITCHED_PAIRS):
        both = firsts_sounding[:, first] & seconds_sounding[:, second]
        if both.any():
            difference = firsts[:, first][both] - seconds[:, second][both]
            result[index] = np.linalg.norm(difference, axis=1).mean()
    return result


def _tonal_map() -> np.ndarray:
    """Harte's map from chroma to tonal centroid, `(12, 6)`."""
    k = np.arange(PITCH_CLASSES)
    circles = ((7 * np.pi / 6, 1.0), (3 * np.pi / 2, 1.0), (2 * np.pi / 3, 0.5))
    return np.stack([radius * wave(angle * k) for angle, radius in circles for wave in (np.sin, np.cos)], axis=1)
