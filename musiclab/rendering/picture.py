"""A pianoroll as a PNG picture."""

import io
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image
from pypianoroll import plot_pianoroll

from musiclab.data.songs import TRACKS
from musiclab.rendering.strips import BEATS_PER_BAR, COLORS, register

WIDTH, HEIGHT = 1000, 620
# Where the first step begins and the last step ends, as shares of the width; a player places its playhead by them.
PLOT_LEFT, PLOT_RIGHT = 0.1, 0.985

_DPI = 100
_TOP, _BOTTOM, _GAP = 0.885, 0.075, 0.012
_LONGEST_TITLE = 110
_MOST_BAR_NUMBERS = 24
# zlib's level, 0 to 9; level 9 takes three times as long and saves a fifth.
_COMPRESSION = 3


def to_png(roll: npt.NDArray[np.bool_], resolution: int, title: str, start_steps: int) -> bytes:
    """The roll as a PNG of 1000 x 620 pixels, one strip a track, with bar lines; the same roll gives the same bytes.

    The start window is shaded, with a line at its end. Each strip shows the register that its track plays in.

    Args:
        roll: bool `(track, time, pitch)`.
        resolution: steps a beat.
        title: shown literally, formulas too; characters that cannot be printed are replaced.
        start_steps: length of the start window in steps; 0 if there is none.
    """
    steps, strips = roll.shape[1], _strips(roll)
    figure, axes = _figure(steps)
    figure.text(PLOT_LEFT, 0.955, _printable(title), fontsize=10, parse_math=False)
    for strip, cells, name in zip(strips, roll, TRACKS, strict=True):
        _draw_track(axes, strip, cells, name)
    _draw_frames(axes, strips, steps, start_steps)
    with warnings.catch_warnings():
        # A title in a script that the font lacks shows boxes; one warning a picture would fill the log.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        pixels = _drawn(figure, _background(steps, resolution, start_steps))
    file = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(file, "png", compress_level=_COMPRESSION)
    return file.getvalue()


@lru_cache(maxsize=2)
def _background(steps: int, resolution: int, start_steps: int) -> npt.NDArray[np.uint8]:
    """What all pictures of one length have in common, `(row, column, 4)` uint8: most of the lines and the text."""
    strips = _strips(np.zeros((len(TRACKS), steps, 128), dtype=np.bool_))
    figure, axes = _figure(steps)
    for strip, name in zip(strips, TRACKS, strict=True):
        _write(axes, -0.03, (strip.bottom + strip.top) / 2, name, 9, ha="right", va="center")
    _draw_bars(axes, strips, steps, resolution)
    if start_steps > 0:
        _draw_start(axes, strips, steps, start_steps)
    return _drawn(figure, np.full((HEIGHT, WIDTH, 4), 255, dtype=np.uint8))


def _figure(steps: int) -> tuple[Figure, Axes]:
    """A transparent figure of the picture's size, and its axes: x in steps, y from 0 to 1 over the height.

    All strips share one pair of axes, because five with ticks of their own take four times as long. pyplot is not used,
    because its figures live until they are closed and a worker draws hundreds.
    """
    figure = Figure(figsize=(WIDTH / _DPI, HEIGHT / _DPI), dpi=_DPI)
    figure.patch.set_visible(False)
    axes = figure.add_axes((PLOT_LEFT, 0, PLOT_RIGHT - PLOT_LEFT, 1), xlim=(-0.5, steps - 0.5), ylim=(0, 1))
    axes.axis("off")
    axes.autoscale(False)
    return figure, axes


def _drawn(figure: Figure, background: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The pixels of the figure drawn over a background, `(row, column, 4)` uint8."""
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]  # the backends have no types
    pixels = np.asarray(renderer.buffer_rgba())
    pixels[:] = background
    figure.draw(renderer)
    return pixels


class _Strip(NamedTuple):
    """Where a track is drawn: `bottom` and `top` are shares of the height, `low` and `high` the pitches it shows."""

    bottom: float
    top: float
    low: int
    high: int

    def up(self, pitch: int) -> float:
        """The middle of a pitch's row, as a share of the height."""
        return self.bottom + (self.top - self.bottom) * (pitch - self.low + 0.5) / (self.high - self.low + 1)


def _strips(roll: npt.NDArray[np.bool_]) -> list[_Strip]:
    """One strip for each track, from the top down, all of the same height."""
    height = (_TOP - _BOTTOM) / len(roll)
    bottoms = [_TOP - (index + 1) * height for index in range(len(roll))]
    return [
        _Strip(bottom, bottom + height - _GAP, *register(cells)) for bottom, cells in zip(bottoms, roll, strict=True)
    ]


def _draw_track(axes: Axes, strip: _Strip, cells: npt.NDArray[np.bool_], name: str) -> None:
    """The cells of one track, cropped to its register, with octaves named as in MIDI (C4 is 60)."""
    across = (-0.5, len(cells) - 0.5)
    if cells.any():
        # Cells that are off are transparent, so that the grid runs behind the notes.
        colors = ListedColormap([(1, 1, 1, 0), COLORS[name]])
        bare = {"preset": "plain", "xtick": "off", "ytick": "off", "label": "off", "grid_axis": "off"}
        extent = (*across, strip.bottom, strip.top)
        plot_pianoroll(axes, cells[:, strip.low : strip.high + 1], cmap=colors, extent=extent, zorder=2, **bare)
    octaves = {pitch: strip.up(pitch) for pitch in range(0, cells.shape[1], 12) if strip.low <= pitch <= strip.high}
    _draw_lines(axes, [(across, (up, up)) for up in octaves.values()], color="0.8", linewidth=0.6, zorder=1)
    for pitch, up in octaves.items() if name != "Drums" else ():
        _write(axes, -0.004, up, f"C{pitch // 12 - 1}", 7, ha="right", va="center_baseline")


def _draw_bars(axes: Axes, strips: list[_Strip], steps: int, resolution: int) -> None:
    """Draw a line at every bar, a faint one at every beat, and bar numbers under the lowest track."""
    bar = BEATS_PER_BAR * resolution
    for every, color, width in ((resolution, "0.9", 0.4), (bar, "0.45", 0.8)):
        for strip in strips:
            lines: list[_Line] = [((x, x), (strip.bottom, strip.top)) for x in np.arange(0, steps, every) - 0.5]
            _draw_lines(axes, lines, color=color, linewidth=width, zorder=1)
    bars = -(-steps // bar)
    for number in range(0, bars, -(-bars // _MOST_BAR_NUMBERS) or 1):
        _write(axes, number * bar / steps, strips[-1].bottom - 0.006, str(number + 1), 7, ha="center", va="top")
    _write(axes, 0.5, strips[-1].bottom - 0.028, "bar", 8, ha="center", va="top")


def _draw_start(axes: Axes, strips: list[_Strip], steps: int, start_steps: int) -> None:
    """Shade the start window, and name both sections above the top track."""
    for strip in strips:
        size = (start_steps, strip.top - strip.bottom)
        axes.add_artist(Rectangle((-0.5, strip.bottom), *size, color="#f2c14e", alpha=0.22, linewidth=0, zorder=3))
    for begin, end, text in ((0, start_steps, "start window"), (start_steps, steps, "continuation")):
        if end > begin:
            _write(axes, (begin + end) / 2 / steps, strips[0].top + 0.006, text, 8, ha="center")


def _draw_frames(axes: Axes, strips: list[_Strip], steps: int, start_steps: int) -> None:
    """Draw a frame around every strip, and a line where the continuation begins."""
    left, right, border = -0.5, steps - 0.5, start_steps - 0.5
    frames: list[_Line] = [
        ((left, right, right, left, left), (strip.bottom, strip.bottom, strip.top, strip.top, strip.bottom))
        for strip in strips
    ]
    _draw_lines(axes, frames, color="0", linewidth=0.8, zorder=5, clip_on=False)
    if start_steps > 0:
        lines: list[_Line] = [((border, border), (strip.bottom, strip.top)) for strip in strips]
        _draw_lines(axes, lines, color="#c1121f", linewidth=1.6, zorder=4)


# A line through points: their x and their y.
_Line = tuple[tuple[float, ...], tuple[float, ...]]


def _draw_lines(axes: Axes, lines: Sequence[_Line], **style: Any) -> None:
    """Draw lines of one style as one artist with gaps, because every artist costs time."""
    xs, ys = (np.array([(*line[axis], np.nan) for line in lines]).ravel() for axis in (0, 1))
    axes.add_artist(Line2D(xs, ys, solid_capstyle="butt", **style))


def _write(axes: Axes, across: float, up: float, text: str, size: float, **style: Any) -> None:
    """Write text at shares of the plot's width and of the picture's height."""
    axes.figure.text(across, up, text, transform=axes.transAxes, fontsize=size, **style)


def _printable(title: str) -> str:
    """The title on one line: unprintable characters replaced by spaces, cut to fit the picture."""
    text = "".join(character if character.isprintable() else " " for character in title)
    return text if len(text) <= _LONGEST_TITLE else text[: _LONGEST_TITLE - 1] + "…"
