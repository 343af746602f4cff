"""The notes of a pianoroll: runs of cells of one pitch."""

import numpy as np
import numpy.typing as npt


def notes(roll: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The notes of a roll `(time, pitch)` bool as rows (start, length, pitch), sorted by start and then by pitch.

    Start and length are in steps. Cells of a pitch that are on in consecutive steps are one held note.
    """
    edges = np.diff(roll.astype(np.int8), axis=0, prepend=0, append=0)
    # Transposed, so that starts and ends are sorted by pitch and then by time: the i-th of each belong to one note.
    pitches, starts = np.nonzero(edges.T == 1)
    _, ends = np.nonzero(edges.T == -1)
    rows = np.stack([starts, ends - starts, pitches], axis=1)
    return rows[np.lexsort((pitches, starts))]
