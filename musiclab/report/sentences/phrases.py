"""The small phrases that sentences are made of: p, a signed mean, a verb that agrees, a list of variants."""

import math

from musiclab.analysis.answer import Answer
from musiclab.analysis.intervals import Interval
from musiclab.design.search import CONTROL
from musiclab.report.formatting import bounds_text, p_text
from musiclab.wording import listing, rounded

LARGEST_NAMED = 6  # variants, blocks or interactions that a sentence names one by one; more are counted
SMALLEST_P = 0.001  # below it no p is told from another


def p_phrase(p: float) -> str:
    """`p = 0.031`, or `p < 0.001`."""
    return f"p {p_text(p)}" if p < SMALLEST_P else f"p = {p_text(p)}"


def p_at_most(p: float) -> str:
    """`p at most 0.031`, and never less than 0.001."""
    return f"p at most {p_text(max(p, SMALLEST_P))}"


def signed(interval: Interval) -> str:
    """A mean with its sign, then its bounds if it has any: `+2 [1.5, 2.5]`."""
    sign = "+" if interval.mean >= 0 else ""
    return f"{sign}{rounded(interval.mean)} {bounds_text(interval)}".rstrip()


def is_or_are(names: list[str]) -> str:
    """The verb that agrees with the names."""
    return "is" if len(names) == 1 else "are"


def named_or_counted(names: list[str], others: int) -> str:
    """The variants by name; if they are many, how many of the others than the control they are."""
    if len(names) <= LARGEST_NAMED:
        return listing(names)
    return f"all {others} other variants" if len(names) == others else f"{len(names)} of {others} other variants"


def objective_phrase(answer: Answer) -> str:
    """What effects change: the objective, or its distance to real music."""
    name = answer.objective.name
    return f"the distance of {name} to real music" if answer.objective.better == "real" else name


def with_mean(answer: Answer, name: str, p: float | None = None) -> str:
    """A variant with its mean and, if given, p: `k=8 (1.01, p = 0.031)`."""
    interval = answer.measures[name].get(answer.objective.full_name)
    numbers = [] if interval is None else [rounded(interval.mean)]
    if p is not None:
        numbers.append(p_phrase(p))
    return f"{name} ({', '.join(numbers)})" if numbers else name


def the_control(answer: Answer, control: str) -> str:
    """A control with its mean, if it has one: `the control k=8 (1.01)`, or `the control (1.01)` without other name."""
    named = control if math.isnan(answer.scores[control]) else with_mean(answer, control)
    return f"the {named}" if control == CONTROL else f"the control {named}"


def with_means(names: list[str], intervals: dict[str, Interval]) -> str:
    """The variants with their means; together if they are many, or if all have the same mean."""
    means = [intervals[name].mean for name in names]
    low, high = rounded(min(means)), rounded(max(means))
    all_are_equal = low == high and len(names) == len(intervals) > 1
    if len(names) > LARGEST_NAMED or all_are_equal:
        who = "all variants" if len(names) == len(intervals) else f"{len(names)} of {len(intervals)} variants"
        return f"{who} ({low if low == high else f'{low} to {high}'})"
    return listing(f"{name} ({rounded(mean)})" for name, mean in zip(names, means, strict=True))
