"""Brings sounds to one loudness, as ITU-R BS.1770 measures it, without clipping."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyloudnorm
from scipy.ndimage import minimum_filter1d
from scipy.signal import resample_poly

# In LUFS. Of all that the SoundFont plays, single notes and hits have the highest peaks, up to 28 dB above their
# loudness. So any piece reaches this, and most have 10 dB left; listeners set the volume.
TARGET = -30.0
# The largest true peak, with full scale at 1: -2 dB. MP3 compression overshoots peaks, by less than the dB that is left
# below -1 dB, which is what EBU R 128 allows.
_CEILING = 10 ** (-2 / 20)
# True peaks are looked for between samples too, at four times the rate (BS.1770, annex 2).
_OVERSAMPLING = 4
# In seconds: from so long before a peak to so long after it, the gain goes down to what the peak needs, and up again.
_AROUND_A_PEAK = 0.005
# Lowering peaks lowers the loudness a little, so both are done so often.
_ROUNDS = 8


def loudness(wave: npt.NDArray[np.floating[Any]], rate: int) -> float:
    """The integrated loudness of a sound in LUFS; minus infinity if it is silent.

    Quiet passages do not count: BS.1770 leaves out blocks of 0.4 s that are below -70 LUFS, or 10 LU below the rest. So
    a piece with long rests is as loud as its notes are.

    Args:
        wave: `(sample,)`, 0.4 seconds at least.
        rate: samples a second.
    """
    return float(pyloudnorm.Meter(rate).integrated_loudness(wave.astype(np.float64)))


def true_peak(wave: npt.NDArray[np.floating[Any]]) -> float:
    """The largest amplitude of a sound, between its samples too; full scale is 1."""
    return float(_peaks(wave).max(initial=0.0))


def at_target(wave: npt.NDArray[np.floating[Any]], rate: int) -> npt.NDArray[np.float32]:
    """The sound at `TARGET`, with no true peak above -2 dB. Silence stays silence.

    One gain brings the whole sound to the target. Peaks that would then be too high are lowered, each for a hundredth
    of a second (a limiter that looks ahead). That happens only if a piece is much louder for a moment than otherwise.

    Args:
        wave: `(sample,)`, 0.4 seconds at least.
        rate: samples a second.
    """
    result = wave.astype(np.float64)
    for _ in range(_ROUNDS):
        measured = loudness(result, rate)
        if measured == -math.inf:
            break
        result *= 10 ** ((TARGET - measured) / 20)
        needed = np.minimum(1.0, _CEILING / np.maximum(_peaks(result), _CEILING))
        if needed.min(initial=1.0) == 1.0:
            break
        result = _limited(result, needed, rate)
    return result.astype(np.float32)


def _limited(wave: npt.NDArray[np.float64], needed: npt.NDArray[np.float64], rate: int) -> npt.NDArray[np.float64]:
    """The sound with a gain that changes smoothly, and that is nowhere larger than the one needed there."""
    half = round(_AROUND_A_PEAK * rate)
    least = minimum_filter1d(needed, 2 * half + 1, mode="nearest")
    window = np.hanning(2 * half + 3)[1:-1]
    gain: npt.NDArray[np.float64] = np.convolve(np.pad(least, half, mode="edge"), window / window.sum(), mode="valid")
    return wave * gain


def _peaks(wave: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """For each sample the largest amplitude from it up to the next one."""
    finer: npt.NDArray[np.float64] = np.abs(resample_poly(wave.astype(np.float64), _OVERSAMPLING, 1))
    largest: npt.NDArray[np.float64] = finer.reshape(-1, _OVERSAMPLING).max(axis=1)
    return largest
