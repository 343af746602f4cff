"""Comparisons: every variant against its control, block by block, and what that comes to in a word."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from musiclab.measures.registry import Measure, find_measure
from musiclab.study.statistics import NO_INTERVAL, Interval, holm, mean_interval, sign_flip_p


@dataclass(frozen=True)
class Terms:
    """How a study is judged; it stands in the plan before anything runs.

    Attributes:
        objective: the measure that decides.
        controls: the variant that each one is compared with, by name; a control is its own.
        margin: differences of at most this count as none, in the objective's unit; None where the study states none.
        sequential: whether the number of blocks depends on what was seen, so that tests must hold at any time.
    """

    objective: Measure
    controls: dict[str, str]
    margin: float | None = None
    sequential: bool = False

    @classmethod
    def of_plan(cls, plan: dict[str, Any]) -> "Terms":
        """The terms that a plan holds."""
        return cls(find_measure(plan["objective"]), plan["controls"], plan["margin"], plan["sequential"])


Verdict = Literal["better", "worse", "equivalent", "no difference shown", "underpowered", "not compared"]


@dataclass(frozen=True)
class Comparison:
    """A variant against its control on the objective: paired differences over the blocks that both have.

    Attributes:
        difference: variant less control, of what the objective is judged by; its mean and interval over blocks.
        p, p_holm: two-sided, of no difference; as it is, and corrected for all comparisons of the study.
        p_equivalent: of a difference of the margin or more, corrected likewise; NaN where there is no margin.
        improvement: probability that the variant does better than its control on a block, with an interval.
        smallest: the smallest mean difference that so many blocks, scattering as they do, could have shown.
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


def compare(judged: dict[str, dict[int, float]], terms: Terms) -> dict[str, Comparison]:
    """Every variant that is not its own control against it; all of them are one family of tests.

    Args:
        judged: what the objective is judged by, by variant and block, lower being better unless the objective's better
            is `higher`; NaN and missing blocks are left out of their own pair only.
        terms: how the study is judged.

    Returns:
        By variant, in the order of `judged`.
    """
    differences = {
        name: [
            difference
            for block, value in by_block.items()
            if not math.isnan(difference := value - judged[terms.controls[name]].get(block, math.nan))
        ]
        for name, by_block in judged.items()
        if name != terms.controls[name]
    }
    p = [sign_flip_p(each) for each in differences.values()]
    return {
        name: Comparison(mean_interval(each), raw, adjusted)
        for (name, each), raw, adjusted in zip(differences.items(), p, holm(p), strict=True)
    }
