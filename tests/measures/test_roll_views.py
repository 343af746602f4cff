"""Bars, onsets and pitch classes as every measure reads them."""

import numpy as np
import pytest

from musiclab.measures.rolls import (
    bars,
    cells_by_pitch,
    cells_by_step,
    checked,
    nan_mean,
    onsets,
    pitch_classes,
    ratio,
)


def test_onsets_are_on_now_and_off_before() -> None:
    rolls = np.zeros((1, 5, 6, 128), dtype=bool)
    rolls[0, 1, [0, 1, 3, 4], 60] = True  # held from the start, then again
    rolls[0, 1, 1, 61] = True
    assert np.argwhere(onsets(rolls)).tolist() == [[0, 1, 0, 60], [0, 1, 1, 61], [0, 1, 3, 60]]


def test_onsets_leave_their_input_alone() -> None:
    rolls = np.ones((1, 5, 4, 128), dtype=bool)
    onsets(rolls)
    assert rolls.all()


def test_bars_are_four_beats_and_leave_out_what_is_left_over() -> None:
    rolls = np.zeros((2, 5, 19, 128), dtype=bool)
    rolls[1, 3, 8, 40] = True
    rolls[1, 3, 16:, 40] = True
    by_bar = bars(rolls, resolution=2)
    assert by_bar.shape == (2, 5, 2, 8, 128)
    assert np.argwhere(by_bar).tolist() == [[1, 3, 1, 0, 40]]


def test_pitch_class_is_pitch_mod_12() -> None:
    counts = np.arange(128)
    expected = [sum(pitch for pitch in range(128) if pitch % 12 == c) for c in range(12)]
    assert pitch_classes(counts).tolist() == expected


@pytest.mark.parametrize(
    "rolls",
    [
        np.zeros((1, 5, 8, 128), dtype=np.uint8),
        np.zeros((5, 8, 128), dtype=bool),
        np.zeros((1, 4, 8, 128), dtype=bool),
        np.zeros((1, 5, 128, 8), dtype=bool),
    ],
)
def test_what_is_no_roll_set_is_refused(rolls: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be bool"):
        checked(rolls)


def test_nothing_is_nan_and_not_zero() -> None:
    assert np.isnan(nan_mean(np.array([np.nan, np.nan])))
    assert nan_mean(np.array([1.0, np.nan, 2.0])) == 1.5
    np.testing.assert_array_equal(ratio(np.array([0, 3, 0]), np.array([0, 4, 2])), [np.nan, 0.75, 0.0])


@pytest.mark.parametrize("steps", [1, 32, 255, 256, 600])
def test_cells_are_counted_by_step_and_by_pitch_in_any_layout(steps: int) -> None:
    rolls = np.random.default_rng(steps).random((2, 5, steps, 128)) < 0.9
    for layout in (rolls, np.asfortranarray(rolls), np.moveaxis(np.moveaxis(rolls, 1, 3).copy(), 3, 1), rolls[::-1]):
        np.testing.assert_array_equal(cells_by_step(layout), layout.sum(axis=3))
        np.testing.assert_array_equal(cells_by_pitch(layout), layout.sum(axis=2))
    assert (cells_by_pitch(np.ones((1, 5, steps, 128), bool)) == steps).all()
    assert cells_by_step(rolls[:0]).shape == (0, 5, steps)
