"""The plots of a search: each is given plain numbers and returns an SVG for the page, light for thousands of trials."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator, NullLocator

from musiclab.report.formatting import number, shortened
from musiclab.report.html.axes import TICK_STEPS, Scale, put_axis, scale_of
from musiclab.report.html.plots import NARROW, SMALL, WIDE, axes_at, dashed
from musiclab.report.html.search_marks import FieldAxis, Points, put_marks, put_numbers, put_ticks, thinned
from musiclab.report.html.svg import COLOR, drawn

_LANE = 20  # pixels for each state that has no score
_ROW = 54  # from one axis of parallel coordinates to the next
_CELLS = (8, 6)  # across and down, of the plot of two fields
_MIDDLE = 560
_NUMBERED = 12  # members of a front that bear their numbers


@dataclass(frozen=True)
class Scored:
    """Proposals by kind of mark, each at `(x, y)`; those that are confirmed by number."""

    marks: dict[str, Points]
    confirmed: dict[int, tuple[float, float]] = field(default_factory=dict)

    def put(self, axes: Axes) -> None:
        """Draw them, the confirmed last and with their numbers."""
        for kind, points in self.marks.items():
            put_marks(axes, kind, points)
        put_marks(axes, "confirmed", list(self.confirmed.values()))
        put_numbers(axes, self.confirmed)


def history_plot(
    scored: Scored, best: Points, lanes: dict[str, tuple[str, list[int]]], last: int, title: str, description: str
) -> Markup:
    """Scores by proposal with the best so far; below them a lane for each state that has no score.

    Args:
        scored: the proposals' numbers and scores.
        best: where the best so far improves.
        lanes: by state its name and the proposals in it.
        last: the largest number.
        title, description: as `svg.drawn` takes them.
    """

    def draw(figure: Figure) -> None:
        width = figure.get_figwidth() * 72
        left, high, below = 88, 210, _LANE * len(lanes)
        axes = axes_at(figure, (left, 14, width - left - 16, high))
        values = [y for points in scored.marks.values() for _, y in points]
        put_axis(axes, scale_of(values, []), "y", 5)
        ends = (-0.02 * last - 0.5, 1.02 * last + 0.5)
        axes.set_xlim(*ends)
        if lanes:
            axes.spines["bottom"].set(color=COLOR["line"])
            axes.xaxis.set_major_locator(NullLocator())
            lower = axes_at(figure, (left, 14 + high + 6, width - left - 16, below))
            lower.set(xlim=ends, ylim=(len(lanes), 0))
            lower.yaxis.set_major_locator(NullLocator())
            for place, (state, (words, numbers)) in enumerate(lanes.items()):
                lower.text(
                    -8 / (width - left - 16), 1 - (place + 0.5) / len(lanes), words, transform=lower.transAxes,
                    ha="right", va="center", fontsize=12, color=COLOR["muted"],
                )  # fmt: skip
                put_marks(lower, state, [(each, place + 0.5) for each in numbers], int((width - left) / 9))
        bottom = lower if lanes else axes
        bottom.xaxis.set_major_locator(MaxNLocator(6 if width > 500 else 4, integer=True, steps=TICK_STEPS))
        if best:
            x, y = zip(*best, strict=True)
            axes.step([*x, last], [*y, y[-1]], where="post", color=COLOR["accent"], linewidth=2)
        scored.put(axes)

    return _twice((WIDE, NARROW), 14 + 210 + 6 + _LANE * len(lanes) + 28, draw, "history", title, description)


@dataclass(frozen=True)
class Trace:
    """A proposal in parallel coordinates: its place on each field's axis, None if that does not apply; its score."""

    number: int
    places: tuple[float | None, ...]
    score: float


def parallel_plot(
    axes_by_field: dict[str, FieldAxis],
    groups: dict[str, list[Trace]],
    scores: tuple[str, list[float]],
    title: str,
    description: str,
) -> Markup:
    """Parallel coordinates, from top to bottom: an axis a field, the score's last.

    Args:
        axes_by_field: by name.
        groups: proposals as `others`, `best` and `confirmed`; the last are drawn above all and bear their numbers.
        scores: the score's name, and all scores that the axis must hold.
        title, description: as `svg.drawn` takes them.
    """
    height = 24 + _ROW * (len(axes_by_field) + 1)

    def draw(figure: Figure) -> None:
        width = figure.get_figwidth() * 72
        left, right, absent = 58.0, width - 20, 22.0
        sheet = axes_at(figure, (0, 0, width, height))
        sheet.set(xlim=(0, width), ylim=(height, 0))
        sheet.axis("off")
        tops = [26.0 + _ROW * row for row in range(len(axes_by_field) + 1)]
        scale = scale_of(scores[1], [])
        where = _share_on(scale)
        ends = [(share, label) for share, label in _score_ticks(scale, where)]
        texts: dict[str, Any] = {"fontsize": 12, "clip_on": False, "zorder": 4}
        rows = [(name, axis.ticks) for name, axis in axes_by_field.items()] + [(scores[0], tuple(ends))]
        conditional = {place for traces in groups.values() for trace in traces
                       for place, share in enumerate(trace.places) if share is None}  # fmt: skip
        for place, ((name, ticks), top) in enumerate(zip(rows, tops, strict=True)):
            sheet.plot([left, right], [top, top], color=COLOR["muted"], linewidth=1.2, zorder=1)
            sheet.text(left, top - 10, shortened(name, 40), color=COLOR["ink"], fontweight="bold", **texts)
            for share, label in ticks:
                at = left + share * (right - left)
                ha = "left" if share < 0.03 else "right" if share > 0.97 else "center"
                sheet.plot([at, at], [top - 3, top + 3], color=COLOR["muted"], linewidth=1, zorder=1)
                sheet.text(at, top + 15, label, ha=ha, color=COLOR["muted"], **texts)
            if place in conditional:
                sheet.text(absent, top + 15, "without", ha="center", color=COLOR["muted"], **texts | {"fontsize": 11})
                sheet.plot([absent - 6, absent + 6], [top, top], color=COLOR["muted"], linewidth=1.2, zorder=1)
        looks: dict[str, dict[str, Any]] = {
            "others": {"color": COLOR["muted"], "linewidth": 0.8, "alpha": 0.35},
            "best": {"color": COLOR["accent"], "linewidth": 1.4, "alpha": 0.8},
            "confirmed": {"color": COLOR["s2"], "linewidth": 2.4, "linestyle": (0, (6, 3))},
        }
        for group, look in looks.items():
            lines = []
            for trace in groups.get(group, []):
                shares = [*trace.places, where(trace.score)]
                lines.append([
                    (absent if share is None else left + share * (right - left), top)
                    for share, top in zip(shares, tops, strict=True)
                ])  # fmt: skip
            if lines:
                sheet.add_patch(_together(lines, look))
        put_marks(
            sheet, "confirmed", [(left + where(each.score) * (right - left), tops[-1])
                                 for each in groups.get("confirmed", [])],
        )  # fmt: skip

    return _twice((WIDE, NARROW), height, draw, "parallel", title, description)


def slice_plot(axis: FieldAxis, scored: Scored, scores: list[float], name: str, title: str, description: str) -> Markup:
    """The score by one field; `scores` are all that the axis must hold, so that all slices have the same."""

    def draw(figure: Figure) -> None:
        axes = axes_at(figure, (46, 14, SMALL - 60, 130))
        put_axis(axes, scale_of(scores, []), "y", 4)
        put_ticks(axes, axis, "x")
        scored.put(axes)

    return drawn(SMALL, 170, draw, name, title, description)


def pair_plot(
    across: FieldAxis, up: FieldAxis, scored: Scored, goodness: list[tuple[float, float, float]],
    names: tuple[str, str], title: str, description: str,
) -> Markup:  # fmt: skip
    """Proposals by two fields; the better the mean score of a cell, the deeper its shade.

    Args:
        across, up: the fields' axes.
        scored: the proposals' places on them.
        goodness: of each finished proposal its places, and its score as a share, 1 for the best.
        names: of the fields.
        title, description: as `svg.drawn` takes them.
    """
    cells: dict[tuple[int, int], list[float]] = {}
    for x, y, share in goodness:
        cell = (min(int(x * _CELLS[0]), _CELLS[0] - 1), min(int(y * _CELLS[1]), _CELLS[1] - 1))
        cells.setdefault(cell, []).append(share)

    def draw(figure: Figure) -> None:
        width = figure.get_figwidth() * 72
        axes = axes_at(figure, (72, 22, width - 90, 240))
        put_ticks(axes, across, "x")
        put_ticks(axes, up, "y")
        for (column, row), shares in cells.items():
            mean = sum(shares) / len(shares)
            axes.add_patch(
                Rectangle(
                    (column / _CELLS[0], row / _CELLS[1]), 1 / _CELLS[0], 1 / _CELLS[1],
                    color=COLOR["accent"], alpha=round(0.04 + 0.46 * mean, 3), linewidth=0,
                )
            )  # fmt: skip
        scored.put(axes)
        axes.text(-0.03, 1.1, f"{shortened(names[1], 40)} ↑", fontsize=12, color=COLOR["ink"], fontweight="bold")
        axes.text(
            1.0, -38 / 240, f"{shortened(names[0], 40)} →", transform=axes.transAxes, ha="right", fontsize=12,
            color=COLOR["ink"], fontweight="bold", clip_on=False,
        )  # fmt: skip

    return _twice((_MIDDLE, NARROW), 310, draw, "pair", title, description)


def front_plot(
    points: Points, members: dict[int, tuple[float, float]], confirmed: dict[int, tuple[float, float]],
    audible: Sequence[int], names: tuple[str, str], name: str, title: str, description: str,
) -> Markup:  # fmt: skip
    """Two objectives against each other: all finished proposals, and the front's members, which lead to their sounds.

    Args:
        points: of the proposals that others beat.
        members: of the front, by number.
        confirmed: those of all that are confirmed, by number.
        audible: numbers of members with a sound, at `#hear-<number>` of the page.
        names: of the objectives, across and up.
        name, title, description: as `svg.drawn` takes them.
    """

    def draw(figure: Figure) -> None:
        width = figure.get_figwidth() * 72
        axes = axes_at(figure, (62, 44, width - 82, 240))
        every = [*points, *members.values()]
        for which, values in (("x", [x for x, _ in every]), ("y", [y for _, y in every])):
            put_axis(axes, scale_of(values, []), "x" if which == "x" else "y", 5 if width > 500 else 3)
        put_marks(axes, "finished", points)
        if members:
            axes.plot(*zip(*sorted(members.values()), strict=True), color=COLOR["s3"], linewidth=1, **dashed((4, 2)))
        put_marks(axes, "front", [point for each, point in members.items() if each not in audible])
        put_marks(axes, "confirmed", list(confirmed.values()))
        for each in audible:
            axes.plot(
                *members[each], "s", markersize=11, markerfacecolor=COLOR["paper"], markeredgecolor=COLOR["s3"],
                markeredgewidth=2.2, zorder=3, clip_on=False, url=f"#hear-{each}",
            )  # fmt: skip
        numbered = {each: members[each] for each in audible or thinned(members, _NUMBERED)} | confirmed
        put_numbers(axes, numbered)
        axes.text(0, 1.12, f"{shortened(names[1], 60)} ↑", transform=axes.transAxes, fontsize=12, fontweight="bold",
                  color=COLOR["ink"])  # fmt: skip
        axes.text(
            1.0, -38 / 240, f"{shortened(names[0], 60)} →", transform=axes.transAxes, ha="right", fontsize=12,
            color=COLOR["ink"], fontweight="bold", clip_on=False,
        )  # fmt: skip

    return _twice((_MIDDLE, NARROW), 332, draw, name, title, description)


def rungs_plot(rungs: Sequence[str], lines: dict[str, list[list[float]]], title: str, description: str) -> Markup:
    """Progress at the rungs: solid lines of those that finished, dashed ones of those that ended early or broke off.

    Args:
        rungs: how far each is, in words.
        lines: by state the values of each proposal at the rungs that it reached.
        title, description: as `svg.drawn` takes them.
    """

    def draw(figure: Figure) -> None:
        width = figure.get_figwidth() * 72
        axes = axes_at(figure, (56, 12, width - 76, 200))
        values = [value for of_state in lines.values() for each in of_state for value in each]
        put_axis(axes, scale_of(values, []), "y", 5)
        axes.set_xlim(-0.1, len(rungs) - 0.6)
        axes.set_xticks(range(len(rungs)), [shortened(each, 24) for each in rungs])
        axes.get_xticklabels()[0].set_horizontalalignment("left")
        for state, of_state in lines.items():
            is_whole = state == "finished"
            look: dict[str, Any] = {"color": COLOR["accent" if is_whole else "muted"], "linewidth": 1.4, "alpha": 0.7}
            look |= {} if is_whole else {"linestyle": (0, (4, 2))}
            longer = [list(zip(map(float, range(len(each))), each, strict=True)) for each in of_state if len(each) > 1]
            if longer:
                axes.add_patch(_together(longer, look))
            put_marks(axes, state, [(len(each) - 1, each[-1]) for each in of_state if each])

    return _twice((_MIDDLE, NARROW), 244, draw, "rungs", title, description)


def _twice(widths: tuple[int, int], height: float, draw: Any, name: str, title: str, description: str) -> Markup:
    """The same for wide pages and for phones."""
    return Markup("").join(
        drawn(width, height, draw, f"{name}-{kind}", title, description, kind)
        for kind, width in zip(("wide", "narrow"), widths, strict=True)
    )


def _together(lines: list[list[tuple[float, float]]], look: dict[str, Any]) -> PathPatch:
    """Many lines as one path."""
    codes = [code for line in lines for code in (Path.MOVETO, *[Path.LINETO] * (len(line) - 1))]
    path = Path([point for line in lines for point in line], codes)
    path.should_simplify = False
    return PathPatch(path, fill=False, edgecolor=look.pop("color"), zorder=2, clip_on=False, **look)


def _share_on(scale: Scale) -> Any:
    """Where a value lies on a scale, from 0 to 1."""
    place = math.log if scale.logarithmic else float
    low, high = place(scale.low), place(scale.high)
    return lambda value: min(max((place(value) - low) / (high - low), 0.0), 1.0)


def _score_ticks(scale: Scale, where: Any) -> list[tuple[float, str]]:
    if scale.logarithmic:
        values = np.exp(np.linspace(math.log(scale.low), math.log(scale.high), 4))
    else:
        values = np.linspace(scale.low, scale.high, 4)
    return [(where(value), number(float(value))) for value in values]
