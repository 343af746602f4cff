"""The report's plots of a study: which ones, of which variants, and what stands beside them."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from markupsafe import Markup

from musiclab.analysis.answer import Answer, best
from musiclab.analysis.results import Results
from musiclab.analysis.statistics import NO_INTERVAL
from musiclab.design.trials import TrialSpec
from musiclab.measures.baselines import FLOOR, RANDOM, SHUFFLED
from musiclab.measures.distributions import FEATURES
from musiclab.report.formatting import MARKS, number, p_value, shortened, verdict
from musiclab.report.html.axes import Reference  # fmt: skip
from musiclab.report.html.plots import SERIES, Line, Row, blocks_plot, curves_plot, distribution_plot, response_plot
from musiclab.report.html.tables import control_groups, variant_fields, variant_values
from musiclab.storage.records import Records
from musiclab.storage.stages import Point
from musiclab.storage.trial_documents import TrialRecord

_MOST_ROWS = 40  # variants in the plot of blocks; the table has all
_MOST_CURVES = 24
_MOST_OUTLINES = 5
_ALL = "all"  # names the line of what all variants share
_MOST_LEVELS = 6  # of a second field, as lines beside one another


@dataclass(frozen=True)
class Plot:
    """An SVG with its heading, what is to be said below it, and a legend of its own where it needs one."""

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
    """Every block of every variant on the objective; of more than 40 variants the controls and the best of the rest."""
    answer = results.answer
    shown = set(_leading(answer, _MOST_ROWS))
    values = _by_block(results)
    groups = [[_row(answer, name, values[name]) for name in group if name in shown] for group in control_groups(answer)]
    groups = [group for group in groups if group]
    if not any(row.values for group in groups for row in group):
        return None
    objective, left_out = answer.objective, len(answer.measures) - len(shown)
    heading = f"{objective.title} ({objective.unit}; {_aim(objective.better)})"
    note = (
        "A circle is a block, thin lines join the variants of a block where they are few; a diamond is the mean over "
        "blocks, the bar its 95 % interval, the dashed line the control's mean."
    )
    if left_out:
        note += f" Of {len(answer.measures)} variants these are the controls and the best; the table has all."
    return Plot(heading, blocks_plot(groups, references(answer), "objective", heading), note)


def response_plots(results: Results) -> list[Plot]:
    """The objective along each numeric field of three values or more: of a study with one field, or two crossed."""
    answer, values = results.answer, variant_values(results)
    fields = [name for name in variant_fields(results) if len({str(of.get(name)) for of in values.values()}) > 1]
    if len(fields) > 2 or any(not of.keys() >= set(fields) for of in values.values()):
        return []
    found = []
    for field in fields:
        levels = list(dict.fromkeys(of[field] for of in values.values()))
        others = [name for name in fields if name != field]
        beside = list(dict.fromkeys(tuple(of[name] for name in others) for of in values.values()))
        numeric = all(type(level) in (int, float) and math.isfinite(level) for level in levels)
        if not numeric or len(levels) < 3 or len(beside) > _MOST_LEVELS:
            continue
        series = [
            _response(results, field, dict(zip(others, level, strict=True)), style)
            for style, level in enumerate(beside)
        ]
        series = [line for line in series if line.x]
        if series:
            heading = f"{answer.objective.title} ({answer.objective.unit}) by {field}"
            svg = response_plot(series, references(answer), sorted(levels), f"response-{len(found)}", heading)
            keys = tuple(Key(line.name, line.style) for line in series if line.name)
            note = "" if keys else "Circles are blocks. "
            found.append(Plot(heading, svg, f"{note}Markers are means over blocks, bars their 95 % intervals.", keys))
    return found


def legend(results: Results) -> list[Key]:
    """The variants that plots with a line for each show, in the study's order: all, or controls, best, worst and some
    between."""
    names = list(results.answer.measures)
    shown = _spread(results.answer, names, SERIES)
    return [Key(name, style) for style, name in enumerate(name for name in names if name in shown)]


def fewer(results: Results, keys: list[Key]) -> list[Key]:
    """Those of a legend that outlines of distributions show: with more of them none could be followed."""
    shown = _spread(results.answer, [key.name for key in keys], _MOST_OUTLINES)
    return [key for key in keys if key.name in shown]


def curve_plots(results: Results, keys: list[Key]) -> tuple[list[Plot], int]:
    """Learning curves by system, stage and name, and how many are left out.

    Means over tracks and then over blocks, with a band from the lowest to the highest block. Where all variants share
    their training there is one line for all.
    """
    curves = _curves(results, keys)
    # Where they are too many, those on held-out songs say most.
    kept = set(sorted(curves, key=lambda place: not place[2].startswith("val/"))[:_MOST_CURVES])
    several = len({system for system, _, _ in curves}) > 1
    plots = []
    for (system, stage, name), lines in curves.items():
        if (system, stage, name) not in kept:
            continue
        said = "; ".join(
            f"{shortened(line.name, 60)}: {number(line.y[0])} at first, {number(line.y[-1])} at last" for line in lines
        )
        heading = f"{system}: {name}, {stage}" if several else f"{name}, {stage}"
        note = "One line for all: they share this training." if lines[0].name == _ALL else ""
        plots.append(Plot(heading, curves_plot(lines, f"curve-{len(plots)}", heading, f"By epoch. {said}."), note))
    return plots, len(curves) - len(plots)


def distribution_plots(results: Results, keys: list[Key]) -> list[Plot]:
    """Each feature's distribution over windows of all blocks: real music, and variants as outlines."""
    counts = _histograms(results, {key.name for key in keys})
    plots = []
    for name, feature in FEATURES.items():
        real = _shares(of["real"].get(name) for of in counts.values())
        series = [
            (key.style, shares)
            for key in keys
            if key.name in counts and (shares := _shares([counts[key.name]["generated"].get(name)])) is not None
        ]
        if real is None or not series or len(feature.edges) != len(real) + 1:
            continue
        heading = f"{feature.title} ({feature.unit})"
        named = {key.style: key.name for key in keys}
        middles = (np.array(feature.edges[1:]) + np.array(feature.edges[:-1])) / 2
        said = "; ".join(f"{shortened(named[style], 60)} {number(float(middles @ shares))}" for style, shares in series)
        description = f"Share of windows by value. Means: real music {number(float(middles @ real))}; {said}."
        svg = distribution_plot(
            np.array(feature.edges), real, series, f"feature-{name.replace('_', '-')}", heading, description
        )
        plots.append(Plot(heading, svg))
    return plots


def references(answer: Answer) -> list[Reference]:
    """What the objective's values are read beside: real music, shuffled tracks, random notes, as far as known."""
    full, scale = answer.objective.full_name, answer.baselines
    floor = scale.get(full + FLOOR, math.nan)
    found = []
    if full in scale:
        found.append(Reference("real music", scale[full], spread=0.0 if math.isnan(floor) else floor))
    else:
        found.append(Reference("real v. real", floor))
    found.append(Reference("tracks shuffled", scale.get(full + SHUFFLED, math.nan), (6, 3)))
    found.append(Reference("random notes", scale.get(full + RANDOM, math.nan), (2, 3)))
    return [reference for reference in found if math.isfinite(reference.value)]


def _aim(better: str) -> str:
    return "closest to real music is best" if better == "real" else f"{better} is better"


def _row(answer: Answer, name: str, values: dict[int, float]) -> Row:
    compared, failed = answer.comparisons.get(name), answer.failed[name]
    word = verdict(compared)
    note = f"{MARKS[word]} {word}"
    if compared and word in ("better", "worse"):
        note += f", p {'' if compared.p_holm < 0.001 else '= '}{p_value(compared.p_holm)}"
    note += f", {failed} failed" * bool(failed)
    interval = answer.measures[name].get(answer.objective.full_name, NO_INTERVAL)
    return Row(name, note, values, interval, answer.controls[name] == name)


def _by_block(results: Results) -> dict[str, dict[int, float]]:
    """The objective's value by variant and block, without NaN."""
    full = results.answer.objective.full_name
    found: dict[str, dict[int, float]] = {name: {} for name in results.answer.measures}
    for cell, record in _finished(results):
        value = record.measures.get(full, math.nan)
        if not math.isnan(value):
            found[cell.variant.name][cell.block.index] = value
    return found


def _finished(results: Results) -> Iterator[tuple[TrialSpec, TrialRecord]]:
    return ((cell, results.records[cell.key]) for cell in results.trial_specs if cell.key in results.records)


def _leading(answer: Answer, most: int) -> list[str]:
    """All variants if they are no more than `most`, else the controls and then the best ones."""
    sign = answer.objective.sign
    controls = list(dict.fromkeys(answer.controls.values()))
    by_value = sorted(answer.scores, key=lambda name: (math.isnan(answer.scores[name]), -sign * answer.scores[name]))
    return list(dict.fromkeys([*controls, *by_value]))[:most]


def _spread(answer: Answer, names: list[str], most: int) -> set[str]:
    """All of `names` if they are no more than `most`, else controls, the best, the worst and some between in order."""
    if len(names) <= most:
        return set(names)
    ordered = [name for name in _leading(answer, len(answer.measures)) if not math.isnan(answer.scores[name])]
    controls = list(dict.fromkeys(answer.controls.values()))[: most // 2]
    shown = dict.fromkeys(name for name in (*controls, best(answer), *ordered[-1:]) if name in names)
    others = [name for name in names if name not in shown]
    places = np.linspace(0, len(others) - 1, most - len(shown)).round().astype(int)
    return {*shown, *(others[place] for place in places)}


def _response(results: Results, field: str, others: dict[str, Any], style: int) -> Line:
    answer, values = results.answer, variant_values(results)
    full, blocks = answer.objective.full_name, _by_block(results)
    names = [name for name, of in values.items() if all(of[other] == value for other, value in others.items())]
    found = ((values[name][field], answer.measures[name].get(full, NO_INTERVAL), name) for name in names)
    points = sorted((point for point in found if not math.isnan(point[1].mean)), key=lambda point: point[0])
    means = [interval.mean for _, interval, _ in points]
    return Line(
        ", ".join(f"{name}={value}" for name, value in others.items()),
        style if others else -1,
        [x for x, _, _ in points],
        means,
        [interval.mean if math.isnan(interval.low) else interval.low for _, interval, _ in points],
        [interval.mean if math.isnan(interval.high) else interval.high for _, interval, _ in points],
        [] if others else [(x, value) for x, _, name in points for value in blocks[name].values()],
    )


def _curves(results: Results, keys: list[Key]) -> dict[tuple[str, str, str], list[Line]]:
    """By system, stage and name the lines of the variants in the legend."""
    kept, styles = Records(results.storage), {key.name: key.style for key in keys}
    read: dict[str, dict[str, dict[int, float]]] = {}
    found: dict[tuple[str, str, str], dict[str, list[dict[int, float]]]] = {}
    sources: dict[tuple[str, str, str], dict[str, set[str]]] = {}
    for cell in results.trial_specs:
        name = cell.variant.name
        for stage, key in cell.stages.items() if name in styles else ():
            if key not in read:
                read[key] = _tracks_averaged(kept.stages.curves({stage: key}))
            for curve, points in read[key].items():
                place = (cell.variant.system, stage, curve)
                found.setdefault(place, {}).setdefault(name, []).append(points)
                sources.setdefault(place, {}).setdefault(name, set()).add(key)
    lines = {}
    for place, by_variant in found.items():
        shared = len(by_variant) > 1 and len({frozenset(of) for of in sources[place].values()}) == 1
        if shared:
            by_variant = {_ALL: next(iter(by_variant.values()))}
        lines[place] = [_curve(name, styles.get(name, 0), blocks) for name, blocks in by_variant.items()]
    return lines


def _tracks_averaged(points: Iterable[Point]) -> dict[str, dict[int, float]]:
    """By name without its track and by step the mean over tracks."""
    found: dict[str, dict[int, list[float]]] = {}
    for point in points:
        if math.isfinite(point.value):
            found.setdefault(point.name.partition(".")[0], {}).setdefault(point.step, []).append(point.value)
    return {name: {step: sum(of) / len(of) for step, of in steps.items()} for name, steps in found.items()}


def _curve(name: str, style: int, blocks: list[dict[int, float]]) -> Line:
    steps = sorted(set(chain.from_iterable(blocks)))
    values = [[block[step] for block in blocks if step in block] for step in steps]
    means = [sum(of) / len(of) for of in values]
    return Line(name, style, list(map(float, steps)), means, list(map(min, values)), list(map(max, values)))


def _histograms(results: Results, names: set[str]) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Counts by variant, of generated and of real windows, and by feature, added up over blocks."""
    found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for cell, record in _finished(results):
        for kind, of in record.histograms.items() if cell.variant.name in names else ():
            sums = found.setdefault(cell.variant.name, {"generated": {}, "real": {}}).setdefault(kind, {})
            for feature, counts in of.items():
                sums[feature] = sums.get(feature, 0) + np.asarray(counts, float)
    return found


def _shares(counts: Iterable[np.ndarray | None]) -> np.ndarray | None:
    """All counts together as shares; None where there are none."""
    there = [of for of in counts if of is not None]
    total = sum(there) if there else np.zeros(0)
    return total / total.sum() if total.sum() else None
