"""How well a system that predicts the next window from the last one does so on test songs."""

from collections.abc import Callable

import numpy as np

from musiclab.data.windows import unpack
from musiclab.measures import suite
from musiclab.training.windows import BlockWindows


def prediction_measures(
    windows: BlockWindows, activations: Callable[[np.ndarray], np.ndarray], mean_window: np.ndarray
) -> dict[str, float]:
    """`next_window_measures` of the test pairs, cut where the start windows' pairs, of validation songs, are best.

    Args:
        windows: the block's windows.
        activations: from indices of windows `(n,)` to those of the predicted next ones, `(n, track, steps, 128)`.
        mean_window: `(track, steps, 128)`, the mean of the training windows.
    """
    tuning, tuning_actual = activations(windows.starts[:, 0]), unpack(windows.packed(windows.starts[:, 1]))
    predicted = suite.cut_at_best(activations(windows.reference_pairs[:, 0]), tuning, tuning_actual)
    last, actual = (unpack(windows.packed(windows.reference_pairs[:, place])) for place in (0, 1))
    return suite.next_window_measures(predicted, last, mean_window, actual)
