"""Tests that may be looked at after every block, against numbers worked out by hand, by enumeration and by peeking."""

import itertools
import math

import numpy as np
import pytest

from musiclab.analysis.sequential import (
    _p_of_rows,
    anytime_equivalence_p,
    anytime_p,
    blocks_needed_anytime,
    smallest_p_anytime,
)
from musiclab.analysis.statistics import ALPHA, Alternative, holm, sign_flip_p, smallest_shown

RATES = (0.5, 1.0, 2.0, 4.0)


def ever_p(d: np.ndarray, alternative: Alternative) -> np.ndarray:
    """The smallest p that anybody sees who looks after every block, of each row of `(rows, n)`."""

    def smallest(rows: np.ndarray) -> np.ndarray:
        return np.min([_p_of_rows(rows[:, :blocks]) for blocks in range(1, rows.shape[1] + 1)], axis=0)

    if alternative == "two-sided":
        return np.minimum(1, 2 * np.minimum(smallest(d), smallest(-d)))
    return smallest(d if alternative == "greater" else -d)


def test_p_by_hand() -> None:
    # Two blocks of 1 and 3: bets of rate x 1 and of rate x 3 / mean(1, 3).
    gains = [(1 + math.tanh(rate)) * (1 + math.tanh(1.5 * rate)) for rate in RATES]
    assert anytime_p([1, 3], "greater") == pytest.approx(4 / sum(gains))
    assert anytime_p([-1, -3], "less") == pytest.approx(4 / sum(gains))
    assert anytime_p([1, 3]) == anytime_p([-1, -3]) == pytest.approx(8 / sum(gains))
    # What was once shown stays as long as the mean is on that side.
    first = sum(1 + math.tanh(rate) for rate in RATES)
    assert anytime_p([3, -1], "greater") == anytime_p([3], "greater") == pytest.approx(4 / first)
    assert anytime_p([1, -3], "greater") == anytime_p([1, -1], "greater") == 1.0
    assert anytime_p([1, 3], "less") == 1.0


def test_nothing_and_zeros_show_nothing() -> None:
    assert math.isnan(anytime_p([]))
    assert math.isnan(anytime_p([1.0, math.inf]))
    assert math.isnan(anytime_equivalence_p([], 1.0))
    assert anytime_p([0.0] * 9) == pytest.approx(1.0)
    assert anytime_p([0.0, 0.0, *[1.0] * 9]) < ALPHA  # what comes after ties still counts


def test_p_knows_neither_unit_nor_side_but_the_order() -> None:
    d = np.random.default_rng(1).normal(0.8, 1, 12)
    assert anytime_p(1e-6 * d) == pytest.approx(anytime_p(d)) == pytest.approx(anytime_p(-d))
    assert anytime_p(d, "greater") == pytest.approx(anytime_p(-d, "less"))
    assert anytime_p(np.sort(d)) != pytest.approx(anytime_p(d), rel=0.01)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("sizes", [np.ones(12), np.arange(12.0) + 1, 1 / (np.arange(12.0) + 1)])
def test_of_all_paths_that_no_effect_could_take_at_most_one_in_twenty_ever_rejects(
    alternative: Alternative, sizes: np.ndarray
) -> None:
    paths = sizes * np.array(list(itertools.product((1, -1), repeat=12)))
    p = ever_p(paths, alternative)
    for path in (0, 7, 1234):
        by_block = [anytime_p(paths[path, :blocks], alternative) for blocks in range(1, 13)]
        assert p[path] == pytest.approx(min(by_block))
    for level in (0.02, 0.05, 0.2):
        assert np.mean(p <= level) <= level
    assert np.mean(p <= 0.05) > 0.015  # and not by rejecting nothing


def test_what_it_had_is_as_much_on_average_as_it_began_with() -> None:
    # All paths of 10 blocks, each stopped when 1 / p has come to 3 or has ended: a fair bet has 1 on average, and as
    # 1 / p is the most it ever had, stopping there at 3 may not be had by more than a third.
    p = ever_p(np.array(list(itertools.product((1.0, -1.0), repeat=10))), "greater")
    assert 0.2 < np.mean(1 / p >= 3) <= 1 / 3


def test_p_never_rises_while_the_mean_is_on_its_side_and_is_1_while_it_is_not() -> None:
    d = np.random.default_rng(2).standard_t(3, 40) + 0.3
    by_block = np.array([anytime_p(d[:blocks], "greater") for blocks in range(1, 41)])
    is_above = np.cumsum(d) > 0
    assert 0 < is_above.sum() < 40
    assert (np.diff(by_block[is_above]) <= 0).all()
    assert (by_block[~is_above] == 1).all()
    assert anytime_p([1.0] * 8 + [-1.0] * 7) == anytime_p([1.0] * 8) <= ALPHA
    assert anytime_p([1.0] * 8 + [-1.0] * 8) == anytime_p([1.0] * 8 + [-1.0] * 12) == 1


@pytest.mark.parametrize("noise", ["normal", "t"])
def test_peeking_after_each_of_thirty_blocks_rejects_a_true_null_in_five_percent_at_most(noise: str) -> None:
    rng = np.random.default_rng(3)
    studies = rng.normal(size=(2000, 30)) if noise == "normal" else rng.standard_t(2, size=(2000, 30))
    rejected = (ever_p(studies, "two-sided") <= ALPHA).sum()
    assert 0.015 * 2000 < rejected <= 0.05 * 2000
    # The test of a fixed number of blocks, looked at as often, goes wrong far more often.
    peeked = sum(any(sign_flip_p(d[:blocks]) <= ALPHA for blocks in range(6, 21)) for d in studies[:200])
    assert peeked > 0.09 * 200


def test_holm_over_peeked_p_keeps_the_family() -> None:
    rng = np.random.default_rng(4)
    families = rng.normal(size=(1000, 5, 20)) + rng.normal(size=(1000, 1, 20))  # one control for all of them
    p = ever_p(families.reshape(5000, 20), "two-sided").reshape(1000, 5)
    wrong = sum(min(holm(family.tolist())) <= ALPHA for family in p)
    assert 0 < wrong <= 0.05 * 1000


def test_planted_effect_is_found_and_its_direction() -> None:
    studies = np.random.default_rng(5).normal(1, 1, size=(200, 30))
    assert np.mean([anytime_p(d) <= ALPHA for d in studies]) > 0.95
    assert not any(anytime_p(d, "less") <= ALPHA for d in studies)


def test_centres_on_the_other_side_are_rejected_no_more_often() -> None:
    rng = np.random.default_rng(6)
    assert sum(anytime_p(d, "greater") <= ALPHA for d in rng.standard_t(2, size=(1000, 40)) - 0.1) <= 0.05 * 1000


def test_equivalence_is_two_one_sided_tests() -> None:
    d = np.random.default_rng(7).normal(0, 1, 25)
    assert anytime_equivalence_p(d, 2.0) == max(anytime_p(d + 2, "greater"), anytime_p(d - 2, "less")) < ALPHA
    assert anytime_equivalence_p(d, 0.1) > ALPHA
    at_margin = np.random.default_rng(8).normal(1, 1, size=(1000, 40))
    assert 0 < sum(anytime_equivalence_p(d, 1.0) <= ALPHA for d in at_margin) <= 0.05 * 1000


@pytest.mark.parametrize(("comparisons", "blocks"), [(1, 6), (3, 8), (7, 9), (25, 11), (99, 13)])
def test_blocks_needed_are_those_at_which_agreeing_blocks_are_clear(comparisons: int, blocks: int) -> None:
    assert blocks_needed_anytime(comparisons) == blocks
    assert max(holm([anytime_p([0.3] * blocks)] * comparisons)) <= ALPHA
    assert max(holm([anytime_p([0.3] * (blocks - 1))] * comparisons)) > ALPHA
    assert smallest_p_anytime(blocks, comparisons) <= ALPHA < smallest_p_anytime(blocks - 1, comparisons)


def test_no_block_shows_nothing() -> None:
    assert smallest_p_anytime(0, 1) == 1.0


def test_smallest_shown_at_any_time() -> None:
    d = np.random.default_rng(9).normal(0, 1, 15)
    smallest = smallest_shown(d, 0.05, anytime_p)
    scatter = d - d.mean()
    assert anytime_p(scatter + smallest) <= 0.05
    assert anytime_p(scatter - smallest) <= 0.05
    assert max(anytime_p(scatter + 0.98 * smallest), anytime_p(scatter - 0.98 * smallest)) > 0.05
    assert smallest > smallest_shown(d, 0.05)  # the price of looking
    assert smallest_shown(d[:5], 0.05, anytime_p) == math.inf
