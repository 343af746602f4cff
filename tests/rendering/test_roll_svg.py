"""Rolls as SVG: every note where it is, and nothing that a page full of them cannot bear."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from musiclab.data.notes import notes
from musiclab.data.songs import TRACKS
from musiclab.data.store import WindowStore
from musiclab.rendering.roll_svg import HEIGHT, to_svg

RESOLUTION = 2
STROKE = re.compile(r"M(\d+)-(\d+)h(\d+)")


def silence(steps: int = 32) -> np.ndarray:
    return np.zeros((5, steps, 128), dtype=bool)


def draw(roll: np.ndarray, title: str = "title", start_steps: int = 0, **edges: int) -> ElementTree.Element:
    return ElementTree.fromstring(to_svg(roll, RESOLUTION, title, start_steps, **edges))


def tracks(svg: ElementTree.Element) -> list[ElementTree.Element]:
    """The paths of notes, in order."""
    return [path for path in svg.findall("path") if "transform" in path.attrib]


def strokes(path: ElementTree.Element) -> np.ndarray:
    """Start, length and pitch of each note that a path draws; nothing else may be in it."""
    found = STROKE.findall(path.get("d"))
    assert "".join(f"M{x}-{y}h{length}" for x, y, length in found) == path.get("d")
    return np.array([(int(x), int(length), int(y)) for x, y, length in found]).reshape(-1, 3)


def uprights(path: ElementTree.Element) -> list[int]:
    return [int(x) for x in re.findall(rf"M(\d+) 0v{HEIGHT}", path.get("d"))]


def test_every_note_is_drawn_once_and_nothing_else(piece: np.ndarray) -> None:
    noise = np.random.default_rng(0).random((5, 64, 128)) < 0.1
    for roll in (piece, noise):
        drawn = tracks(draw(roll))
        assert len(drawn) == len(TRACKS)
        for path, cells in zip(drawn, roll, strict=True):
            assert np.array_equal(strokes(path), notes(cells))


def test_each_track_stays_in_its_strip_cropped_to_its_register(piece: np.ndarray) -> None:
    for index, (path, cells) in enumerate(zip(tracks(draw(piece)), piece, strict=True)):
        _, _, _, scale, _, down = map(float, re.findall(r"[\d.e-]+", path.get("transform")))
        played = np.flatnonzero(cells.any(axis=0))
        top, bottom = (down - scale * (played.max() + 0.5), down - scale * (played.min() - 0.5))
        strip = index * (HEIGHT + 3) / 5
        assert strip - 0.01 <= top < bottom <= strip + 30.01
        assert scale == pytest.approx(30 / 128 if np.ptp(played) == 127 else 30 / 25, rel=0.1)
        assert TRACKS[index].lower() in path.get("stroke")


def test_bars_are_lines_at_every_fourth_beat() -> None:
    assert uprights(draw(silence()).findall("path")[1]) == [8, 16, 24]
    quick = ElementTree.fromstring(to_svg(silence(), 4, "", 0))
    assert uprights(quick.findall("path")[1]) == [16]


def test_the_start_window_is_shaded_and_has_a_line_at_its_end() -> None:
    plain, marked = draw(silence()), draw(silence(), start_steps=12)
    new = [path for path in marked.findall("path") if path.attrib not in [old.attrib for old in plain.findall("path")]]
    shade, border = new
    assert shade.get("d").count("h12v30h-12z") == len(TRACKS)
    assert uprights(border) == [12]
    assert not any("--start" in str(path.attrib) for path in plain.iter("path"))


def test_a_drawing_may_show_more_than_its_roll() -> None:
    assert draw(silence()).get("viewBox") == f"0 0 32 {HEIGHT}"
    assert draw(silence(), first=-8, last=40).get("viewBox") == f"-8 0 48 {HEIGHT}"


def test_its_title_is_its_name_whatever_it_holds() -> None:
    for title in ("latent_dim=8, block 0", "</title><script>alert(1)</script>", "\"'&<!--"):
        svg = draw(silence(), title)
        assert svg.get("role") == "img"
        assert svg.find("title").text == title
        assert {element.tag for element in svg.iter()} == {"svg", "title", "path"}


def test_music_is_light(store: WindowStore) -> None:
    for song in store.songs[:5]:
        roll = np.concatenate(list(store.batch(np.arange(song.first, song.first + 5))), axis=1)
        count = sum(len(notes(cells)) for cells in roll)
        assert count > 200
        assert len(to_svg(roll, RESOLUTION, "title", 32)) < min(8_000, 2_600 + 9 * count)


def test_extreme_rolls_are_drawn() -> None:
    for roll in (silence(1), np.ones((5, 64, 128), dtype=bool), silence(0)):
        assert len(tracks(draw(roll))) == 5
