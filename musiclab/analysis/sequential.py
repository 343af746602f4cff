"""Anytime-valid tests: bets on the signs of differences, block by block, which hold however often one looks.

If differences are symmetric about 0, each sign is as likely + as -, given the size of the difference and all earlier
ones (Efron 1969). A gambler starts with wealth 1 and bets a share of it on each sign in turn. The bets are fair, so the
expected wealth stays 1, and the chance that it ever reaches 20 is at most 1 in 20 (Ville 1939). This holds for any
number of looks, any reason to stop and any reason to go on, and also for Holm's correction of such p-values.

The share bet on block i is tanh(rate x |d_i| / mean of |d_1|..|d_i|), so large differences weigh more than small ones,
as in de la Pena's (1999) exponential martingale for symmetric variables. The wealth that counts is the mean over a few
rates and over the directions of the test, which is a fair bet too. See Shafer (2021) and Ramdas, Gruenwald, Vovk &
Shafer (2023).

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
_DIRECTIONS = {"two-sided": [1, -1], "greater": [1], "less": [-1]}


def anytime_p(differences: ArrayLike, alternative: Alternative = "two-sided") -> float:
    """Anytime-valid p of the mean of paired differences: one may look after every block.

    p is 1 / the largest wealth that the bet ever had. The null hypothesis is symmetry about 0 for "two-sided", about 0
    or less for "greater", and about 0 or more for "less".

    Args:
        differences: `(n,)`, in the order of blocks.
        alternative: the direction that the test is to show.

    Returns:
        p; NaN if there are no differences or if one is not finite.
    """
    d = np.asarray(differences, float)
    if not len(d) or not np.isfinite(d).all():
        return math.nan
    sizes = np.cumsum(np.abs(d)) / np.arange(1, len(d) + 1)
    relative = np.divide(d, sizes, out=np.zeros_like(d), where=sizes > 0)
    bets = np.outer(np.outer(_DIRECTIONS[alternative], _RATES), relative)
    wealth = np.cumsum(math.log(2) - np.logaddexp(0, -2 * bets), axis=1)  # logs of products of 1 + tanh(bet)
    mixed = np.logaddexp.reduce(wealth, axis=0) - math.log(len(wealth))
    return min(1.0, math.exp(-mixed.max()))


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
