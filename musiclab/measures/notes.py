"""What the measures of notes share: packed rolls, where notes start, pitched tracks together, entropy."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from musiclab.measures.rolls import DRUMS, PITCHED, checked, ratio

# Cells looked at in one go, 8 MB of them: 409 windows of 32 steps.
_CELLS_AT_ONCE = 1 << 23


def packed(rolls: np.ndarray) -> np.ndarray:
    """The rolls with eight pitches a byte, uint8 `(n, track, time, 16)`: what is counted step by step needs no more."""
    return np.packbits(checked(rolls), axis=-1)


def note_starts(bits: np.ndarray) -> np.ndarray:
    """Packed cells where a note starts, `(n, track, time, 16)`: on now and off one step before.

    The step before the first is silence, so that a note held into a window starts at its step 0. A drum hit lasts one
    step, as windows are cut and tokens are written, so in drums every cell is a hit of its own: eighths on a hi-hat
    at 2 steps a beat are eight notes a bar and not one.
    """
    starts = bits.copy()
    starts[:, :, 1:] &= ~bits[:, :, :-1]
    starts[:, DRUMS] = bits[:, DRUMS]
    return starts


def with_pitched(by_track: np.ndarray, axis: int = 0) -> np.ndarray:
    """Numbers by track, with the sum of the pitched tracks put before them on that axis; drums stay apart."""
    return np.concatenate([by_track.take(PITCHED, axis).sum(axis, keepdims=True), by_track], axis)


def without_drums(values: np.ndarray) -> np.ndarray:
    """Values `(1 + track,)` with NaN for drums, whose pitches name instruments and whose hits have no length."""
    return np.where(np.arange(len(values)) == 1 + DRUMS, np.nan, values)


def mean_of_windows(values: np.ndarray) -> np.ndarray:
    """Means `(1 + track,)` of each column of `(n, 1 + track)` over those windows that have a value."""
    present = ~np.isnan(values)
    return ratio(np.where(present, values, 0).sum(axis=0), present.sum(axis=0))


def entropy(counts: np.ndarray) -> np.ndarray:
    """Entropy in bits of the distributions that counts `(..., bin)` are in proportion to; NaN for no counts."""
    shares = ratio(counts, counts.sum(axis=-1, keepdims=True))
    return 0.0 - (shares * np.log2(shares, out=np.zeros_like(shares), where=shares > 0)).sum(axis=-1)


def in_blocks(measure: Callable[[np.ndarray], np.ndarray], rolls: np.ndarray) -> np.ndarray:
    """`measure(rolls)`, an array with one row a window, worked out for some windows at a time to bound its memory."""
    return np.concatenate([measure(some) for some in blocks(rolls)])


def blocks(rolls: np.ndarray) -> Iterator[np.ndarray]:
    """The rolls, some windows at a time; one empty block where there is no window."""
    at_once = max(1, _CELLS_AT_ONCE // max(1, math.prod(rolls.shape[1:])))
    for start in range(0, max(1, len(rolls)), at_once):
        yield rolls[start : start + at_once]
