"""The answer: records of a study's cells as means, intervals and paired comparisons, in a table and in sentences."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from musiclab.measures.registry import MEASURES, Measure
from musiclab.measures.rolls import nan_mean
from musiclab.measures.suite import FLOOR
from musiclab.study.plan import Cell
from musiclab.study.statistics import ALPHA, Interval, blocks_needed, holm, mean_interval, sign_flip_p, smallest_p

_COLUMNS = 6  # variants beside one another; more go below, or no terminal would show them


@dataclass(frozen=True)
class Comparison:
    """A variant against its control on the objective: paired differences over the blocks that both have."""

    difference: Interval
    p: float
    p_holm: float


@dataclass(frozen=True)
class Answer:
    """Everything a table, MLflow or a report shows; variants are keyed by name, in the study's order.

    `judged` is the mean of the objective, or of its distance to the value of real music where being like it is the aim;
    comparisons are of the same.
    """

    objective: Measure
    controls: dict[str, str]
    measures: dict[str, dict[str, Interval]]
    judged: dict[str, float]
    comparisons: dict[str, Comparison]
    floor: dict[str, float]
    missing: dict[str, int]


def answer(
    cells: list[Cell], records: dict[str, dict[str, Any]], controls: dict[str, str], objective: Measure
) -> Answer:
    """Summarise the records (by key) of the cells; a cell without one counts as missing.

    `controls` names the variant that each one is compared with; the comparisons of all of them are one family.
    """
    found: dict[str, dict[int, dict[str, Any]]] = {}
    missing: dict[str, int] = {}
    for cell in cells:
        name = cell.variant.name
        of_variant = found.setdefault(name, {})
        missing.setdefault(name, 0)
        if cell.key in records:
            of_variant[cell.block.index] = records[cell.key]
        else:
            missing[name] += 1
    measures = {
        name: _intervals([record["measures"] for record in by_block.values()]) for name, by_block in found.items()
    }
    # The floor is a matter of the block's real music; variants share it unless they cut windows differently.
    floor: dict[str, float] = {}
    for name in dict.fromkeys([*controls.values(), *found]):
        floor = _means([record["floor"] for record in found[name].values()]) | floor
    differences = {
        name: _paired(by_block, found[controls[name]], objective)
        for name, by_block in found.items()
        if name != controls[name]
    }
    p = [sign_flip_p(d) for d in differences.values()]
    comparisons = {
        name: Comparison(mean_interval(d), raw, adjusted)
        for (name, d), raw, adjusted in zip(differences.items(), p, holm(p), strict=True)
    }
    judged = {name: _mean_judged(by_block.values(), objective) for name, by_block in found.items()}
    return Answer(objective, controls, measures, judged, comparisons, floor, missing)


def best(answer: Answer) -> str | None:
    """The variant with the best mean objective; None where no trial has finished."""
    return _leader(answer.judged, answer.objective)


def best_so_far(cells: list[Cell], records: dict[str, dict[str, Any]], objective: Measure) -> str | None:
    """The same from the records alone, without an interval: for whoever asks after every trial."""
    found: dict[str, list[dict[str, Any]]] = {}
    for cell in cells:
        if cell.key in records:
            found.setdefault(cell.variant.name, []).append(records[cell.key])
    return _leader({name: _mean_judged(of, objective) for name, of in found.items()}, objective)


def sentence(answer: Answer) -> str:
    """The answer in words: who beats the control, who loses to it, or that nothing was shown and why."""
    leader = best(answer)
    if leader is None:
        lack = (
            f"No finished trial has a value of {answer.objective.name}"
            if any(answer.measures.values())
            else "No trial has finished"
        )
        return f"{lack}, so there is no answer."
    said = " ".join(_verdict(answer, control) for control in dict.fromkeys(answer.controls.values()))
    said += f" Best mean: {leader} ({_number(answer.measures[leader][answer.objective.full_name].mean)})."
    blocks = min((c.difference.n for c in answer.comparisons.values()), default=0)
    if answer.comparisons and smallest_p(blocks, len(answer.comparisons)) > ALPHA:
        said += f" {underpowered(blocks, len(answer.comparisons))}"
    return said


def beside_baselines(answer: Answer) -> list[str]:
    """For each measure whose sign is a question of its own, a sentence: which variants are above 0, which not."""
    said = []
    for measure in MEASURES:
        every = {name: values.get(measure.full_name) for name, values in answer.measures.items()}
        of = {name: interval for name, interval in every.items() if interval and not math.isnan(interval.mean)}
        if not measure.above_zero or not of:
            continue
        groups = {
            "Above": [name for name, interval in of.items() if interval.low > 0],
            "Below": [name for name, interval in of.items() if interval.high < 0],
        }
        groups["Not shown to be above or below"] = [name for name in of if not any(name in g for g in groups.values())]
        parts = [f"{words} {measure.above_zero}: {_listed(names, of)}" for words, names in groups.items() if names]
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
    names = list(answer.measures)
    same = _same_for_all(answer)
    parts = [_part(answer, names[at : at + _COLUMNS], same) for at in range(0, len(names), _COLUMNS)]
    if same:
        each = ", ".join(f"{full} {_number(interval.mean)}" for full, interval in same.items())
        parts.append(f"The same for all variants: {each}.")
    return "\n\n".join(parts)


def _same_for_all(answer: Answer) -> dict[str, Interval]:
    """What the compared fields cannot touch, such as the networks' own measures where only generation differs."""
    first, *others = answer.measures.values()
    return {
        full: interval
        for full, interval in first.items()
        if others
        and interval.n
        and full != answer.objective.full_name
        and all(of.get(full) == interval for of in others)
    }


def _part(answer: Answer, names: list[str], left_out: dict[str, Interval]) -> str:
    starred = [f"{name}*" if answer.controls[name] == name else name for name in names]
    rows = [["", "better", "real v. real", *starred]]
    for measure in MEASURES:
        full = measure.full_name
        there = any(full in answer.measures[name] and answer.measures[name][full].n for name in names)
        if full in left_out or not there:
            continue
        intervals = [answer.measures[name].get(full) for name in names]
        rows.append([full, measure.better, _real(answer, full), *map(_mean, intervals)])
        rows.append(["", "", "", *map(_bounds, intervals)])
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
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *filter(None, lines[1:])])


def _verdict(answer: Answer, control: str) -> str:
    objective = answer.objective
    compared = {name: c for name, c in answer.comparisons.items() if answer.controls[name] == control}
    aim = f"{objective.name}, nearer to real music" if objective.better == "real" else objective.name
    shown = {name: c for name, c in compared.items() if c.p_holm <= ALPHA}
    better = [name for name, c in shown.items() if (c.difference.mean < 0) == (objective.better != "higher")]
    worse = [name for name in shown if name not in better]
    parts = []
    for names, word in ((better, "better"), (worse, "worse")):
        if names:
            each = "; ".join(f"{name} (p = {_p(compared[name].p_holm)})".replace("= <", "<") for name in names)
            parts.append(f"{word} than the control {control} on {aim}: {each}")
    if parts:
        return ". ".join(part[0].upper() + part[1:] for part in parts) + "."
    return f"No variant is shown to differ from the control {control} on {objective.name}."


def _listed(names: list[str], of: dict[str, Interval]) -> str:
    values = {_number(of[name].mean) for name in names}
    if len(values) == 1 < len(names) == len(of):
        return f"all variants ({values.pop()})"
    return "; ".join(f"{name} ({_number(of[name].mean)})" for name in names)


def _leader(judged: dict[str, float], objective: Measure) -> str | None:
    sign = -1 if objective.better == "higher" else 1
    return min(
        (name for name in judged if not math.isnan(judged[name])), key=lambda name: sign * judged[name], default=None
    )


def _judged(record: dict[str, Any], objective: Measure) -> float:
    """What the objective is judged by: its value, or its distance to that of the block's real music."""
    value = record["measures"].get(objective.full_name, math.nan)
    return abs(value - record["floor"].get(objective.full_name, math.nan)) if objective.better == "real" else value


def _mean_judged(records: Any, objective: Measure) -> float:
    return nan_mean(np.array([_judged(record, objective) for record in records]))


def _intervals(of_blocks: list[dict[str, float]]) -> dict[str, Interval]:
    """The measures that the records have, by full name; values of single tracks stay in the records."""
    names = [measure.full_name for measure in MEASURES if any(measure.full_name in values for values in of_blocks)]
    return {name: mean_interval([values.get(name, math.nan) for values in of_blocks]) for name in names}


def _means(of_blocks: list[dict[str, float]]) -> dict[str, float]:
    names = {name: None for values in of_blocks for name in values}
    return {name: nan_mean(np.array([values.get(name, math.nan) for values in of_blocks])) for name in names}


def _paired(variant: dict[int, dict], control: dict[int, dict], objective: Measure) -> list[float]:
    differences = [
        _judged(variant[block], objective) - _judged(control[block], objective) for block in variant if block in control
    ]
    return [difference for difference in differences if not math.isnan(difference)]


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
    floor = _number(answer.floor[full + FLOOR]) if full + FLOOR in answer.floor else "-"
    return f"{_number(answer.floor[full])} ± {floor}" if full in answer.floor else floor


def _p(p: float) -> str:
    return "-" if math.isnan(p) else f"{p:.3f}" if p >= 0.001 else "< 0.001"
