"""Tests of paired differences and Holm's correction against numbers worked out by hand or by enumeration."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from musiclab.analysis.statistics import (
    ALPHA,
    blocks_needed,
    equivalence_p,
    holm,
    paired_p,
    sign_flip_p,
    smallest_p,
    smallest_shown,
    student_p,
)


def test_what_is_not_finite_has_no_p() -> None:
    for unknown in (math.inf, math.nan):
        for test in (sign_flip_p, student_p, paired_p):
            assert math.isnan(test([1.0, unknown]))
        assert math.isnan(smallest_shown([1.0, unknown] * 5, 0.05))


def test_sign_flip_equals_full_enumeration() -> None:
    d = [0.3, -0.1, 0.25, 0.4, 0.05, 0.3]
    sums = [abs(sum(s * x for s, x in zip(signs, d, strict=True))) for signs in itertools.product((1, -1), repeat=6)]
    assert sign_flip_p(d) == sum(s >= abs(sum(d)) - 1e-12 for s in sums) / 64


@pytest.mark.parametrize("n", [3, 5, 7, 10])
def test_sign_flip_floor_is_two_in_two_to_the_n(n: int) -> None:
    assert sign_flip_p([0.1] * n) == pytest.approx(2 / 2**n)
    assert smallest_p(n, 1) == pytest.approx(2 / 2**n)


def test_one_sided_sign_flips_by_hand() -> None:
    # Sums of 1, 2, 3 with any signs: 6, 4, 2, 0, 0, -2, -4, -6.
    assert sign_flip_p([1, 2, 3], "greater") == 1 / 8
    assert sign_flip_p([1, 2, 3], "less") == 1.0
    assert sign_flip_p([-1, 2, 3], "greater") == 2 / 8
    assert sign_flip_p([-1, 2, 3], "less") == 7 / 8
    assert sign_flip_p([-1, 2, 3]) == 4 / 8
    assert sign_flip_p([1, 2, -3], "greater") == sign_flip_p([1, 2, -3], "less") == 5 / 8
    assert sign_flip_p([1, 2, -3]) == 1.0


def test_sign_flip_knows_neither_unit_nor_order_nor_side() -> None:
    d = [0.3, -0.1, 0.25, 0.4, 0.05, 0.3, -0.2]
    assert sign_flip_p([1e-9 * x for x in d]) == sign_flip_p(d[::-1]) == sign_flip_p([-x for x in d]) == sign_flip_p(d)
    assert sign_flip_p([-x for x in d], "less") == sign_flip_p(d, "greater") == sign_flip_p(d) / 2


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_of_all_signs_that_no_effect_could_give_at_most_one_in_twenty_rejects(alternative: str) -> None:
    sizes = np.array([0.1, 0.2, 0.35, 0.5, 1.0, 1.1, 3.0])
    p = np.array([sign_flip_p(sizes * signs, alternative) for signs in itertools.product((1, -1), repeat=7)])
    for level in (0.01, 0.05, 0.2):
        assert np.mean(p <= level) <= level
    assert np.mean(p <= 0.05) > 0.03  # and not by rejecting nothing


@pytest.mark.parametrize("n", [21, 30])
def test_sign_flip_is_exact_up_to_thirty_blocks(n: int) -> None:
    d = [1.0] * (n - 5) + [-1.0] * 5
    assert sign_flip_p(d) == pytest.approx(stats.binomtest(5, n).pvalue, rel=1e-12)


def test_sign_flip_beyond_enumeration_is_close_and_repeatable() -> None:
    d = [1.0] * 24 + [-1.0] * 11
    assert sign_flip_p(d) == sign_flip_p(d) == pytest.approx(stats.binomtest(11, 35).pvalue, abs=0.004)
    assert 0 < sign_flip_p([1.0] * 60) <= 2e-5


def test_sign_flip_without_differences() -> None:
    assert math.isnan(sign_flip_p([]))
    assert sign_flip_p([0.0, 0.0]) == 1.0


@pytest.mark.parametrize("n", [2, 5, 9, 40])
def test_student_is_that_of_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    for d in rng.lognormal(size=(10, n)) - 1:
        for alternative in ("two-sided", "greater", "less"):
            assert student_p(d, alternative) == pytest.approx(stats.ttest_1samp(d, 0, alternative=alternative).pvalue)


def test_student_of_one_equal_and_no_differences() -> None:
    assert student_p([3.0]) == student_p([3.0], "greater") == student_p([0.0] * 4) == 1.0
    assert student_p([0.1] * 7) == student_p([0.1] * 7, "greater") == student_p([-0.1] * 7, "less") == 0.0
    assert student_p([0.1] * 7, "less") == 1.0


def test_the_larger_of_two_p_counts() -> None:
    coins, skewed = [1.0] * 9 + [-1.0], [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 9.0]
    assert paired_p(coins) == sign_flip_p(coins) > student_p(coins)
    assert paired_p(skewed) == student_p(skewed) > sign_flip_p(skewed)
    assert paired_p([0.1] * 7) == sign_flip_p([0.1] * 7) == smallest_p(7, 1)
    for alternative in ("greater", "less"):
        expected = max(sign_flip_p(skewed, alternative), student_p(skewed, alternative))
        assert paired_p(skewed, alternative) == expected


def test_skewed_noise_that_scatters_unequally_errs_less_than_with_sign_flips_alone() -> None:
    rng = np.random.default_rng(8)
    control, variant = rng.lognormal(size=(2, 4000, 7))
    studies = 1.5 * (variant - math.exp(0.5)) - (control - math.exp(0.5))
    flips, both = (sum(test(d) <= ALPHA for d in studies) / 4000 for test in (sign_flip_p, paired_p))
    assert both < 0.055 < flips


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    adjusted = holm([math.nan, 0.02])
    assert math.isnan(adjusted[0])
    assert adjusted[1] == 0.02


@pytest.mark.parametrize(("comparisons", "blocks"), [(1, 6), (3, 7), (6, 8), (25, 10)])
def test_blocks_needed_is_the_design_table(comparisons: int, blocks: int) -> None:
    assert blocks_needed(comparisons) == blocks
    assert smallest_p(blocks, comparisons) <= 0.05 < smallest_p(blocks - 1, comparisons)


def test_smallest_p_and_blocks_of_equivalence_are_one_sided() -> None:
    assert equivalence_p([0.0] * 5, 1.0) == smallest_p(5, 1, sides=1) == 1 / 32
    assert blocks_needed(1, sides=1) == 5
    assert blocks_needed(2, sides=1) == blocks_needed(1) == 6


def test_equivalence_by_hand() -> None:
    # With the margin added 3, 2 and 4: one flip in eight. Taken away: 1, 0 and 2 are above 0, and all flips as low.
    assert sign_flip_p([3, 2, 4], "greater") == 1 / 8
    assert equivalence_p([2, 1, 3], 1.0) == sign_flip_p([1, 0, 2], "less") == 1.0
    # 4, 2, 3 above, -2, -4, -3 below: each one flip in eight.
    assert equivalence_p([1, -1, 0], 3.0) == 1 / 8
    # 1.5, -0.5, 0.5 above: as much or more with 1.5 as it is and not both of the others below.
    assert equivalence_p([1, -1, 0], 0.5) == 3 / 8
    # The side that is nearer to the margin counts.
    assert equivalence_p([1, 1, 2, 1], 3.0) == sign_flip_p([-2, -2, -1, -2], "less") == 1 / 16
    assert equivalence_p([1, 1, 2, 1], 1.5) == sign_flip_p([-0.5, -0.5, 0.5, -0.5], "less") == 5 / 16
    assert equivalence_p([-1, -1, -2, -1], 1.5) == 5 / 16
    assert math.isnan(equivalence_p([], 1.0))


@pytest.mark.parametrize("side", [1, -1])
def test_differences_about_the_margin_are_rarely_equivalent(side: int) -> None:
    sizes = np.array([0.1, 0.2, 0.35, 0.5, 0.9, 1.1, 1.3])
    p = [equivalence_p(side * 4 + sizes * signs, 4.0) for signs in itertools.product((1, -1), repeat=7)]
    assert 0.03 < np.mean(np.array(p) <= ALPHA) <= ALPHA


def test_smallest_shown_is_where_significance_begins() -> None:
    d = np.array([0.3, -0.1, 0.25, 0.4, 0.05, 0.3, -0.6, 0.2])
    scatter, smallest = d - d.mean(), smallest_shown(d, 0.05)
    p = [[sign_flip_p(scatter + side * size * smallest) for side in (1, -1)] for size in (0.98, 1.0)]
    assert max(p[0]) > 0.05 >= max(p[1])
    assert smallest == pytest.approx(smallest_shown(d + 5, 0.05), rel=0.02)
    assert smallest_shown(10 * d, 0.05) == pytest.approx(10 * smallest, rel=0.02)
    assert smallest_shown(d, 0.01) > smallest


@pytest.mark.parametrize("level", [0.05, 0.005])
def test_smallest_shown_of_many_blocks_is_what_a_search_finds(level: float) -> None:
    d = np.random.default_rng(5).standard_normal(40)
    assert smallest_shown(d, level) == pytest.approx(smallest_shown(d, level, lambda x: sign_flip_p(x)), rel=0.05)


def test_smallest_shown_needs_blocks_enough() -> None:
    d = [0.3, -0.1, 0.25, 0.4, 0.05]
    assert smallest_shown(d, 0.05) == math.inf
    # All must agree where one sign in 16 is the level: the most that a block lies above the mean, or below it.
    assert smallest_shown(d, 0.0626) == pytest.approx(np.mean(d) + 0.1, rel=0.02)
    assert smallest_shown([0.2] * 6, 0.05) == pytest.approx(0)
    assert math.isnan(smallest_shown([], 0.05))
