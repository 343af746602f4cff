"""Likeness to training windows: in any key, exactly."""

import numpy as np
import pytest

from musiclab.measures import originality
from musiclab.measures.originality import TrainingWindows, copied_from, copied_rate

DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)


def window(*notes: tuple[int, int, int]) -> np.ndarray:
    """One window of 8 steps with (track, step, pitch) on."""
    rolls = np.zeros((1, 5, 8, 128), bool)
    for track, step, pitch in notes:
        rolls[0, track, step, pitch] = True
    return rolls


TUNE = ((PIANO, 0, 60), (PIANO, 1, 64), (BASS, 2, 43))


def likeness(of: np.ndarray, *training: np.ndarray) -> float:
    (value,) = TrainingWindows(training).likeness(of)
    return float(value)


def test_cells_in_both_over_cells_in_either() -> None:
    assert likeness(window(*TUNE), window((PIANO, 0, 60), (PIANO, 1, 64), (PIANO, 5, 50))) == 0.5
    assert likeness(window(*TUNE), window((PIANO, 0, 60))) == pytest.approx(1 / 3)


def test_the_best_of_all_training_windows_counts() -> None:
    others = [window((PIANO, 7, 60)), window(*TUNE[:2]), window((PIANO, 0, 61))]
    assert likeness(window(*TUNE), *others) == pytest.approx(2 / 3)
    assert likeness(window(*TUNE), np.concatenate(others)) == pytest.approx(2 / 3)


@pytest.mark.parametrize("semitones", [*range(-12, 13), 40])
def test_a_transposed_copy_is_a_copy(semitones: int) -> None:
    moved = [(track, step, pitch + semitones) for track, step, pitch in TUNE]
    assert likeness(window(*moved), window(*TUNE)) == 1


def test_tracks_transposed_apart_are_no_copy() -> None:
    moved = [(track, step, pitch + (track == BASS)) for track, step, pitch in TUNE]
    assert likeness(window(*moved), window(*TUNE)) == 0.5


def test_other_octaves_and_instruments_hide_nothing() -> None:
    assert likeness(window((STRINGS, 0, 72), (GUITAR, 1, 40), (GUITAR, 2, 67)), window(*TUNE)) == 1


def test_a_step_later_is_another_window() -> None:
    assert likeness(window(*((track, step + 3, pitch) for track, step, pitch in TUNE)), window(*TUNE)) == 0


def test_drums_count_as_they_are_and_are_not_transposed() -> None:
    beat = ((DRUMS, 0, 36), (DRUMS, 4, 38), (DRUMS, 6, 36))
    assert likeness(window(*TUNE, *beat), window(*TUNE, *beat)) == 1
    moved = [(track, step, pitch + 2) for track, step, pitch in (*TUNE, *beat)]
    # The tune in full; of the beat nothing, for 38 at step 2 is not where 38 was.
    assert likeness(window(*moved), window(*TUNE, *beat)) == pytest.approx(3 / 9)
    # A drum and a note of one number are not the same.
    assert likeness(window((DRUMS, 0, 36)), window((PIANO, 0, 36))) == 0


def test_silence_copies_nothing() -> None:
    assert np.isnan(likeness(window(), window(*TUNE)))
    assert np.isnan(likeness(window(), window()))
    assert likeness(window(*TUNE), window()) == 0
    assert np.isnan(likeness(window(*TUNE)))
    assert TrainingWindows([window(*TUNE)]).likeness(np.zeros((0, 5, 8, 128), bool)).shape == (0,)


def _by_hand(rolls: np.ndarray, training: np.ndarray) -> list[float]:
    def cells(roll: np.ndarray) -> list[set[tuple[int, int]]]:
        notes = np.argwhere(roll)
        drums = {(-1 - step, pitch) for track, step, pitch in notes if track == DRUMS}
        return [
            drums | {(step, (pitch + up) % 12) for track, step, pitch in notes if track != DRUMS} for up in range(12)
        ]

    theirs = [cells(roll)[0] for roll in training]
    return [max(len(own & of) / len(own | of) for own in cells(roll) for of in theirs) for roll in rolls]


def test_all_pairs_and_keys_are_compared_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rolls = np.zeros((25, 5, 6, 128), bool)
    rolls[..., 30:60] = rng.random((25, 5, 6, 30)) < 0.03
    ours, training = rolls[:10], rolls[10:]
    expected = _by_hand(ours, training)
    assert TrainingWindows([training]).likeness(ours) == pytest.approx(expected)
    monkeypatch.setattr(originality, "_WINDOWS_AT_ONCE", 3)
    monkeypatch.setattr(originality, "_TRAINING_AT_ONCE", 4)
    assert TrainingWindows([training[:7], training[7:]]).likeness(ours) == pytest.approx(expected)


def test_the_nearest_hundredth_of_real_windows_and_all_as_near() -> None:
    real = np.append(np.linspace(0, 0.5, 99), [0.9, np.nan])
    least = copied_from(real)
    assert 0.5 < least < 0.51
    assert copied_rate(real, least) == 1 / 100
    assert copied_rate(np.array([0.4, 0.95, 1.0, np.nan]), least) == pytest.approx(2 / 3)


def test_where_real_windows_stand_in_the_training_set_only_such_copies_count() -> None:
    real = np.repeat([0.3, 1.0], [95, 5])
    assert copied_from(real) == 1
    assert copied_rate(real, 1.0) == 0.05
    assert copied_rate(np.array([0.99, 1.0]), 1.0) == 0.5


def test_no_windows_have_no_rate() -> None:
    assert np.isnan(copied_from(np.array([np.nan])))
    assert np.isnan(copied_rate(np.array([np.nan]), 0.5))
    assert np.isnan(copied_rate(np.array([0.7]), np.nan))
