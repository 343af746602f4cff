"""How much windows change if one condition changes and all else stays the same."""

import numpy as np

from musiclab.data.songs import PIANO
from musiclab.measures.pairs import mean_distance
from musiclab.measures.rolls import ratio
from musiclab.measures.variety import noise_distances


def condition_response(plain: np.ndarray, exchanged: np.ndarray, real: np.ndarray) -> float:
    """How much windows change if their condition changes: 0 not at all, 1 as much as real windows differ.

    Mean Jaccard distance of window i of one set and window i of the other / mean distance of all pairs of real windows.
    It describes, so no direction is better, and it does not show whether the change fits the condition. The classic
    failure is 0: the output does not change with its condition.

    Args:
        plain: bool `(n, track, time, pitch)`, each generated from a condition.
        exchanged: bool, the same shape, generated from another condition with the same noise and the same start.
        real: bool `(m, track, time, pitch)`, real windows of as many steps.

    Returns:
        At least 0. NaN if there are no windows, if there are fewer than two real windows, if all real windows are
        equal, or if nothing sounds in either set.

    Source: ours.
    """
    if not len(plain):
        return float("nan")
    window_pairs = np.stack([plain, exchanged], axis=1)[:, :, None]
    return float(ratio(noise_distances(window_pairs)[0], mean_distance(real)))


def without_piano(rolls: np.ndarray) -> np.ndarray:
    """A copy of the rolls `(n, track, time, pitch)` in which the piano is silent."""
    result = rolls.copy()
    result[:, PIANO] = False
    return result
