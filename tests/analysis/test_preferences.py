"""What listeners prefer: hand-worked numbers, `choix` itself, and what must not change them."""

import dataclasses
import math

import choix
import numpy as np
import pytest
from scipy import stats

from musiclab.analysis.attendance import attendance
from musiclab.analysis.preferences import (
    Preferences,
    preferences,
    resampled_strengths,
    wins_by_listener_and_block,
)
from musiclab.analysis.statistics import holm, paired_p
from musiclab.analysis.strengths import shares, strengths
from musiclab.analysis.two_way import (
    middle_interval,
    quasi_f_p,
    resampled,
    resampled_both,
    tables,
    two_way,
    verdict,
)
from musiclab.analysis.votes import for_variant, votes
from musiclab.design.listening import GRADES, PAIR, REPEAT, WARM_UP, Place, Presentation
from musiclab.storage.ballots import SessionBallots
from tests.support.made_listening import made_plan, made_test
from tests.support.made_votes import heard, prefers, votes_of

PLACES = tuple(Place(block, 1) for block in range(8))
PLAN = made_plan(made_test(variants=3, places=PLACES, presentations=20, repeats=4))
REAL, SHUFFLED = 3, 4


# Strengths.


def test_two_strengths_are_the_logarithm_of_their_votes() -> None:
    """3 votes to 1, and half a vote more for each because every pair counts as heard once more and called equal."""
    logits = strengths(np.array([[0, 3], [1, 0]], float))
    assert logits == pytest.approx([math.log(3.5 / 1.5) / 2, -math.log(3.5 / 1.5) / 2])
    assert shares(logits) == pytest.approx([3.5 / 5, 1.5 / 5])


def test_strengths_are_those_of_another_algorithm_of_choix() -> None:
    rng = np.random.default_rng(3)
    wins = np.triu(rng.integers(0, 12, (5, 5)), 1) + np.tril(rng.integers(0, 12, (5, 5)), -1)
    twice = [(i, j) for i in range(5) for j in range(5) if i != j for _ in range(2 * wins[i, j] + 1)]
    newton = choix.opt_pairwise(5, twice, alpha=0, tol=1e-12)
    assert strengths(wins.astype(float)) == pytest.approx(newton - newton.mean(), abs=1e-4)


def test_the_shares_of_a_balanced_design_are_those_that_were_won() -> None:
    rng = np.random.default_rng(4)
    first = np.triu(rng.integers(5, 36, (4, 4)), 1)
    wins = first + np.tril(40 - first.T, -1)
    won = (wins.sum(1) + 1.5) / (3 * 41)
    assert shares(strengths(wins.astype(float))) == pytest.approx(won, abs=1e-5)


def test_a_condition_that_never_wins_has_a_finite_strength() -> None:
    wins = np.array([[0, 50, 50], [0, 0, 25], [0, 25, 0]], float)
    logits = strengths(wins)
    assert np.isfinite(logits).all()
    assert logits[0] > 3 and logits[1] == pytest.approx(logits[2])


# Votes for a variant.


def test_what_votes_say_for_a_variant_against_its_control_is_worked_out_by_hand() -> None:
    cast = votes_of([
        (0, 0, 1, 0, 1.0),  # the variant (1) beats its control (0): 1 for it and 1 against the control
        (0, 0, 0, 1, 0.5),  # equal: nothing
        (0, 1, 1, 2, 1.0),  # it beats a third; the two won 1, 0 and 0.5 against that: 1 - 0.625
        (0, 1, 2, 1, 0.5),
        (1, 0, 0, 2, 0.0),
        (1, 1, 2, 0, 0.0),
        (1, 0, 2, 3, 1.0),  # about neither
        (1, 0, 1, 3, 1.0),  # nobody knows how the control does against this one
    ])  # fmt: skip
    used, says = for_variant(cast, 1, 0)
    assert used.tolist() == [True, True, True, True, True, True, False, False]
    # Against the third one the variant won 0.75 of its votes, and the control 0.5: 0.625 together.
    assert says == pytest.approx([1, 0, 0.375, -0.125, 0.625, -0.375])
    assert says[2:].sum() == pytest.approx(2 * (0.75 - 0.5))
    again = for_variant(cast, 0, 1)
    assert again[1] == pytest.approx(-says)


def test_votes_are_the_same_whichever_was_heard_first() -> None:
    rows = [(0, 0, 1, 0, 1.0), (1, 1, 2, 1, 0.5), (1, 0, 0, 2, 0.0), (0, 1, 1, 2, 1.0)]
    swapped = [(listener, block, second, first, 1 - won) for listener, block, first, second, won in rows]
    for variant, control in ((1, 0), (2, 1)):
        one, other = (for_variant(votes_of(each), variant, control) for each in (rows, swapped))
        assert one[0].tolist() == other[0].tolist()
        assert one[1].tolist() == other[1].tolist()


def test_much_and_slightly_are_one_vote_and_equal_is_half_a_vote() -> None:
    plan = made_plan(made_test(places=PLACES, presentations=5, warm_ups=0, repeats=0))
    grades = iter(GRADES)
    cast = votes([heard(plan, lambda _: next(grades))])
    assert cast.won.tolist() == [1, 1, 0.5, 0, 0]


# Tests.


def test_quasi_f_is_worked_out_by_hand() -> None:
    """Rows differ by 6 and columns by 4 in their sums, and 0.5 of each cell is left over."""
    sums = np.array([[1.0, 2.0], [3.0, 6.0]])
    variance, freedom = 36 + 16 - 4, (36 + 16 - 4) ** 2 / (36**2 + 16**2 + 4**2)
    expected = 2 * stats.t.sf(12 / math.sqrt(variance), freedom)
    assert quasi_f_p(sums, np.ones((2, 2))) == pytest.approx(expected)
    assert quasi_f_p(-sums, np.ones((2, 2))) == pytest.approx(expected)
    assert quasi_f_p(sums.T * 7, np.ones((2, 2))) == pytest.approx(expected)


def test_quasi_f_is_at_least_as_strict_as_one_way_alone() -> None:
    """Cells scatter so much that the difference of the variances would be small."""
    sums = np.array([[9.0, -7.0, 2.0], [-8.0, 9.0, 2.0], [3.0, 3.0, 1.0]])
    by_row = ((sums.sum(1) - sums.sum() / 3) ** 2).sum() * 3 / 2
    by_column = ((sums.sum(0) - sums.sum() / 3) ** 2).sum() * 3 / 2
    expected = 2 * stats.t.sf(sums.sum() / math.sqrt(max(by_row, by_column)), 2)
    assert quasi_f_p(sums, np.ones((3, 3))) == pytest.approx(expected)


def test_quasi_f_of_what_does_not_scatter_and_of_one_way() -> None:
    assert quasi_f_p(np.ones((3, 4)), np.ones((3, 4))) == 0.0
    assert quasi_f_p(np.zeros((3, 4)), np.ones((3, 4))) == 1.0
    assert quasi_f_p(np.ones((1, 4)), np.ones((1, 4))) == 1.0


def test_the_tests_of_one_way_are_those_of_paired_differences() -> None:
    rng = np.random.default_rng(0)
    x, listener, block = rng.normal(0.3, 1, 60), np.repeat([3, 5, 8, 9, 11, 12], 10), np.tile(np.arange(10) * 7, 6)
    tests = two_way(x, listener, block)
    assert tests.listeners == paired_p(x.reshape(6, 10).sum(1))
    assert tests.blocks == paired_p(x.reshape(6, 10).sum(0))
    assert tests.p == max(tests.listeners, tests.blocks, tests.together)
    sums, counts = tables(x, listener, block)
    assert sums == pytest.approx(x.reshape(6, 10))
    assert counts.tolist() == [[1] * 10] * 6


def test_nothing_heard_is_no_p() -> None:
    assert math.isnan(two_way(np.empty(0), np.empty(0, int), np.empty(0, int)).p)


def test_one_lucky_block_and_one_odd_listener_are_no_evidence() -> None:
    """All listeners agree, but on one block only; or all blocks do, but for one listener only."""
    x, listener, block = np.zeros((8, 8)), np.repeat(np.arange(8), 8), np.tile(np.arange(8), 8)
    x[:, 3] = 1.0
    assert two_way(x.ravel(), listener, block).listeners < 0.01
    assert two_way(x.ravel(), listener, block).p > 0.3
    assert two_way(x.T.ravel(), listener, block).blocks < 0.01
    assert two_way(x.T.ravel(), listener, block).p > 0.3


@pytest.mark.parametrize(
    ("difference", "p", "smallest", "expected"),
    [
        (1.0, 0.05, 0.01, "better"),
        (-1.0, 0.05, 0.01, "worse"),
        (1.0, 0.06, 0.05, "no difference shown"),
        (1.0, 0.06, 0.06, "underpowered"),
        (0.0, math.nan, 1.0, "not compared"),
    ],
)
def test_verdicts(difference: float, p: float, smallest: float, expected: str) -> None:
    assert verdict(difference, p, smallest) == expected


def test_an_interval_is_the_middle_of_what_was_drawn() -> None:
    interval = middle_interval(5.0, np.arange(1001.0), 7)
    assert (interval.mean, interval.low, interval.high, interval.n) == (5.0, 25.0, 975.0, 7)
    assert math.isnan(middle_interval(5.0, np.empty(0), 7).low)
    assert math.isnan(middle_interval(5.0, np.arange(9.0), 0).mean)


def test_resamples_draw_as_many_as_there_are() -> None:
    times = resampled(7, np.random.default_rng(0), 2000)
    assert set(times.sum(1)) == {7}
    assert times.mean(0) == pytest.approx(np.ones(7), abs=0.1)
    assert times.var(0) == pytest.approx(np.full(7, 6 / 7), abs=0.12)


def test_resampled_strengths_are_those_of_the_votes_that_were_drawn() -> None:
    cast = votes_of([(0, 3, 0, 1, 1.0), (0, 4, 1, 2, 0.5), (1, 3, 2, 0, 0.0), (1, 4, 0, 2, 1.0)])
    by_cell = wins_by_listener_and_block(cast, 3)
    whole = strengths(by_cell.sum((0, 1)))
    listeners, blocks = np.array([[1, 1], [0, 2]]), np.array([[1, 1], [2, 0]])
    drawn = resampled_strengths(by_cell, listeners, blocks, whole)
    # The second one has the vote of listener 1 on block 3 four times: condition 0 won it against 2.
    assert drawn == pytest.approx(np.stack([whole, strengths(np.array([[0, 0, 4], [0, 0, 0], [0, 0, 0.0]]))]), abs=1e-5)
    assert [each.shape for each in resampled_both(1, 5, 0, 9)] == [(0, 1), (0, 5)]
    assert [each.sum() for each in resampled_both(2, 5, 0, 9)] == [9 * 2, 9 * 5]


# A whole listening test.


def _agreed(order: list[int], listeners: int = 8) -> list[SessionBallots]:
    return [heard(PLAN, prefers(order), number) for number in range(listeners)]


def test_a_variant_that_all_prefer_is_better_and_one_that_all_reject_is_worse() -> None:
    found = preferences(PLAN, _agreed([REAL, 1, 0, 2, SHUFFLED]), resamples=50)
    assert [*found.comparisons] == ["v1", "v2"]
    assert [each.verdict for each in found.comparisons.values()] == ["better", "worse"]
    better, worse = found.comparisons["v1"], found.comparisons["v2"]
    assert better.won == better.direct > 0 and worse.won == 0 < worse.direct
    assert better.share.low > 0.5 > worse.share.high
    assert (better.listeners, better.blocks) == (8, 8)
    assert better.p_holm == holm([better.tests.p, worse.tests.p])[0]
    logits = [found.strengths[name].logit.mean for name in ("real continuation", "v1", "v0", "v2", "shuffled tracks")]
    assert logits == sorted(logits, reverse=True)
    assert sum(logits) == pytest.approx(0)
    assert sum(strength.won for strength in found.strengths.values()) == found.attendance.answers == 160
    assert found.attendance.consistency == 1.0
    assert found.attendance.simulated


def test_variants_that_all_find_equal_differ_in_nothing() -> None:
    found = preferences(PLAN, _agreed([REAL]), resamples=50)
    assert {each.verdict for each in found.comparisons.values()} == {"no difference shown"}
    for each in found.comparisons.values():
        assert each.share.mean == pytest.approx(0.5)
        assert each.tests.p == 1.0
        assert each.won == each.direct / 2
    assert found.equal == pytest.approx(0.6), "6 of 10 pairs are without the real one"


def test_too_few_listeners_or_blocks_are_said_to_be_too_few() -> None:
    found = preferences(PLAN, _agreed([1, 0, 2], listeners=5), resamples=20)
    assert found.comparisons["v1"].verdict == "underpowered"
    few = made_plan(dataclasses.replace(PLAN.test, places=PLACES[:5]))
    found = preferences(few, [heard(few, prefers([1, 0, 2]), number) for number in range(8)], resamples=20)
    assert found.comparisons["v1"].verdict == "underpowered"


def test_several_starts_of_a_block_count_as_one() -> None:
    places = tuple(Place(block, start) for block in range(3) for start in (1, 2, 3, 4))
    plan = made_plan(dataclasses.replace(PLAN.test, places=places))
    found = preferences(plan, [heard(plan, prefers([1, 0, 2]), number) for number in range(9)], resamples=0)
    assert found.comparisons["v1"].blocks == 3
    assert found.comparisons["v1"].verdict == "underpowered"


def test_nobody_heard_is_nothing_compared() -> None:
    found = preferences(PLAN, [])
    assert {each.verdict for each in found.comparisons.values()} == {"not compared"}
    assert all(math.isnan(each.share.mean) and each.direct == 0 for each in found.comparisons.values())
    assert all(math.isnan(each.share.mean) and each.votes == 0 for each in found.strengths.values())
    assert math.isnan(found.equal) and math.isnan(found.attendance.consistency)


def test_one_listener_has_no_interval() -> None:
    found = preferences(PLAN, _agreed([1, 0, 2], listeners=1))
    assert found.comparisons["v1"].share.mean > 0.5
    assert not found.comparisons["v1"].share.is_bounded
    assert found.comparisons["v1"].verdict == "underpowered"


def _random(number: int, plan=PLAN) -> SessionBallots:
    rng = np.random.default_rng(number)
    return heard(plan, lambda _: GRADES[rng.integers(5)], number)


def _numbers(found: Preferences) -> list[object]:
    return [found.strengths, {name: (each.tests, each.p_holm) for name, each in found.comparisons.items()}, found.equal]


def test_warm_ups_and_repeats_never_count() -> None:
    lenient = made_plan(dataclasses.replace(PLAN.test, exclusions=dataclasses.replace(
        PLAN.test.exclusions, contradictions=1.0, floor_over_ceiling=1.0)))  # fmt: skip
    sessions = [_random(number, lenient) for number in range(7)]

    def turned(ballots: SessionBallots, kinds: tuple[str, ...]) -> SessionBallots:
        other = {number: dataclasses.replace(each, answer=GRADES[4 - GRADES.index(str(each.answer))])
                 if each.shown.kind in kinds else each for number, each in ballots.ballots.items()}  # fmt: skip
        return dataclasses.replace(ballots, ballots=other)

    numbers = _numbers(preferences(lenient, sessions, 20))
    not_counted = [turned(each, (WARM_UP, REPEAT)) for each in sessions]
    assert _numbers(preferences(lenient, not_counted, 20)) == numbers
    assert _numbers(preferences(lenient, [turned(each, (PAIR,)) for each in sessions], 20)) != numbers


def test_the_order_of_sessions_changes_no_test_and_a_seed_changes_only_intervals() -> None:
    sessions = [_random(number) for number in range(6)]
    found, turned = (preferences(PLAN, each, 20) for each in (sessions, sessions[::-1]))
    for name, each in found.comparisons.items():
        assert turned.comparisons[name].tests.p == pytest.approx(each.tests.p)
        assert turned.comparisons[name].share.mean == pytest.approx(each.share.mean)
    assert preferences(PLAN, sessions, 20) == found
    other = dataclasses.replace(PLAN, test=dataclasses.replace(PLAN.test, seed=1))
    seeded = preferences(other, sessions, 20)
    assert seeded.comparisons["v1"].tests == found.comparisons["v1"].tests
    assert seeded.comparisons["v1"].share.low != found.comparisons["v1"].share.low


# Who counts.


def _reasons(sessions: list[SessionBallots]) -> list[tuple[str, int, int]]:
    return [(each.reason, each.count, each.of) for each in attendance(PLAN.test, sessions).excluded]


def test_each_rule_takes_out_whom_it_says() -> None:
    good = prefers([REAL, 1, 0, 2, SHUFFLED])

    def always_a(shown: Presentation) -> str:
        return "b_much" if {shown.first, shown.second} == {REAL, SHUFFLED} and shown.first == SHUFFLED else "a_slightly"

    short = heard(PLAN, good, 1)
    short = dataclasses.replace(short, ballots={number: short.ballots[number] for number in range(3 + 9)})
    assert _reasons([heard(PLAN, good, 0)]) == []
    assert _reasons([heard(PLAN, good, 0, withdrawn=True)]) == [("withdrawn", 0, 0)]
    assert _reasons([short]) == [("few answers", 9, 10)]
    assert _reasons([heard(PLAN, prefers([SHUFFLED, 1, 0, 2, REAL]), 0)]) == [("floor over ceiling", 2, 2)]
    assert _reasons([heard(PLAN, always_a, 1)]) == [("contradictions", 4, 4)]


def test_simulated_listeners_never_count_beside_people() -> None:
    person, simulated = heard(PLAN, prefers([1]), 0, simulated=False), heard(PLAN, prefers([1]), 1)
    both = attendance(PLAN.test, [person, simulated])
    assert [each.session.number for each in both.counted] == [0]
    assert [each.reason for each in both.excluded] == ["simulated"]
    assert not both.simulated
    assert attendance(PLAN.test, [simulated]).simulated
    gone = dataclasses.replace(person, withdrawn=True)
    assert attendance(PLAN.test, [gone, simulated]).simulated


def test_consistency_is_the_share_of_repeats_with_the_same_winner() -> None:
    """Whoever prefers the same condition is consistent, although A and B are swapped; `equal` once is neither."""

    def once_equal(shown: Presentation) -> str:
        return "equal" if shown.kind == REPEAT else str(prefers([REAL, 1, 0, 2, SHUFFLED])(shown))

    assert attendance(PLAN.test, [heard(PLAN, prefers([REAL, 1, 0, 2, SHUFFLED]), 0)]).consistency == 1.0
    found = attendance(PLAN.test, [heard(PLAN, once_equal, 0)])
    assert (found.repeats, found.alike, found.excluded) == (4, 0, ())
