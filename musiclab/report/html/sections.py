"""The plots of a study's report: which ones it has, which variants they show, and the notes and legends beside them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from musiclab.analysis.answer import Answer, best, values_by_block
from musiclab.analysis.intervals import NO_INTERVAL, Interval
from musiclab.analysis.results import Results
from musiclab.measures.baselines import FLOOR, RANDOM, SHUFFLED
from musiclab.measures.distributions import FEATURES
from musiclab.measures.registry import Measure
from musiclab.report.formatting import MARKS, number, shortened, verdict_html
from musiclab.report.html.axes import Reference
from musiclab.report.html.plots import SERIES, Line, Row, blocks_plot, curves_plot, distribution_plot, response_plot
from musiclab.report.html.tables import control_groups, variant_values, varied_fields
from musiclab.report.sentences import captions
from musiclab.report.sentences.phrases import p_phrase
from musiclab.storage.records import Records
from musiclab.storage.stages import CurvePoint

_MOST_ROWS = 40  # variants in the plot of blocks; the table has all
_MOST_CURVES = 24
_MOST_OUTLINES = 5
_ALL = "all"  # the name of the line that all variants share
_MOST_LINES = 6  # values of a second field, each with a line of its own


@dataclass(frozen=True)
class Plot:
    """An SVG with its heading, the note below it, and a legend of its own if it needs one."""

    heading: str
    svg: Markup
    note: str = ""
    keys: tuple["Key", ...] = ()


@dataclass(frozen=True)
class Key:
    """A series in a legend: `style` counts from 0."""

    name: str
    style: int


def objective_plot(results: Results) -> Plot | None:
    """Every block of every variant on the objective; of more than 40 variants, the controls and the best others."""
    answer = results.answer
    shown = set(_leading(answer, _MOST_ROWS))
    values = _objective_by_block(results)
    groups = [[_row(answer, name, values[name]) for name in group if name in shown] for group in control_groups(answer)]
    groups = [group for group in groups if group]
    if not any(row.values for group in groups for row in group):
        return None
    objective = answer.objective
    heading = f"{objective.title} ({objective.unit}; {captions.aim(objective.better)})"
    variants = len(answer.measures)
    note = captions.BLOCKS if len(shown) == variants else f"{captions.BLOCKS} {captions.some_of(variants)}"
    return Plot(
        heading, blocks_plot(groups, references(answer.objective, answer.baselines), "objective", heading), note
    )


def response_plots(results: Results) -> list[Plot]:
    """The objective by each numeric field of three or more values, if the study varies one field or crosses two."""
    answer, values = results.answer, variant_values(results)
    fields = varied_fields(results)
    if len(fields) > 2 or any(not own.keys() >= set(fields) for own in values.values()):
        return []
    plots: list[Plot] = []
    for field in fields:
        levels = list(dict.fromkeys(own[field] for own in values.values()))
        others = [name for name in fields if name != field]
        settings = list(dict.fromkeys(tuple(own[name] for name in others) for own in values.values()))
        numeric = all(type(level) in (int, float) and math.isfinite(level) for level in levels)
        if not numeric or len(levels) < 3 or len(settings) > _MOST_LINES:
            continue
        lines = [
            _response(results, field, dict(zip(others, setting, strict=True)), style)
            for style, setting in enumerate(settings)
        ]
        lines = [line for line in lines if line.x]
        if lines:
            heading = f"{answer.objective.title} ({answer.objective.unit}) by {field}"
            svg = response_plot(
                lines, references(answer.objective, answer.baselines), sorted(levels), f"response-{len(plots)}", heading
            )
            keys = tuple(Key(line.name, line.style) for line in lines if line.name)
            note = captions.RESPONSE if keys else f"{captions.RESPONSE_BLOCKS} {captions.RESPONSE}"
            plots.append(Plot(heading, svg, note, keys))
    return plots


def legend(results: Results) -> list[Key]:
    """The variants that have a line in plots, in the study's order: all, or controls, best, worst and some between."""
    names = list(results.answer.measures)
    shown = _spread(results.answer, names, SERIES)
    return [Key(name, style) for style, name in enumerate(name for name in names if name in shown)]


def fewer(results: Results, keys: list[Key]) -> list[Key]:
    """Those of a legend that plots of distributions show, because nobody could follow more outlines."""
    shown = _spread(results.answer, [key.name for key in keys], _MOST_OUTLINES)
    return [key for key in keys if key.name in shown]


def curve_plots(results: Results, keys: list[Key]) -> tuple[list[Plot], int]:
    """Learning curves by system, stage and name, and how many are left out.

    They are means over tracks and then over blocks, with a band from the lowest to the highest block. If all variants
    share their training, they have one line together.
    """
    curves = _curves(results, keys)
    # If they are too many, those on held-out songs say most.
    kept = set(sorted(curves, key=lambda place: not place.curve.startswith("val/"))[:_MOST_CURVES])
    several_systems = len({place.system for place in curves}) > 1
    plots: list[Plot] = []
    for place, lines in curves.items():
        if place not in kept:
            continue
        ends = [(shortened(line.name, 60), number(line.y[0]), number(line.y[-1])) for line in lines]
        heading = f"{place.curve}, {place.stage}"
        heading = f"{place.system}: {heading}" if several_systems else heading
        note = captions.SHARED_TRAINING if lines[0].name == _ALL else ""
        plots.append(Plot(heading, curves_plot(lines, f"curve-{len(plots)}", heading, captions.curves(ends)), note))
    return plots, len(curves) - len(plots)


def distribution_plots(results: Results, keys: list[Key]) -> list[Plot]:
    """Each feature's distribution over windows of all blocks: real music, and variants as outlines."""
    names = {key.style: key.name for key in keys}
    histograms = _histograms(results, set(names.values()))
    plots = []
    for feature_name, feature in FEATURES.items():
        real = _shares(by_kind["real"].get(feature_name) for by_kind in histograms.values())
        outlines = [
            (style, shares)
            for style, name in names.items()
            if name in histograms and (shares := _shares([histograms[name]["generated"].get(feature_name)])) is not None
        ]
        if real is None or not outlines or len(feature.edges) != len(real) + 1:
            continue
        edges = np.array(feature.edges)
        middles = (edges[1:] + edges[:-1]) / 2
        heading = f"{feature.title} ({feature.unit})"
        description = captions.distribution(
            number(float(middles @ real)),
            [(shortened(names[style], 60), number(float(middles @ shares))) for style, shares in outlines],
        )
        svg = distribution_plot(
            edges, real, outlines, f"feature-{feature_name.replace('_', '-')}", heading, description
        )
        plots.append(Plot(heading, svg))
    return plots


def references(objective: Measure, baselines: dict[str, float]) -> list[Reference]:
    """Lines to read the objective's values beside: real music, shuffled tracks, random notes, as far as known."""
    name = objective.full_name
    floor = baselines.get(name + FLOOR, math.nan)
    if name in baselines:
        value = baselines[name]
        real = Reference("real music", value, band=(value - floor, value + floor) if floor > 0 else None)
    else:
        real = Reference("real v. real", floor)
    shuffled = Reference("tracks shuffled", baselines.get(name + SHUFFLED, math.nan), (6, 3))
    random = Reference("random notes", baselines.get(name + RANDOM, math.nan), (2, 3))
    return [reference for reference in (real, shuffled, random) if math.isfinite(reference.value)]


def _row(answer: Answer, name: str, values: dict[int, float]) -> Row:
    comparison, failed = answer.comparisons.get(name), answer.failed[name]
    conclusion = verdict_html(comparison)
    notes = [f"{MARKS[conclusion]} {conclusion}"]
    if comparison and conclusion in ("better", "worse"):
        notes.append(p_phrase(comparison.p_holm))
    if failed:
        notes.append(f"{failed} failed")
    interval = answer.measures[name].get(answer.objective.full_name, NO_INTERVAL)
    return Row(name, ", ".join(notes), values, interval, answer.controls[name] == name)


def _objective_by_block(results: Results) -> dict[str, dict[int, float]]:
    """The objective's value by variant and block, without NaN."""
    name = results.answer.objective.full_name
    measures = values_by_block(results.trial_specs, results.records, lambda record: record.measures)
    return {
        variant: {
            block: of_block[name]
            for block, of_block in by_block.items()
            if not math.isnan(of_block.get(name, math.nan))
        }
        for variant, by_block in measures.items()
    }


def _leading(answer: Answer, most: int) -> list[str]:
    """All variants if they are no more than `most`, else the controls and then the best ones."""
    sign, scores = answer.objective.sign, answer.scores
    controls = list(dict.fromkeys(answer.controls.values()))
    best_first = sorted(scores, key=lambda name: (math.isnan(scores[name]), -sign * scores[name]))
    return list(dict.fromkeys([*controls, *best_first]))[:most]


def _spread(answer: Answer, names: list[str], most: int) -> set[str]:
    """All of `names` if they are no more than `most`, else controls, the best, the worst and some between in order."""
    if len(names) <= most:
        return set(names)
    ordered = [name for name in _leading(answer, len(answer.measures)) if not math.isnan(answer.scores[name])]
    controls = list(dict.fromkeys(answer.controls.values()))[: most // 2]
    shown = dict.fromkeys(name for name in (*controls, best(answer), *ordered[-1:]) if name in names)
    others = [name for name in names if name not in shown]
    places = np.linspace(0, len(others) - 1, most - len(shown)).round().astype(int)
    return {name for name in shown if name} | {others[place] for place in places}


@dataclass(frozen=True)
class _Point:
    """A variant in a response plot: the value of the field, the objective there, and its blocks."""

    x: float
    interval: Interval
    blocks: list[float]


def _response(results: Results, field: str, others: dict[str, Any], style: int) -> Line:
    """The objective by `field`, of the variants that have the given values of the other field."""
    answer, blocks = results.answer, _objective_by_block(results)
    points = [
        _Point(
            x=own[field],
            interval=answer.measures[name].get(answer.objective.full_name, NO_INTERVAL),
            blocks=list(blocks[name].values()),
        )
        for name, own in variant_values(results).items()
        if all(own[other] == value for other, value in others.items())
    ]
    points = sorted((point for point in points if not math.isnan(point.interval.mean)), key=lambda point: point.x)
    intervals = [point.interval for point in points]
    return Line(
        name=", ".join(f"{name}={value}" for name, value in others.items()),
        style=style if others else -1,
        x=[point.x for point in points],
        y=[interval.mean for interval in intervals],
        low=[interval.low if interval.is_bounded else interval.mean for interval in intervals],
        high=[interval.high if interval.is_bounded else interval.mean for interval in intervals],
        dots=[] if others else [(point.x, value) for point in points for value in point.blocks],
    )


class _Place(NamedTuple):
    """Where a curve comes from."""

    system: str
    stage: str
    curve: str


@dataclass
class _Trained:
    """What is known of a curve of one variant: its points by step, a dict a block, and the keys of its stages."""

    blocks: list[dict[int, float]]
    keys: set[str]


def _curves(results: Results, keys: list[Key]) -> dict[_Place, list[Line]]:
    """The lines of the variants in the legend, by system, stage and name of the curve."""
    stages, styles = Records(results.storage).stages, {key.name: key.style for key in keys}
    points_by_stage: dict[str, dict[str, dict[int, float]]] = {}
    trained: dict[_Place, dict[str, _Trained]] = {}
    for trial in results.trial_specs:
        name = trial.variant.name
        for stage, key in trial.stages.items() if name in styles else ():
            if key not in points_by_stage:
                points_by_stage[key] = averaged_over_tracks(stages.curves({stage: key}))
            for curve, points in points_by_stage[key].items():
                by_variant = trained.setdefault(_Place(trial.variant.system, stage, curve), {})
                of_variant = by_variant.setdefault(name, _Trained(blocks=[], keys=set()))
                of_variant.blocks.append(points)
                of_variant.keys.add(key)
    return {place: _lines(by_variant, styles) for place, by_variant in trained.items()}


def _lines(by_variant: dict[str, _Trained], styles: dict[str, int]) -> list[Line]:
    """A line a variant, or one for all if they share their training."""
    first, *others = by_variant.values()
    if others and all(other.keys == first.keys for other in others):
        return [Line.averaged(_ALL, 0, first.blocks)]
    return [Line.averaged(name, styles[name], variant.blocks) for name, variant in by_variant.items()]


def averaged_over_tracks(points: Iterable[CurvePoint]) -> dict[str, dict[int, float]]:
    """The mean over tracks, by name without its track and by step; values that are not finite are left out."""
    values: dict[str, dict[int, list[float]]] = {}
    for point in points:
        if math.isfinite(point.value):
            name, _, _ = point.name.partition(".")
            values.setdefault(name, {}).setdefault(point.step, []).append(point.value)
    return {
        name: {step: sum(of_tracks) / len(of_tracks) for step, of_tracks in steps.items()}
        for name, steps in values.items()
    }


def _histograms(results: Results, names: set[str]) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Counts by variant, by kind of window (`generated` or `real`) and by feature, added up over blocks."""
    histograms: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for trial in results.trial_specs:
        record = results.records.get(trial.key)
        if record is None or trial.variant.name not in names:
            continue
        for kind, counts_by_feature in record.histograms.items():
            by_kind = histograms.setdefault(trial.variant.name, {"generated": {}, "real": {}})
            sums = by_kind.setdefault(kind, {})
            for feature, counts in counts_by_feature.items():
                sums[feature] = sums.get(feature, 0) + np.asarray(counts, float)
    return histograms


def _shares(histograms: Iterable[np.ndarray | None]) -> np.ndarray | None:
    """All histograms together, as shares; None if they are empty or there are none."""
    present = [counts for counts in histograms if counts is not None]
    if not present:
        return None
    total = sum(present[1:], start=present[0])
    shares: np.ndarray | None = total / total.sum() if total.sum() else None
    return shares
