"""What the measures of notes share: packed rolls, starts of notes, sums over pitched tracks, entropy."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from musiclab.data.songs import DRUMS
from musiclab.measures.rolls import PITCHED, checked, ratio

# Cells handled at once: 8 MB, which is 409 windows of 32 steps.
_CELLS_AT_ONCE = 1 << 23


def packed(rolls: np.ndarray) -> np.ndarray:
    """The rolls with eight pitches per byte, uint8 `(n, track, time, 16)`: enough for all that is counted by step."""
    return np.packbits(checked(rolls), axis=-1)


def note_starts(bits: np.ndarray) -> np.ndarray:
    """Packed cells at which a note starts, `(n, track, time, 16)`: on now and off one step before.

    The step before the first counts as silent, so a note held into a window starts at its step 0. A drum hit always
    lasts one step, in windows as in tokens, so every drum cell is a hit of its own. Eighths on a hi-hat at 2 steps a
    beat are therefore eight notes a bar, not one.
    """
    starts = bits.copy()
    starts[:, :, 1:] &= ~bits[:, :, :-1]
    starts[:, DRUMS] = bits[:, DRUMS]
    return starts


def with_pitched(by_track: np.ndarray, axis: int = 0) -> np.ndarray:
    """Numbers by track, preceded on that axis by their sum over the pitched tracks (all but drums)."""
    return np.concatenate([by_track.take(PITCHED, axis).sum(axis, keepdims=True), by_track], axis)


def without_drums(values: np.ndarray) -> np.ndarray:
    """Values `(1 + track,)` with NaN for drums: their pitches name instruments, and their hits have no length."""
    return np.where(np.arange(len(values)) == 1 + DRUMS, np.nan, values)


def mean_of_windows(values: np.ndarray) -> np.ndarray:
    """Mean `(1 + track,)` of each column of `(n, 1 + track)` over the windows whose value is not NaN; else NaN."""
    present = ~np.isnan(values)
    return ratio(np.where(present, values, 0).sum(axis=0), present.sum(axis=0))


def entropy(counts: np.ndarray) -> np.ndarray:
    """Entropy in bits, `(...)`, of the distribution that counts `(..., bin)` give; NaN if all counts are 0."""
    shares = ratio(counts, counts.sum(axis=-1, keepdims=True))
    bits: np.ndarray = 0.0 - (shares * np.log2(shares, out=np.zeros_like(shares), where=shares > 0)).sum(axis=-1)
    return bits


def in_blocks(measure: Callable[[np.ndarray], np.ndarray], rolls: np.ndarray) -> np.ndarray:
    """`measure(rolls)`, an array with one row per window, computed block by block to bound its memory."""
    return np.concatenate([measure(block) for block in blocks(rolls)])


def blocks(rolls: np.ndarray) -> Iterator[np.ndarray]:
    """The rolls, some windows at a time; one empty block if there is no window."""
    size = max(1, _CELLS_AT_ONCE // max(1, math.prod(rolls.shape[1:])))
    for start in range(0, max(1, len(rolls)), size):
        yield rolls[start : start + size]
