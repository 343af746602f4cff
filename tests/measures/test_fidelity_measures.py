"""Nearest neighbours: who lies among whom, by hand on a line."""

import dataclasses
import math

import numpy as np
import pytest

from musiclab.measures import fidelity as module
from musiclab.measures.embedding import frechet_distance
from musiclab.measures.fidelity import fidelity, scaled

# Real windows on a line, 1 apart: the third neighbour of the two ends is at 3, of all others at 2; the fifth is at 5
# from the ends, 4 from the next ones and 3 from the four in the middle.
REAL = np.arange(8.0)[:, None]


def values(generated: list[float], real: np.ndarray = REAL) -> dict[str, float]:
    return dataclasses.asdict(fidelity(np.array(generated).reshape(-1, 1), real))


def test_one_window_far_away_and_one_in_the_midst() -> None:
    assert values([3.5, 40.0]) == {
        "precision": 0.5,
        "recall": pytest.approx(math.nan, nan_ok=True),  # two windows have no third neighbour
        # 3.5 lies within 5 of the ends, 4 of the next ones, and 3 of the four in the middle: in all eight balls.
        "density": pytest.approx((8 / 5 + 0) / 2),
        "coverage": 1.0,
    }


def test_a_window_at_the_very_edge_is_within() -> None:
    assert values([10.0])["precision"] == 1  # the last one's third neighbour is 3 away, and so is this window
    assert values([10.0 + 1e-9])["precision"] == 0
    # Within 5 of the last, not within 4 of the one before.
    assert values([12.0])["density"] == pytest.approx(1 / 5)
    assert values([12.0])["coverage"] == 1 / 8
    assert values([12.1])["coverage"] == 0


def test_recall_is_of_the_generated_balls() -> None:
    # Their third neighbours are .3, .2, .2 and .3 away: only the real window at 2 lies in any of the balls.
    found = values([2.0, 2.1, 2.2, 2.3])
    assert found["recall"] == 1 / 8
    assert found["precision"] == 1
    assert values([0.0, 2.0, 4.0, 7.0])["recall"] == 1


def test_a_set_against_itself() -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 4))
    found = fidelity(vectors, vectors)
    # Each window lies in its own ball and in those of five others on average, for a reach has exactly five neighbours.
    assert (found.precision, found.recall, found.coverage, found.density) == (1, 1, 1, pytest.approx(6 / 5))


def test_two_sets_of_one_source() -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 1000, 4))
    found = fidelity(a, b)
    assert found.density == pytest.approx(1, abs=0.08)
    assert found.coverage == pytest.approx(1 - 2**-5, abs=0.02)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = np.random.default_rng(2).normal(size=(2, 40, 3)).round(1)  # rounded, so that there are ties
    whole = fidelity(a, b)
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 7)
    assert fidelity(a, b) == whole


def test_too_few_windows_have_no_neighbours() -> None:
    def missing(generated: int, real: int) -> set[str]:
        found = values(list(range(generated)), np.arange(float(real))[:, None])
        return {name for name, value in found.items() if np.isnan(value)}

    assert missing(0, 8) == missing(8, 0) == {"precision", "recall", "density", "coverage"}
    assert missing(1, 3) == {"precision", "recall", "density", "coverage"}
    assert missing(4, 3) == {"precision", "density", "coverage"}
    assert missing(1, 4) == {"recall", "density", "coverage"}
    assert missing(4, 5) == {"density", "coverage"}
    assert missing(4, 6) == set()


def test_the_scale_is_that_of_the_frechet_distance() -> None:
    rng = np.random.default_rng(3)
    real = rng.normal(size=(500, 46)) * rng.choice([1e-4, 0.5, 10.0], size=46)  # some below any floor
    shift = rng.normal(size=46)
    # Of a set that is only shifted, the Frechet distance is that of the means.
    expected = frechet_distance(real + shift, real, real)
    apart = scaled(real + shift, real).mean(axis=0) - scaled(real, real).mean(axis=0)
    assert np.sum(apart**2) == pytest.approx(expected)
    assert np.isnan(scaled(real, real[:1])).all()
