"""Intervals against scipy, against enumeration, and against the tests that they invert."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from musiclab.analysis.intervals import (
    NO_INTERVAL,
    Interval,
    difference_interval,
    equivalence_interval,
    improvement,
    mean_intervals,
)
from musiclab.analysis.sequential import anytime_equivalence_p, anytime_p
from musiclab.analysis.statistics import ALPHA, equivalence_p, paired_p

# Differences of n blocks that are hard on ends: equal, tied, coins, zeros, skewed, drifting, and with a huge outlier.
KINDS = {
    "normal": lambda rng, n: rng.normal(0.7, 1, n) * 10.0 ** rng.integers(-6, 6),
    "skewed": lambda rng, n: rng.lognormal(size=n) - 1,
    "heavy-tailed": lambda rng, n: rng.standard_t(1, n),
    "whole numbers": lambda rng, n: rng.integers(-1, 3, n).astype(float),
    "coins": lambda rng, n: rng.choice([-1.0, 1.0], n, p=[0.2, 0.8]),
    "tenths": lambda rng, n: np.round(rng.normal(0.7, 1, n), 1),
    "equal": lambda rng, n: np.full(n, rng.normal()),
    "zeros": lambda rng, n: np.where(np.arange(n) < rng.integers(n + 1), 0.3, 0.0),
    "all zero": lambda rng, n: np.zeros(n),
    "outlier": lambda rng, n: rng.normal(1, 1, n) + 1e8 * (np.arange(n) == rng.integers(n)),
    "drift": lambda rng, n: rng.normal(size=n) + np.linspace(-2, 2, n),
}


def differences(kind: str, studies: int, fewest: int = 6) -> list[np.ndarray]:
    rng = np.random.default_rng(len(kind))
    return [KINDS[kind](rng, int(n)) for n in rng.integers(fewest, 15, studies)]


def excludes(interval: Interval, value: float) -> bool:
    return not interval.low <= value <= interval.high


def test_interval_of_a_mean_is_student_s() -> None:
    rng = np.random.default_rng(4)
    columns = [list(rng.lognormal(size=n)) for n in [2, 3, 7, 10, 7, 40]]
    for interval, column in zip(mean_intervals(columns), columns, strict=True):
        low, high = stats.t.interval(0.95, len(column) - 1, np.mean(column), stats.sem(column))
        assert (interval.mean, interval.low, interval.high) == pytest.approx((np.mean(column), low, high), rel=1e-12)
        assert interval.n == len(column)


def test_interval_of_nothing_one_equal_missing_and_infinite_values() -> None:
    columns = [[], [2.0], [0.1] * 3, [1.0, math.nan, 2.0, 4.0], [1.0, 2.0, 4.0], [1.0, math.inf], [math.nan]]
    nothing, one, same, with_gap, without, infinite, missing = mean_intervals(columns)
    assert nothing is missing is NO_INTERVAL
    assert (one.mean, one.n, math.isnan(one.low), one.is_bounded) == (2.0, 1, True, False)
    assert (same.low, same.high) == pytest.approx((0.1, 0.1), rel=1e-15)
    assert with_gap == without
    assert infinite.mean == math.inf
    assert math.isnan(infinite.low)
    assert math.isnan(difference_interval([1.0, math.inf]).high)
    assert difference_interval([]) is equivalence_interval([], 1.0) is NO_INTERVAL


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_an_interval_excludes_zero_exactly_if_the_uncorrected_p_is_at_most_five_per_cent(
    kind: str, sequential: bool
) -> None:
    test = anytime_p if sequential else paired_p
    shown = 0
    for d in differences(kind, 80):
        for shifted in (d, -d):
            assert excludes(difference_interval(shifted, sequential), 0) == (test(shifted) <= ALPHA)
        shown += test(d) <= ALPHA
    if kind in ("normal", "coins", "equal"):
        assert shown > 10


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_ninety_per_cent_interval_lies_within_the_margin_exactly_if_equivalence_is_shown(
    kind: str, sequential: bool
) -> None:
    test = anytime_equivalence_p if sequential else equivalence_p
    for d in differences(kind, 40):
        size = float(np.abs(d).mean()) or 1.0
        for margin in (0.5 * size, 2.0 * size, float(np.abs(d).max()) or 1.0):
            interval = equivalence_interval(d, margin, sequential)
            assert (-margin < interval.low and interval.high < margin) == (test(d, margin) <= ALPHA)


def test_ends_that_miss_zero_or_the_margin_by_rounding_are_moved_there() -> None:
    for tenths in ([3, -2, 4, 3, -2, 1, 4, 5, 0, 4], [5, -2, 4, 0, 3, 4, 5, -1, 3, -2, 3]):
        d = np.array(tenths) * 0.1
        assert paired_p(d) > ALPHA
        assert difference_interval(d).low <= 0
        assert difference_interval(-d).high >= 0
    for tenths in ([3, -2, -3, -1, 1, -1, 3], [4, 2, -1, -5, -3, 3, 1, 1]):
        d = np.array(tenths) * 0.1
        assert equivalence_p(d, 0.2) > ALPHA
        assert equivalence_interval(d, 0.2).low <= -0.2
        assert equivalence_interval(-d, 0.2).high >= 0.2


def test_if_zero_lies_in_a_gap_the_interval_ends_before_it() -> None:
    # Bets on the first blocks reject 0, and those on the later ones reject all means between theirs and the first.
    d = np.array([1.07, 1.16, 1.48, 0.93, 1.49, -5.45, -5.49, -5.55, -5.61, -5.72, -5.31, -5.81, -5.73, -5.46, -5.62,
                  -5.61, -5.35, -5.55, -5.73, -5.82, -5.47, -5.97])  # fmt: skip
    assert anytime_p(d) <= ALPHA < anytime_p(d - 1.07)
    for side in (1, -1):
        interval = difference_interval(side * d, sequential=True)
        assert side * interval.mean < 0
        assert excludes(interval, 0)
        assert not excludes(interval, side * -5.55)


@pytest.mark.parametrize("blocks", [15, 24, 31, 60])
def test_intervals_of_many_blocks_keep_to_their_p(blocks: int) -> None:
    rng = np.random.default_rng(blocks)
    for effect in (0.0, 0.3, 0.4, 0.5, 1.0):
        d = rng.normal(effect, 1, blocks)
        assert excludes(difference_interval(d), 0) == (paired_p(d) <= ALPHA)
        assert excludes(difference_interval(d, sequential=True), 0) == (anytime_p(d) <= ALPHA)
        assert difference_interval(d).high == pytest.approx(d.mean() + 2.1 * d.std() / math.sqrt(blocks), abs=0.05)


def test_every_mean_inside_is_not_rejected_and_every_mean_outside_is() -> None:
    for d in differences("normal", 10) + differences("skewed", 10):
        interval = difference_interval(d)
        width = interval.high - interval.low
        for share in (0.001, 0.3, 0.7, 0.999):
            assert paired_p(d - (interval.low + share * width)) > ALPHA
        for mean in (interval.low - 0.001 * width, interval.high + 0.001 * width):
            assert paired_p(d - mean) <= ALPHA


def test_ends_of_sign_flips_are_means_of_sets_of_differences() -> None:
    d = np.array([0.0, 1.0, 3.0, 20.0, 21.0, 50.0, 400.0])  # so skewed that flips and Student's t take an end each
    means = sorted(np.mean(some) for size in range(1, 8) for some in itertools.combinations(d, size))
    low, high = stats.t.interval(0.95, 6, d.mean(), stats.sem(d))
    interval = difference_interval(d)
    assert interval.low == pytest.approx(min(means[2], low))  # 3 of 128 sets is the most that 2.5 % allow
    assert interval.high == pytest.approx(max(means[-3], high))
    six = d[:6]
    assert difference_interval(six).low == pytest.approx(stats.t.interval(0.95, 5, six.mean(), stats.sem(six))[0])


@pytest.mark.parametrize("sequential", [False, True])
def test_intervals_of_too_few_blocks_are_unbounded(sequential: bool) -> None:
    d = [1.0, 1.1, 0.9, 1.2, 0.8, 1.05]
    for blocks in range(1, 6):
        interval = difference_interval(d[:blocks], sequential)
        assert (interval.low, interval.high, interval.is_bounded) == (-math.inf, math.inf, False)
        assert interval.mean == pytest.approx(np.mean(d[:blocks]))
    assert difference_interval(d, sequential).is_bounded
    for blocks, is_bounded in ((4, False), (5, True)):
        assert equivalence_interval(d[:blocks], 2.0, sequential).is_bounded == is_bounded


@pytest.mark.parametrize("sequential", [False, True])
def test_intervals_move_grow_and_turn_with_their_values(sequential: bool) -> None:
    d = np.random.default_rng(4).lognormal(size=9)
    interval = difference_interval(d, sequential)
    moved, turned = difference_interval(100 + 0.01 * d, sequential), difference_interval(-d, sequential)
    assert (moved.low, moved.high) == pytest.approx((100 + 0.01 * interval.low, 100 + 0.01 * interval.high), rel=1e-9)
    assert (turned.low, turned.high) == pytest.approx((-interval.high, -interval.low), rel=1e-9)


def test_where_all_differences_are_equal_they_are_the_interval() -> None:
    for value in (0.3, -0.3, 0.0):
        for sequential in (False, True):
            interval = difference_interval([value] * 8, sequential)
            assert (interval.low, interval.high) == pytest.approx((value, value), rel=1e-12, abs=1e-15)


def test_an_anytime_interval_is_wider_and_needs_blocks_in_their_order() -> None:
    d = np.random.default_rng(1).normal(0.2, 1, 20)
    fixed, anytime = difference_interval(d), difference_interval(d, sequential=True)
    assert anytime.low < fixed.low < fixed.high < anytime.high
    assert difference_interval(np.sort(d), sequential=True) != anytime


def test_the_mean_of_differences_that_drift_is_an_end_of_their_anytime_interval() -> None:
    drifting = np.linspace(-10, 10, 30) + np.random.default_rng(0).normal(size=30)
    interval, turned = (difference_interval(side * drifting, sequential=True) for side in (1, -1))
    assert interval.low < interval.high == interval.mean
    assert turned.mean == turned.low < turned.high


@pytest.mark.parametrize(("blocks", "studies"), [(7, 1500), (10, 1500)])
def test_symmetric_noise_is_covered_as_often_as_the_interval_says(blocks: int, studies: int) -> None:
    rng = np.random.default_rng(blocks)
    for noise in (rng.normal(size=(studies, blocks)), rng.standard_t(3, (studies, blocks))):
        held = sum(not excludes(difference_interval(d), 0) for d in noise)
        assert held / studies >= 0.94
    means = mean_intervals(rng.normal(size=(4000, blocks)))
    assert 0.94 <= sum(not excludes(interval, 0) for interval in means) / 4000 <= 0.96


def test_improvement_counts_blocks_and_half_of_ties() -> None:
    seven = improvement([1, 2, 3, 4, 5, -1, -2], higher=True)
    assert (seven.mean, seven.n) == (5 / 7, 7)
    # Wilson's interval as scipy has it for whole counts.
    assert (seven.low, seven.high) == pytest.approx(tuple(stats.binomtest(5, 7).proportion_ci(method="wilson")))
    lower = improvement([1, 2, 3, 4, 5, -1, -2], higher=False)
    assert (lower.mean, lower.low) == pytest.approx((2 / 7, 1 - seven.high))
    assert improvement([1, 0, 0, -1, 1, 1], higher=True).mean == 4 / 6
    same = improvement([0.0] * 4, higher=True)
    assert (same.mean, same.low + same.high) == (0.5, pytest.approx(1))
    assert improvement([1.0] * 10, higher=True).high == pytest.approx(1)
    assert improvement([], higher=True) is NO_INTERVAL
    for blocks in range(1, 40):
        assert improvement([1.0] * blocks, higher=False).low == 0
        assert improvement([1.0] * blocks, higher=True).high == 1
