"""The plots of a study that runs: the objective so far, and curves of running trials beside finished ones."""

import math
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from musiclab.analysis.answer import scores_by_block, values_by_block
from musiclab.analysis.intervals import NO_INTERVAL, mean_intervals
from musiclab.dashboards.live.follower import Follower, newest
from musiclab.measures.registry import Measure
from musiclab.measures.rolls import nan_mean
from musiclab.report.formatting import number, shortened
from musiclab.report.html.plots import SERIES, Line, Row, blocks_plot, curves_plot, swatch
from musiclab.report.html.sections import averaged_over_tracks, references
from musiclab.report.sentences import captions
from musiclab.storage.stages import CurvePoint
from musiclab.wording import counted

_MOST_ROWS = 24
_MOST_DOTS = 300  # an update of the page must stay small
_WITHOUT_DOTS = (
    "A diamond is the mean over blocks, the bar its 95 % interval, the dashed line the control's mean. Single blocks "
    "are not drawn, because they are too many."
)
_MOST_CURVES = 6
_MOST_FINISHED = 24  # trials whose curves make the band
_FINISHED = "finished trials"


@dataclass(frozen=True)
class LivePlot:
    """An SVG with its heading and the note below it."""

    heading: str
    svg: Markup
    note: str


@dataclass(frozen=True)
class Curves:
    """Plots of curves with their one legend: the swatch and the name of each line."""

    plots: list[LivePlot]
    legend: list[tuple[Markup, str]]
    left_out: int


def objective_so_far(follower: Follower) -> LivePlot | None:
    """Each variant's blocks and their mean with its interval, without any verdict; None if no trial has a value."""
    plan = follower.plan
    if plan is None or follower.trouble or not follower.records:
        return None
    objective = plan.criteria.objective
    rows = _rows(follower, objective)
    if not any(row.values for row in rows):
        return None
    heading = f"{objective.title} ({objective.unit}; {captions.aim(objective.better)})"
    note = captions.BLOCKS
    if sum(len(row.values) for row in rows) > _MOST_DOTS:
        rows, note = [replace(row, values={}) for row in rows], _WITHOUT_DOTS
    svg = blocks_plot([rows], references(objective, _baselines(follower)), "objective", heading)
    left_out = len({spec.variant.name for spec in follower.trial_specs}) - len(rows)
    others = f" {counted(left_out, 'variant')} more are not drawn: the controls stay, then the best so far."
    return LivePlot(heading, svg, note + others * (left_out > 0))


def _rows(follower: Follower, objective: Measure) -> list[Row]:
    """The controls and the variants that are best so far."""
    assert follower.plan
    scores = scores_by_block(follower.trial_specs, follower.records, objective)
    means = {name: nan_mean(np.array(list(by_block.values()))) for name, by_block in scores.items()}
    controls = set(follower.plan.controls.values())
    ranked = sorted(
        means,
        key=lambda name: (name not in controls, math.isnan(means[name]), -objective.sign * means[name]),
    )
    shown = set(ranked[:_MOST_ROWS])
    values = values_by_block(
        follower.trial_specs, follower.records, lambda record: record.measures.get(objective.full_name, math.nan)
    )
    present = {
        name: {block: value for block, value in by_block.items() if not math.isnan(value)}
        for name, by_block in values.items()
    }
    names = [name for name in scores if name in shown]
    intervals = mean_intervals([list(present[name].values()) for name in names])
    planned = len({spec.block.index for spec in follower.trial_specs})
    return [
        Row(
            name,
            ("control, " if name in controls else "") + f"{len(present[name])} of {counted(planned, 'block')}",
            present[name],
            interval if present[name] else NO_INTERVAL,
            name in controls,
        )
        for name, interval in zip(names, intervals, strict=True)
    ]


def _baselines(follower: Follower) -> dict[str, float]:
    """Means of what real, shuffled and random music score on the objective."""
    records = list(follower.records.values())
    names = dict.fromkeys(name for record in records for name in record.baselines)
    return {name: nan_mean(np.array([record.baselines.get(name, math.nan) for record in records])) for name in names}


def curves_so_far(follower: Follower) -> Curves:
    """Curves of the trials that run, a line each, and the band of the trials that finished last.

    Of the curves those on held-out songs come first, because they say most.
    """
    running = follower.working
    lines: dict[str, list[Line]] = {}
    names: list[str] = []
    now = {working.state.stage for working in running}
    band: dict[str, list[dict[int, float]]] = {}
    for stages in newest(follower, _MOST_FINISHED):
        for stage, key in stages.items():
            if not now or stage in now:
                for curve, points in _averaged(follower.curves(key), stage).items():
                    band.setdefault(curve, []).append(points)
    for curve, of_trials in band.items():
        lines[curve] = [Line.averaged(_FINISHED, 0, of_trials)]
    names += [_FINISHED] if band else []
    for working in running[: SERIES - 1]:
        names.append(working.name)
        stage = working.state.stage
        for curve, points in _averaged(follower.curves(working.stages[stage]), stage).items():
            lines.setdefault(curve, []).append(Line.averaged(working.name, len(names) - (1 if band else 0), [points]))
    order = sorted(lines, key=lambda curve: (not curve.startswith("val/"), curve))
    plots = []
    for place, curve in enumerate(order[:_MOST_CURVES]):
        ends = [(shortened(line.name, 60), number(line.y[0]), number(line.y[-1])) for line in lines[curve]]
        plots.append(LivePlot(curve, curves_plot(lines[curve], f"curve-{place}", curve, captions.curves(ends)), ""))
    first = 0 if band else 1
    legend = [(swatch(style, f"key-{style}"), name) for style, name in enumerate(names, first)] if plots else []
    return Curves(plots, legend, max(0, len(running) - (SERIES - 1)))


def _averaged(points: list[CurvePoint], stage: str) -> dict[str, dict[int, float]]:
    """The mean over tracks by curve, named with its stage, and by epoch."""
    return {f"{name}, {stage}": by_epoch for name, by_epoch in averaged_over_tracks(points).items()}
