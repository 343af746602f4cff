"""Comparisons: every variant against its control, block by block, and what that comes to in a word."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from musiclab.analysis.sequential import anytime_equivalence_p, anytime_p, smallest_p_anytime
from musiclab.analysis.statistics import (
    ALPHA,
    NO_INTERVAL,
    Interval,
    equivalence_p,
    holm,
    improvement,
    mean_intervals,
    sign_flip_p,
    smallest_p,
    smallest_shown,
)
from musiclab.design.criteria import Criteria

Verdict = Literal["better", "worse", "equivalent", "no difference shown", "underpowered", "not compared"]


@dataclass(frozen=True)
class Comparison:
    """A variant against its control on the objective: paired differences over the blocks that both have.

    Attributes:
        difference: variant less control, of what the objective is judged by; its mean and interval over blocks.
        p, p_holm: two-sided, of no difference; as it is, and corrected for all comparisons of the study. They hold at
            any time where the terms are sequential, as all tests do then.
        p_equivalent: of a difference of the margin or more, corrected likewise; NaN where there is no margin.
        improvement: probability that the variant does better than its control on a block, with an interval.
        smallest: the smallest mean difference that so many blocks, scattering as they do, could have shown at 5 %
            divided by the number of comparisons; inf where they could show none.
        left_out: blocks that have one of the two only.
        verdict: what all this comes to.
    """

    difference: Interval
    p: float
    p_holm: float
    p_equivalent: float = math.nan
    improvement: Interval = NO_INTERVAL
    smallest: float = math.nan
    left_out: tuple[int, ...] = ()
    verdict: Verdict = "not compared"


class Outcome(NamedTuple):
    """What the tests say of one comparison; the names are those of Comparison."""

    p: float
    p_holm: float
    p_equivalent: float
    verdict: Verdict


def compare(scores: dict[str, dict[int, float]], criteria: Criteria) -> dict[str, Comparison]:
    """Every variant that is not its own control against it; all of them are one family of tests.

    Args:
        scores: what the objective is judged by, by variant and block, lower being better unless the objective's better
            is `higher`; blocks that are missing or not finite are left out of their own pair only.
        criteria: how the study is judged.

    Returns:
        By variant, in the order of `scores`.
    """
    known = {name: {b: v for b, v in of.items() if math.isfinite(v)} for name, of in scores.items()}
    pairs = {
        name: (of, known[criteria.controls[name]]) for name, of in known.items() if name != criteria.controls[name]
    }
    # In the order of blocks, which a sequential test goes by.
    differences = [
        [of[block] - control[block] for block in sorted(of.keys() & control)] for of, control in pairs.values()
    ]
    level = ALPHA / max(1, _compared(differences))
    test = anytime_p if criteria.sequential else sign_flip_p
    return {
        name: Comparison(
            difference=interval,
            improvement=improvement(each, criteria.objective.better == "higher"),
            smallest=smallest_shown(each, level, test),
            left_out=tuple(sorted(of.keys() ^ control)),
            **outcome._asdict(),
        )
        for (name, (of, control)), each, interval, outcome in zip(
            pairs.items(), differences, mean_intervals(differences), outcomes(differences, criteria), strict=True
        )
    }


def outcomes(differences: list[list[float]], criteria: Criteria) -> list[Outcome]:
    """What is tested of each comparison, from its differences in block order, and the verdict that follows.

    Tests of a difference are one family under Holm's correction, those of equivalence another, each at 5 %.
    """
    different, same = (anytime_p, anytime_equivalence_p) if criteria.sequential else (sign_flip_p, equivalence_p)
    p = [different(each) for each in differences]
    equivalent = [math.nan if criteria.margin is None else same(each, criteria.margin) for each in differences]
    adjusted = list(zip(p, holm(p), holm(equivalent), strict=True))
    return [
        Outcome(*of, _verdict(each, *of[1:], _compared(differences), criteria))
        for each, of in zip(differences, adjusted, strict=True)
    ]


def _verdict(
    differences: list[float], p_holm: float, p_equivalent: float, comparisons: int, criteria: Criteria
) -> Verdict:
    if not differences:
        return "not compared"
    if p_holm <= ALPHA:
        return "better" if (sum(differences) > 0) == (criteria.objective.better == "higher") else "worse"
    if p_equivalent <= ALPHA:
        return "equivalent"
    smallest = smallest_p_anytime if criteria.sequential else smallest_p
    return "underpowered" if smallest(len(differences), comparisons) > ALPHA else "no difference shown"


def _compared(differences: list[list[float]]) -> int:
    """How many comparisons have a block at all."""
    return sum(map(bool, differences))
