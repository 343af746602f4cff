"""What all measures read from a set of pianorolls: bars, onsets and pitch classes."""

import numpy as np
from numpy.typing import ArrayLike

from musiclab.data.songs import DRUMS, TRACKS

BEATS_PER_BAR = 4
# Onset positions in a bar are counted by eighth note at every resolution.
POSITIONS = 2 * BEATS_PER_BAR
PITCHES = 128
PITCH_CLASSES = 12
PITCHED = tuple(index for index in range(len(TRACKS)) if index != DRUMS)


def checked(rolls: np.ndarray) -> np.ndarray:
    """`rolls` itself, a bool array `(n, track, time, pitch)`.

    Raises:
        ValueError: the type or shape is another. On integers `~` is no logical not, so that measures would return
            wrong numbers that look right.
    """
    if rolls.dtype != np.bool_ or rolls.ndim != 4 or rolls.shape[1] != len(TRACKS) or rolls.shape[3] != PITCHES:
        raise ValueError(f"rolls must be bool (n, {len(TRACKS)}, steps, {PITCHES}); got {rolls.dtype} {rolls.shape}.")
    return rolls


def bars(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """View of the rolls by bar, `(n, track, bar, time, pitch)`. Steps after the last whole bar are left out."""
    n, tracks, steps, pitches = checked(rolls).shape
    length = BEATS_PER_BAR * resolution
    count = steps // length
    return rolls[:, :, : count * length].reshape(n, tracks, count, length, pitches)


def onsets(rolls: np.ndarray) -> np.ndarray:
    """Cells at which a note starts, bool `(n, track, time, pitch)`: on now and off one step before.

    The step before the first counts as silent, so a note held into a window starts at its step 0.
    """
    starts = checked(rolls).copy()
    starts[:, :, 1:] &= ~rolls[:, :, :-1]
    return starts


def cells_by_step(rolls: np.ndarray) -> np.ndarray:
    """Number of pitches that sound at each step, int64 `(..., time)`, of bool `(..., time, pitch)`."""
    return packed_by_step(np.packbits(rolls, axis=-1))


def packed_by_step(packed: np.ndarray) -> np.ndarray:
    """Like `cells_by_step`, for uint8 `(..., time, 16)`: cells packed into bits over pitch."""
    counts: np.ndarray = np.bitwise_count(np.ascontiguousarray(packed).view(np.uint64)).sum(axis=-1, dtype=np.int64)
    return counts


def cells_by_pitch(rolls: np.ndarray) -> np.ndarray:
    """Number of steps at which each pitch sounds, int64 `(..., pitch)`, of bool `(..., time, pitch)`."""
    result = np.zeros((*rolls.shape[:-2], rolls.shape[-1]), np.int64)
    # Bytes are added several times faster than wider numbers, and a byte holds a sum of 255 steps.
    for first in range(0, rolls.shape[-2], 255):
        result += rolls[..., first : first + 255, :].view(np.uint8).sum(axis=-2, dtype=np.uint8)
    return result


def onset_positions(starts: np.ndarray, resolution: int) -> np.ndarray:
    """Onsets of each track at each eighth of the bar, `(n, track, 8)`."""
    n, tracks, steps, _ = starts.shape
    bar = BEATS_PER_BAR * resolution
    eighths = np.arange(steps) % bar * POSITIONS // bar
    by_step = cells_by_step(starts)
    result = np.zeros((n, tracks, POSITIONS), dtype=np.int64)
    for eighth in range(POSITIONS):
        result[:, :, eighth] = by_step[:, :, eighths == eighth].sum(axis=2)
    return result


def pitch_classes(counts: np.ndarray) -> np.ndarray:
    """Sums of `(..., pitch)` over octaves, `(..., 12)`: by pitch mod 12, with C at 0.

    This is the right chroma. MuseGAN's published chroma sums twelve bands of adjacent semitones instead.
    """
    octaves = -(-PITCHES // PITCH_CLASSES)
    filled = np.zeros((*counts.shape[:-1], octaves * PITCH_CLASSES), dtype=counts.dtype)
    filled[..., :PITCHES] = counts
    sums: np.ndarray = filled.reshape(*counts.shape[:-1], octaves, PITCH_CLASSES).sum(axis=-2)
    return sums


def nan_mean(values: np.ndarray) -> float:
    """Mean of the values that are not NaN; NaN if there is none (numpy would warn)."""
    present = np.asarray(values, dtype=np.float64)
    present = present[~np.isnan(present)]
    return float(present.mean()) if present.size else float("nan")


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> np.ndarray:
    """Elementwise quotient as float64, of arrays or numbers that broadcast; NaN where the denominator is 0."""
    dividends, divisors = np.broadcast_arrays(
        np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    )
    result = np.full(dividends.shape, np.nan)
    np.divide(dividends, divisors, out=result, where=divisors != 0)
    return result
