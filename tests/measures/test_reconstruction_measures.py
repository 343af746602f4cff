"""Scores of decoded windows, against counts made by hand."""

import numpy as np
import pytest

from musiclab.measures.reconstruction import best_constant, best_threshold, frame_scores, onset_scores

NAN = float("nan")
DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)


def silence(n: int = 1, steps: int = 8) -> np.ndarray:
    return np.zeros((n, 5, steps, 128), dtype=bool)


def test_frames_are_counted_over_all_windows() -> None:
    actual, predicted = silence(2), silence(2)
    actual[0, PIANO, :4, 60] = True
    actual[1, PIANO, 0, 64] = True
    predicted[0, PIANO, 2:8, 60] = True  # 2 right of 6, 2 of 5 found
    scores = frame_scores(predicted, actual)
    assert scores.precision[PIANO] == 2 / 6
    assert scores.recall[PIANO] == 2 / 5
    assert scores.f1[PIANO] == pytest.approx(4 / 11)


def test_every_kind_of_silence_has_its_value() -> None:
    actual, predicted = silence(), silence()
    actual[0, GUITAR, 0, 60] = True  # plays only really
    predicted[0, BASS, 0, 40] = True  # plays only as decoded
    actual[0, STRINGS, 0, 60] = predicted[0, STRINGS, 0, 60] = True
    scores = frame_scores(predicted, actual)
    np.testing.assert_array_equal(scores.precision, [NAN, NAN, NAN, 0, 1])
    np.testing.assert_array_equal(scores.recall, [NAN, NAN, 0, NAN, 1])
    np.testing.assert_array_equal(scores.f1, [NAN, NAN, 0, 0, 1])


def test_no_windows_have_no_scores() -> None:
    np.testing.assert_array_equal(frame_scores(silence(0), silence(0)).f1, [NAN] * 5)


def test_onsets_match_at_their_exact_step_and_pitch() -> None:
    actual, predicted = silence(), silence()
    actual[0, PIANO, [0, 2, 4], 60] = True  # three onsets
    predicted[0, PIANO, [0, 3, 4], 60] = True  # onsets at 0 and 3: the gap before 4 is filled
    scores = onset_scores(predicted, actual)
    assert (scores.precision[PIANO], scores.recall[PIANO], scores.f1[PIANO]) == (1 / 2, 1 / 3, 2 / 5)


def test_a_filled_gap_costs_an_onset_and_no_frame_that_was_there() -> None:
    actual, predicted = silence(), silence()
    actual[0, PIANO, [0, 1, 2, 4, 5, 6], 60] = True
    predicted[0, PIANO, :7, 60] = True
    assert frame_scores(predicted, actual).recall[PIANO] == 1
    assert onset_scores(predicted, actual).recall[PIANO] == 1 / 2


def test_unequal_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        frame_scores(silence(1), silence(2))
    with pytest.raises(ValueError, match="one shape"):
        best_threshold(np.zeros((1, 5, 8, 128)), silence(2), [0.5])


@pytest.mark.parametrize("windows", [3, 1500])  # 1,500 take two blocks
def test_best_threshold_is_that_of_the_best_pooled_f1(windows: int) -> None:
    rng = np.random.default_rng(0)
    actual = rng.random((windows, 5, 2, 128)) < 0.1
    activations = (0.3 * actual + rng.random(actual.shape) * 0.6).astype(np.float32)
    actual[windows * 3 // 4 :] = activations[windows * 3 // 4 :] > 0.1  # the last block has an optimum of its own
    candidates = [0.7, 0.1, 0.5, 0.3]

    def pooled_f1(threshold: float) -> float:
        predicted = activations > threshold
        return 2 * (predicted & actual).sum() / (predicted.sum() + actual.sum())

    assert best_threshold(activations, actual, candidates) == max(candidates, key=pooled_f1)


def test_of_equal_thresholds_the_lowest_wins_and_its_own_value_is_off() -> None:
    actual = silence()
    actual[0, PIANO, 0, 60] = True
    activations = np.where(actual, 0.8, 0.2)
    assert best_threshold(activations, actual, [0.6, 0.4, 0.2]) == 0.2
    assert best_threshold(activations, actual, [0.6, 0.4, 0.19]) == 0.4


def test_silence_has_no_best_threshold() -> None:
    assert np.isnan(best_threshold(np.ones((1, 5, 8, 128)), silence(), [0.5]))


def test_the_best_constant_is_that_of_the_best_threshold() -> None:
    rng = np.random.default_rng(0)
    likely = rng.integers(0, 6, size=(5, 8, 128)) / 5  # many cells equally likely
    actual = rng.random((7, 5, 8, 128)) < 0.3 * likely
    actual[:, BASS] = False
    best = best_constant(likely, actual)
    for track in (DRUMS, PIANO, GUITAR, STRINGS):
        f1 = [
            frame_scores(np.repeat(likely[None] > threshold, 7, axis=0), actual).f1[track]
            for threshold in (-1, 0, 0.2, 0.4, 0.6, 0.8)
        ]
        assert best[track] == pytest.approx(max(f1))
        assert max(f1) > f1[0]
    assert np.isnan(best[BASS])
    with pytest.raises(ValueError, match="must have the shape of one window of actual"):
        best_constant(likely[:, :4], actual)
