"""Comparisons: differences, families, verdicts of each kind, and what is left out of whom."""

import math

import numpy as np
import pytest

from musiclab.analysis.comparisons import Comparison, compare, outcomes
from musiclab.analysis.intervals import NO_INTERVAL, difference_interval, equivalence_interval
from musiclab.analysis.sequential import anytime_equivalence_p, anytime_p
from musiclab.analysis.statistics import equivalence_p, holm, paired_p, smallest_shown
from musiclab.design.criteria import Criteria
from musiclab.measures.registry import find_measure

Scores = dict[str, dict[int, float]]


def scores(blocks: int, **effects: float) -> Scores:
    """A control and a variant for each effect: its values are the control's, the effect and a little of its own."""
    rng = np.random.default_rng(0)
    control = rng.normal(10, 5, blocks)
    found = {name: control + effect + rng.normal(0, 0.1, blocks) for name, effect in effects.items()}
    return {name: dict(enumerate(map(float, values))) for name, values in {"control": control, **found}.items()}


def compared(of: Scores, objective: str = "frame_f1", **criteria: object) -> dict[str, Comparison]:
    return compare(of, Criteria(find_measure(objective), dict.fromkeys(of, "control"), **criteria))


def verdicts(of: Scores, objective: str = "frame_f1", **criteria: object) -> dict[str, str]:
    return {name: comparison.verdict for name, comparison in compared(of, objective, **criteria).items()}


@pytest.mark.parametrize("sequential", [False, True])
def test_a_planted_effect_is_found_and_the_better_side_is_the_objective_s(sequential: bool) -> None:
    of = scores(10, up=1.0, down=-1.0, none=0.0)
    up = {"up": "better", "down": "worse", "none": "no difference shown"}
    down = {"up": "worse", "down": "better", "none": "no difference shown"}
    assert verdicts(of, "frame_f1", sequential=sequential) == up  # higher is better
    assert verdicts(of, "frechet", sequential=sequential) == down  # lower is better
    assert verdicts(of, "empty_bars", sequential=sequential) == down  # its distance to real music


@pytest.mark.parametrize("sequential", [False, True])
def test_equivalent_is_what_lies_within_the_margin_and_is_not_shown_to_differ(sequential: bool) -> None:
    of = scores(10, same=0.0, apart=1.0, slightly=0.3)
    assert verdicts(of, margin=0.5, sequential=sequential) == {
        "same": "equivalent", "apart": "better", "slightly": "better",
    }  # fmt: skip
    assert compared(of, margin=0.5, sequential=sequential)["slightly"].p_equivalent <= 0.05
    assert verdicts(of, margin=0.01, sequential=sequential)["same"] == "no difference shown"
    assert math.isnan(compared(of, sequential=sequential)["same"].p_equivalent)


def test_so_few_blocks_that_they_could_show_nothing_are_underpowered() -> None:
    six, seven = ({"a": 1.0, "b": 0.0, "c": 0.0} for _ in range(2))
    assert set(verdicts(scores(6, **six)).values()) == {"underpowered"}  # 3 comparisons take 7
    assert verdicts(scores(7, **seven)) == {"a": "better", "b": "no difference shown", "c": "no difference shown"}
    assert set(verdicts(scores(7, **seven), sequential=True).values()) == {"underpowered"}  # at any time 8
    assert verdicts(scores(8, **seven), sequential=True)["b"] == "no difference shown"
    assert verdicts(scores(6, a=1.0)) == {"a": "better"}
    assert verdicts(scores(5, a=1.0)) == {"a": "underpowered"}
    # Equivalence has one side to show: 5 blocks do.
    assert verdicts(scores(5, a=0.0), margin=1.0) == {"a": "equivalent"}


def test_without_a_block_in_common_nothing_is_compared() -> None:
    of = scores(10, a=1.0, b=1.0, c=1.0)
    of["a"] = dict.fromkeys(range(10), math.nan)
    of["b"] = {}
    of["c"] = {block + 10: 1.0 for block in range(3)}
    found = compared(of, margin=1.0)
    for name, left_out in {"a": tuple(range(10)), "b": tuple(range(10)), "c": tuple(range(13))}.items():
        assert found[name].verdict == "not compared"
        assert found[name].difference.n == found[name].improvement.n == 0
        assert math.isnan(found[name].p_holm)
        assert math.isnan(found[name].smallest)
        assert found[name].left_out == left_out
    # They count for nothing in the family: one comparison is left, for which 6 blocks do.
    of["d"] = {block: of["control"][block] + (-1) ** block for block in range(6)}
    assert verdicts(of)["d"] == "no difference shown"
    assert compared(of)["d"].smallest < math.inf


def test_a_block_is_left_out_of_its_own_pair_only() -> None:
    of = scores(8, a=0.05, b=1.0)
    del of["a"][3]
    of["a"][0] = math.nan
    found = compared(of)
    assert (found["a"].left_out, found["a"].difference.n, found["a"].improvement.n) == ((0, 3), 6, 6)
    assert (found["b"].left_out, found["b"].difference.n) == ((), 8)
    # 6 blocks cannot show a difference where there are two comparisons; the other pair has blocks enough.
    assert (found["a"].verdict, found["b"].verdict) == ("underpowered", "better")
    of["control"][5] = math.inf
    found = compared(of)
    assert (found["a"].left_out, found["b"].left_out) == ((0, 3, 5), (5,))


def test_numbers_are_those_of_the_differences() -> None:
    of = scores(9, a=0.1, b=0.0)
    of["b"][4] = math.nan
    found = compared(of, margin=0.2)
    a = [of["a"][block] - of["control"][block] for block in range(9)]
    b = [of["b"][block] - of["control"][block] for block in range(9) if block != 4]
    assert [found[name].difference for name in ("a", "b")] == [difference_interval(a), difference_interval(b)]
    assert [found[name].within for name in ("a", "b")] == [equivalence_interval(x, 0.2) for x in (a, b)]
    assert compared(of)["a"].within is NO_INTERVAL
    assert [found[name].p for name in ("a", "b")] == [paired_p(a), paired_p(b)]
    assert [found[name].p_holm for name in ("a", "b")] == holm([paired_p(a), paired_p(b)])
    expected = holm([equivalence_p(a, 0.2), equivalence_p(b, 0.2)])
    assert [found[name].p_equivalent for name in ("a", "b")] == expected
    assert found["a"].smallest == smallest_shown(a, 0.05 / 2)  # of two comparisons
    assert found["a"].improvement.mean == sum(x > 0 for x in a) / 9
    assert compared(of, "frechet")["a"].improvement.mean == sum(x < 0 for x in a) / 9


def test_numbers_of_tests_at_any_time() -> None:
    of = scores(12, a=0.1, b=0.0)
    found = compared(of, margin=0.2, sequential=True)
    d = [[of[name][block] - of["control"][block] for block in range(12)] for name in ("a", "b")]
    assert [found[name].difference for name in ("a", "b")] == [difference_interval(x, sequential=True) for x in d]
    assert [found[name].within for name in ("a", "b")] == [equivalence_interval(x, 0.2, sequential=True) for x in d]
    assert [found[name].p for name in ("a", "b")] == [anytime_p(each) for each in d]
    assert [found[name].p_holm for name in ("a", "b")] == holm([anytime_p(each) for each in d])
    expected = holm([anytime_equivalence_p(each, 0.2) for each in d])
    assert [found[name].p_equivalent for name in ("a", "b")] == expected
    assert found["b"].smallest == smallest_shown(d[1], 0.05 / 2, anytime_p)


def test_blocks_count_in_their_own_order_whatever_order_they_come_in() -> None:
    of = scores(12, a=0.2)
    expected = [of["a"][block] - of["control"][block] for block in range(12)]
    came = (5, 0, 11, 3, 2, 9, 1, 8, 10, 4, 7, 6)
    # Far apart, so that not even a set would have them in order by chance.
    shuffled = {name: {89 * block: values[block] for block in came} for name, values in of.items()}
    found = compared(shuffled, sequential=True)["a"]
    assert found.p == anytime_p(expected) != anytime_p([expected[block] for block in came])
    assert found.difference == difference_interval(expected, sequential=True)


def test_what_was_shown_is_taken_back_if_later_blocks_take_the_mean_to_the_other_side() -> None:
    def at_any_time(differences: list[float], margin: float | None = None) -> Comparison:
        of = {"control": dict.fromkeys(range(len(differences)), 0.0), "a": dict(enumerate(differences))}
        return compared(of, margin=margin, sequential=True)["a"]

    up, turned = at_any_time([1.0] * 8), at_any_time([1.0] * 8 + [-1.0] * 12)
    assert (up.verdict, turned.verdict) == ("better", "no difference shown")
    assert (turned.p, turned.difference.mean) == (1.0, -0.2)
    assert turned.difference.low <= -0.2 < 0 < turned.difference.high
    same, left = at_any_time([0.1, -0.1] * 6, 1.0), at_any_time([0.1, -0.1] * 6 + [5.0] * 4, 1.0)
    assert (same.verdict, left.verdict) == ("equivalent", "no difference shown")
    assert (left.p_equivalent, left.difference.mean) == (1.0, 1.25)
    assert left.within.high >= 1.25 - 1e-9


def test_each_variant_is_compared_with_its_own_control() -> None:
    of = scores(8, a=1.0, other=5.0, b=4.0)
    controls = {"control": "control", "a": "control", "other": "other", "b": "other"}
    found = compare(of, Criteria(find_measure("frame_f1"), controls))
    assert {name: comparison.verdict for name, comparison in found.items()} == {"a": "better", "b": "worse"}
    assert found["b"].difference.mean == pytest.approx(-1, abs=0.1)


def test_where_all_values_are_equal_no_difference_is_shown() -> None:
    values = {block: float(block) for block in range(8)}
    found = compared({"control": values, "a": dict(values)}, margin=0.1)["a"]
    assert (found.verdict, found.p, found.difference.mean, found.improvement.mean) == ("equivalent", 1.0, 0.0, 0.5)
    assert verdicts({"control": values, "a": dict(values)}) == {"a": "no difference shown"}


@pytest.mark.parametrize("sequential", [False, True])
def test_no_planted_effect_is_rarely_found(sequential: bool) -> None:
    rng = np.random.default_rng(1)
    names = ["control", "a", "b", "c"]
    criteria = Criteria(find_measure("frame_f1"), dict.fromkeys(names, "control"), sequential=sequential)
    wrong = 0
    for values in rng.lognormal(size=(400, 10, 4)):
        found = outcomes((values[:, 1:] - values[:, :1]).T.tolist(), criteria)
        wrong += any(of.verdict in ("better", "worse") for of in found)
    assert 0 < wrong <= 0.05 * 400
