"""How much windows change with one thing that they depend on, all else being equal."""

import numpy as np

from musiclab.data.songs import TRACKS
from musiclab.measures.pairs import mean_distance
from musiclab.measures.rolls import ratio
from musiclab.measures.variety import noise_distances

PIANO = TRACKS.index("Piano")


def condition_response(plain: np.ndarray, exchanged: np.ndarray, real: np.ndarray) -> float:
    """Change of windows by another condition: 0 not at all, 1 as much as real windows differ.

    Mean Jaccard distance of the windows i of both sets / mean distance of all pairs of real windows. It describes and
    has no better direction, and says nothing of whether the change fits the condition. The classic failure is 0: the
    output does not change with its condition.

    Args:
        plain: bool `(n, track, time, pitch)`, each generated after a condition.
        exchanged: bool, the same shape, with the same noise after the same start but for this condition.
        real: bool `(m, track, time, pitch)`, real windows of as many steps.

    Returns:
        At least 0. NaN for no windows, for fewer than two real ones or only equal ones, and where nothing sounds in
        either set.
    """
    if not len(plain):
        return float("nan")
    both = np.stack([plain, exchanged], axis=1)[:, :, None]
    return float(ratio(noise_distances(both)[0], mean_distance(real)))


def without_piano(rolls: np.ndarray) -> np.ndarray:
    """A copy of the rolls `(n, track, time, pitch)` in which the piano is silent."""
    result = rolls.copy()
    result[:, PIANO] = False
    return result
