"""Self-similarity of bars, against numbers worked out by hand."""

import numpy as np
import pytest

from musiclab.measures.registry import find_measure
from musiclab.measures.structure import LAGS, self_similarity
from musiclab.measures.suite import structure_measures

NAN = float("nan")
DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)
# Bars of 8 steps by the piano pitches that sound throughout: A and B share one of three, A and C none.
BARS = {"A": [60, 64], "B": [60, 67], "C": [50], "-": []}


def piece(letters: str, track: int = PIANO, resolution: int = 2) -> np.ndarray:
    length = 4 * resolution
    roll = np.zeros((5, len(letters) * length, 128), dtype=bool)
    for bar, letter in enumerate(letters):
        roll[track, bar * length : (bar + 1) * length, BARS[letter]] = True
    return roll


def of_piano(*letters: str) -> list[float]:
    return list(self_similarity([piece(each) for each in letters], 2)[:, 1 + PIANO])


def test_what_comes_back_is_seen_at_its_lag() -> None:
    assert of_piano("ABABABABA") == pytest.approx([1 / 3, 1, 1, 1])
    assert of_piano("AAAAAAAAA") == [1, 1, 1, 1]
    # A-A-B-B-: at 1 A-A, A-B, B-B; at 2 A-B twice.
    np.testing.assert_allclose(of_piano("AABB"), [(1 + 1 / 3 + 1) / 3, 1 / 3, NAN, NAN])
    np.testing.assert_allclose(of_piano("ACCCACCC"), [4 / 7, 3 / 6, 1, NAN])


def test_a_piece_must_be_longer_than_the_lag() -> None:
    assert np.isnan(of_piano("A")).all()
    np.testing.assert_array_equal(of_piano("AAAAAAAA"), [1, 1, 1, NAN])
    assert np.isnan(self_similarity([], 2)).all() and self_similarity([], 2).shape == (len(LAGS), 6)


def test_silence_does_not_come_back() -> None:
    assert np.isnan(of_piano("---------")).all()
    np.testing.assert_array_equal(of_piano("A-A-"), [0, 1, NAN, NAN])
    np.testing.assert_array_equal(of_piano("AA---"), [1 / 2, 0, 0, NAN])


def test_pairs_of_all_pieces_count_alike_and_none_joins_two_pieces() -> None:
    np.testing.assert_allclose(of_piano("AAAA", "AC"), [3 / 4, 1, NAN, NAN])
    np.testing.assert_array_equal(of_piano("A", "A"), [NAN] * 4)


def test_likeness_is_of_cells() -> None:
    roll = piece("AA")
    roll[PIANO, 8:12, 64] = False  # 12 of 16 cells
    assert self_similarity([roll], 2)[0, 1 + PIANO] == 12 / 16
    assert self_similarity([np.roll(roll, 5, axis=2)], 2)[0, 1 + PIANO] == 12 / 16
    roll[PIANO, 8:] = np.roll(roll[PIANO, :8], 12, axis=1)  # an octave higher is not the same
    assert self_similarity([roll], 2)[0, 1 + PIANO] == 0


def test_steps_after_the_last_whole_bar_are_left_out() -> None:
    roll = np.concatenate([piece("AA"), piece("C")[:, :7]], axis=1)
    np.testing.assert_array_equal(self_similarity([roll], 2)[:, 1 + PIANO], [1, NAN, NAN, NAN])


@pytest.mark.parametrize("resolution", [1, 2, 6, 24])
def test_bars_are_four_beats(resolution: int) -> None:
    values = self_similarity([piece("ACAC", resolution=resolution)], resolution)
    np.testing.assert_array_equal(values[:, 1 + PIANO], [0, 1, NAN, NAN])


def test_tracks_together_add_up_their_cells_and_leave_drums_out() -> None:
    roll = piece("AB") | piece("CC", BASS) | piece("AC", DRUMS)
    # Piano: 8 cells of 24 alike; bass: 8 of 8.
    np.testing.assert_allclose(self_similarity([roll], 2)[0], [16 / 32, 0, 1 / 3, NAN, 1, NAN])


def test_every_lag_and_track_has_its_name() -> None:
    roll = piece("ABABABABA") | piece("CCCCCCCCC", BASS)
    values = structure_measures([roll], 2)
    assert values["music/self_similarity_1"] == 0.5 and values["music/self_similarity_1.Bass"] == 1
    assert values["music/self_similarity_2.Piano"] == values["music/self_similarity_8"] == 1
    assert np.isnan(values["music/self_similarity_4.Drums"])
    plain = {name for name in values if "." not in name}
    assert plain == {f"music/self_similarity_{lag}" for lag in (1, 2, 4, 8)}
    assert all(find_measure(name) for name in plain) and len(values) == 24
    assert all(type(value) is float for value in values.values())
    assert np.isnan(list(structure_measures([], 2).values())).all()


def test_what_is_no_roll_is_refused() -> None:
    with pytest.raises(ValueError, match="must be bool"):
        self_similarity([piece("AA").astype(np.uint8)], 2)
