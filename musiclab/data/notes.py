"""Notes of a pianoroll: runs of cells of one pitch."""

import numpy as np


def notes(roll: np.ndarray) -> np.ndarray:
    """Start, length (in steps) and pitch of every note of `(time, pitch)` bool, one a row, by start and then pitch.

    Cells of a pitch that are on in consecutive steps are one held note.
    """
    edges = np.diff(roll.astype(np.int8), axis=0, prepend=0, append=0)
    # Transposed, starts and ends come out by pitch and then by time, so that the i-th of each belong to one note.
    pitches, starts = np.nonzero(edges.T == 1)
    _, ends = np.nonzero(edges.T == -1)
    rows = np.stack([starts, ends - starts, pitches], axis=1)
    return rows[np.lexsort((pitches, starts))]
