import numpy as np
import pytest

from musiclab.data.songs import TRACKS, clean_text, first_tempo, to_ticks, track_of
from tests.support.made_songs import song


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Dancing\nQueen\r\n\tlive", "Dancing Queen live"),
        ("\x1b[31mred\x07", "[31mred"),
        ("a‮b", "a b"),
        ("bad \udcff byte", "bad byte"),
        ("Björk ＜3", "Björk ＜3"),
    ],
)
def test_text_from_data_becomes_one_printable_line(text: str, clean: str) -> None:
    assert clean_text(text) == clean


def test_text_is_capped() -> None:
    assert len(clean_text("x" * 10_000)) == 200
    clean_text("\udcff" * 300 + "x").encode()


@pytest.mark.parametrize(
    ("program", "is_drum", "track"),
    [
        (0, True, "Drums"),
        (127, True, "Drums"),
        (7, False, "Piano"),
        (8, False, "Strings"),
        (24, False, "Guitar"),
        (31, False, "Guitar"),
        (32, False, "Bass"),
        (39, False, "Bass"),
        (40, False, "Strings"),
        (95, False, "Strings"),
        (96, False, None),
        (103, False, None),
        (104, False, "Strings"),
        (111, False, "Strings"),
        (112, False, None),
        (127, False, None),
    ],
)
def test_programs_merge_by_the_rule_of_lpd5(program: int, is_drum: bool, track: str | None) -> None:
    merged = track_of(program, is_drum)
    assert (None if merged is None else TRACKS[merged]) == track


def test_times_go_to_the_nearest_tick_and_a_half_up() -> None:
    assert to_ticks([0, 1, 2, 3, 480], 480).tolist() == [0, 0, 0, 0, 24]
    assert to_ticks([9, 10, 11, 30], 480).tolist() == [0, 1, 1, 2]


def test_the_first_tempo_is_the_first_that_can_be_one() -> None:
    assert first_tempo(np.array([np.nan, 0.0, -1.0, np.inf, 90.0, 100.0])) == 90.0
    assert first_tempo(np.array([])) == 120.0


def test_the_bar_of_a_song_is_the_commonest() -> None:
    assert song([], [24, 120, 216, 288], 384).bar_ticks == 96
    assert song([], [24], 120).bar_ticks == 96
