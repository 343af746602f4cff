"""Pictures of rolls, judged by their pixels."""

import gc
import io
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from musiclab.rendering.picture import HEIGHT, PLOT_LEFT, PLOT_RIGHT, WIDTH, to_png

DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)
RESOLUTION = 2
PIANO_BLUE, STRINGS_PURPLE, BORDER_RED = (8, 81, 156), (84, 39, 143), (193, 18, 31)


def silence(steps: int = 32) -> np.ndarray:
    return np.zeros((5, steps, 128), dtype=bool)


def pixels(png: bytes) -> np.ndarray:
    """Red, green and blue of every pixel, `(row, column, 3)`, 0 to 1."""
    return imread(io.BytesIO(png), format="png")[..., :3]


def draw(roll: np.ndarray, title: str = "title", start_steps: int = 0) -> np.ndarray:
    return pixels(to_png(roll, RESOLUTION, title, start_steps))


def near(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Which pixels have this colour, `(row, column)`."""
    return (np.abs(picture * 255 - color) < 10).all(axis=2)


def column_of(step: float, steps: int) -> int:
    """The pixel column where a step begins."""
    return round((PLOT_LEFT + (PLOT_RIGHT - PLOT_LEFT) * step / steps) * WIDTH)


def test_a_picture_has_its_size_and_is_small(piece: np.ndarray) -> None:
    png = to_png(piece, RESOLUTION, "title", 16)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert pixels(png).shape == (HEIGHT, WIDTH, 3)
    assert len(png) < 100_000
    dense = silence(160)  # twenty bars, far busier than music
    dense[..., 36:84] = np.random.default_rng(0).random((5, 160, 48)) < 0.1
    assert len(to_png(dense, RESOLUTION, "title", 32)) < 100_000


def test_notes_are_drawn_at_their_steps() -> None:
    roll = silence()
    roll[PIANO, 10:14, 60] = True
    blue = near(draw(roll), PIANO_BLUE)
    drawn = np.flatnonzero(blue.any(axis=0))
    assert drawn[0] == pytest.approx(column_of(10, 32), abs=2)
    assert drawn[-1] == pytest.approx(column_of(14, 32), abs=2)


def test_each_track_has_its_strip() -> None:
    blank = draw(silence())
    middles = []
    for track in range(5):
        roll = silence()
        roll[track, 8:24, 60] = True
        rows = np.flatnonzero((draw(roll) != blank).any(axis=2)[:, column_of(12, 32)])
        middles.append(rows.mean())
    assert middles == sorted(middles) and np.diff(middles).min() > HEIGHT / 8


def bar_lines(picture: np.ndarray, steps: int) -> list[int]:
    """The steps at which a line goes through a strip."""
    strip = picture[HEIGHT // 2 - 30 : HEIGHT // 2 + 30]
    darkness = 1 - np.median(strip.mean(axis=2), axis=0)
    columns = {step: column_of(step, steps) for step in range(1, steps)}
    return [step for step, column in columns.items() if darkness[column - 1 : column + 2].max() > 0.3]


def test_bars_are_marked_at_every_fourth_beat() -> None:
    assert bar_lines(draw(silence()), 32) == [8, 16, 24]


def test_a_picture_is_its_own_whatever_was_drawn_before(piece: np.ndarray) -> None:
    first = to_png(piece, RESOLUTION, "title", 16)
    # Pictures share what does not hang on the music: of another length, resolution or start they must not.
    assert bar_lines(pixels(to_png(silence(), 1, "title", 16)), 32)[:3] == [4, 8, 12]
    assert bar_lines(draw(silence(48), start_steps=16), 48) == [8, 16, 24, 32, 40]
    assert not near(draw(silence(), start_steps=0), (252, 241, 216)).any()
    draw(np.ones_like(piece), start_steps=16)
    assert to_png(piece, RESOLUTION, "title", 16) == first


def test_the_start_window_is_shaded_and_marked_off(piece: np.ndarray) -> None:
    plain, marked = draw(piece), draw(piece, start_steps=16)
    border = column_of(16, 32)
    rows = slice(HEIGHT // 5, HEIGHT * 9 // 10)
    changed = (plain != marked).any(axis=2)[rows]
    assert changed[:, column_of(1, 32) : border - 3].mean() > 0.8
    assert not changed[:, border + 3 : column_of(32, 32) - 3].any()
    red = near(marked, BORDER_RED)[rows]
    assert red[:, border - 1 : border + 2].any(axis=1).mean() > 0.8
    assert not near(plain, BORDER_RED).any()


def test_pitches_are_cropped_to_what_is_played() -> None:
    low, high = silence(), silence()
    low[STRINGS, 8:24, 20] = True
    high[STRINGS, 8:24, 110] = True
    purple = [near(draw(roll), STRINGS_PURPLE) for roll in (low, high)]
    rows = [np.flatnonzero(mask.any(axis=1)) for mask in purple]
    # The same place in the strip, whatever the register, and thick enough to be seen.
    assert abs(rows[0].mean() - rows[1].mean()) < 5
    assert min(len(found) for found in rows) >= 3


@pytest.mark.parametrize(
    "title",
    ["$\\frac{1}{0$", "$x^2$", "\x00\x1b[31m\n\t\x7f", "\ud800 lone surrogate", "日本語 🎵 \u202e", "", "long " * 500],
)
def test_any_title_is_drawn_and_none_is_a_formula(piece: np.ndarray, title: str) -> None:
    picture = draw(piece, title)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    title_row = picture[: HEIGHT // 12]
    assert (title_row < 0.5).any() == bool(title.strip("\x00\n\t\x7f"))


def test_a_formula_is_shown_as_it_was_written() -> None:
    def width(title: str) -> int:
        columns = np.flatnonzero((draw(silence(), title)[: HEIGHT // 12] < 0.5).any(axis=(0, 2)))
        return columns[-1] - columns[0]

    # Set as mathematics, the dollars would vanish.
    assert width("$aaaaaaaa$") > width("aaaaaaaa") + 8


def test_extreme_rolls_are_drawn() -> None:
    for roll in (silence(1), np.ones((5, 64, 128), dtype=bool), silence(3200)):
        assert draw(roll, start_steps=1).shape == (HEIGHT, WIDTH, 3)


def test_the_same_roll_gives_the_same_bytes(piece: np.ndarray) -> None:
    assert to_png(piece, RESOLUTION, "a", 16) == to_png(piece, RESOLUTION, "a", 16)
    assert to_png(piece, RESOLUTION, "a", 16) != to_png(piece, RESOLUTION, "b", 16)


def test_drawing_leaves_no_figures_behind_and_no_setting_changed(piece: np.ndarray) -> None:
    settings = dict(matplotlib.rcParams)
    for _ in range(3):
        to_png(piece, RESOLUTION, "a", 16)
    gc.collect()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, Figure)]
    assert sys.modules["matplotlib.pyplot"].get_fignums() == []
    assert dict(matplotlib.rcParams) == settings


def test_drums_have_no_octave_names() -> None:
    drums, piano = silence(), silence()
    drums[DRUMS, 8:24, 60] = piano[PIANO, 8:24, 60] = True
    picture = draw(silence())
    strip = HEIGHT // 6
    label_columns = slice(column_of(0, 32) - 22, column_of(0, 32) - 4)
    assert not (picture[HEIGHT // 8 : HEIGHT // 8 + strip - 10, label_columns] < 0.5).any()
    assert (picture[HEIGHT // 8 + strip : HEIGHT // 8 + 2 * strip, label_columns] < 0.5).any()
