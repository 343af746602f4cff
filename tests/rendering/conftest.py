"""A small piece for tests of rendering."""

import numpy as np
import pytest

DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)


@pytest.fixture
def piece() -> np.ndarray:
    """Four bars at two steps a beat: drums, held chords, a melody, the lowest and highest pitch, silence at the end."""
    roll = np.zeros((5, 32, 128), dtype=bool)
    roll[DRUMS, 0:28:2, 42] = True
    roll[DRUMS, 0:28:8, 36] = True
    for bar, root in enumerate((60, 65, 67)):
        for pitch in (root, root + 4, root + 7):
            roll[PIANO, 8 * bar : 8 * bar + 7, pitch] = True
    roll[GUITAR, np.arange(24), 60 + np.arange(24) % 5] = True
    roll[BASS, :16, 0] = True
    roll[BASS, 17:24, 127] = True
    roll[STRINGS, 8:28, 72] = True  # across bar lines
    return roll
