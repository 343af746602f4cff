"""`musegan_compat`: MuseGAN's measures as MuseGAN worked them out, to compare with its published tables and no more.

Each is a number for a bar of 4/4 at 24 steps a beat, of the 84 pitches from C1 (24) to B7 (107); a table has their
means over bars. Their chroma is wrong: the 84 pitches are added up in twelve bands of seven neighbouring semitones and
not by pitch class, so that an octave is two classes and a tritone often one. No study answers with these; ours are in
`music` and `rhythm`.

Source: Dong, Hsiao, Yang and Yang 2018, "MuseGAN", AAAI, section "Objective metrics", and their published code.
"""

from collections.abc import Callable

import numpy as np

from musiclab.measures.music import PITCHED_PAIRS, tonal_centroids
from musiclab.measures.notes import note_starts, packed
from musiclab.measures.rolls import (
    BEATS_PER_BAR,
    DRUMS,
    PITCH_CLASSES,
    cells_by_pitch,
    checked,
    packed_by_step,
    ratio,
)

RESOLUTION = 24
STEPS = BEATS_PER_BAR * RESOLUTION
_PITCHES = slice(24, 108)
# A 32nd note, as their text says; their code takes 2 steps.
_QUALIFIED_STEPS = 3
# Credit for a drum hit by its distance from a 16th note, 6 steps: full on it and .3 one step beside it.
_DRUM_FILTER = np.tile([1, 0.3, 0, 0, 0, 0.3], STEPS // 6)

Chroma = Callable[[np.ndarray], np.ndarray]


def bands(cells: np.ndarray) -> np.ndarray:
    """MuseGAN's chroma of counts `(..., 84)`: `(..., 12)`, each the sum of seven neighbouring semitones."""
    return cells.reshape(*cells.shape[:-1], PITCH_CLASSES, -1).sum(axis=-1)


def classes(cells: np.ndarray) -> np.ndarray:
    """The right chroma of counts `(..., 84)`: `(..., 12)`, sums over octaves, C first."""
    return cells.reshape(*cells.shape[:-1], -1, PITCH_CLASSES).sum(axis=-2)


def musegan_compat(bars: np.ndarray, chroma: Chroma = bands) -> dict[str, np.ndarray]:
    """EB, UPC, QN, DP and TD of each bar; average what is not NaN over bars.

    Args:
        bars: bool `(n, track, 96, pitch)`.
        chroma: `bands` for what is published, `classes` for what it should have been.

    Returns:
        `EB` `(n, track)`: 1 for a track that is silent in the bar, else 0.
        `UPC` `(n, track)`: number of chroma bins in use; NaN for silent tracks and for drums.
        `QN` `(n, track)`: share of notes, cut at bar lines, that last three steps at least; NaN likewise.
        `DP` `(n,)`: share of drum hits on 16ths, .3 for one step beside them, by the best of the six phases against
            the beat; NaN without drums. An 8-beat pattern lies on 16ths too.
        `TD` `(n, pair)` in the order of `PITCHED_PAIRS`: Harte's distance beat by beat, mean of the four beats; NaN
            where a track is silent in any beat.

    Raises:
        ValueError: bars that are not 96 steps long.
    """
    if checked(bars).shape[2] != STEPS:
        raise ValueError(f"bars must have {STEPS} steps, {RESOLUTION} a beat, not {bars.shape[2]}")
    kept = np.zeros_like(bars)
    kept[..., _PITCHES] = bars[..., _PITCHES]
    silent = ~kept.any(axis=(2, 3))
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
    bits = packed(bars)
    starts = note_starts(bits)
    lasting = starts[:, :, : 1 - _QUALIFIED_STEPS].copy()
    for later in range(1, _QUALIFIED_STEPS):
        lasting &= bits[:, :, later : STEPS + 1 - _QUALIFIED_STEPS + later]
    return ratio(packed_by_step(lasting).sum(axis=2), packed_by_step(starts).sum(axis=2))


def _drum_pattern(bars: np.ndarray) -> np.ndarray:
    hits = packed_by_step(packed(bars)[:, DRUMS])
    phases = np.stack([np.roll(_DRUM_FILTER, shift) for shift in range(6)], axis=1)
    return ratio((hits @ phases).max(axis=1), hits.sum(axis=1))


def _tonal_distances(bars: np.ndarray, chroma: Chroma) -> np.ndarray:
    n, tracks, _, pitches = bars.shape
    cells = cells_by_pitch(bars.reshape(n, tracks, BEATS_PER_BAR, RESOLUTION, pitches))[..., _PITCHES]
    centroids = tonal_centroids(chroma(cells))  # NaN where nothing sounds, which a mean of four beats passes on
    apart = [centroids[:, first] - centroids[:, second] for first, second in PITCHED_PAIRS]
    return np.stack([np.linalg.norm(each, axis=-1).mean(axis=-1) for each in apart], axis=-1)
