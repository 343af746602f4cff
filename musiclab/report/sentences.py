"""The answer in sentences, as people read it."""

import math

from musiclab.analysis.answer import Answer, best, undecided
from musiclab.analysis.claims import Evidence
from musiclab.analysis.comparisons import Verdict
from musiclab.analysis.effects import Effect
from musiclab.analysis.sequential import blocks_needed_anytime, smallest_p_anytime
from musiclab.analysis.statistics import ALPHA, Interval, blocks_needed, smallest_p
from musiclab.measures.registry import MEASURES
from musiclab.report.formatting import bounds_text, p_text
from musiclab.wording import counted, listing, rounded

_LONGEST = 120  # letters of a list of names
_NAMED = 6  # variants that a sentence names with their numbers; of more it names them, or counts them


def describe(answer: Answer) -> list[str]:
    """The answer in sentences: the verdicts first, then what is lacking, effects of single fields, and baselines."""
    return [sentence(answer), *lacking(answer), *single_effects(answer), *beside_baselines(answer)]


def sentence(answer: Answer) -> str:
    """The answer: every comparison's verdict, control by control, which variant is best, and what blocks allow."""
    objective = answer.objective
    leader = best(answer)
    if leader is None:
        lack = (
            f"No finished trial has a value of {objective.name}"
            if any(answer.measures.values())
            else "No trial has finished"
        )
        return f"{lack}, so there is no answer."
    against = [_against(answer, control) for control in dict.fromkeys(answer.controls.values())]
    verdicts = ". Against ".join(filter(None, against))
    if verdicts:
        verdicts = f"On {objective.name} ({objective.unit}, {_aim(answer)}), against {verdicts}."
    return " ".join(filter(None, [verdicts, _best(answer, leader, verdicts), _power(answer), _until(answer)]))


def verdict(answer: Answer, name: str) -> str:
    """The verdict on a compared variant with the number that belongs to it: `equivalent (within 0.5 squared sds)`."""
    detail = verdict_detail(answer, name, f" {answer.objective.unit}")
    return f"{answer.comparisons[name].verdict} ({detail})" if detail else answer.comparisons[name].verdict


def lacking(answer: Answer) -> list[str]:
    """What failed, and which blocks are left out of which pairs; nothing where nothing lacks."""
    said = []
    failed = [_share_failed(answer, name) for name, times in answer.failed.items() if times]
    if failed:
        said.append(f"Failed: {', '.join(failed)}.")
    left_out: dict[tuple[int, ...], list[str]] = {}
    for name, compared in answer.comparisons.items():
        if compared.left_out and compared.verdict != "not compared":
            left_out.setdefault(compared.left_out, []).append(name)
    if left_out:
        parts = [f"{_blocks(of)} for {listing(names)}" for of, names in left_out.items()]
        said.append(f"Left out, since one of the pair is missing: {'; '.join(parts)}.")
    return said


def single_effects(answer: Answer) -> list[str]:
    """What factors do: a sentence for each one's main effect, then interactions, disagreements, aliases and trends."""
    found = answer.effects
    said = []
    for field in dict.fromkeys(effect.field for effect in found.main):
        of_field = [effect for effect in found.main if effect.field == field]
        parts = [f"{effect.value} instead of {effect.control} {_does(answer, effect)}" for effect in of_field]
        said.append(f"{field}, averaged over the other fields: {'; '.join(parts)}.")
    said += _interactions(answer)
    for of in found.disagreements:
        said.append(
            f"Leave-one-out and add-one-in would disagree on {of.main.field}: what {of.main.value} instead of "
            f"{of.main.control} does to {_what(answer)} is {_effect(of.add_one_in)} where it alone is changed, "
            f"{_effect(of.leave_one_out)} where all others are changed too, and {_effect(of.main)} on average."
        )
    return [*said, *confounded(found.aliases), *_trends(answer)]


def confounded(aliases: dict[str, list[str]]) -> list[str]:
    """Which effects a fraction cannot tell apart; nothing where it can tell all that it is asked for."""
    groups = [" and ".join([first, *others]) for first, others in aliases.items()]
    return [f"This fraction cannot tell apart: {'; '.join(groups)}."] if groups else []


def beside_baselines(answer: Answer) -> list[str]:
    """For each measure whose sign is a question of its own, a sentence: which variants are above 0, which not."""
    said = []
    for measure in MEASURES:
        p = answer.above_zero.get(measure.full_name, {})
        of = {name: answer.measures[name][measure.full_name] for name in p}
        groups = {
            "Above": [name for name in p if p[name] <= ALPHA and of[name].mean > 0],
            "Below": [name for name in p if p[name] <= ALPHA and of[name].mean < 0],
        }
        shown = [name for names in groups.values() for name in names]
        groups["Not shown to be above or below"] = [name for name in p if name not in shown]
        parts = [f"{words} {measure.above_zero}: {_listed(names, of)}" for words, names in groups.items() if names]
        if parts:
            said.append(f"{measure.full_name}. {'. '.join(parts)}.")
    return said


def evidence_mark(found: Evidence) -> str:
    """Whether what a claim expects is so: `✓` shown, `✗` the opposite shown (before any correction), `?` neither."""
    return {1: "✓", -1: "✗", 0: "?"}[found.sign if found.p <= ALPHA else 0]


def evidence(found: Evidence) -> str:
    """What a claim expects and what was measured."""
    if not found.difference.n:
        return f"{found.expect.words}: not measured"
    return (
        (
            f"{found.expect.words}: {rounded(found.value)} against {rounded(found.than)}, difference "
            f"{rounded(found.difference.mean)} {bounds_text(found.difference)}, p = {p_text(found.p)}, "
            f"{counted(found.difference.n, 'block')}"
        )
        .replace("= <", "<")
        .replace(" ,", ",")
    )


def underpowered(blocks: int, comparisons: int, sequential: bool = False) -> str:
    """Why so few blocks cannot show anything, and how many could."""
    need = blocks_needed_anytime(comparisons) if sequential else blocks_needed(comparisons)
    p = smallest_p_anytime(blocks, comparisons) if sequential else smallest_p(blocks, comparisons)
    return (
        f"Underpowered by design: with {counted(blocks, 'block')} and {counted(comparisons, 'comparison')} the "
        f"smallest p attainable is {p:.3g}; it takes {need} blocks to reach {ALPHA:g}."
    )


def _against(answer: Answer, control: str) -> str:
    """The verdicts on all that are compared with a control: those that say something first; nothing where none is."""
    groups: dict[Verdict, list[str]] = {}
    for name, compared in answer.comparisons.items():
        if answer.controls[name] == control:
            groups.setdefault(compared.verdict, []).append(name)
    if not groups:
        return ""
    real = answer.objective.better == "real"
    clauses = []
    for key, to_be in (("better", "nearer to real music"), ("worse", "farther from real music")):
        if names := groups.get(key):
            p = {name: answer.comparisons[name].p_holm for name in names}
            clauses.append(f"{_with_p(answer, names, p)} {_is(names)} {to_be if real else key}")
    if names := groups.get("equivalent"):
        p = {name: answer.comparisons[name].p_equivalent for name in names}
        within = f"{answer.criteria.margin:g} {answer.objective.unit}"
        clauses.append(f"{_with_p(answer, names, p)} {_is(names)} equivalent within {within}")
    if names := groups.get("not compared"):
        clauses.append(f"{listing(names)} {_is(names)} not compared, for want of a value")
    if names := groups.get("underpowered"):
        last = "no difference shown" not in groups
        clauses.append(f"nothing can be shown yet for {_those(answer, names, last and bool(clauses))}")
    if names := groups.get("no difference shown"):
        clauses.append(f"no difference is shown for {_those(answer, names, bool(clauses))}{_could(answer, names)}")
    return f"the control {_valued(answer, control)}: {'; '.join(clauses)}"


def _best(answer: Answer, leader: str, said: str) -> str:
    """Which variant has the best mean, unless the verdicts have `said` so; its mean, unless they have."""
    verdicts = {name: compared.verdict for name, compared in answer.comparisons.items()}
    others = [of for name, of in verdicts.items() if name != leader]
    only_better = verdicts.get(leader) == "better" and "better" not in others
    if len(set(answer.controls.values())) == 1 and (only_better or (verdicts and set(others) == {"worse"})):
        return ""
    superlative = "Nearest to real music on average" if answer.objective.better == "real" else "Best mean"
    return f"{superlative}: {leader if f'{leader} (' in said else _valued(answer, leader)}."


def _power(answer: Answer) -> str:
    """How many blocks it would take, where there are too few for anything to be shown."""
    blocks = [c.difference.n for c in answer.comparisons.values() if c.verdict == "underpowered"]
    if not blocks:
        return ""
    return underpowered(min(blocks), _family(answer), answer.criteria.sequential)


def _until(answer: Answer) -> str:
    """That the number of blocks hung on what they showed, and how that ended."""
    if not answer.criteria.sequential:
        return ""
    blocks = counted(max((c.difference.n for c in answer.comparisons.values()), default=0), "block")
    left = undecided(answer.comparisons)
    state = f"which took {blocks}"
    if left:
        state = f"and after {blocks} {len(left)} of {len(answer.comparisons)} {_is(left)} not"
    return f"Blocks were added until every comparison is clear, {state}; the tests hold whenever one stops."


def _family(answer: Answer) -> int:
    """How many comparisons the tests are corrected for."""
    return sum(compared.difference.n > 0 for compared in answer.comparisons.values())


def verdict_detail(answer: Answer, name: str, unit: str = "") -> str:
    """The number that belongs to a verdict: within what, what would have been shown, how many blocks it takes."""
    compared = answer.comparisons[name]
    if compared.verdict == "equivalent":
        return f"within {answer.criteria.margin:g}{unit}"
    if compared.verdict == "no difference shown" and 0 < compared.smallest < math.inf:
        return f"one of {rounded(compared.smallest)}{unit} would be"
    if compared.verdict == "underpowered":
        need = blocks_needed_anytime if answer.criteria.sequential else blocks_needed
        return f"it takes {need(_family(answer))} blocks"
    return ""


def _aim(answer: Answer) -> str:
    """Which way is better: up, down, or towards real music's value."""
    objective = answer.objective
    if objective.better != "real":
        return f"{objective.better} is better"
    real = answer.baselines.get(objective.full_name, math.nan)
    return "real music is best" if math.isnan(real) else f"real music has {rounded(real)}"


def _with_p(answer: Answer, names: list[str], p: dict[str, float]) -> str:
    """The variants, each with its mean and p as long as they are few; else their names, or how many they are."""
    if len(names) > _NAMED:
        named = listing(names)
        who = named if len(named) <= _LONGEST else f"{len(names)} variants"
        return f"{who} (p at most {p_text(max(p.values()))})".replace("most <", "most")
    return listing([_valued(answer, name, p[name]) for name in names])


def _those(answer: Answer, names: list[str], others: bool) -> str:
    """The variants with their means; where they are many, how many there are beside the `others`, if any."""
    if len(names) > _NAMED:
        return f"the other {len(names)}" if others else f"any of {len(names)} variants"
    return listing([_valued(answer, name) for name in names])


def _could(answer: Answer, names: list[str]) -> str:
    """How large a difference would have been shown."""
    smallest = [of for name in names if 0 < (of := answer.comparisons[name].smallest) < math.inf]
    if not smallest:
        return ""
    low, high = rounded(min(smallest)), rounded(max(smallest))
    return f", where one of {low if low == high else f'{low} to {high}'} would have been"


def _what(answer: Answer) -> str:
    """What effects are effects on."""
    name = answer.objective.name
    return f"the distance of {name} to real" if answer.objective.better == "real" else name


def _does(answer: Answer, effect: Effect) -> str:
    """What an effect comes to, as a verb and its numbers."""
    if not effect.difference.n:
        return f"has no block with a value of {answer.objective.name} in all its variants"
    verb = "raises" if effect.difference.mean > 0 else "lowers"
    verb = verb if effect.p_holm <= ALPHA else "is not shown to change"
    return f"{verb} {_what(answer)} ({_signed(effect.difference)}, {_p_is(effect.p_holm)})"


def _effect(effect: Effect) -> str:
    return f"{_signed(effect.difference)} ({_p_is(effect.p_holm)})"


def _signed(interval: Interval) -> str:
    return f"{'+' * (interval.mean >= 0)}{rounded(interval.mean)} {bounds_text(interval)}".strip()


def _p_is(p: float) -> str:
    return f"p = {p_text(p)}".replace("= <", "<")


def _interactions(answer: Answer) -> list[str]:
    """The interactions that are shown, as far as they are few, and how many are not."""
    interactions = answer.effects.interactions
    if not interactions:
        return []
    shown = [of for of in interactions if of.p_holm <= ALPHA]
    said = []
    for of in sorted(shown, key=lambda of: of.p_holm)[:_NAMED]:
        (one, other), (a, b), (_, without) = of.fields, of.values, of.controls
        said.append(
            f"The effect of {one}={a} on {_what(answer)} is {'higher' if of.difference.mean > 0 else 'lower'} with "
            f"{other}={b} than with {other}={without} ({_signed(of.difference)}, {_p_is(of.p_holm)})."
        )
    if len(shown) > _NAMED:
        said.append(f"Also shown: {counted(len(shown) - _NAMED, 'more interaction')} of two fields.")
    rest = len(interactions) - len(shown)
    if rest:
        others = "other interaction of two fields is" if rest == 1 else f"other {rest} interactions of two fields are"
        text = f"The {others} not shown." if shown else f"No interaction of two fields is shown (of {rest})."
        blocks = max(of.difference.n for of in interactions)
        need = (blocks_needed_anytime if answer.criteria.sequential else blocks_needed)(len(interactions))
        said.append(f"{text} {counted(blocks, 'block')} can show none; it takes {need}." if blocks < need else text)
    return said


def _trends(answer: Answer) -> list[str]:
    """Whether the objective rises or falls with each numeric field."""
    said = []
    for of in answer.effects.trends:
        if not of.correlation.n:
            continue
        does = "rises" if of.correlation.mean > 0 else "falls"
        does = does if of.p_holm <= ALPHA else "is not shown to rise or fall"
        said.append(
            f"With more {of.field} {_what(answer)} {does}: rank correlation {_signed(of.correlation)}, "
            f"{_p_is(of.p_holm)}; {_signed(of.slope)} for each 1 of {of.field}."
        )
    return said


def _share_failed(answer: Answer, name: str) -> str:
    """How many of a variant's trials failed."""
    finished = max((interval.n for interval in answer.measures[name].values()), default=0)
    trials, failed = finished + answer.missing[name], answer.failed[name]
    return f"{'all' if failed == trials else f'{failed} of'} {counted(trials, 'trial')} of {name}"


def _blocks(of: tuple[int, ...]) -> str:
    """Blocks by number, or how many where they are many."""
    if len(of) > _NAMED:
        return counted(len(of), "block")
    return f"block{'' if len(of) == 1 else 's'} {listing(map(str, of))}"


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _valued(answer: Answer, name: str, p: float | None = None) -> str:
    """A variant with its mean and p."""
    full = answer.objective.full_name
    said = [rounded(answer.measures[name][full].mean)] if full in answer.measures[name] else []
    if p is not None:
        said.append(f"p = {p_text(p)}".replace("= <", "<"))
    return f"{name} ({', '.join(said)})" if said else name


def _listed(names: list[str], of: dict[str, Interval]) -> str:
    """The variants with their means; together where they are many, or all have the same."""
    means = [of[name].mean for name in names]
    low, high = rounded(min(means)), rounded(max(means))
    if len(names) > _NAMED or (low == high and len(names) == len(of) > 1):
        who = "all variants" if len(names) == len(of) else f"{len(names)} of {len(of)} variants"
        return f"{who} ({low if low == high else f'{low} to {high}'})"
    return "; ".join(f"{name} ({rounded(of[name].mean)})" for name in names)
