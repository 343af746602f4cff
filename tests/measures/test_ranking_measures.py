"""Area under precision and recall, and the best F1, against counts by hand and by brute force."""

from itertools import pairwise

import numpy as np
import pytest

from musiclab.measures.ranking import ranking


def by_thresholds(activations: np.ndarray, actual: np.ndarray) -> tuple[float, float]:
    """Average precision and best F1 by trying every activation as a threshold."""
    points = [(0.0, 1.0)]
    best = 0.0
    for threshold in sorted(set(activations.ravel().tolist()), reverse=True):
        said = activations >= threshold
        hits = np.count_nonzero(said & actual)
        points.append((hits / actual.sum(), hits / said.sum()))
        best = max(best, 2 * hits / (said.sum() + actual.sum()))
    area = sum((after[0] - before[0]) * after[1] for before, after in pairwise(points))
    return area, best


def test_a_small_case_by_hand() -> None:
    counts = ranking(np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([True, False, True, True, False]))
    assert counts.average_precision == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert counts.best_f1 == pytest.approx(2 * 3 / (4 + 3))
    assert counts.hits.tolist() == [3, 2, 1] and counts.positives.tolist() == [4, 3, 1]


def test_equal_activations_come_together() -> None:
    tied = ranking(np.array([0.5, 0.5, 0.5, 0.2]), np.array([True, False, True, True]))
    # Two of three at once, then all three of four: no order among equals can be read out of them.
    assert tied.average_precision == pytest.approx(2 / 3 * 2 / 3 + 1 / 3 * 3 / 4)
    assert tied.best_f1 == pytest.approx(2 * 3 / (4 + 3))


@pytest.mark.parametrize("levels", [3, 40, 10_000])
def test_it_is_what_every_threshold_gives(levels: int) -> None:
    rng = np.random.default_rng(levels)
    actual = rng.random((6, 5, 8)) < 0.2
    activations = (rng.integers(levels, size=actual.shape) / levels + 0.3 * actual).astype(np.float32) - 0.5
    counts = ranking(activations, actual)
    area, best = by_thresholds(activations, actual)
    assert counts.average_precision == pytest.approx(area)
    assert counts.best_f1 == pytest.approx(best)


def test_perfect_and_useless_activations() -> None:
    actual = np.random.default_rng(0).random(1000) < 0.1
    perfect, constant = ranking(actual + 0.5, actual), ranking(np.zeros(1000), actual)
    assert perfect.average_precision == perfect.best_f1 == 1
    share = actual.mean()
    assert constant.average_precision == pytest.approx(share)
    assert constant.best_f1 == pytest.approx(2 * share / (1 + share))


def test_what_is_above_no_threshold_is_never_found() -> None:
    actual = np.array([True, True, False, False])
    half = ranking(np.array([1.0, -np.inf, -np.inf, 0.0]), actual)
    assert half.average_precision == 0.5 and half.best_f1 == pytest.approx(2 / 3)
    np.testing.assert_equal(ranking(np.array([1.0, np.nan, np.nan, 0.0]), actual), half)
    none = ranking(np.full(4, -np.inf), actual)
    assert none.average_precision == none.best_f1 == 0


@pytest.mark.parametrize("n", [0, 4])
def test_silence_has_no_ranking(n: int) -> None:
    silent = ranking(np.arange(n) / 2, np.zeros(n, bool))
    assert np.isnan(silent.average_precision) and np.isnan(silent.best_f1)


def test_unequal_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="must have one shape"):
        ranking(np.zeros((2, 3)), np.zeros((3, 2), bool))
