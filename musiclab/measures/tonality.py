"""Measures of pitch: which notes a window uses, how well they fit one scale, how far they reach, how many at once.

All are MusPy's definitions, of the pitched tracks together as MusPy takes a piece, and of each track alone. A window
stands for a piece: except for polyphony, a value is worked out for each window and averaged over the windows in which
the tracks sound, for pieces in different keys have no key together. MusPy runs over notes in Python; this counts cells
of many windows at once, and where a window is written as a `muspy.Music` both give the same number.
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

    H = -sum over classes of p log2 p, with p the share of a window's notes (however long they are) in a class; mean
    over windows. In bits, from 0 (one class) to log2 12 = 3.58 (all alike). Best closest to the value of real music:
    random notes are high, a drone is low. The same in every key. A window of n notes has log2 n at most, so compare
    sets of windows of equal length. Windows of 16 beats: 2.94 on chorales and 2.55 on the LPD-5 sample, 3.21 and 3.01
    with each track taken from another window, 3.5 on random notes.

    Args:
        rolls: bool `(n, track, time, pitch)`. A note held into a window counts there too.

    Returns:
        `(1 + track,)`: of the pitched tracks together, then of each track; NaN for drums and where no note is.

    Source: Wu and Yang 2020, "The Jazz Transformer on the front line"; `muspy.pitch_class_entropy`.
    """
    return without_drums(mean_of_windows(entropy(_note_classes(rolls))))


def scale_consistency(rolls: np.ndarray) -> np.ndarray:
    """Share of a window's notes that lie in the one scale that fits them best.

    The largest share over the 12 major and 12 natural minor scales; mean over windows. Between 7/12 (all classes
    alike) and 1. Best closest to the value of real music. A major scale and its relative minor hold the same notes, so
    in effect there are twelve. Few notes fit some scale by chance (any two classes do), so read it beside the density.
    Windows of 16 beats: .93 on chorales and .96 on the LPD-5 sample, .82 and .85 with each track taken from another
    window, .65 on random notes.

    Args:
        rolls: bool `(n, track, time, pitch)`. A note held into a window counts there too.

    Returns:
        `(1 + track,)`: of the pitched tracks together, then of each track; NaN for drums and where no note is.

    Source: Mogren 2016, "C-RNN-GAN"; `muspy.scale_consistency`.
    """
    counts = _note_classes(rolls)
    best = (counts @ _scales()).max(axis=-1)
    return without_drums(mean_of_windows(ratio(best, counts.sum(axis=-1))))


def pitch_range(rolls: np.ndarray) -> np.ndarray:
    """Distance from a window's lowest to its highest pitch, in semitones.

    max - min; mean over windows. Best closest to the value of real music. 0 where only one pitch sounds. One stray cell
    stretches it, so it tells noise early.

    Args:
        rolls: bool `(n, track, time, pitch)`.

    Returns:
        `(1 + track,)`, 0 to 127: of the pitched tracks together, then of each track. NaN for drums and where nothing
        sounds, where MusPy says 0 (or -127, where there are only drums).

    Source: `muspy.pitch_range`.
    """
    bits = np.bitwise_or.reduce(packed(rolls), axis=2)
    together = np.bitwise_or.reduce(bits[:, PITCHED], axis=1, keepdims=True)
    used = np.unpackbits(np.concatenate([together, bits], axis=1), axis=-1).view(bool)
    lowest, highest = used.argmax(axis=-1), used.shape[-1] - 1 - used[..., ::-1].argmax(axis=-1)
    return without_drums(mean_of_windows(np.where(used.any(axis=-1), highest - lowest, np.nan)))


def polyphony(rolls: np.ndarray) -> np.ndarray:
    """Mean number of pitches that sound at a step at which any does.

    Cells on / steps with a cell on, over all windows. At least 1; best closest to the value of real music. A pitch that
    two tracks share counts once in the pitched tracks together, as in MusPy.

    Args:
        rolls: bool `(n, track, time, pitch)`.

    Returns:
        `(1 + track,)`, pitches a step: of the pitched tracks together, then of each track, where for drums it is
        instruments struck at once. NaN where nothing sounds.

    Source: `muspy.polyphony`.
    """
    bits = packed(rolls)
    together = np.bitwise_or.reduce(bits[:, PITCHED], axis=1, keepdims=True)
    by_step = np.concatenate([packed_by_step(together), packed_by_step(bits)], axis=1)
    return ratio(by_step.sum(axis=(0, 2)), (by_step > 0).sum(axis=(0, 2)))


def _note_classes(rolls: np.ndarray) -> np.ndarray:
    """Notes of each pitch class in each window, `(n, 1 + track, 12)`; those of drums mean nothing."""
    return with_pitched(in_blocks(lambda some: pitch_classes(cells_by_pitch(onsets(some))), checked(rolls)), axis=1)


def _scales() -> np.ndarray:
    """Membership of each pitch class in each of the 24 scales, `(12, 24)` of 0 and 1."""
    scales = [{(root + step) % PITCH_CLASSES for step in mode} for mode in (_MAJOR, _MINOR) for root in range(12)]
    return np.array([[pitch_class in scale for scale in scales] for pitch_class in range(PITCH_CLASSES)], np.int64)
