"""Anytime-valid tests: bets on the signs of differences, block by block, which hold however often one looks.

If differences are symmetric about 0, each sign is as likely + as -, given the size of the difference and all earlier
ones (Efron 1969). A gambler starts with wealth 1 and bets a share of it on each sign in turn. The bets are fair, so the
expected wealth stays 1, and the chance that it ever reaches 20 is at most 1 in 20 (Ville 1939). This holds for any
number of looks, any reason to stop and any reason to go on, and also for Holm's correction of such p-values.

The share bet on block i is tanh(rate x |d_i| / mean of |d_1|..|d_i|), so large differences weigh more than small ones,
as in de la Pena's (1999) exponential martingale for symmetric variables. The wealth that counts is the mean over a few
rates, which is a fair bet too. See Shafer (2021) and Ramdas, Gruenwald, Vovk & Shafer (2023).

A side of 0 is shown only if the mean lies on it. If later blocks take the mean to the other side, what was shown before
is taken back. So neither a verdict nor an interval contradicts the mean beside it. A two-sided p is twice that of the
side of the mean, because the chance that either of two gamblers, one for each side, ever reaches 40 is at most 1 in 20.

Differences must be in the order of blocks. To sort them by size would be to bet with knowledge of the outcome.
"""

import math
from itertools import count

import numpy as np
from numpy.typing import ArrayLike

from musiclab.analysis.statistics import ALPHA, Alternative

# From cautious to bold bets: 6 blocks that agree are enough, as with a fixed number of blocks. A single rate of 1 would
# need 23.8 blocks instead of 24.5 to find half a standard deviation, and 7.7 instead of 7.2 to find two.
_RATES = np.array([0.5, 1.0, 2.0, 4.0])
# Where `anytime_end` looks for means that are not rejected: so many places from the smallest to the largest difference,
# and outside at these distances, as multiples of the distance between the two.
_INSIDE, _OUTSIDE = 101, (1e-3, 1e4, 71)
_HALVINGS = 40


def anytime_p(differences: ArrayLike, alternative: Alternative = "two-sided") -> float:
    """Anytime-valid p of the mean of paired differences: one may look after every block.

    One-sided p is 1 / the largest wealth that bets for that side ever had; it is 1 if the mean does not lie on that
    side. Two-sided p is twice that of the side on which the mean lies. The null hypothesis is symmetry about 0 for
    "two-sided", about 0 or less for "greater", and about 0 or more for "less".

    Args:
        differences: `(n,)`, in the order of blocks.
        alternative: the direction that the test is to show.

    Returns:
        p; NaN if there are no differences or if one is not finite.
    """
    d = np.asarray(differences, float)
    if not len(d) or not np.isfinite(d).all():
        return math.nan
    if alternative == "two-sided":
        return min(1.0, 2 * float(_p_of_rows(np.sign(d.sum()) * d[None])[0]))
    return float(_p_of_rows(d[None] if alternative == "greater" else -d[None])[0])


def _p_of_rows(d: np.ndarray) -> np.ndarray:
    """`anytime_p` of "greater" of each row of `(rows, n)` finite differences, `(rows,)`."""
    sizes = np.cumsum(np.abs(d), axis=1) / np.arange(1, d.shape[1] + 1)
    relative = np.divide(d, sizes, out=np.zeros_like(d), where=sizes > 0)
    stakes = _RATES.reshape(-1, 1, 1)
    wealth = np.cumsum(math.log(2) - np.logaddexp(0, -2 * stakes * relative), axis=2)  # products of 1 + tanh(stake)
    mixed = np.logaddexp.reduce(wealth, axis=0) - math.log(len(wealth))
    p: np.ndarray = np.where(d.sum(axis=1) > 0, np.minimum(1.0, np.exp(-mixed.max(axis=1))), 1.0)
    return p


def anytime_end(differences: np.ndarray, level: float, point: float = -math.inf) -> float:
    """The smallest mean such that the differences are not shown to be greater at `level`.

    p need not rise steadily with the mean in question, so means that are not rejected may have gaps between them. If
    the test rejects `point`, only those above it count.

    Args:
        differences: `(n,)`, finite, in the order of blocks; n > 0.
        level: the largest p that rejects a mean.
        point: a mean that the end must not lie below if it is rejected.

    Returns:
        -inf if no mean is too small to be rejected.
    """
    d = differences
    if _p_of_rows(np.ones((1, len(d))))[0] > level:  # what p tends to far below all differences
        return -math.inf
    inside, outside = np.linspace(0, 1, _INSIDE), np.geomspace(*_OUTSIDE)
    places = d.min() + np.ptp(d) * np.concatenate([-outside, inside, 1 + outside])
    means = np.unique([*places, d.max(), 0.0, *([point] if math.isfinite(point) else [])])

    def held(candidates: np.ndarray) -> np.ndarray:
        return _p_of_rows(d - candidates[:, None]) > level

    are_held = held(means)  # the largest difference is, because nothing is above it
    if not are_held[means == point].any():
        are_held &= means > point
    first = int(np.argmax(are_held))
    if not first:  # all differences are equal, and the mean is below 0
        return float(means[0])
    low, high = means[first - 1], means[first]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if held(np.array([middle]))[0] else (middle, high)
    return float(high)


def anytime_equivalence_p(differences: ArrayLike, margin: float) -> float:
    """Anytime-valid p of a difference of at least the margin in either direction: the larger of two one-sided p."""
    d = np.asarray(differences, float)
    return max(anytime_p(d + margin, "greater"), anytime_p(d - margin, "less"))


def smallest_p_anytime(blocks: int, comparisons: int) -> float:
    """Holm-adjusted p if all blocks agree in sign and size, as one may assume in planning a study; 1 for 0 blocks."""
    return min(1.0, comparisons * anytime_p([1.0] * blocks)) if blocks else 1.0


def blocks_needed_anytime(comparisons: int) -> int:
    """Smallest number of blocks with which each of `comparisons` is significant if all agree in sign and size."""
    return next(blocks for blocks in count(1) if smallest_p_anytime(blocks, max(1, comparisons)) <= ALPHA)
