"""A pianoroll as SVG, small enough for a page with dozens of them."""

from collections.abc import Iterable
from html import escape

import numpy as np
import numpy.typing as npt

from musiclab.data.notes import notes
from musiclab.data.songs import TRACKS
from musiclab.rendering.strips import BEATS_PER_BAR, COLORS, register

_STRIP, _GAP = 30, 3
HEIGHT = len(TRACKS) * (_STRIP + _GAP) - _GAP  # pixels
# Lines keep their width however the drawing is stretched.
_LINE = 'fill="none" vector-effect="non-scaling-stroke"'
_NOTE = 2.2  # thickness of a note in pixels


def to_svg(
    roll: npt.NDArray[np.bool_],
    resolution: int,
    title: str,
    start_steps: int,
    first: int = 0,
    last: int | None = None,
) -> str:
    """The roll as an `<svg role="img">` with a strip for each track and bar lines.

    It is `HEIGHT` pixels high and takes the width of its container. The strips have the order of `TRACKS` and the same
    height; their names are not drawn, so the page must put them beside it. One unit of x is one step. A note is
    `M<step>-<pitch>h<steps>` in the one path of its track. Colours are the CSS variables `--drums`, ..., `--strings`,
    `--strip`, `--start`, `--bar` and `--border`; if one is not set, a colour for a light page is used. The start window
    is shaded, with a line at its end.

    Args:
        roll: bool `(track, time, pitch)`.
        resolution: steps a beat.
        title: its name for screen readers; escaped here.
        start_steps: length of the start window in steps; 0 if there is none.
        first: the step at the left edge; what lies outside of the roll is blank.
        last: the step at the right edge, by default the end of the roll.
    """
    steps = roll.shape[1]
    last = steps if last is None else last
    bars = range(BEATS_PER_BAR * resolution, steps, BEATS_PER_BAR * resolution)
    elements = [
        f'<svg class="roll" role="img" viewBox="{first} 0 {last - first} {HEIGHT}" width="100%" height="{HEIGHT}" '
        f'preserveAspectRatio="none"><title>{escape(title)}</title>',
        f'<path fill="var(--strip,#f0f0f0)" d="{_strips(steps)}"/>',
    ]
    if start_steps:
        elements.append(f'<path fill="var(--start,#f9e6b8)" d="{_strips(start_steps)}"/>')
    elements.append(f'<path {_LINE} stroke="var(--bar,#bbb)" d="{_uprights(bars)}"/>')
    elements += [_track(cells, index) for index, cells in enumerate(roll)]
    if start_steps:
        border = f'<path {_LINE} stroke="var(--border,#c1121f)" stroke-width="2" d="{_uprights([start_steps])}"/>'
        elements.append(border)
    return "".join([*elements, "</svg>"])


def _track(cells: npt.NDArray[np.bool_], index: int) -> str:
    """The notes of a track as horizontal strokes. A note's y is minus its pitch, because y grows downwards."""
    low, high = register(cells)
    scale = _STRIP / (high - low + 1)
    down = index * (_STRIP + _GAP) + scale * (high + 0.5)
    strokes = "".join(f"M{start}-{pitch}h{length}" for start, length, pitch in notes(cells).tolist())
    name = TRACKS[index]
    return (
        f'<path {_LINE} stroke="var(--{name.lower()},{COLORS[name]})" stroke-width="{_NOTE}" '
        f'transform="matrix(1 0 0 {scale:.5g} 0 {down:.5g})" d="{strokes}"/>'
    )


def _strips(steps: int) -> str:
    """The area of all strips over the first `steps` steps."""
    return "".join(f"M0 {index * (_STRIP + _GAP)}h{steps}v{_STRIP}h-{steps}z" for index in range(len(TRACKS)))


def _uprights(steps: Iterable[int]) -> str:
    """Vertical lines at the given steps."""
    return "".join(f"M{step} 0v{HEIGHT}" for step in steps)
