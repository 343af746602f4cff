"""A pianoroll as SVG that is light enough to stand in a page by the dozen."""

from html import escape

import numpy as np

from musiclab.data.notes import notes
from musiclab.data.songs import TRACKS
from musiclab.rendering.strips import BEATS_PER_BAR, COLORS, register

_STRIP, _GAP = 30, 3
HEIGHT = len(TRACKS) * (_STRIP + _GAP) - _GAP  # pixels
# Lines keep their width however the drawing is stretched; a note is as thick as this many pixels, whatever its strip.
_LINE = 'fill="none" vector-effect="non-scaling-stroke"'
_NOTE = 2.2


def to_svg(
    roll: np.ndarray, resolution: int, title: str, start_steps: int, first: int = 0, last: int | None = None
) -> str:
    """The roll as an `<svg role="img">`, as wide as its place and `HEIGHT` pixels high: a strip a track, and bar lines.

    It has no text but its title: names of the strips, in the order of `TRACKS` and all of one height, belong beside it.
    Across, it is measured in steps; a note is `M<step>-<pitch>h<steps>` in its track's one path. Colours are the CSS
    variables `--drums`, ..., `--strings`, `--strip`, `--start`, `--bar` and `--border`, with colours for a light page
    where they are not set. The start window is shaded, with a line where it ends.

    Args:
        roll: bool `(track, time, pitch)`.
        resolution: steps a beat.
        title: its name for those who cannot see it; escaped here.
        start_steps: length of the start window in steps; 0 where there is none.
        first, last: the steps at its left and right edge, by default those of the roll; beyond the roll it is blank.
    """
    steps = roll.shape[1]
    last = steps if last is None else last
    bars = range(BEATS_PER_BAR * resolution, steps, BEATS_PER_BAR * resolution)
    parts = [
        f'<svg class="roll" role="img" viewBox="{first} 0 {last - first} {HEIGHT}" width="100%" height="{HEIGHT}" '
        f'preserveAspectRatio="none"><title>{escape(title)}</title>',
        f'<path fill="var(--strip,#f0f0f0)" d="{_strips(steps)}"/>',
    ]
    if start_steps:
        parts.append(f'<path fill="var(--start,#f9e6b8)" d="{_strips(start_steps)}"/>')
    parts.append(f'<path {_LINE} stroke="var(--bar,#bbb)" d="{_uprights(bars)}"/>')
    parts += [_track(cells, index) for index, cells in enumerate(roll)]
    if start_steps:
        border = f'<path {_LINE} stroke="var(--border,#c1121f)" stroke-width="2" d="{_uprights([start_steps])}"/>'
        parts.append(border)
    return "".join([*parts, "</svg>"])


def _track(cells: np.ndarray, index: int) -> str:
    """A track's notes as horizontal strokes; pitches point down, as the page does, and the path turns them round."""
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
    """The area of all strips, so many steps from the left."""
    return "".join(f"M0 {index * (_STRIP + _GAP)}h{steps}v{_STRIP}h-{steps}z" for index in range(len(TRACKS)))


def _uprights(at: range | list[int]) -> str:
    return "".join(f"M{step} 0v{HEIGHT}" for step in at)
