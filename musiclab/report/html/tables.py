"""The tables of the report's answer, as text: verdicts, measures, the heat map, effects."""

import math
from dataclasses import dataclass
from typing import Any

from musiclab.analysis.answer import Answer
from musiclab.analysis.effects import Effect, Interaction
from musiclab.analysis.intervals import NO_INTERVAL, Interval
from musiclab.analysis.results import Results
from musiclab.measures.baselines import RANDOM, SHUFFLED
from musiclab.measures.registry import Measure
from musiclab.report.formatting import (
    MARKS,
    NONE,
    bounds_html,
    number,
    p_html,
    percent,
    percent_bounds,
    signed_html,
    verdict_html,
)
from musiclab.report.sentences import verdict_detail
from musiclab.report.text_table import real_score

GROUPS = {
    "own": "The study's own measures",
    "music": "Music",
    "set": "Generated sets",
    "style": "Likeness to a target",
    "next": "The next window",
    "latent": "Reconstruction and latent space",
    "tokens": "Tokens",
}
DIRECTIONS = {"lower": "↓ lower", "higher": "↑ higher", "real": "→ real", "neither": "· describes"}


@dataclass(frozen=True)
class Spread:
    """A mean and its interval as text; `n` blocks."""

    mean: str
    bounds: str
    n: int

    @classmethod
    def of(cls, interval: Interval | None, sign: bool = False) -> "Spread":
        """From an interval or None; with `sign`, a plus before a mean above 0."""
        if interval is None:
            return cls(NONE, "", 0)
        return cls((signed_html if sign else number)(interval.mean), bounds_html(interval), interval.n)

    @classmethod
    def of_share(cls, interval: Interval) -> "Spread":
        """From an interval of a share, in percent."""
        return cls(percent(interval.mean), percent_bounds(interval), interval.n)


@dataclass(frozen=True)
class VerdictRow:
    """A variant and its verdict; `fields` are its values in the order of columns, `control` the name of its control.

    `within` is the 90 % interval that belongs to the test of equivalence; empty if there is no margin.
    """

    name: str
    fields: tuple[str, ...]
    control: str
    value: Spread
    difference: Spread
    within: str
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
    """A measure, what music scores on it, and every variant's mean; `same` if all variants have the same."""

    measure: Measure
    direction: str
    objective: bool
    real: str
    shuffled: str
    random: str
    values: tuple[Spread, ...]
    same: bool


@dataclass(frozen=True)
class HeatCell:
    """The objective of one variant: `share` is from 0 for the lowest mean of the map to 1 for the highest."""

    mean: str
    bounds: str
    share: float
    control: bool


@dataclass(frozen=True)
class HeatMap:
    """Two crossed fields, by name: their values in rows and columns, and the objective in every cell."""

    rows: str
    columns: str
    row_values: tuple[str, ...]
    column_values: tuple[str, ...]
    cells: tuple[tuple[HeatCell, ...], ...]


def variant_fields(results: Results) -> list[str]:
    """The fields that differ between variants, in the study's order."""
    return list(dict.fromkeys(name for trial in results.trial_specs for name in trial.variant.values))


def variant_values(results: Results) -> dict[str, dict[str, Any]]:
    """The fields' values by variant, in the study's order."""
    return {trial.variant.name: trial.variant.values for trial in results.trial_specs}


def varied_fields(results: Results) -> list[str]:
    """The fields that have more than one value; None counts for a variant that lacks the field."""
    values = variant_values(results).values()
    return [field for field in variant_fields(results) if len({str(fields.get(field)) for fields in values}) > 1]


def verdict_rows(results: Results) -> list[VerdictRow]:
    """A row a variant, those of one control together."""
    answer, fields, values = results.answer, variant_fields(results), variant_values(results)
    return [
        _verdict_row(answer, name, tuple(str(values[name].get(field, NONE)) for field in fields))
        for group in control_groups(answer)
        for name in group
    ]


def lacks(rows: list[VerdictRow]) -> dict[str, list[str]]:
    """Columns on what is missing, a text a row, by heading; there is no column for what no variant lacks."""
    columns = {
        "failed trials": [str(row.failed or "") for row in rows],
        "trials not run": [str(row.missing or "") for row in rows],
        "left-out blocks": [row.left_out for row in rows],
    }
    return {name: texts for name, texts in columns.items() if any(texts)}


def control_groups(answer: Answer) -> list[list[str]]:
    """The variants in the study's order, those of one control together."""
    controls = dict.fromkeys(answer.controls[name] for name in answer.measures)
    return [[name for name in answer.measures if answer.controls[name] == control] for control in controls]


def _verdict_row(answer: Answer, name: str, fields: tuple[str, ...]) -> VerdictRow:
    comparison = answer.comparisons.get(name)
    conclusion = verdict_html(comparison)
    value = answer.measures[name].get(answer.objective.full_name, NO_INTERVAL)
    return VerdictRow(
        name=name,
        fields=fields,
        control=answer.controls[name],
        value=Spread.of(value),
        difference=Spread.of(comparison.difference if comparison else None, sign=True),
        within=bounds_html(comparison.within) if comparison else "",
        p=p_html(comparison.p_holm) if comparison else "",
        improvement=Spread.of_share(comparison.improvement) if comparison else Spread("", "", 0),
        verdict=conclusion,
        detail=verdict_detail(answer, name, with_unit=True) if comparison else "",
        mark=MARKS[conclusion],
        blocks=comparison.difference.n if comparison else value.n,
        failed=answer.failed[name],
        missing=answer.missing[name] - answer.failed[name],
        left_out=", ".join(map(str, comparison.left_out)) if comparison else "",
    )


def measure_tables(answer: Answer) -> dict[str, list[MeasureRow]]:
    """The rows of the measures that any variant has a value of, by group."""
    tables = {}
    for group in GROUPS:
        rows = [_measure_row(answer, measure) for measure in answer.criteria.measures if measure.group == group]
        rows = [row for row in rows if any(value.n for value in row.values)]
        if rows:
            tables[group] = rows
    return tables


def _measure_row(answer: Answer, measure: Measure) -> MeasureRow:
    full_name = measure.full_name
    intervals = [measured.get(full_name) for measured in answer.measures.values()]
    return MeasureRow(
        measure=measure,
        direction=DIRECTIONS[measure.better],
        objective=measure == answer.objective,
        real=real_score(answer, full_name, number),
        shuffled=number(answer.baselines.get(full_name + SHUFFLED, math.nan)),
        random=number(answer.baselines.get(full_name + RANDOM, math.nan)),
        values=tuple(Spread.of(interval) for interval in intervals),
        same=len(intervals) > 1
        and measure != answer.objective
        and all(interval == intervals[0] for interval in intervals),
    )


def heat_map(results: Results) -> HeatMap | None:
    """The objective over two crossed fields; None if the study does not cross just two."""
    values, answer = variant_values(results), results.answer
    fields = varied_fields(results)
    if len(fields) != 2 or any(not set(fields) <= own.keys() for own in values.values()):
        return None
    row_field, column_field = fields
    rows = list(dict.fromkeys(own[row_field] for own in values.values()))
    columns = list(dict.fromkeys(own[column_field] for own in values.values()))
    variant_at = {(own[row_field], own[column_field]): name for name, own in values.items()}
    if len(variant_at) != len(rows) * len(columns) or min(len(rows), len(columns)) < 2:
        return None
    intervals = {name: answer.measures[name].get(answer.objective.full_name, NO_INTERVAL) for name in values}
    means = [interval.mean for interval in intervals.values() if not math.isnan(interval.mean)]
    low, high = (min(means), max(means)) if means else (0.0, 0.0)

    def cell(name: str) -> HeatCell:
        interval = intervals[name]
        lies_between = high > low and not math.isnan(interval.mean)
        return HeatCell(
            mean=number(interval.mean),
            bounds=bounds_html(interval),
            share=(interval.mean - low) / (high - low) if lies_between else 0.0,
            control=answer.controls[name] == name,
        )

    return HeatMap(
        rows=row_field,
        columns=column_field,
        row_values=tuple(map(str, rows)),
        column_values=tuple(map(str, columns)),
        cells=tuple(tuple(cell(variant_at[row, column]) for column in columns) for row in rows),
    )


@dataclass(frozen=True)
class EffectRow:
    """An effect: what is changed, the difference that it makes, and its p."""

    change: str
    difference: Spread
    p: str


@dataclass(frozen=True)
class TrendRow:
    """How the objective changes with a numeric field."""

    field: str
    correlation: Spread
    slope: Spread
    p: str


def main_effects(answer: Answer) -> list[EffectRow]:
    """What a factor's value does against the control's, averaged over the other factors."""
    return [
        _effect_row(f"{effect.field}: {effect.value} v. {effect.control}", effect) for effect in answer.effects.main
    ]


def interactions(answer: Answer) -> list[EffectRow]:
    """How much more a factor's value does together with another factor's."""
    return [_effect_row(_together(interaction), interaction) for interaction in answer.effects.interactions]


def _together(interaction: Interaction) -> str:
    return " × ".join(f"{field}={value}" for field, value in zip(interaction.fields, interaction.values, strict=True))


def _effect_row(change: str, effect: Effect | Interaction) -> EffectRow:
    return EffectRow(change, Spread.of(effect.difference, sign=True), p_html(effect.p_holm))


def trends(answer: Answer) -> list[TrendRow]:
    """Whether the objective rises or falls with each numeric field."""
    return [
        TrendRow(
            field=trend.field,
            correlation=Spread.of(trend.correlation, sign=True),
            slope=Spread.of(trend.slope, sign=True),
            p=p_html(trend.p_holm),
        )
        for trend in answer.effects.trends
    ]
