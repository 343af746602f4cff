"""The answer: records of a study's cells as means, intervals and paired comparisons, in a table and a sentence."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from musiclab.measures.registry import MEASURES, Measure
from musiclab.measures.rolls import nan_mean
from musiclab.measures.suite import FLOOR
from musiclab.study.plan import Cell
from musiclab.study.statistics import ALPHA, Interval, blocks_needed, holm, mean_interval, sign_flip_p, smallest_p


@dataclass(frozen=True)
class Comparison:
    """A variant against the control on the objective: paired differences over the blocks that both have."""

    difference: Interval
    p: float
    p_holm: float


@dataclass(frozen=True)
class Answer:
    """Everything a table, MLflow or a report shows; variants are keyed by name, in the study's order."""

    objective: Measure
    control: str
    measures: dict[str, dict[str, Interval]]
    comparisons: dict[str, Comparison]
    floor: dict[str, float]
    missing: dict[str, int]


def answer(cells: list[Cell], records: dict[str, dict[str, Any]], control: str, objective: Measure) -> Answer:
    """Summarise the records (by key) of the cells; a cell without one counts as missing."""
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
    floor = _means([record["floor"] for record in found[control].values()])
    differences = {
        name: _paired(by_block, found[control], objective.full_name)
        for name, by_block in found.items()
        if name != control
    }
    p = [sign_flip_p(d) for d in differences.values()]
    comparisons = {
        name: Comparison(mean_interval(d), raw, adjusted)
        for (name, d), raw, adjusted in zip(differences.items(), p, holm(p), strict=True)
    }
    return Answer(objective, control, measures, comparisons, floor, missing)


def best(answer: Answer) -> str | None:
    """The variant with the best mean objective; None where no trial has finished."""
    full = answer.objective.full_name
    return _leader({name: of[full].mean for name, of in answer.measures.items() if full in of}, answer.objective)


def best_so_far(cells: list[Cell], records: dict[str, dict[str, Any]], objective: Measure) -> str | None:
    """The same from the records alone, without an interval: for whoever asks after every trial."""
    values: dict[str, list[float]] = {}
    for cell in cells:
        if cell.key in records:
            values.setdefault(cell.variant.name, []).append(records[cell.key]["measures"][objective.full_name])
    return _leader({name: nan_mean(np.array(of)) for name, of in values.items()}, objective)


def _leader(means: dict[str, float], objective: Measure) -> str | None:
    sign = 1 if objective.better == "lower" else -1
    return min(
        (name for name in means if not math.isnan(means[name])), key=lambda name: sign * means[name], default=None
    )


def sentence(answer: Answer) -> str:
    """The answer in words: who beats the control, who loses to it, or that nothing was shown and why."""
    objective, control = answer.objective, answer.control
    leader = best(answer)
    if leader is None:
        lack = (
            f"No finished trial has a value of {objective.name}"
            if any(answer.measures.values())
            else "No trial has finished"
        )
        return f"{lack}, so there is no answer."
    lower_is_better = objective.better == "lower"
    shown = {name: c for name, c in answer.comparisons.items() if c.p_holm <= ALPHA}
    better = [name for name, c in shown.items() if (c.difference.mean < 0) == lower_is_better]
    worse = [name for name in shown if name not in better]
    parts = []
    for names, word in ((better, "better"), (worse, "worse")):
        if names:
            each = "; ".join(
                f"{name} (p = {_p(answer.comparisons[name].p_holm)})".replace("= <", "<") for name in names
            )
            parts.append(f"{word} than the control {control} on {objective.name}: {each}")
    said = ". ".join(part[0].upper() + part[1:] for part in parts)
    if not parts:
        said = f"No variant is shown to differ from the control {control} on {objective.name}"
    said += f". Best mean: {leader} ({_number(answer.measures[leader][objective.full_name].mean)})."
    blocks = min((c.difference.n for c in answer.comparisons.values()), default=0)
    if answer.comparisons and smallest_p(blocks, len(answer.comparisons)) > ALPHA:
        said += f" {underpowered(blocks, len(answer.comparisons))}"
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

    The column "real v. real" says what real music scores against other real music of the same held-out songs: its value
    where that is the aim, then how far apart the two are; for reconstruction, what a guess of other music would score.
    """
    names = list(answer.measures)
    rows = [["", "better", "real v. real", *(f"{name}*" if name == answer.control else name for name in names)]]
    for measure in MEASURES:
        full = measure.full_name
        if not any(full in answer.measures[name] for name in names):
            continue
        intervals = [answer.measures[name].get(full) for name in names]
        rows.append([full, measure.better, _real(answer, full), *map(_mean, intervals)])
        rows.append(["", "", "", *map(_bounds, intervals)])
        if measure == answer.objective:
            compared = [answer.comparisons.get(name) for name in names]
            rows.append(["  difference to *", "", "", *(_mean(c.difference) if c else "*" for c in compared)])
            rows.append(["", "", "", *(_bounds(c.difference) if c else "" for c in compared)])
            rows.append(["  p (Holm)", "", "", *(_p(c.p_holm) if c else "" for c in compared)])
    blocks = [max((i.n for i in answer.measures[name].values()), default=0) for name in names]
    rows.append(["blocks", "", "", *map(str, blocks)])
    if any(answer.missing.values()):
        rows.append(["trials missing", "", "", *map(str, answer.missing.values())])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *filter(None, lines[1:])])


def _intervals(of_blocks: list[dict[str, float]]) -> dict[str, Interval]:
    """The measures that the records have, by full name; values of single tracks stay in the records."""
    names = [measure.full_name for measure in MEASURES if any(measure.full_name in values for values in of_blocks)]
    return {name: mean_interval([values.get(name, math.nan) for values in of_blocks]) for name in names}


def _means(of_blocks: list[dict[str, float]]) -> dict[str, float]:
    names = {name: None for values in of_blocks for name in values}
    return {name: nan_mean(np.array([values.get(name, math.nan) for values in of_blocks])) for name in names}


def _paired(variant: dict[int, dict], control: dict[int, dict], measure: str) -> list[float]:
    pairs = [
        (variant[block]["measures"].get(measure, math.nan), control[block]["measures"].get(measure, math.nan))
        for block in variant
        if block in control
    ]
    return [a - b for a, b in pairs if not math.isnan(a - b)]


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
