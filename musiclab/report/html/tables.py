"""What the report's tables hold, as text: verdicts, measures, effects, claims, cost, failures, how to do it again."""

import math
import shlex
from collections import Counter
from dataclasses import dataclass
from typing import Any

from musiclab.analysis.answer import Answer
from musiclab.analysis.results import Results
from musiclab.analysis.statistics import Interval
from musiclab.design.trials import TrialSpec
from musiclab.measures.baselines import RANDOM, SHUFFLED
from musiclab.measures.registry import MEASURES, Measure
from musiclab.report import sentences
from musiclab.report.formatting import MARKS, NONE, bounds, moment, number, p_value, seconds, signed, verdict
from musiclab.report.text_table import real_score

GROUPS = {
    "music": "Music",
    "set": "Generated sets",
    "style": "Likeness to a target",
    "next": "The next window",
    "latent": "Reconstruction and latent space",
    "tokens": "Tokens",
}
_DIRECTIONS = {"lower": "↓ lower", "higher": "↑ higher", "real": "→ real", "neither": "· describes"}


@dataclass(frozen=True)
class Spread:
    """A mean and its interval, in words; `n` blocks."""

    mean: str
    bounds: str
    n: int

    @classmethod
    def of(cls, interval: Interval | None, sign: bool = False) -> "Spread":
        """Of an interval, or of none; with `sign`, a plus before what is above 0."""
        if interval is None:
            return cls(NONE, "", 0)
        return cls((signed if sign else number)(interval.mean), bounds(interval), interval.n)


@dataclass(frozen=True)
class VerdictRow:
    """A variant: `fields` are its values in the columns' order, or its name alone; `control` that of its own."""

    name: str
    fields: tuple[str, ...]
    control: str
    value: Spread
    difference: Spread
    p: str
    improvement: Spread
    verdict: str
    detail: str
    mark: str
    blocks: int
    failed: int
    missing: int
    left_out: str


@dataclass(frozen=True)
class MeasureRow:
    """A measure: what it is, what music scores on it, and every variant's mean; `same` where they all have one."""

    measure: Measure
    direction: str
    objective: bool
    real: str
    shuffled: str
    random: str
    values: tuple[Spread, ...]
    same: bool


@dataclass(frozen=True)
class HeatMap:
    """Two crossed fields: the objective's mean in every cell, with how far it lies from 0 (lowest) to 1 (highest)."""

    rows: str
    columns: str
    row_values: tuple[str, ...]
    column_values: tuple[str, ...]
    cells: tuple[tuple[tuple[str, str, float, bool], ...], ...]


def variant_fields(results: Results) -> list[str]:
    """The fields that differ between variants, in the study's order."""
    return list(dict.fromkeys(name for cell in results.trial_specs for name in cell.variant.values))


def variant_values(results: Results) -> dict[str, dict[str, Any]]:
    """The fields' values by variant, in the study's order."""
    return {cell.variant.name: cell.variant.values for cell in results.trial_specs}


def verdict_rows(results: Results) -> list[VerdictRow]:
    """A row a variant, those of one control together."""
    answer, fields, values = results.answer, variant_fields(results), variant_values(results)
    return [
        _verdict_row(answer, name, tuple(str(values[name].get(field, NONE)) for field in fields))
        for group in control_groups(answer)
        for name in group
    ]


def lacks(rows: list[VerdictRow]) -> dict[str, list[str]]:
    """Columns on what some variant lacks, by heading a text a row; where none lacks it there is no column."""
    columns = {
        "failed trials": [str(row.failed or "") for row in rows],
        "trials not run": [str(row.missing or "") for row in rows],
        "left-out blocks": [row.left_out for row in rows],
    }
    return {name: texts for name, texts in columns.items() if any(texts)}


def control_groups(answer: Answer) -> list[list[str]]:
    """The variants in the study's order, those that have one control together."""
    controls = dict.fromkeys(answer.controls[name] for name in answer.measures)
    return [[name for name in answer.measures if answer.controls[name] == control] for control in controls]


def _verdict_row(answer: Answer, name: str, fields: tuple[str, ...]) -> VerdictRow:
    compared = answer.comparisons.get(name)
    word = verdict(compared)
    return VerdictRow(
        name=name,
        fields=fields,
        control=answer.controls[name],
        value=Spread.of(answer.measures[name].get(answer.objective.full_name)),
        difference=Spread.of(compared.difference if compared else None, sign=True),
        p=p_value(compared.p_holm) if compared else "",
        improvement=_shares(compared.improvement) if compared else Spread("", "", 0),
        verdict=word,
        detail=sentences.verdict(answer, name).removeprefix(word).strip(" ()") if compared else "",
        mark=MARKS[word],
        blocks=compared.difference.n if compared else _blocks(answer, name),
        failed=answer.failed[name],
        missing=answer.missing[name] - answer.failed[name],
        left_out=", ".join(map(str, compared.left_out)) if compared else "",
    )


def _blocks(answer: Answer, name: str) -> int:
    interval = answer.measures[name].get(answer.objective.full_name)
    return interval.n if interval else 0


def _shares(interval: Interval) -> Spread:
    ends = "" if math.isnan(interval.low) else f"[{interval.low:.0%}, {interval.high:.0%}]"
    return Spread(NONE if math.isnan(interval.mean) else f"{interval.mean:.0%}", ends, interval.n)


def measure_tables(answer: Answer) -> dict[str, list[MeasureRow]]:
    """By group of measures a row for each that any variant has a value of."""
    tables = {}
    for group in GROUPS:
        rows = [_measure_row(answer, measure) for measure in MEASURES if measure.group == group]
        rows = [row for row in rows if any(value.n for value in row.values)]
        if rows:
            tables[group] = rows
    return tables


def _measure_row(answer: Answer, measure: Measure) -> MeasureRow:
    full, intervals = measure.full_name, [of.get(measure.full_name) for of in answer.measures.values()]
    return MeasureRow(
        measure=measure,
        direction=_DIRECTIONS[measure.better],
        objective=measure == answer.objective,
        real=real_score(answer, full, number),
        shuffled=number(answer.baselines.get(full + SHUFFLED, math.nan)),
        random=number(answer.baselines.get(full + RANDOM, math.nan)),
        values=tuple(Spread.of(interval) for interval in intervals),
        same=len(intervals) > 1 and measure != answer.objective and all(each == intervals[0] for each in intervals),
    )


def heat_map(results: Results) -> HeatMap | None:
    """The objective over two crossed fields; None of a study that has no such design."""
    values, answer = variant_values(results), results.answer
    fields = [name for name in variant_fields(results) if len({str(of.get(name)) for of in values.values()}) > 1]
    if len(fields) != 2 or any(of.keys() < set(fields) for of in values.values()):
        return None
    names = {tuple(of[name] for name in fields): variant for variant, of in values.items()}
    rows, columns = (list(dict.fromkeys(of[name] for of in values.values())) for name in fields)
    if len(names) != len(rows) * len(columns) or min(len(rows), len(columns)) < 2:
        return None
    means = {
        variant: interval.mean if (interval := answer.measures[variant].get(answer.objective.full_name)) else math.nan
        for variant in values
    }
    known = [value for value in means.values() if not math.isnan(value)]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    cells = tuple(
        tuple(
            (
                number(means[name]),
                bounds(answer.measures[name].get(answer.objective.full_name)),
                (means[name] - low) / (high - low) if high > low and not math.isnan(means[name]) else 0.0,
                answer.controls[name] == name,
            )
            for column in columns
            for name in [names[row, column]]
        )
        for row in rows
    )
    return HeatMap(*fields, tuple(map(str, rows)), tuple(map(str, columns)), cells)


@dataclass(frozen=True)
class EffectRow:
    """An effect: what changes, what it does, and how sure that is."""

    what: str
    difference: Spread
    p: str


@dataclass(frozen=True)
class TrendRow:
    """How the objective goes along a numeric field."""

    field: str
    correlation: Spread
    slope: Spread
    p: str


def main_effects(answer: Answer) -> list[EffectRow]:
    """What a factor's value does against the control's, averaged over the other factors."""
    return [
        EffectRow(f"{effect.field}: {effect.value} v. {effect.control}", *_shown(effect))
        for effect in answer.effects.main
    ]


def interactions(answer: Answer) -> list[EffectRow]:
    """How much more a factor's value does in the company of another's."""
    return [
        EffectRow(
            " × ".join(f"{name}={value}" for name, value in zip(each.fields, each.values, strict=True)), *_shown(each)
        )
        for each in answer.effects.interactions
    ]


def trends(answer: Answer) -> list[TrendRow]:
    """Whether the objective rises or falls with each numeric field."""
    return [
        TrendRow(each.field, Spread.of(each.correlation, True), Spread.of(each.slope, True), p_value(each.p_holm))
        for each in answer.effects.trends
    ]


def _shown(effect: Any) -> tuple[Spread, str]:
    return Spread.of(effect.difference, sign=True), p_value(effect.p_holm)


@dataclass(frozen=True)
class StageCost:
    """What a stage cost over all trials: how often it was done, worker seconds, and how often a product was reused."""

    stage: str
    done: int
    total: str
    mean: str
    reused: int


@dataclass(frozen=True)
class Cost:
    """What the study's finished trials cost."""

    facts: list[tuple[str, str]]
    stages: list[StageCost]


def cost(results: Results) -> Cost:
    """Trial and worker time, stages, memory and where it ran, of all finished trials whose run is known."""
    runs = list(results.runs.values())
    times: dict[str, list[float]] = {}
    for run in runs:
        for stage, spent in run.seconds.items():
            times.setdefault(stage, []).append(spent)
    reused = Counter(stage for run in runs for stage in run.reused)
    walls = [run.wall_seconds for run in runs]
    facts = [
        ("trials", f"{len(results.records)} of {len(results.trial_specs)} finished"),
        ("a trial", f"{seconds(sum(walls) / len(walls))} on average, {seconds(max(walls))} at most" if walls else NONE),
        ("all trials", f"{seconds(sum(walls))} of workers' time" if walls else NONE),
        ("peak memory of a worker", f"{max((run.peak_memory_mib for run in runs), default=0):,} MiB"),
        ("device", _counted(run.device for run in runs)),
        ("host", _counted(run.host for run in runs)),
    ]
    stages = [
        StageCost(stage, len(spent), seconds(sum(spent)), seconds(sum(spent) / len(spent)), reused.pop(stage, 0))
        for stage, spent in times.items()
    ]
    stages += [StageCost(stage, 0, NONE, NONE, count) for stage, count in reused.items()]
    order = list(dict.fromkeys(stage for cell in results.trial_specs for stage in cell.stages))
    stages.sort(key=lambda each: order.index(each.stage) if each.stage in order else len(order))
    return Cost(facts, stages)


def _counted(values: Any) -> str:
    counts = Counter(values)
    return (
        ", ".join(f"{value} ({count} trials)" if len(counts) > 1 else value for value, count in counts.items()) or NONE
    )


@dataclass(frozen=True)
class Failed:
    """A variant's trials that failed for one reason, or were not run (`reason` is None)."""

    name: str
    blocks: str
    count: int
    reason: str | None


def unfinished(results: Results) -> list[Failed]:
    """What failed, counted per variant and reason, then what has not been run."""
    found: dict[tuple[str, str | None], list[int]] = {}
    for cell in results.trial_specs:
        if cell.key not in results.records:
            failure = results.failures.get(cell.key)
            found.setdefault((cell.variant.name, failure.reason if failure else None), []).append(cell.block.index)
    rows = [Failed(name, _ranges(blocks), len(blocks), reason) for (name, reason), blocks in found.items()]
    return sorted(rows, key=lambda row: row.reason is None)


def reproduction(results: Results) -> list[tuple[str, list[str]]]:
    """How to do it again: what was run, of which code and versions, on which data, splits and seeds, and when."""
    plan, environment = results.plan, results.plan.environment
    versions = {
        f"{name} {version}"
        for run in results.runs.values()
        for name, version in run.versions.items()
        if version != environment.get(name)
    }
    splits: dict[str, set[int]] = {}
    for cell in results.trial_specs:
        if cell.key in results.records:
            splits.setdefault(results.records[cell.key].data.split, set()).add(cell.block.index)
    planned_with = f"musiclab {environment.get('musiclab', NONE)}, Python {environment.get('python', NONE)}"
    ended = [run.ended for run in results.runs.values()]
    return [
        ("command", [shlex.join(plan.command)]),
        ("commit", [environment.get("commit") or "not known: it was no checkout"]),
        ("versions", [planned_with, *sorted(versions)]),
        ("platform", [environment.get("platform", NONE)]),
        ("data", [str(plan.base.get("data", NONE))]),
        ("data fingerprint", sorted({cell.variant.data for cell in results.trial_specs})),
        ("split", [f"{split}, block {_ranges(sorted(blocks))}" for split, blocks in splits.items()] or [NONE]),
        ("seeds", _seeds(results.trial_specs)),
        ("edition", [plan.edition]),
        ("when", [f"planned {moment(plan.began)}", *([f"last trial ended {moment(max(ended))}"] if ended else [])]),
    ]


def _seeds(cells: list[TrialSpec]) -> list[str]:
    blocks: dict[int, set[int]] = {}
    for cell in cells:
        blocks.setdefault(cell.block.seed, set()).add(cell.block.index)
    return [f"study seed {seed}, blocks {_ranges(sorted(of))}" for seed, of in blocks.items()]


def _ranges(blocks: list[int]) -> str:
    """Numbers in words, neighbours drawn together: `0-3, 7`."""
    runs: list[list[int]] = []
    for block in sorted(blocks):
        if runs and block == runs[-1][-1] + 1:
            runs[-1].append(block)
        else:
            runs.append([block])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
