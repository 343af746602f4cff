"""Bar lines of scores: which of their measures are whole bars."""

import numpy as np
import numpy.typing as npt


def whole_bars(starts: npt.NDArray[np.int64], full: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int32]:
    """The starts of measures that are as long as their time signature says; pickups are left out.

    A repeat sign in the middle of a bar splits it into two measures; together they count as one bar.

    Args:
        starts: of all measures, `(n,)`, ascending, in ticks.
        full: how long each would be by its time signature, `(n,)`.
        length: where the last one ends.
    """
    sizes = np.diff(np.append(starts, length))
    split = np.append(sizes[:-1] + sizes[1:] == full[:-1], False)
    # The second half of one bar and the first half of the next add up too: a half that was used is not used again.
    for index in np.flatnonzero(split):
        if split[index]:
            split[index + 1] = False
    return np.unique(starts[(sizes >= full) | split]).astype(np.int32)
