"""Intervals, sign-flip tests and Holm's correction against numbers worked out by hand or by enumeration."""

import itertools
import math

import numpy as np
import pytest

from musiclab.study.statistics import blocks_needed, holm, mean_interval, sign_flip_p, smallest_p


def test_interval_of_nothing_one_and_equal_values() -> None:
    assert math.isnan(mean_interval([]).mean)
    assert mean_interval([]).n == 0
    one = mean_interval([2.0])
    assert (one.mean, one.n) == (2.0, 1)
    assert math.isnan(one.low)
    same = mean_interval([3.0, 3.0, 3.0])
    assert (same.low, same.mean, same.high) == (3.0, 3.0, 3.0)


def test_interval_leaves_nan_out() -> None:
    assert mean_interval([1.0, math.nan, 2.0, 4.0]) == mean_interval([1.0, 2.0, 4.0])


def test_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    hits = sum(i.low <= 0 <= i.high for i in (mean_interval(list(rng.normal(size=12))) for _ in range(200)))
    # BCa is known to cover a little less than it says with so few blocks.
    assert 0.86 <= hits / 200 <= 0.99


def test_sign_flip_equals_full_enumeration() -> None:
    d = [0.3, -0.1, 0.25, 0.4, 0.05, 0.3]
    sums = [abs(sum(s * x for s, x in zip(signs, d, strict=True))) for signs in itertools.product((1, -1), repeat=6)]
    assert sign_flip_p(d) == sum(s >= abs(sum(d)) - 1e-12 for s in sums) / 64


@pytest.mark.parametrize("n", [3, 5, 7, 10])
def test_sign_flip_floor_is_two_in_two_to_the_n(n: int) -> None:
    assert sign_flip_p([0.1] * n) == pytest.approx(2 / 2**n)
    assert smallest_p(n, 1) == pytest.approx(2 / 2**n)


def test_sign_flip_beyond_enumeration_is_close_and_repeatable() -> None:
    d = list(np.random.default_rng(1).normal(0.5, 1, 24))
    z = sum(d) / math.sqrt(sum(x * x for x in d))
    normal = math.erfc(abs(z) / math.sqrt(2))
    assert sign_flip_p(d) == sign_flip_p(d)
    assert sign_flip_p(d) == pytest.approx(normal, abs=0.01)


def test_sign_flip_without_differences() -> None:
    assert math.isnan(sign_flip_p([]))
    assert sign_flip_p([0.0, 0.0]) == 1.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    adjusted = holm([math.nan, 0.02])
    assert math.isnan(adjusted[0])
    assert adjusted[1] == 0.02


@pytest.mark.parametrize(("comparisons", "blocks"), [(1, 6), (3, 7), (6, 8), (25, 10)])
def test_blocks_needed_is_the_design_table(comparisons: int, blocks: int) -> None:
    assert blocks_needed(comparisons) == blocks
    assert smallest_p(blocks, comparisons) <= 0.05 < smallest_p(blocks - 1, comparisons)
