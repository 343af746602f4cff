"""A pianoroll as a picture."""

import io
import warnings

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from pypianoroll import plot_pianoroll

from musiclab.data.songs import TRACKS

WIDTH, HEIGHT = 1000, 620
# Where the first and the last step begin and end, as shares of the width: a player puts its playhead by them.
PLOT_LEFT, PLOT_RIGHT = 0.1, 0.985

_DPI = 100
_TOP, _BOTTOM, _GAP = 0.885, 0.075, 0.012
_COLORS = {"Drums": "#333333", "Piano": "#08519c", "Guitar": "#b34700", "Bass": "#006d2c", "Strings": "#54278f"}
_BEATS_PER_BAR = 4
# At least two octaves of each track are shown, around the register it plays in.
_SMALLEST_SPAN = 24
_LONGEST_TITLE = 110
_MOST_BAR_NUMBERS = 24


def to_png(roll: np.ndarray, resolution: int, title: str, start_steps: int) -> bytes:
    """The roll as a PNG of 1000 x 620 pixels, one strip a track, with bar lines; the same roll gives the same bytes.

    The window that the music continues is shaded and marked off. Pitches are cropped to what a track plays.

    Args:
        roll: bool `(track, time, pitch)`.
        resolution: steps a beat.
        title: shown as it is, whatever it holds: no formula in it is set and what cannot be printed is replaced.
        start_steps: length of the start window in steps; 0 where there is none.
    """
    # No pyplot: its figures live until they are closed, and a worker draws hundreds.
    figure = Figure(figsize=(WIDTH / _DPI, HEIGHT / _DPI), dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    figure.text(PLOT_LEFT, 0.955, _printable(title), fontsize=10, parse_math=False)
    height = (_TOP - _BOTTOM) / len(TRACKS)
    for index, name in enumerate(TRACKS):
        bottom = _TOP - (index + 1) * height
        axes = figure.add_axes((PLOT_LEFT, bottom, PLOT_RIGHT - PLOT_LEFT, height - _GAP))
        _draw_track(axes, roll[index], name)
        _draw_bars(axes, roll.shape[1], resolution, labelled=name == TRACKS[-1])
        _draw_start(axes, start_steps)
    _label_parts(figure.axes[0], roll.shape[1], start_steps)
    file = io.BytesIO()
    with warnings.catch_warnings():
        # A title in a script that the font lacks shows boxes; a warning a picture would fill the log.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas.print_png(file, metadata={"Software": None})
    return file.getvalue()


def _draw_track(axes: Axes, cells: np.ndarray, name: str) -> None:
    """One track's cells, cropped to its register, with octaves named as in MIDI (C4 is 60)."""
    # Off cells are clear, so that the lines of the grid run behind the notes and not across them.
    colors = ListedColormap([(1, 1, 1, 0), _COLORS[name]])
    off = {"xtick": "off", "ytick": "off", "label": "off", "grid_axis": "off"}
    plot_pianoroll(axes, cells, cmap=colors, zorder=2, **off)
    low, high = _register(cells)
    axes.set_ylim(low - 0.5, high + 0.5)
    octaves = [pitch for pitch in range(0, cells.shape[1], 12) if low <= pitch <= high]
    axes.set_yticks(octaves, [] if name == "Drums" else [f"C{pitch // 12 - 1}" for pitch in octaves])
    axes.tick_params(axis="y", labelsize=7, length=0 if name == "Drums" else 2, pad=2)
    axes.grid(axis="y", color="0.8", linewidth=0.6)
    axes.text(-0.03, 0.5, name, transform=axes.transAxes, ha="right", va="center", fontsize=9)


def _draw_bars(axes: Axes, steps: int, resolution: int, labelled: bool) -> None:
    """A line at every bar, a faint one at every beat, and bar numbers under the lowest track."""
    bar = _BEATS_PER_BAR * resolution
    bars = -(-steps // bar)
    numbered = np.arange(0, bars, -(-bars // _MOST_BAR_NUMBERS) or 1)
    for every, color, width in ((resolution, "0.9", 0.4), (bar, "0.45", 0.8)):
        lines = np.arange(0, steps, every) - 0.5
        axes.vlines(lines, 0, 1, transform=axes.get_xaxis_transform(), color=color, linewidth=width, zorder=1)
    axes.set_xticks(numbered * bar - 0.5, [str(number + 1) for number in numbered] if labelled else [])
    axes.tick_params(axis="x", labelsize=7, length=2)
    axes.set_xlim(-0.5, steps - 0.5)
    if labelled:
        axes.set_xlabel("bar", fontsize=8, labelpad=1)


def _draw_start(axes: Axes, start_steps: int) -> None:
    """Shade over the start window and a line where the continuation begins."""
    if start_steps > 0:
        axes.axvspan(-0.5, start_steps - 0.5, color="#f2c14e", alpha=0.22, linewidth=0, zorder=3)
        axes.axvline(start_steps - 0.5, color="#c1121f", linewidth=1.6, zorder=4)


def _label_parts(axes: Axes, steps: int, start_steps: int) -> None:
    """`start` and `continuation` above the top track, each over its own part."""
    if start_steps == 0:
        return
    for begin, end, text in ((0, start_steps, "start window"), (start_steps, steps, "continuation")):
        if end > begin:
            middle = (begin + end) / 2 - 0.5
            axes.text(middle, 1.04, text, transform=axes.get_xaxis_transform(), ha="center", fontsize=8)


def _register(cells: np.ndarray) -> tuple[int, int]:
    """Lowest and highest pitch to show: what is played and some margin, two octaves at least, within 0 to 127."""
    played = np.flatnonzero(cells.any(axis=0))
    low, high = (int(played[0]), int(played[-1])) if played.size else (48, 72)
    margin = max(2, -(-(_SMALLEST_SPAN - (high - low)) // 2))
    low = max(low - margin, 0)
    return low, min(max(high + margin, low + _SMALLEST_SPAN), cells.shape[1] - 1)


def _printable(title: str) -> str:
    """The title in one line that can be drawn: unprintable characters replaced, cut to fit the picture."""
    text = "".join(character if character.isprintable() else " " for character in title)
    return text if len(text) <= _LONGEST_TITLE else text[: _LONGEST_TITLE - 1] + "…"
