"""How much windows change with a condition, by hand."""

import numpy as np
import pytest

from musiclab.measures.conditions import condition_response, without_piano

PIANO, GUITAR = 1, 2


def windows(*pitches: int, track: int = GUITAR) -> np.ndarray:
    """Windows of 8 steps with one note of two steps each."""
    rolls = np.zeros((len(pitches), 5, 8, 128), bool)
    rolls[np.arange(len(pitches)), track, :2, pitches] = True
    return rolls


def test_mean_change_over_the_distance_of_real_windows() -> None:
    real = windows(60, 60, 60, 62)  # three of six pairs differ wholly
    assert condition_response(windows(50, 52), windows(50, 52), real) == 0
    assert condition_response(windows(50, 52), windows(50, 53), real) == 0.5 / 0.5
    half = windows(50, 52)
    half[0, GUITAR, 1] = False  # Jaccard 1/2
    assert condition_response(windows(50, 52), half, real) == pytest.approx(0.25 / 0.5)


def test_nothing_to_tell_by_is_nan() -> None:
    real = windows(60, 62)
    assert np.isnan(condition_response(windows(), windows(), real))
    assert np.isnan(condition_response(windows(50), windows(51), windows(60)))
    assert np.isnan(condition_response(windows(50), windows(51), windows(60, 60)))
    silent = np.zeros((2, 5, 8, 128), bool)
    assert np.isnan(condition_response(silent, silent, real))


def test_without_the_piano_the_others_are_left_and_the_rolls_too() -> None:
    rolls = windows(60, 61) | windows(70, 71, track=PIANO)
    np.testing.assert_array_equal(without_piano(rolls), windows(60, 61))
    assert rolls[0, PIANO].any()
