"""Tests that hold however often one looks: sign-flip evidence gathered block by block, by betting on the signs.

If differences are symmetric about 0, then given its size each one is as likely above 0 as below, whatever came before
(Efron 1969). Who starts with 1 and bets a part of what they have on each sign in turn has as much again on average, so
to ever have 20 times as much has a chance of 1 in 20 at most (Ville 1939). That holds for any number of looks, any
reason to stop and any reason to go on, and for Holm's correction of such p-values. The part bet on block i is
tanh(rate x |d_i| / mean of |d_1|..|d_i|): large differences weigh more than small ones, as in de la Pena's (1999)
exponential martingale for symmetric variables; what is counted is the mean over a few rates and over the directions
asked for, a bet like any other. See Shafer (2021) and Ramdas, Gruenwald, Vovk & Shafer (2023).

The order of differences is that of the blocks, and matters: whoever sorts them by size bets knowing the outcome.
"""

import math
from itertools import count

import numpy as np

from musiclab.analysis.statistics import ALPHA, Alternative

# From half sure to all but certain: 6 blocks that agree are clear, as they are where the number of blocks is fixed. A
# single rate of 1 would find half a standard deviation in 23.8 blocks for 24.5, and two in 7.7 for 7.2.
_RATES = np.array([0.5, 1.0, 2.0, 4.0])
_DIRECTIONS = {"two-sided": [1, -1], "greater": [1], "less": [-1]}


def anytime_p(differences: list[float], alternative: Alternative = "two-sided") -> float:
    """p of the mean of paired differences, in block order, that may be looked at after every block.

    1 over the most that a bet against no difference ever had; NaN for no differences, or where one is not finite. With
    "greater" it is of a centre of 0 or less, with "less" of 0 or more.
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


def anytime_equivalence_p(differences: list[float], margin: float) -> float:
    """p of a difference of the margin or more in either direction, likewise: the larger of two one-sided ones."""
    d = np.asarray(differences, float)
    return max(anytime_p(d + margin, "greater"), anytime_p(d - margin, "less"))


def smallest_p_anytime(blocks: int, comparisons: int) -> float:
    """Holm-adjusted p of blocks that all agree and in size too: what shows a difference as soon as one can ask for."""
    return min(1.0, comparisons * anytime_p([1.0] * blocks)) if blocks else 1.0


def blocks_needed_anytime(comparisons: int) -> int:
    """Fewest blocks with which each of `comparisons` can become clear, all blocks agreeing and in size too."""
    return next(blocks for blocks in count(1) if smallest_p_anytime(blocks, max(1, comparisons)) <= ALPHA)
