"""Measures of pitch: which pitch classes a window uses, how well they fit one scale, its range and its polyphony.

All follow MusPy's definitions. Each has a value for the pitched tracks together, as MusPy has for a piece, and one for
each track alone. A window stands for a piece: except for polyphony, a value is computed for each window and averaged
over the windows in which the tracks sound, because pieces in different keys have no common key. MusPy loops over notes
in Python, and this module counts cells of many windows at once. For a window written as a `muspy.Music` both give the
same number.
"""

import numpy as np

from musiclab.measures.notes import entropy, in_blocks, mean_of_windows, packed, with_pitched, without_drums
from musiclab.measures.rolls import (
    PITCH_CLASSES,
    PITCHED,
    cells_by_pitch,
    checked,
    onsets,
    packed_by_step,
    pitch_classes,
    ratio,
)

_MAJOR = (0, 2, 4, 5, 7, 9, 11)
_MINOR = (0, 2, 3, 5, 7, 8, 10)


def pitch_class_entropy(rolls: np.ndarray) -> np.ndarray:
    """How evenly a window's notes spread over the twelve pitch classes.

    H = -sum over classes of p log2 p, averaged over windows; p is the share of a window's notes that are in a class,
    and long notes count like short ones. In bits, from 0 (one class) to log2 12 = 3.58 (all equally frequent). Best if
    closest to the value of real music: random notes are high, a drone is low. Transposition does not change it. A
    window of n notes has at most log2 n, so compare sets of windows of equal length. For windows of 16 beats it is
    2.94 on chorales and 2.55 on the LPD-5 sample, 3.21 and 3.01 if each track is taken from another window, and 3.5 on
    random notes.

    Args:
        rolls: bool `(n, track, time, pitch)`. A note held into a window counts there too.

    Returns:
        `(1 + track,)`: of the pitched tracks together, then of each track. NaN for drums and for tracks without notes.

    Source: Wu and Yang 2020, "The Jazz Transformer on the front line"; `muspy.pitch_class_entropy`.
    """
    return without_drums(mean_of_windows(entropy(_note_classes(rolls))))


def scale_consistency(rolls: np.ndarray) -> np.ndarray:
    """Share of a window's notes that lie in the one scale that fits them best.

    The largest share over the 12 major and 12 natural minor scales, averaged over windows. Between 7/12 (all classes
    equally frequent) and 1. Best if closest to the value of real music. A major scale and its relative minor have the
    same notes, so in effect there are twelve scales. Few notes fit some scale by chance (any two classes do), so read
    it beside the density. For windows of 16 beats it is .93 on chorales and .96 on the LPD-5 sample, .82 and .85 if
    each track is taken from another window, and .65 on random notes.

    Args:
        rolls: bool `(n, track, time, pitch)`. A note held into a window counts there too.

    Returns:
        `(1 + track,)`: of the pitched tracks together, then of each track. NaN for drums and for tracks without notes.

    Source: Mogren 2016, "C-RNN-GAN"; `muspy.scale_consistency`.
    """
    counts = _note_classes(rolls)
    best = (counts @ _scales()).max(axis=-1)
    return without_drums(mean_of_windows(ratio(best, counts.sum(axis=-1))))


def pitch_range(rolls: np.ndarray) -> np.ndarray:
    """Distance from a window's lowest to its highest pitch, in semitones.

    Highest - lowest, averaged over windows. Best if closest to the value of real music. 0 if only one pitch sounds.
    One stray cell widens it, so it shows noise early.

    Args:
        rolls: bool `(n, track, time, pitch)`.

    Returns:
        `(1 + track,)`, 0 to 127: of the pitched tracks together, then of each track. NaN for drums and for tracks in
        which nothing sounds (MusPy returns 0, or -127 if there are only drums).

    Source: `muspy.pitch_range`.
    """
    bits = np.bitwise_or.reduce(packed(rolls), axis=2)
    together = np.bitwise_or.reduce(bits[:, PITCHED], axis=1, keepdims=True)
    used = np.unpackbits(np.concatenate([together, bits], axis=1), axis=-1).view(bool)
    lowest, highest = used.argmax(axis=-1), used.shape[-1] - 1 - used[..., ::-1].argmax(axis=-1)
    return without_drums(mean_of_windows(np.where(used.any(axis=-1), highest - lowest, np.nan)))


def polyphony(rolls: np.ndarray) -> np.ndarray:
    """Mean number of pitches that sound at a step at which any does.

    Cells on / steps with a cell on, over all windows. At least 1; best if closest to the value of real music. A pitch
    that two tracks share at a step counts once in the value of the pitched tracks together, as in MusPy.

    Args:
        rolls: bool `(n, track, time, pitch)`.

    Returns:
        `(1 + track,)`, pitches a step: of the pitched tracks together, then of each track; for drums the number of
        instruments struck at once. NaN for tracks in which nothing sounds.

    Source: `muspy.polyphony`.
    """
    bits = packed(rolls)
    together = np.bitwise_or.reduce(bits[:, PITCHED], axis=1, keepdims=True)
    by_step = np.concatenate([packed_by_step(together), packed_by_step(bits)], axis=1)
    return ratio(by_step.sum(axis=(0, 2)), (by_step > 0).sum(axis=(0, 2)))


def _note_classes(rolls: np.ndarray) -> np.ndarray:
    """Notes of each pitch class in each window, `(n, 1 + track, 12)`. The counts of drums mean nothing."""
    by_track = in_blocks(lambda block: pitch_classes(cells_by_pitch(onsets(block))), checked(rolls))
    return with_pitched(by_track, axis=1)


def _scales() -> np.ndarray:
    """Whether each pitch class is in each of the 24 scales, `(12, 24)` of 0 and 1."""
    scales = [{(root + step) % PITCH_CLASSES for step in mode} for mode in (_MAJOR, _MINOR) for root in range(12)]
    return np.array([[pitch_class in scale for scale in scales] for pitch_class in range(PITCH_CLASSES)], np.int64)
