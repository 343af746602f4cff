"""How many listeners a difference takes: votes of simulated listeners, judged by the tests that judge real ones.

Nothing here is ever a ballot. `benchmarks/listening_errors.py` shows with the same listeners what verdicts are worth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.optimize import brentq

from musiclab.analysis.statistics import ALPHA, smallest_p, student_p
from musiclab.analysis.two_way import quasi_f_p, tables
from musiclab.analysis.votes import Votes, for_variant
from musiclab.design.listening import PAIR, REAL, SHUFFLED, VARIANT, ListeningTest, Presentation, session_plan

SHARES = (0.6, 0.65)
_POWER = 0.8
_STUDIES = 400
# The numbers of listeners that are tried.
_TRIED = (4, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200)
# Strengths of the ceiling and the floor beside variants of strength 0, in logits.
ENDS = {VARIANT: 0.0, REAL: 1.0, SHUFFLED: -1.5}


@dataclass(frozen=True)
class ListenerModel:
    """How simulated listeners answer.

    A piece is as good to a listener as its condition's strength, the listener's own taste for that condition, the luck
    of the block's models and the luck with this start together. Whoever compares two pieces adds a logistic error of
    scale 1 to the difference, and a preference for the side that is played first. All but this error is normal; the
    numbers are standard deviations in logits.

    Attributes:
        taste: of a listener for a condition.
        luck_of_blocks: of a condition on a block.
        luck_of_starts: of a condition with a start.
        side: of a listener's preference for A.
        equal: differences up to this are called equal.
        much: differences from this on are called much better.
        words: of the logarithm of a factor of both, which each listener has.
    """

    taste: float = 0.5
    luck_of_blocks: float = 0.35
    luck_of_starts: float = 0.35
    side: float = 0.2
    equal: float = 0.5
    much: float = 1.7
    words: float = 0.3

    def grades(
        self, heard: Votes, strengths: Sequence[float] | np.ndarray, rng: np.random.Generator, studies: int
    ) -> np.ndarray:
        """Answers to what is heard, of independent studies: `(studies, n)`, from -2 (B is much better) to 2 (A is)."""
        levels = np.asarray(strengths)
        _, listener = np.unique(heard.listener, return_inverse=True)
        _, block = np.unique(heard.block, return_inverse=True)
        _, start = np.unique(np.stack([heard.block, heard.start]), axis=1, return_inverse=True)
        start = start.ravel()

        def effects(sd: float, units: np.ndarray) -> np.ndarray:
            """A draw for each of the units and each condition, `(studies, units, conditions)`."""
            return rng.normal(0, sd, (studies, int(units.max()) + 1, len(levels)))

        tastes, blocks = effects(self.taste, listener), effects(self.luck_of_blocks, block)
        starts = effects(self.luck_of_starts, start)

        def worth(condition: np.ndarray) -> np.ndarray:
            worths: np.ndarray = levels[condition] + tastes[:, listener, condition]
            worths += blocks[:, block, condition] + starts[:, start, condition]
            return worths

        listeners = int(listener.max()) + 1
        difference = worth(heard.first) - worth(heard.second)
        difference += rng.normal(0, self.side, (studies, listeners))[:, listener]
        difference += rng.logistic(size=difference.shape)
        words = np.exp(rng.normal(0, self.words, (studies, listeners)))[:, listener]
        size = np.abs(difference) / words
        grades: np.ndarray = np.sign(difference).astype(int) * ((size > self.equal).astype(int) + (size > self.much))
        return grades

    def share(self, difference: float) -> float:
        """The share of votes that a condition wins against one that is weaker by `difference`, over all listeners."""
        points, weights = np.polynomial.hermite_e.hermegauss(41)
        weights = weights / weights.sum()
        luck = self.luck_of_blocks**2 + self.luck_of_starts**2
        shift = difference + np.sqrt(2 * (self.taste**2 + luck) + self.side**2) * points
        equal = self.equal * np.exp(self.words * points)
        above = special.expit(shift[:, None] - equal)
        below = special.expit(-shift[:, None] - equal)
        return float(weights @ (above + (1 - above - below) / 2) @ weights)

    def difference(self, share: float) -> float:
        """The difference of strengths with which `share` of the votes are won."""
        return float(brentq(lambda difference: self.share(difference) - share, -20, 20))


@dataclass(frozen=True)
class Needed:
    """How many listeners show a difference.

    Attributes:
        share: the share of votes that the variant wins against its control.
        listeners: how many listeners show it in 80 % of studies; None if the blocks are too few for any number.
        answers: how many pairs they answer, warm-ups and repeats included; 0 if there is no such number.
        power: the share of studies in which so many show it, or in which the most that were tried do.
    """

    share: float
    listeners: int | None
    answers: int
    power: float


def listeners_needed(test: ListeningTest, share: float, model: ListenerModel | None = None) -> Needed:
    """How many listeners show in 80 % of studies that one variant wins `share` of the votes against its control.

    The other variants are as good as the control, and Holm's correction for all of them is allowed for.

    Args:
        test: whose sessions are held; of pairs.
        share: such as 0.6.
        model: how listeners answer.
    """
    powers: dict[int, float] = {}
    low, high = -1, len(_TRIED)
    while high - low > 1:  # the first number that is enough, by bisection
        middle = (low + high) // 2
        powers[middle] = power(test, _TRIED[middle], share, model)
        low, high = (low, middle) if powers[middle] >= _POWER else (middle, high)
    if high == len(_TRIED):
        return Needed(share, None, 0, powers[high - 1])
    return Needed(share, _TRIED[high], _TRIED[high] * test.length, powers[high])


def power(
    test: ListeningTest, listeners: int, share: float, model: ListenerModel | None = None, studies: int = _STUDIES
) -> float:
    """The share of simulated studies in which that many listeners show the difference.

    Sign flips are left out, because they take long, and Student's t hardly differs from them. What they cannot show for
    want of listeners or blocks counts as not shown.
    """
    model = model or ListenerModel()
    variants = [index for index, condition in enumerate(test.conditions) if condition.kind == VARIANT]
    names = {condition.name: index for index, condition in enumerate(test.conditions)}
    control = names[next(iter(test.controls.values()))]
    variant = next(index for index in variants if index != control)
    comparisons = sum(name != control_name for name, control_name in test.controls.items())
    blocks = len({place.block for place in test.places})
    if smallest_p(min(listeners, blocks), comparisons) > ALPHA:
        return 0.0
    strengths = np.array([ENDS[condition.kind] for condition in test.conditions])
    strengths[variant] += model.difference(share)
    heard = heard_in(test, [session_plan(test, number) for number in range(listeners)])
    grades = model.grades(heard, strengths, np.random.default_rng(test.seed), studies)
    cast = Votes(heard.listener, heard.block, heard.start, heard.first, heard.second, (np.sign(grades) + 1) / 2)
    used, says = for_variant(cast, variant, control)
    listener, block = heard.listener[used], heard.block[used]
    shown = 0
    for said in says:
        sums, counts = tables(said, listener, block)
        p = max(student_p(sums.sum(1)), student_p(sums.sum(0)), quasi_f_p(sums, counts))
        shown += int(said.sum() > 0 and p <= ALPHA / comparisons)
    return shown / studies


def heard_in(test: ListeningTest, plans: Sequence[Sequence[Presentation]]) -> Votes:
    """The pairs of some sessions that count, without answers: `won` is empty."""
    rows = [(index, *each.place, each.first, each.second) for index, plan in enumerate(plans) for each in plan
            if each.kind == PAIR]  # fmt: skip
    listener, block, start, first, second = np.array(rows, int).reshape(len(rows), 5).T
    return Votes(listener, block, start, first, second, np.empty(0))
