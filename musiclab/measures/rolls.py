"""What every measure reads off a set of pianorolls: bars, onsets and pitch classes."""

import numpy as np

from musiclab.data.songs import TRACKS

BEATS_PER_BAR = 4
# Onset positions are told apart to the eighth note, whatever the resolution.
POSITIONS = 2 * BEATS_PER_BAR
PITCHES = 128
PITCH_CLASSES = 12
DRUMS = TRACKS.index("Drums")
PITCHED = tuple(index for index in range(len(TRACKS)) if index != DRUMS)


def checked(rolls: np.ndarray) -> np.ndarray:
    """`rolls` itself, a bool array `(n, track, time, pitch)`.

    Raises:
        ValueError: another type or shape. On an integer array `~` is no logical not, and numbers would come out that
            look right.
    """
    if rolls.dtype != np.bool_ or rolls.ndim != 4 or rolls.shape[1] != len(TRACKS) or rolls.shape[3] != PITCHES:
        raise ValueError(f"rolls must be bool (n, {len(TRACKS)}, steps, {PITCHES}), not {rolls.dtype} {rolls.shape}")
    return rolls


def bars(rolls: np.ndarray, resolution: int) -> np.ndarray:
    """View of the rolls by bar, `(n, track, bar, time, pitch)`; steps after the last whole bar are left out."""
    n, tracks, steps, pitches = checked(rolls).shape
    length = BEATS_PER_BAR * resolution
    count = steps // length
    return rolls[:, :, : count * length].reshape(n, tracks, count, length, pitches)


def onsets(rolls: np.ndarray) -> np.ndarray:
    """Cells where a note starts, bool `(n, track, time, pitch)`: on now and off one step before.

    The step before the first is silence, so that a note held into a window starts at its step 0.
    """
    starts = checked(rolls).copy()
    starts[:, :, 1:] &= ~rolls[:, :, :-1]
    return starts


def cells_by_step(rolls: np.ndarray) -> np.ndarray:
    """Number of pitches that sound at each step, int64 `(..., time)`, of bool `(..., time, pitch)`; as packed bits."""
    return packed_by_step(np.packbits(rolls, axis=-1))


def packed_by_step(packed: np.ndarray) -> np.ndarray:
    """What `cells_by_step` counts, of uint8 `(..., time, 16)`, packed over pitch."""
    return np.bitwise_count(np.ascontiguousarray(packed).view(np.uint64)).sum(axis=-1, dtype=np.int64)


def cells_by_pitch(rolls: np.ndarray) -> np.ndarray:
    """Number of steps at which each pitch sounds, int64 `(..., pitch)`, of bool `(..., time, pitch)`."""
    result = np.zeros((*rolls.shape[:-2], rolls.shape[-1]), np.int64)
    # Bytes add up several times faster than wider numbers, and hold the sum of 255 steps.
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
    """Sums of `(..., pitch)` over octaves, `(..., 12)`: pitch mod 12, with C at 0.

    This is the right chroma. MuseGAN's published one sums twelve bands of adjacent semitones instead.
    """
    octaves = -(-PITCHES // PITCH_CLASSES)
    filled = np.zeros((*counts.shape[:-1], octaves * PITCH_CLASSES), dtype=counts.dtype)
    filled[..., :PITCHES] = counts
    return filled.reshape(*counts.shape[:-1], octaves, PITCH_CLASSES).sum(axis=-2)


def nan_mean(values: np.ndarray) -> float:
    """Mean of the values that are not NaN; NaN where there is none (numpy would warn)."""
    present = np.asarray(values, dtype=np.float64)
    present = present[~np.isnan(present)]
    return float(present.mean()) if present.size else float("nan")


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise quotient as float64; NaN where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(
        np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    )
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result
