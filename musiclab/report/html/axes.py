"""Axes of plots: their ends, linear or logarithmic, and their ticks."""

import math
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from musiclab.report.formatting import number
from musiclab.report.html.svg import COLOR

_LOGARITHMIC_FROM = 30  # the largest value divided by the smallest
_LEAST_SHARE = 0.25  # of the axis that the values keep if a reference lies far away
TICK_STEPS = (1, 2, 5, 10)  # between ticks, times a power of ten


@dataclass(frozen=True)
class Reference:
    """A value to compare others with, such as that of real music; `band` has the ends of a band around it."""

    label: str
    value: float
    dashes: tuple[int, ...] = ()
    band: tuple[float, float] | None = None


@dataclass(frozen=True)
class Scale:
    """A value axis: its ends, whether it is logarithmic, and the references inside it and beyond its ends."""

    low: float
    high: float
    logarithmic: bool
    inside: tuple[Reference, ...]
    outside: tuple[Reference, ...]


def scale_of(values: list[float], references: list[Reference]) -> Scale:
    """The axis for these values: logarithmic if they span decades, with the references that leave them enough room."""
    values = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(values), max(values)
    logarithmic = low > 0 and high / low >= _LOGARITHMIC_FROM
    place = math.log if logarithmic else float
    span = place(high) - place(low)
    inside: list[Reference] = []
    outside: list[Reference] = []
    for reference in sorted(references, key=lambda reference: beyond(reference.value, low, high)):
        fits = math.isfinite(reference.value) and (reference.value > 0 or not logarithmic)
        if fits:
            wider = min(low, reference.value), max(high, reference.value)
            fits = span >= _LEAST_SHARE * (place(wider[1]) - place(wider[0])) or reference.value in (low, high)
        if fits:
            low, high = wider
        (inside if fits else outside).append(reference)
    if logarithmic:
        room = (high / low) ** 0.04
        return Scale(low / room, high * room, True, tuple(inside), tuple(outside))
    room = 0.04 * (high - low) or 0.04 * abs(high) or 1.0
    return Scale(low - room, high + room, False, tuple(inside), tuple(outside))


def put_axis(axes: Axes, scale: Scale, which: Literal["x", "y"], ticks: int) -> None:
    """Give the axis `which` this scale, with about this many ticks and a grid line at each."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    if which == "x":
        axes.set_xscale("log" if scale.logarithmic else "linear")
        axes.set_xlim(scale.low, scale.high)
    else:
        axes.set_yscale("log" if scale.logarithmic else "linear")
        axes.set_ylim(scale.low, scale.high)
    few = scale.logarithmic and scale.high / scale.low < 300
    axis.set_major_locator(
        LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=ticks + 3)
        if scale.logarithmic
        else MaxNLocator(ticks, steps=TICK_STEPS)
    )
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axes.grid(axis=which, color=COLOR["line"], linewidth=1)
    axes.set_axisbelow(True)
    if which == "y":
        axes.tick_params(axis="y", length=0)


def logarithmic_middle(scale: Scale) -> float:
    """The middle of a logarithmic axis."""
    return math.sqrt(scale.low * scale.high)


def beyond(value: float, low: float, high: float) -> float:
    """How far a value lies outside `low` to `high`; inf if it is not finite."""
    return max(low - value, value - high, 0.0) if math.isfinite(value) else math.inf
