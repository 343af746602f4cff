"""What a search's plots are made of: a mark for each state, drawn as one path, and the axes of searched fields."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.transforms import IdentityTransform

from musiclab.design.search import Categorical, Dimension, Float, Int
from musiclab.report.formatting import number, shortened, value_text
from musiclab.report.html.plots import axes_at
from musiclab.report.html.svg import COLOR, ornament

Points = Sequence[tuple[float, float]]
_MOST_MARKS = 600  # of one kind in a plot
_LABELLED = 6  # values of a field without order that have labels


@dataclass(frozen=True)
class MarkStyle:
    """How proposals of a kind are marked: strokes `(n, 2)` in units of `reach` pixels, a colour of COLOR."""

    strokes: tuple[tuple[tuple[float, float], ...], ...]
    color: str
    reach: float
    width: float
    alpha: float = 1.0


_CORNERS = ((0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0), (0.0, 1.0))
MARKS = {
    # A line without length: its round ends are a dot, in a tenth of the letters that a circle takes.
    "finished": MarkStyle((((0.0, 0.0), (0.0, 0.0)),), "s1", 1, 5.0, 0.75),
    "pruned": MarkStyle((((-1.0, 0.8), (1.0, 0.8), (0.0, -1.0), (-1.0, 0.8)),), "muted", 3.0, 1.1),
    "diverged": MarkStyle((((-1.0, -1.0), (1.0, 1.0)), ((-1.0, 1.0), (1.0, -1.0))), "s2", 3.0, 1.6),
    "failed": MarkStyle((((-1.0, 0.0), (1.0, 0.0)), ((0.0, -1.0), (0.0, 1.0))), "s5", 3.6, 1.6),
    "running": MarkStyle((((-1.0, 0.0), (1.0, 0.0)),), "s6", 3.5, 2.0),
    "confirmed": MarkStyle((_CORNERS,), "s2", 6.0, 2.2),
    "front": MarkStyle((((-1.0, -1.0), (-1.0, 1.0), (1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)),), "s3", 4.5, 2.2),
}  # fmt: skip


@dataclass(frozen=True)
class FieldAxis:
    """A searched field from 0 to 1, with labels at some places of it."""

    dimension: Dimension
    ticks: tuple[tuple[float, str], ...]

    def place(self, value: Any, jitter: float = 0.0) -> float:
        """Where a value lies; values without order get `jitter` from -1 to 1, so that dots lie beside one another."""
        dimension = self.dimension
        if isinstance(dimension, Float):
            scaled = math.log if dimension.log else float
            low, high = scaled(dimension.low), scaled(dimension.high)
            return min(max((scaled(value) - low) / (high - low), 0.0), 1.0)
        values = list(getattr(dimension, "values", ()))
        return _slot(values.index(value), len(values)) + 0.3 * jitter / len(values) if value in values else 0.5


def field_axis(dimension: Dimension, most: int = _LABELLED) -> FieldAxis:
    """The axis of a field: ends and middle of a range, else the values, of which at most `most` have labels."""
    if isinstance(dimension, Float):
        low, high = dimension.low, dimension.high
        middle = math.sqrt(low * high) if dimension.log else (low + high) / 2
        shown = [low, round(middle), high] if isinstance(dimension, Int) else [low, middle, high]
        axis = FieldAxis(dimension, ())
        return FieldAxis(dimension, tuple({axis.place(value): number(value) for value in shown}.items()))
    values = list(dimension.values) if isinstance(dimension, Categorical) else []
    step = max(1, math.ceil(len(values) / most))
    labels = [(_slot(place, len(values)), shortened(value_text(value), 9)) for place, value in enumerate(values)]
    return FieldAxis(dimension, tuple(labels[::step]))


def jitter(number: int) -> float:
    """A place from -1 to 1 that a proposal always has, far from those of its neighbours."""
    return 2 * ((number * 0.6180339887) % 1) - 1


def put_marks(axes: Axes, kind: str, points: Points, most: int = _MOST_MARKS) -> None:
    """Draw all marks of a kind as one path; the axes must have their scales and ends. Points are data.

    Of more than `most`, one stands for all that would lie in its cell, so that a plot of thousands stays light.
    """
    finite = [point for point in points if all(map(math.isfinite, point))]
    if not finite:
        return
    style = MARKS[kind]
    shape = [np.array(stroke) * style.reach for stroke in style.strokes]
    vertices, codes = [], []
    for at in _sparse(axes.transData.transform(finite), most):
        for stroke in shape:
            vertices.append(at + stroke)
            codes += [Path.MOVETO, *[Path.LINETO] * (len(stroke) - 1)]
    path = Path(np.concatenate(vertices), codes)
    path.should_simplify = False
    axes.add_patch(
        PathPatch(
            path, transform=IdentityTransform(), fill=False, edgecolor=COLOR[style.color], linewidth=style.width,
            alpha=style.alpha, capstyle="round", clip_on=False, zorder=3 if kind in ("confirmed", "front") else 2,
        )
    )  # fmt: skip


def put_numbers(axes: Axes, points: dict[int, tuple[float, float]]) -> None:
    """Write proposals' numbers above their marks, and above one another where marks lie close."""
    taken: list[tuple[float, float]] = []
    for name, point in points.items():
        x, y = axes.transData.transform(point)
        up, wide = 9.0, 4.0 * len(str(name)) + 6
        while any(abs(x - other) < 2 * wide and abs(y + up - level) < 12 for other, level in taken):
            up += 12
        taken.append((x, y + up))
        axes.annotate(
            str(name), point, (0, up), textcoords="offset points", ha="center", va="bottom", fontsize=11,
            color=COLOR["ink"], annotation_clip=False, zorder=4,
        )  # fmt: skip


def put_ticks(axes: Axes, axis: FieldAxis, which: str) -> None:
    """Give the axis `which` a field's range, with its labels."""
    places, labels = [place for place, _ in axis.ticks], [label for _, label in axis.ticks]
    if which == "x":
        axes.set_xlim(-0.03, 1.03)
        axes.set_xticks(places, labels)
    else:
        axes.set_ylim(-0.03, 1.03)
        axes.set_yticks(places, labels)
        axes.tick_params(axis="y", length=0)


def mark_swatch(kind: str, name: str) -> Markup:
    """A kind's mark for a legend; `name` as `svg.drawn` takes it. `best` is the line of the best so far."""

    def draw(figure: Figure) -> None:
        axes = axes_at(figure, (0, 0, 18, 14))
        axes.axis("off")
        axes.set(xlim=(0, 18), ylim=(0, 14))
        if kind == "best":
            axes.plot([1, 17], [7, 7], color=COLOR["accent"], linewidth=2)
        else:
            put_marks(axes, kind, [(9, 7)])

    return ornament(18, 14, draw, name)


def thinned(items: Iterable[Any], most: int) -> list[Any]:
    """At most `most` of the items, evenly spread, with both ends."""
    listed = list(items)
    if len(listed) <= most:
        return listed
    return [listed[place] for place in np.linspace(0, len(listed) - 1, most).round().astype(int)]


def _slot(place: int, count: int) -> float:
    return (place + 0.5) / count


def _sparse(points: np.ndarray, most: int) -> np.ndarray:
    """Pixels `(n, 2)`, of which one stands for all in its cell if they are many; cells are as small as they can be."""
    cell = 2.0
    while len(points) > most:
        _, first = np.unique((points / cell).round().astype(int), axis=0, return_index=True)
        points, cell = points[np.sort(first)], cell * 1.3
    return points
