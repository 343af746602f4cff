"""Comparisons: every variant against its control, block by block, and the verdict of each."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from musiclab.analysis.intervals import (
    NO_INTERVAL,
    Interval,
    difference_interval,
    equivalence_interval,
    improvement,
)
from musiclab.analysis.sequential import anytime_equivalence_p, anytime_p, smallest_p_anytime
from musiclab.analysis.statistics import ALPHA, equivalence_p, holm, paired_p, smallest_p, smallest_shown
from musiclab.design.criteria import Criteria

Verdict = Literal["better", "worse", "equivalent", "no difference shown", "underpowered", "not compared"]


@dataclass(frozen=True)
class Comparison:
    """A variant against its control on the objective: paired differences over the blocks that both have.

    All tests are anytime-valid if the terms are sequential.

    Attributes:
        difference: mean and 95 % interval over blocks of the variant's score minus the control's; without correction.
        p: two-sided, of no difference, without correction.
        p_holm: the same, corrected for all comparisons of the study.
        within: the difference with the 90 % interval that belongs to the test of equivalence, without correction; no
            interval if there is no margin.
        p_equivalent: of a difference of at least the margin, corrected likewise; NaN if there is no margin.
        improvement: probability that the variant does better than its control on a block, with an interval.
        smallest: the smallest mean difference that as many blocks with this scatter could have shown, at 5 % divided by
            the number of comparisons; inf if they could show none.
        left_out: the blocks that only one of the two has.
        verdict: the conclusion from all of this.
    """

    difference: Interval
    p: float
    p_holm: float
    within: Interval = NO_INTERVAL
    p_equivalent: float = math.nan
    improvement: Interval = NO_INTERVAL
    smallest: float = math.nan
    left_out: tuple[int, ...] = ()
    verdict: Verdict = "not compared"


class Outcome(NamedTuple):
    """The results of the tests of one comparison; the fields are those of `Comparison`."""

    p: float
    p_holm: float
    p_equivalent: float
    verdict: Verdict


@dataclass(frozen=True)
class _Pair:
    """A variant and its control, block by block.

    Attributes:
        variant: its name.
        differences: the variant's score minus the control's, in the order of blocks, which a sequential test needs.
        left_out: the blocks that only one of the two has.
    """

    variant: str
    differences: list[float]
    left_out: tuple[int, ...]


def compare(scores: dict[str, dict[int, float]], criteria: Criteria) -> dict[str, Comparison]:
    """Compare every variant with its control. All comparisons are one family of tests.

    Args:
        scores: the scores by variant and block. Lower is better, unless the objective's better is `higher`. A score
            that is missing or not finite leaves its block out of that variant's comparisons only.
        criteria: how the study is judged.

    Returns:
        By variant, in the order of `scores`, without the controls.
    """
    finite = {
        variant: {block: score for block, score in by_block.items() if math.isfinite(score)}
        for variant, by_block in scores.items()
    }
    pairs = [
        _pair(variant, finite[variant], finite[criteria.controls[variant]])
        for variant in scores
        if variant != criteria.controls[variant]
    ]
    differences = [pair.differences for pair in pairs]
    level = ALPHA / max(1, _compared(differences))
    margin, sequential = criteria.margin, criteria.sequential
    test = anytime_p if sequential else paired_p
    comparisons = {}
    for pair, outcome in zip(pairs, outcomes(differences, criteria), strict=True):
        comparisons[pair.variant] = Comparison(
            difference=difference_interval(pair.differences, sequential),
            p=outcome.p,
            p_holm=outcome.p_holm,
            within=NO_INTERVAL if margin is None else equivalence_interval(pair.differences, margin, sequential),
            p_equivalent=outcome.p_equivalent,
            improvement=improvement(pair.differences, higher=criteria.objective.sign > 0),
            smallest=smallest_shown(pair.differences, level, test),
            left_out=pair.left_out,
            verdict=outcome.verdict,
        )
    return comparisons


def _pair(variant: str, scores: dict[int, float], control: dict[int, float]) -> _Pair:
    """Pair the scores by block of a variant with those of its control."""
    return _Pair(
        variant=variant,
        differences=[scores[block] - control[block] for block in sorted(scores.keys() & control)],
        left_out=tuple(sorted(scores.keys() ^ control)),
    )


def outcomes(differences: list[list[float]], criteria: Criteria) -> list[Outcome]:
    """Test each comparison, given its differences in the order of blocks, and draw the verdict.

    Tests of a difference are one family under Holm's correction, tests of equivalence another, each at 5 %.
    """
    difference_test, equivalence_test = (
        (anytime_p, anytime_equivalence_p) if criteria.sequential else (paired_p, equivalence_p)
    )
    p_values = [difference_test(column) for column in differences]
    p_equivalents = [
        math.nan if criteria.margin is None else equivalence_test(column, criteria.margin) for column in differences
    ]
    comparisons = _compared(differences)
    result = []
    for column, p, p_holm, p_equivalent in zip(differences, p_values, holm(p_values), holm(p_equivalents), strict=True):
        verdict = _verdict(column, p_holm, p_equivalent, comparisons, criteria)
        result.append(Outcome(p=p, p_holm=p_holm, p_equivalent=p_equivalent, verdict=verdict))
    return result


def _verdict(
    differences: list[float], p_holm: float, p_equivalent: float, comparisons: int, criteria: Criteria
) -> Verdict:
    if not differences:
        return "not compared"
    if p_holm <= ALPHA:
        return "better" if (sum(differences) > 0) == (criteria.objective.sign > 0) else "worse"
    if p_equivalent <= ALPHA:
        return "equivalent"
    smallest_reachable = smallest_p_anytime if criteria.sequential else smallest_p
    underpowered = smallest_reachable(len(differences), comparisons) > ALPHA
    return "underpowered" if underpowered else "no difference shown"


def _compared(differences: list[list[float]]) -> int:
    """How many comparisons have at least one block."""
    return sum(map(bool, differences))
