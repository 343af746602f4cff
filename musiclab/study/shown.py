"""The answer as people read it: a table, and sentences."""

import math

from musiclab.measures.registry import MEASURES, Measure
from musiclab.measures.suite import FLOOR
from musiclab.study.answer import Answer, best
from musiclab.study.statistics import ALPHA, Interval, blocks_needed, smallest_p

_COLUMNS = 6  # variants beside one another; more go below, or no terminal would show them


def in_words(answer: Answer) -> list[str]:
    """The answer in sentences: the verdict first, then effects of single fields, then what stands beside baselines."""
    return [sentence(answer), *single_effects(answer), *beside_baselines(answer)]


def sentence(answer: Answer) -> str:
    """The answer in words: who beats the control, who loses to it, or that nothing was shown and why."""
    leader, objective = best(answer), answer.objective
    if leader is None:
        lack = (
            f"No finished trial has a value of {objective.name}"
            if any(answer.measures.values())
            else "No trial has finished"
        )
        return f"{lack}, so there is no answer."
    said = " ".join(filter(None, (_verdict(answer, control) for control in dict.fromkeys(answer.controls.values()))))
    superlative = "Nearest to real music on average" if objective.better == "real" else "Best mean"
    said = f"{said} {superlative}: {_valued(answer, leader)}.".strip()
    blocks = [c.difference.n for c in answer.comparisons.values() if c.difference.n]
    if blocks and smallest_p(min(blocks), len(blocks)) > ALPHA:
        said += f" {underpowered(min(blocks), len(blocks))}"
    return said


def single_effects(answer: Answer) -> list[str]:
    """For crossed grids a sentence a field: what each of its values does, averaged over the other fields."""
    said = []
    for field in dict.fromkeys(effect.field for effect in answer.effects):
        parts = [
            f"{effect.value} {effect.difference.mean:+.3g} {_bounds(effect.difference)}, p = {_p(effect.p_holm)}"
            for effect in answer.effects
            if effect.field == field
        ]
        control = next(effect.control for effect in answer.effects if effect.field == field)
        what = (
            f"distance of {answer.objective.name} to real"
            if answer.objective.better == "real"
            else answer.objective.name
        )
        text = f"{field}, averaged over the other fields, changes {what} against {field}={control}: {'; '.join(parts)}."
        said.append(text.replace("= <", "<").replace(" ,", ","))
    return said


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


def underpowered(blocks: int, comparisons: int) -> str:
    """Why so few blocks cannot show anything, and how many could."""
    need = blocks_needed(comparisons)
    return (
        f"Underpowered by design: with {blocks} block{'' if blocks == 1 else 's'} and {comparisons} "
        f"comparison{'' if comparisons == 1 else 's'} the smallest p attainable is "
        f"{smallest_p(blocks, comparisons):.3g}; it takes {need} blocks to reach {ALPHA:g}."
    )


def table(answer: Answer) -> str:
    """Measures x variants: the mean, under it its 95 % interval; below the objective, differences to the control.

    Controls bear a star; where the aim is to be like real music, differences are those of the distances to its value.
    The column "real v. real" says what real music scores against other real music of the same held-out songs: its value
    where that is the aim, then how far apart the two are; for reconstruction, what a guess of other music would score.
    """
    same = _same_for_all(answer)
    parts = [_part(answer, names, [m for m in MEASURES if m.full_name not in same]) for names in _groups(answer)]
    if same:
        first = next(iter(answer.measures))
        rows = [["", "better", "real v. real", "all variants"]]
        for measure in same.values():
            rows += _rows(answer, measure, [first])
        parts.append(_aligned(rows))
    return "\n\n".join(parts)


def _groups(answer: Answer) -> list[list[str]]:
    """The variants that stand beside one another, so few that they fit, each with its control."""
    groups = []
    for control in dict.fromkeys(answer.controls.values()):
        names = [name for name in answer.controls if answer.controls[name] == control]
        if len(names) <= _COLUMNS:
            groups.append(names)
            continue
        others = [name for name in names if name != control]
        groups += [[control, *others[at : at + _COLUMNS - 1]] for at in range(0, len(others), _COLUMNS - 1)]
    return groups


def _same_for_all(answer: Answer) -> dict[str, Measure]:
    """What the compared fields cannot touch, such as the networks' own measures where only generation differs."""
    first, *others = answer.measures.values()
    return {
        measure.full_name: measure
        for measure in MEASURES
        if others
        and measure != answer.objective
        and (interval := first.get(measure.full_name))
        and interval.n
        and all(of.get(measure.full_name) == interval for of in others)
    }


def _part(answer: Answer, names: list[str], measures: list[Measure]) -> str:
    """The table of some variants; a long name takes a line for each of its fields."""
    words = [(f"{name}*" if answer.controls[name] == name else name).split(", ") for name in names]
    height = max(map(len, words))
    stacked = [[""] * (height - len(word)) + word for word in words]
    rows = [["", "", "", *line] for line in zip(*stacked, strict=True)]
    rows[-1][1:3] = ["better", "real v. real"]
    for measure in measures:
        if any(
            measure.full_name in answer.measures[name] and answer.measures[name][measure.full_name].n for name in names
        ):
            rows += _rows(answer, measure, names)
        if measure == answer.objective:
            compared = [answer.comparisons.get(name) for name in names]
            what = "  distance to real, less *" if measure.better == "real" else "  difference to *"
            rows.append([what, "", "", *(_mean(c.difference) if c else "*" for c in compared)])
            rows.append(["", "", "", *(_bounds(c.difference) if c else "" for c in compared)])
            rows.append(["  p (Holm)", "", "", *(_p(c.p_holm) if c else "" for c in compared)])
    blocks = [max((i.n for i in answer.measures[name].values()), default=0) for name in names]
    rows.append(["blocks", "", "", *map(str, blocks)])
    if any(answer.missing.values()):
        rows.append(["trials missing", "", "", *(str(answer.missing[name]) for name in names)])
    return _aligned(rows, height)


def _rows(answer: Answer, measure: Measure, names: list[str]) -> list[list[str]]:
    intervals = [answer.measures[name].get(measure.full_name) for name in names]
    return [
        [measure.full_name, measure.better, _real(answer, measure.full_name), *map(_mean, intervals)],
        ["", "", "", *map(_bounds, intervals)],
    ]


def _aligned(rows: list[list[str]], height: int = 1) -> str:
    """Rows as lines of equal columns, with a rule below the first `height`, without empty ones."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines[:height], "-" * max(map(len, lines)), *filter(None, lines[height:])])


def _verdict(answer: Answer, control: str) -> str:
    objective, real = answer.objective, answer.objective.better == "real"
    compared = {name: c for name, c in answer.comparisons.items() if answer.controls[name] == control}
    none = [name for name, c in compared.items() if not c.difference.n]
    shown = {name: c for name, c in compared.items() if c.p_holm <= ALPHA}
    better = [name for name, c in shown.items() if (c.difference.mean < 0) == (objective.better != "higher")]
    worse = [name for name in shown if name not in better]
    to_be = ("nearer to real music than", "farther from real music than") if real else ("better than", "worse than")
    parts = []
    for names, words in zip((better, worse), to_be, strict=True):
        if names:
            each = "; ".join(_valued(answer, name, compared[name].p_holm) for name in names)
            parts.append(
                f"{words} the control {_valued(answer, control)} on {objective.name}: {each}".replace("= <", "<")
            )
    if none:
        parts.append(f"not compared with {control}, for want of a value of {objective.name}: {', '.join(none)}")
    if not shown and len(none) < len(compared):
        differ = "nearer to real music or farther from it than" if real else "differ from"
        parts.insert(0, f"no variant is shown to {'be ' * real}{differ} the control {control} on {objective.name}")
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in parts)


def _valued(answer: Answer, name: str, p: float | None = None) -> str:
    """A variant with its mean, what real music has where that is the aim, and p."""
    full = answer.objective.full_name
    said = [_number(answer.measures[name][full].mean)] if full in answer.measures[name] else []
    if answer.objective.better == "real" and p is None and full in answer.scale:
        said.append(f"real {_number(answer.scale[full])}")
    if p is not None:
        said.append(f"p = {_p(p)}")
    return f"{name} ({', '.join(said)})" if said else name


def _listed(names: list[str], of: dict[str, Interval]) -> str:
    values = {_number(of[name].mean) for name in names}
    if len(values) == 1 < len(names) == len(of):
        return f"all variants ({values.pop()})"
    return "; ".join(f"{name} ({_number(of[name].mean)})" for name in names)


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _mean(interval: Interval | None) -> str:
    return _number(interval.mean) if interval else "-"


def _bounds(interval: Interval | None) -> str:
    return f"[{_number(interval.low)}, {_number(interval.high)}]" if interval and not math.isnan(interval.low) else ""


def _real(answer: Answer, full: str) -> str:
    """What real music scores: its value where that is the aim, and the floor, other real music's distance from it."""
    floor = _number(answer.scale[full + FLOOR]) if full + FLOOR in answer.scale else "-"
    return f"{_number(answer.scale[full])} ± {floor}" if full in answer.scale else floor


def _p(p: float) -> str:
    return "-" if math.isnan(p) else f"{p:.3f}" if p >= 0.001 else "< 0.001"
