"""MuseGAN's measures as MuseGAN computes them. They serve only to compare with its published tables.

Each is a number for a bar of 4/4 at 24 steps a beat, of the 84 pitches from C1 (24) to B7 (107). A table has their
means over bars. MuseGAN's chroma is wrong: it sums the 84 pitches in twelve bands of seven neighbouring semitones and
not by pitch class. So notes an octave apart are in different bands, and notes a tritone apart can be in the same one.
No study uses these measures; ours are in `music` and `rhythm`.

Source: Dong, Hsiao, Yang and Yang 2018, "MuseGAN", AAAI, section "Objective metrics", and their published code.
"""

from collections.abc import Callable

import numpy as np

from musiclab.data.songs import DRUMS
from musiclab.measures.music import PITCHED_PAIRS, tonal_centroids
from musiclab.measures.notes import note_starts, packed
from musiclab.measures.rolls import (
    BEATS_PER_BAR,
    PITCH_CLASSES,
    cells_by_pitch,
    checked,
    packed_by_step,
    ratio,
)

RESOLUTION = 24
STEPS = BEATS_PER_BAR * RESOLUTION
_PITCHES = slice(24, 108)
# A 32nd note, as their text says; their code uses 2 steps.
_QUALIFIED_STEPS = 3
# Credit for a drum hit by its distance from the nearest 16th note (6 steps): 1 on it and .3 one step beside it.
_DRUM_FILTER = np.tile([1, 0.3, 0, 0, 0, 0.3], STEPS // 6)

Chroma = Callable[[np.ndarray], np.ndarray]


def bands(cells: np.ndarray) -> np.ndarray:
    """MuseGAN's chroma of counts `(..., 84)`: `(..., 12)`, each the sum of seven neighbouring semitones."""
    chroma: np.ndarray = cells.reshape(*cells.shape[:-1], PITCH_CLASSES, -1).sum(axis=-1)
    return chroma


def classes(cells: np.ndarray) -> np.ndarray:
    """The right chroma of counts `(..., 84)`: `(..., 12)`, sums over octaves, C first."""
    chroma: np.ndarray = cells.reshape(*cells.shape[:-1], -1, PITCH_CLASSES).sum(axis=-2)
    return chroma


def musegan_compat(bars: np.ndarray, chroma: Chroma = bands) -> dict[str, np.ndarray]:
    """EB, UPC, QN, DP and TD of each bar. For a table, average the values that are not NaN over bars.

    Args:
        bars: bool `(n, track, 96, pitch)`.
        chroma: `bands` for the published chroma, `classes` for the right one.

    Returns:
        `EB` `(n, track)`: 1 for a track that is silent in the bar, else 0.
        `UPC` `(n, track)`: number of chroma bins in use; NaN for silent tracks and for drums.
        `QN` `(n, track)`: share of notes (cut at bar lines) of at least three steps; NaN for silent tracks and drums.
        `DP` `(n,)`: share of drum hits on 16ths, with a credit of .3 for hits one step beside them, at the best of the
            six phases against the beat; NaN without drums. An 8-beat pattern lies on 16ths too.
        `TD` `(n, pair)` in the order of `PITCHED_PAIRS`: Harte's distance in each beat, mean of the four beats; NaN if
            one of the tracks is silent in any beat.

    Raises:
        ValueError: the bars are not 96 steps long.
    """
    if checked(bars).shape[2] != STEPS:
        raise ValueError(f"bars must have {STEPS} steps, {RESOLUTION} a beat; got {bars.shape[2]}.")
    kept = np.zeros_like(bars)
    kept[..., _PITCHES] = bars[..., _PITCHES]
    silent: np.ndarray = ~np.any(kept, axis=(2, 3))
    return {
        "EB": silent.astype(float),
        "UPC": _of_notes((chroma(cells_by_pitch(kept)[..., _PITCHES]) > 0).sum(axis=-1), silent),
        "QN": _of_notes(_qualified(kept), silent),
        "DP": _drum_pattern(kept),
        "TD": _tonal_distances(kept, chroma),
    }


def _of_notes(values: np.ndarray, silent: np.ndarray) -> np.ndarray:
    """Values `(n, track)` with NaN for silent tracks and for drums."""
    return np.where(silent | (np.arange(silent.shape[1]) == DRUMS), np.nan, values)


def _qualified(bars: np.ndarray) -> np.ndarray:
    """QN by bar and track."""
    bits = packed(bars)
    starts = note_starts(bits)
    lasting = starts[:, :, : 1 - _QUALIFIED_STEPS].copy()
    for later in range(1, _QUALIFIED_STEPS):
        lasting &= bits[:, :, later : STEPS + 1 - _QUALIFIED_STEPS + later]
    return ratio(packed_by_step(lasting).sum(axis=2), packed_by_step(starts).sum(axis=2))


def _drum_pattern(bars: np.ndarray) -> np.ndarray:
    """DP by bar."""
    hits = packed_by_step(packed(bars)[:, DRUMS])
    phases = np.stack([np.roll(_DRUM_FILTER, shift) for shift in range(6)], axis=1)
    return ratio((hits @ phases).max(axis=1), hits.sum(axis=1))


def _tonal_distances(bars: np.ndarray, chroma: Chroma) -> np.ndarray:
    """TD by bar and pair."""
    n, tracks, _, pitches = bars.shape
    cells = cells_by_pitch(bars.reshape(n, tracks, BEATS_PER_BAR, RESOLUTION, pitches))[..., _PITCHES]
    centroids = tonal_centroids(chroma(cells))  # NaN in beats where nothing sounds; the mean of the beats is then NaN
    differences = [centroids[:, first] - centroids[:, second] for first, second in PITCHED_PAIRS]
    return np.stack([np.linalg.norm(difference, axis=-1).mean(axis=-1) for difference in differences], axis=-1)
