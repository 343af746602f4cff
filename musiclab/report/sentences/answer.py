"""The answer in sentences: verdicts, what they rest on, and what the blocks can show."""

import math

from musiclab.analysis.answer import Answer, best, undecided
from musiclab.analysis.comparisons import Verdict
from musiclab.analysis.sequential import blocks_needed_anytime, smallest_p_anytime
from musiclab.analysis.statistics import ALPHA, blocks_needed, smallest_p
from musiclab.design.search import CONTROL
from musiclab.measures.registry import OWN
from musiclab.report.formatting import number
from musiclab.report.sentences import captions
from musiclab.report.sentences.phrases import (
    LARGEST_NAMED,
    is_or_are,
    named_or_counted,
    p_at_most,
    the_control,
    with_mean,
)
from musiclab.wording import counted, listing, rounded

_LONGEST_LIST = 120  # letters of a list of names
_BETTER_AND_WORSE: dict[Verdict, str] = {"better": "nearer to real music", "worse": "farther from real music"}


def sentence(answer: Answer) -> str:
    """The answer: every comparison's verdict, control by control, which variant is best, and what blocks allow."""
    objective = answer.objective
    leader = best(answer)
    if leader is None:
        if any(answer.measures.values()):
            nothing = f"No finished trial has a value of {objective.name}, so there is no answer."
            again = (
                f"Change {objective.place}, or the data, and run the study again; only what that changes is done anew."
            )
            return f"{nothing} {again}" if objective.group == OWN else nothing
        return "No trial has finished, so there is no answer."
    verdicts_by_control = [_verdicts_against(answer, control) for control in dict.fromkeys(answer.controls.values())]
    verdicts = ". Against ".join(filter(None, verdicts_by_control))
    if verdicts:
        verdicts = f"On {objective.name} ({objective.unit}, {_aim(answer)}), against {verdicts}."
    return " ".join(filter(None, [verdicts, _best(answer, leader, verdicts), _power(answer), _stopping(answer)]))


def verdict(answer: Answer, name: str) -> str:
    """The verdict on a compared variant with the number that belongs to it: `equivalent (within 0.5 squared sds)`."""
    conclusion = answer.comparisons[name].verdict
    detail = verdict_detail(answer, name, with_unit=True)
    return f"{conclusion} ({detail})" if detail else conclusion


def verdict_detail(answer: Answer, name: str, with_unit: bool = False) -> str:
    """The number that belongs to a verdict: the margin, what would have been detected, or the blocks it needs."""
    comparison = answer.comparisons[name]
    unit = f" {answer.objective.unit}" if with_unit else ""
    if comparison.verdict == "equivalent":
        return f"within {answer.criteria.margin:g}{unit}"
    if comparison.verdict == "no difference shown" and 0 < comparison.smallest < math.inf:
        return f"{rounded(comparison.smallest)}{unit} or more would have been detected"
    if comparison.verdict == "underpowered":
        return f"needs at least {_blocks_needed(_tested(answer), answer.criteria.sequential)} blocks"
    return ""


def underpowered(blocks: int, comparisons: int, sequential: bool = False) -> str:
    """Why so few blocks cannot show anything, and how many could."""
    p = smallest_p_anytime(blocks, comparisons) if sequential else smallest_p(blocks, comparisons)
    return (
        f"Underpowered by design: with {counted(blocks, 'block')} and {counted(comparisons, 'comparison')}, the "
        f"smallest attainable p is {p:.3g}; at least {_blocks_needed(comparisons, sequential)} blocks are needed to "
        f"reach {ALPHA:g}."
    )


def how_sure(answer: Answer) -> str:
    """How sure the answer is: blocks, tests, and what they can show."""
    blocks = [comparison.difference.n for comparison in answer.comparisons.values() if comparison.difference.n]
    if not blocks:
        return "Nothing could be compared yet."
    fewest, most = min(blocks), max(blocks)
    span = counted(most, "paired block") if fewest == most else f"{fewest} to {counted(most, 'paired block')}"
    tests = (
        "anytime-valid sign-flip tests"
        if answer.criteria.sequential
        else "two-sided tests (sign flips and Student's t, of which the larger p counts)"
    )
    sentences = [
        f"Each comparison has {span}.",
        f"Verdicts come from {tests} at 5 %, corrected by Holm over {counted(len(blocks), 'comparison')}.",
    ]
    if answer.criteria.sequential:
        sentences.append("They hold however often one looks.")
    else:
        sentences.append(f"The smallest p that so many blocks can give is {number(smallest_p(fewest, len(blocks)))}.")
    if answer.criteria.margin is not None:
        sentences.append(
            f"Differences of at most {number(answer.criteria.margin)} {answer.objective.unit} count as none."
        )
    sentences.append(
        "Intervals are 95 % intervals over blocks, without correction. Those of means are Student's. That of a "
        f"difference excludes 0 exactly if its p before correction is at most {ALPHA:g}."
    )
    if fewest < _blocks_needed(1, answer.criteria.sequential):
        sentences.append(captions.UNBOUNDED)
    return " ".join(sentences)


def _verdicts_against(answer: Answer, control: str) -> str:
    """The verdicts on all that are compared with a control, clearest first; empty if nothing is."""
    names_by_verdict: dict[Verdict, list[str]] = {}
    for name, comparison in answer.comparisons.items():
        if answer.controls[name] == control:
            names_by_verdict.setdefault(comparison.verdict, []).append(name)
    if not names_by_verdict:
        return ""
    if math.isnan(answer.scores[control]):
        return f"{the_control(answer, control)}: nothing is compared, because the control has no value"
    clauses = []
    for key, on_real in _BETTER_AND_WORSE.items():
        if names := names_by_verdict.get(key):
            p_values = {name: answer.comparisons[name].p_holm for name in names}
            outcome = on_real if answer.objective.better == "real" else key
            clauses.append(f"{_with_p(answer, p_values)} {is_or_are(names)} {outcome}")
    if names := names_by_verdict.get("equivalent"):
        p_values = {name: answer.comparisons[name].p_equivalent for name in names}
        margin = f"{answer.criteria.margin:g} {answer.objective.unit}"
        clauses.append(f"{_with_p(answer, p_values)} {is_or_are(names)} equivalent within {margin}")
    if names := names_by_verdict.get("not compared"):
        clauses += _not_compared(answer, names, sum(map(len, names_by_verdict.values())))
    if names := names_by_verdict.get("underpowered"):
        is_last = "no difference shown" not in names_by_verdict
        clauses.append(f"nothing can be shown yet for {_these(answer, names, after_others=is_last and bool(clauses))}")
    if names := names_by_verdict.get("no difference shown"):
        clauses.append(f"no difference is shown for {_these(answer, names, after_others=bool(clauses))}")
        clauses += _detectable(answer, names)
    return f"{the_control(answer, control)}: {'; '.join(clauses)}"


def _not_compared(answer: Answer, names: list[str], others: int) -> list[str]:
    """Which of the `others` than the control cannot be compared with it, and why."""
    without_value = [name for name in names if math.isnan(answer.scores[name])]
    unpaired = [name for name in names if name not in without_value]
    it_has = "it has" if len(without_value) == 1 else "they have"
    reasons = ((without_value, f"{it_has} no value"), (unpaired, "no block has a value of both"))
    return [
        f"{named_or_counted(group, others)} {is_or_are(group)} not compared, because {reason}"
        for group, reason in reasons
        if group
    ]


def _aim(answer: Answer) -> str:
    """Which way is better: up, down, or towards real music's value."""
    objective = answer.objective
    if objective.better != "real":
        return f"{objective.better} is better"
    real = answer.baselines.get(objective.full_name, math.nan)
    return "real music is best" if math.isnan(real) else f"real music has {rounded(real)}"


def _with_p(answer: Answer, p_values: dict[str, float]) -> str:
    """The variants, each with its mean and p if they are few; else their names, or how many they are."""
    if len(p_values) <= LARGEST_NAMED:
        return listing(with_mean(answer, name, p) for name, p in p_values.items())
    names = listing(p_values)
    who = names if len(names) <= _LONGEST_LIST else f"{len(p_values)} variants"
    return f"{who} ({p_at_most(max(p_values.values()))})"


def _these(answer: Answer, names: list[str], after_others: bool) -> str:
    """The variants with their means; if they are many, how many there are, `after_others` or alone."""
    if len(names) <= LARGEST_NAMED:
        return listing(with_mean(answer, name) for name in names)
    return f"the other {len(names)}" if after_others else f"any of {len(names)} variants"


def _detectable(answer: Answer, names: list[str]) -> list[str]:
    """How large a difference would have been detected; empty if that is not known."""
    smallest = [answer.comparisons[name].smallest for name in names]
    smallest = [difference for difference in smallest if 0 < difference < math.inf]
    if not smallest:
        return []
    low, high = rounded(min(smallest)), rounded(max(smallest))
    return [f"a difference of {low if low == high else f'{low} to {high}'} would have been detected"]


def _best(answer: Answer, leader: str, verdicts: str) -> str:
    """The variant with the best mean, if the verdicts do not say it already."""
    compared = {name: comparison.verdict for name, comparison in answer.comparisons.items()}
    others = [compared[name] for name in compared if name != leader]
    only_better = compared.get(leader) == "better" and "better" not in others
    beats_all = bool(compared) and set(others) == {"worse"}
    if len(set(answer.controls.values())) == 1 and (only_better or beats_all):
        return ""
    superlative = "Nearest to real music on average" if answer.objective.better == "real" else "Best mean"
    has_its_mean = f"{leader} (" in verdicts
    named = leader if has_its_mean else with_mean(answer, leader)
    return f"{superlative}: {f'the {named}' if leader == CONTROL else named}."


def _power(answer: Answer) -> str:
    """How many blocks are needed; empty if no comparison is underpowered."""
    blocks = [
        comparison.difference.n for comparison in answer.comparisons.values() if comparison.verdict == "underpowered"
    ]
    return underpowered(min(blocks), _tested(answer), answer.criteria.sequential) if blocks else ""


def _stopping(answer: Answer) -> str:
    """That the number of blocks depended on what they showed, and how that ended; empty if it did not."""
    if not answer.criteria.sequential:
        return ""
    blocks = counted(max((comparison.difference.n for comparison in answer.comparisons.values()), default=0), "block")
    unclear = undecided(answer.comparisons)
    if unclear:
        state = f"after {blocks}, {len(unclear)} of {len(answer.comparisons)} {is_or_are(unclear)} not clear yet"
    else:
        state = f"that took {blocks}"
    return f"Blocks were added until every comparison is clear; {state}. The tests are valid whenever one stops."


def _tested(answer: Answer) -> int:
    """How many comparisons the tests are corrected for."""
    return sum(comparison.difference.n > 0 for comparison in answer.comparisons.values())


def _blocks_needed(comparisons: int, sequential: bool) -> int:
    return blocks_needed_anytime(comparisons) if sequential else blocks_needed(comparisons)
