"""The report's plots: each is given plain numbers and returns an SVG for the page."""

import math
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Self

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from musiclab.analysis.intervals import Interval
from musiclab.report.formatting import bounds_html, lines, number, shortened
from musiclab.report.html.axes import TICK_STEPS, Reference, Scale, logarithmic_middle, put_axis, scale_of
from musiclab.report.html.svg import COLOR, drawn, ornament
from musiclab.report.sentences import captions
from musiclab.wording import counted

# Eight series can be told apart: by marker and dashes, not by colour alone.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
DASHES = ((), (6, 2), (2, 2), (8, 2, 2, 2), (4, 1), (10, 3), (1, 2), (6, 2, 1, 2, 1, 2))
SERIES = len(MARKERS)

WIDE, NARROW, SMALL = 880, 340, 344
_SIZE = 12  # of text
_TEXT: dict[str, Any] = {"fontsize": _SIZE, "color": COLOR["ink"], "va": "center", "clip_on": False}
_LINE = 15  # from one line of text to the next
_CHARACTER = 7.2  # mean width of one in the page's font
_MOST_POINTS = 60  # of a curve
_TIED_ROWS, _TIED_BLOCKS = 9, 12  # beyond these, lines between a block's dots are a tangle


@dataclass(frozen=True)
class Row:
    """A variant in a plot of rows: its name, the note below it, values by block, mean and interval.

    `rests_on` says how much the interval rests on; it is the number of blocks unless it is given.
    """

    name: str
    note: str
    values: dict[int, float]
    interval: Interval
    control: bool = False
    rests_on: str = ""


@dataclass(frozen=True)
class Line:
    """A named series: points, a band from `low` to `high`, single values as `dots`; `style` counts from 0."""

    name: str
    style: int
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]
    dots: list[tuple[float, float]] = field(default_factory=list)

    @classmethod
    def averaged(cls, name: str, style: int, curves: list[dict[int, float]]) -> Self:
        """The mean of some curves, values by step, with the lowest and the highest of them as the band."""
        steps = sorted(set(chain.from_iterable(curves)))
        values_at = [[curve[step] for curve in curves if step in curve] for step in steps]
        return cls(
            name=name,
            style=style,
            x=list(map(float, steps)),
            y=[sum(values) / len(values) for values in values_at],
            low=list(map(min, values_at)),
            high=list(map(max, values_at)),
        )


def blocks_plot(groups: list[list[Row]], references: list[Reference], name: str, title: str) -> Markup:
    """Every block as a dot, each variant's mean with its interval, the control's line; for wide pages and for phones.

    Args:
        groups: the variants by control, in rows from the top.
        references: values to compare them with; one that lies far away is named at the edge beyond which it lies.
        name, title: as `svg.drawn` takes them.
    """
    values = [value for group in groups for row in group for value in (*row.values.values(), *_ends(row.interval))]
    return _rows_plot(groups, scale_of(values, references), name, title, captions.BLOCKS_PLOT)


def shares_plot(groups: list[list[Row]], references: list[Reference], name: str, title: str) -> Markup:
    """Percentages with their intervals as `blocks_plot` shows means, on an axis that has all from 0 to 100."""
    return _rows_plot(groups, Scale(-2, 102, False, tuple(references), ()), name, title, captions.SHARES_PLOT)


def _rows_plot(groups: list[list[Row]], scale: Scale, name: str, title: str, about: str) -> Markup:
    """The plot of rows for wide pages and for phones; its description begins with what it is `about`."""
    values = "; ".join(
        f"{shortened(row.name, 60)}: {number(row.interval.mean)} {bounds_html(row.interval)}, "
        f"{row.rests_on or counted(row.interval.n, 'block')}"
        for group in groups
        for row in group
    )
    plots = Markup("")
    for kind, width in (("wide", WIDE), ("narrow", NARROW)):
        rows = _Rows(groups, scale, width)
        plots += drawn(width, rows.height, rows.draw, f"{name}-{kind}", title, f"{about} {values}.", kind)
    return plots


class _Rows:
    """The places of a plot's rows on a figure of this width, in pixels from the top."""

    def __init__(self, groups: list[list[Row]], scale: Scale, width: float) -> None:
        self.groups, self.scale, self.width, self.beside = groups, scale, width, width > 500
        rows = [row for group in groups for row in group]
        room = 30 if self.beside else int(width / _CHARACTER) - 3
        self.texts = [[(line, False) for line in lines(row.name, room)] for row in rows]
        for text, row in zip(self.texts, rows, strict=True):
            text += [(shortened(row.note, room + 6), True)] * bool(row.note)
        longest = max(len(line) for text in self.texts for line, _ in text)
        self.left = min(245.0, longest * _CHARACTER + 20) if self.beside else 12.0
        self.top = 8.0 + _LINE * (len(scale.inside) + len(scale.outside))
        self.places, at = [], self.top + 6
        for text in self.texts:
            above = 0 if self.beside else _LINE * len(text)
            self.places.append(at + above)
            at += above + 40 if not self.beside else max(42, _LINE * len(text) + 12)
        self.bottom, self.height = at, at + 24

    def draw(self, figure: Figure) -> None:
        axes = axes_at(figure, (self.left, self.top, self.width - self.left - 14, self.bottom - self.top))
        sheet = axes_at(figure, (0, 0, self.width, self.height))
        sheet.set(xlim=(0, self.width), ylim=(self.height, 0))
        sheet.axis("off")
        axes.set_ylim(self.bottom, self.top)
        axes.yaxis.set_major_locator(NullLocator())
        put_axis(axes, self.scale, "x", 7 if self.beside else 5)
        self._references(axes)
        first = 0
        for group in self.groups:
            places = self.places[first : first + len(group)]
            if first:
                sheet.axhline(
                    places[0] - (3 if self.beside else _LINE * len(self.texts[first]) + 3), color=COLOR["line"]
                )
            self._group(axes, group, places)
            for row, place, text in zip(group, places, self.texts[first:], strict=False):
                self._label(sheet, row, place, text)
            first += len(group)

    def _references(self, axes: Axes) -> None:
        middle = (self.scale.low + self.scale.high) / 2
        y = self.top - _LINE * (len(self.scale.inside) + len(self.scale.outside)) + 4
        for reference in (*self.scale.inside, *self.scale.outside):
            text, inside = f"{reference.label} {number(reference.value)}", reference in self.scale.inside
            right = reference.value > (logarithmic_middle(self.scale) if self.scale.logarithmic else middle)
            if inside:
                text = f"{text} " if right else f" {text}"
                _reference_line(axes, reference, (y + 7, self.bottom))
                axes.text(reference.value, y, text, ha="right" if right else "left", **_TEXT)
            else:
                text = f"{text} →" if right else f"← {text}"
                axes.text(
                    float(right),
                    y,
                    text,
                    transform=axes.get_yaxis_transform(),
                    ha="right" if right else "left",
                    **_TEXT,
                )
            y += _LINE

    def _group(self, axes: Axes, group: list[Row], places: list[float]) -> None:
        blocks = sorted({block for row in group for block in row.values})
        spread = dict(zip(blocks, [14.0] if len(blocks) == 1 else np.linspace(8, 20, len(blocks)), strict=True))
        for row in group:
            if row.control and not math.isnan(row.interval.mean):
                axes.plot(
                    [row.interval.mean] * 2, [places[0], places[-1] + 36],
                    color=COLOR["accent"], linewidth=1.2, dashes=(5, 3),
                )  # fmt: skip
        if len(group) <= _TIED_ROWS and len(blocks) <= _TIED_BLOCKS:
            for block in blocks:
                points = [
                    (row.values[block], y + spread[block])
                    for row, y in zip(group, places, strict=True)
                    if block in row.values
                ]
                axes.plot(*zip(*points, strict=True), color=COLOR["muted"], linewidth=0.8, alpha=0.35)
        for row, y in zip(group, places, strict=True):
            axes.plot(
                list(row.values.values()), [y + spread[block] for block in row.values],
                "o", markersize=5, markerfacecolor=COLOR["paper"], markeredgecolor=COLOR["ink"], markeredgewidth=1,
            )  # fmt: skip
            at = y + (29 if blocks else 20 if self.beside else 12)
            axes.plot([row.interval.low, row.interval.high], [at] * 2, color=COLOR["accent"], linewidth=3)
            axes.plot([row.interval.mean], [at], "D", markersize=7, color=COLOR["accent"])

    def _label(self, sheet: Axes, row: Row, place: float, text: list[tuple[str, bool]]) -> None:
        y = place + (20 - _LINE * (len(text) - 1) / 2 if self.beside else 6 - _LINE * len(text))
        for line, note in text:
            weight = "bold" if row.control and not note else "normal"
            style = _TEXT | {"color": COLOR["muted" if note else "ink"], "fontweight": weight}
            sheet.text(self.left - 12 if self.beside else 4, y, line, ha="right" if self.beside else "left", **style)
            y += _LINE


def curves_plot(series: list[Line], name: str, title: str, description: str) -> Markup:
    """Learning curves: a line for each variant, with a marker at its end and its band behind it."""

    def draw(figure: Figure) -> None:
        axes = axes_at(figure, (46, 8, SMALL - 60, 132))
        put_axis(axes, scale_of([value for line in series for value in (*line.low, *line.high)], []), "y", 4)
        for line in series:
            keep = _thinned(len(line.x))
            x, y, low, high = (np.array(values)[keep] for values in (line.x, line.y, line.low, line.high))
            color = COLOR[f"s{line.style + 1}"]
            axes.fill_between(x, low, high, color=color, alpha=0.16, linewidth=0)
            axes.plot(x, y, color=color, linewidth=1.6, **dashed(DASHES[line.style]))
            axes.plot(x[-1:], y[-1:], MARKERS[line.style], color=color, markersize=6, clip_on=False)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=TICK_STEPS))

    return drawn(SMALL, 166, draw, name, title, description)


def response_plot(series: list[Line], references: list[Reference], ticks: list[float], name: str, title: str) -> Markup:
    """A numeric field against the objective: means joined, intervals as bars, blocks as dots; wide and for phones.

    Args:
        series: a line for each value of another field, or one.
        references: as `blocks_plot` takes them.
        ticks: the field's values; the axis is logarithmic if they span a decade.
        name, title: as `svg.drawn` takes them.
    """
    description = "; ".join(
        f"{line.name or 'mean'}: "
        + ", ".join(f"{number(y)} at {number(x)}" for x, y in zip(line.x, line.y, strict=True))
        for line in series
    )

    def draw(figure: Figure) -> None:
        width = figure.get_figwidth() * 72
        scale = scale_of(
            [value for line in series for value in (*line.low, *line.high, *(y for _, y in line.dots))], references
        )
        axes = axes_at(figure, (54, 12, width - 70, 230))
        put_axis(axes, scale, "y", 5)
        low, high = ticks[0], ticks[-1]
        if low > 0 and high / low >= 8:
            axes.set_xscale("log")
            axes.set_xlim(low / (high / low) ** 0.06, high * (high / low) ** 0.06)
        else:
            axes.set_xlim(low - 0.06 * (high - low), high + 0.06 * (high - low))
        axes.xaxis.set_major_locator(FixedLocator(_apart(ticks, axes)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        for place, line in enumerate(series):
            _response(axes, line, 7 * (place - (len(series) - 1) / 2))
        right = axes.get_xlim()[1]
        for reference in scale.inside:
            axes.axhline(reference.value, color=COLOR["real"], linewidth=1.5, **dashed(reference.dashes))
            if reference.band:
                axes.axhspan(*reference.band, color=COLOR["real"], alpha=0.14, linewidth=0)
            axes.text(right, reference.value, f"{reference.label} ", ha="right", **_TEXT | {"va": "bottom"})

    plots = Markup("")
    for kind, width in (("wide", 560), ("narrow", NARROW)):
        plots += drawn(width, 270, draw, f"{name}-{kind}", title, f"{description}.", kind)
    return plots


def distribution_plot(
    edges: np.ndarray, real: np.ndarray, series: list[tuple[int, np.ndarray]], name: str, title: str, description: str
) -> Markup:
    """Shares of a feature's bins: real music filled, variants as outlines.

    Args:
        edges: `(bins + 1,)` the bins' ends.
        real: `(bins,)` shares of real music.
        series: style and shares of each variant.
        name, title, description: as `svg.drawn` takes them.
    """

    def draw(figure: Figure) -> None:
        axes = axes_at(figure, (46, 8, SMALL - 60, 132))
        axes.stairs(real, edges, fill=True, color=COLOR["real"], alpha=0.3, linewidth=0)
        for style, shares in series:
            color = COLOR[f"s{style + 1}"]
            axes.stairs(
                shares,
                edges,
                color=color,
                linewidth=1.6,
                linestyle=(0, DASHES[style] or None) if DASHES[style] else "-",
            )
            top = int(np.argmax(shares))
            axes.plot(
                [(edges[top] + edges[top + 1]) / 2],
                [shares[top]],
                MARKERS[style],
                color=color,
                markersize=6,
                clip_on=False,
            )
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, max([real.max(initial=0), *(shares.max(initial=0) for _, shares in series)]) * 1.08 or 1)
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=TICK_STEPS))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{number(100 * value)} %"))
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=TICK_STEPS))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))

    return drawn(SMALL, 166, draw, name, title, description)


def swatch(style: int, name: str) -> Markup:
    """A series' line and marker, for a legend; `name` as `svg.drawn` takes it."""

    def draw(figure: Figure) -> None:
        axes = axes_at(figure, (0, 0, 34, 14))
        axes.axis("off")
        axes.set(xlim=(0, 34), ylim=(0, 14))
        axes.plot([1, 33], [7, 7], color=COLOR[f"s{style + 1}"], linewidth=1.6, **dashed(DASHES[style]))
        axes.plot([17], [7], MARKERS[style], color=COLOR[f"s{style + 1}"], markersize=7)

    return ornament(34, 14, draw, name)


def axes_at(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Axes at left, top, width and height in pixels, without a frame, with grey ticks."""
    wide, high = figure.get_size_inches() * 72
    left, top, width, height = box
    axes = figure.add_axes((left / wide, 1 - (top + height) / high, width / wide, height / high))
    axes.patch.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.spines["bottom"].set(visible=True, color=COLOR["muted"], linewidth=1)
    axes.tick_params(color=COLOR["muted"], labelcolor=COLOR["muted"], length=3, labelsize=_SIZE, pad=3)
    return axes


def _reference_line(axes: Axes, reference: Reference, ends: tuple[float, float]) -> None:
    if reference.band:
        axes.axvspan(*reference.band, color=COLOR["real"], alpha=0.14, linewidth=0)
    axes.plot(
        [reference.value] * 2, ends, color=COLOR["real"], linewidth=1.5, clip_on=False, **dashed(reference.dashes)
    )


def _response(axes: Axes, line: Line, aside: float) -> None:
    """One series, moved aside by this many pixels, so that bars do not cover each other."""
    color = COLOR["accent" if line.style < 0 else f"s{line.style + 1}"]
    moved = axes.transData + ScaledTranslation(aside / 72, 0, axes.figure.dpi_scale_trans)
    for x, low, high in zip(line.x, line.low, line.high, strict=True):
        axes.plot([x, x], [low, high], color=color, linewidth=5, alpha=0.35, transform=moved)
    if line.dots:
        axes.plot(
            *zip(*line.dots, strict=True), "o", markersize=4.5, markerfacecolor=COLOR["paper"],
            markeredgecolor=COLOR["ink"], markeredgewidth=1,
        )  # fmt: skip
    marker = "D" if line.style < 0 else MARKERS[line.style]
    dashes = dashed(DASHES[max(line.style, 0)])
    axes.plot(line.x, line.y, color=color, linewidth=1.6, marker=marker, markersize=7, transform=moved, **dashes)


def _apart(ticks: list[float], axes: Axes) -> list[float]:
    """The ticks whose labels do not touch the label before."""
    place = np.log if axes.get_xscale() == "log" else np.asarray
    places = place(np.array(ticks, float))
    least = 0.075 * (places[-1] - places[0]) if len(ticks) > 1 else 0
    kept: list[int] = []
    for index, at in enumerate(places):
        if not kept or at - places[kept[-1]] >= least:
            kept.append(index)
    return [ticks[index] for index in kept]


def dashed(dashes: tuple[int, ...]) -> dict[str, Any]:
    """The keyword for a line with these dashes, in pixels; none for a line without."""
    return {"dashes": [length / 1.5 for length in dashes]} if dashes else {}


def _thinned(count: int) -> np.ndarray:
    """Indices of at most `_MOST_POINTS` of `count` points, evenly spread, with both ends."""
    return np.unique(np.linspace(0, count - 1, min(count, _MOST_POINTS)).round().astype(int))


def _ends(interval: Interval) -> list[float]:
    return [value for value in (interval.low, interval.mean, interval.high) if math.isfinite(value)]
