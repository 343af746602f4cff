"""Plans of listening sessions: balanced, blind to other sessions, and the same wherever they are made."""

import dataclasses
import subprocess
import sys
from collections import Counter
from itertools import combinations, pairwise
from typing import Any

import pytest

from musiclab.design.listening import (
    PAIR,
    PAIRS,
    PIECE,
    RATINGS,
    REPEAT,
    WARM_UP,
    ListeningTest,
    Place,
    Presentation,
    session_plan,
    spread_places,
)
from musiclab.errors import UserError
from tests.support.made_listening import made_test

_CONTROLS = "controls must name a variant for each variant of the listening test."


def _heard(test: ListeningTest, sessions: int, *kinds: str) -> list[Presentation]:
    return [each for number in range(sessions) for each in session_plan(test, number) if each.kind in kinds]


def _pair(presentation: Presentation) -> frozenset[int | None]:
    return frozenset((presentation.first, presentation.second))


@pytest.mark.parametrize("variants", [2, 3, 6])
@pytest.mark.parametrize("presentations", [7, 30])
def test_all_pairs_are_heard_equally_often_and_both_ways(variants: int, presentations: int) -> None:
    test = made_test(variants=variants, presentations=presentations, repeats=0)
    for sessions in (1, 4, 11):
        heard = _heard(test, sessions, PAIR)
        pairs = Counter(map(_pair, heard))
        every_pair = [frozenset(pair) for pair in combinations(range(variants + 2), 2)]
        counts = [pairs[pair] for pair in every_pair]
        assert sum(counts) == sessions * presentations == len(heard)
        assert max(counts) - min(counts) <= 1
        ways = Counter((each.first, each.second) for each in heard)
        assert all(abs(ways[a, b] - ways[b, a]) <= 1 for a, b in combinations(range(variants + 2), 2))


def test_every_stretch_of_a_session_is_balanced_over_conditions_and_sides() -> None:
    test = made_test(variants=6, presentations=30)
    sides: Counter[int] = Counter()
    for number in range(20):
        heard = [each for each in session_plan(test, number) if each.kind == PAIR]
        times = Counter(index for each in heard for index in (each.first, each.second))
        assert all(5 <= times[index] <= 10 for index in range(8)), "7.5 on average"
        sides.update({index: sum(each.first == index for each in heard) for index in range(8)})
        assert all(2 <= sum(each.first == index for each in heard) <= 6 for index in range(8)), "3.75 on average"
    assert max(sides.values()) - min(sides.values()) <= 2


def test_every_pair_is_heard_at_each_place_before_it_is_heard_twice_at_one() -> None:
    places = tuple(Place(block, start) for block in range(3) for start in (1, 2))
    test = made_test(variants=2, presentations=6, places=places)  # a session is a round of all 6 pairs
    for sessions in (6, 12, 15):
        times = Counter((_pair(each), each.place) for each in _heard(test, sessions, PAIR))
        assert {*times.values()} <= {sessions // 6, -(-sessions // 6)}
        assert len(times) == 36
    for number in range(12):
        assert len({each.place for each in session_plan(test, number) if each.kind == PAIR}) == 6


def test_a_session_begins_with_warm_ups_of_ceiling_and_floor_and_ends_with_swapped_repeats_of_its_first_half() -> None:
    test = made_test(variants=3, presentations=20, warm_ups=3, repeats=6)
    firsts = set()
    for number in range(12):
        plan = session_plan(test, number)
        assert [each.kind for each in plan] == [WARM_UP] * 3 + [PAIR] * 20 + [REPEAT] * 6
        assert len(plan) == test.length
        assert _pair(plan[0]) == {3, 4}, "real and shuffled"
        firsts.add(plan[0].first)
        early = [(each.place, each.second, each.first) for each in plan[3:13]]
        assert all((each.place, each.first, each.second) in early for each in plan[-6:])
    assert firsts == {3, 4}, "the real one is not always A"


def test_pieces_are_heard_equally_often_at_all_places() -> None:
    test = made_test(protocol=RATINGS, variants=3, presentations=10, repeats=2)
    heard = _heard(test, 14, PIECE)
    assert {each.second for each in heard} == {None}
    counts = Counter(each.first for each in heard)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len(counts) == 5
    at_places = Counter((each.first, each.place) for each in heard)
    assert max(at_places.values()) - min(at_places[index, place] for index in range(5) for place in test.places) <= 1
    ends = {tuple(each.first for each in session_plan(test, number)[:2]) for number in range(12)}
    assert ends == {(3, 4), (4, 3)}, "the ceiling and the floor come first, in either order"
    plan = session_plan(test, 3)
    pieces = [(each.place, each.first) for each in plan if each.kind == PIECE]
    assert all((each.place, each.first) in pieces[:5] for each in plan if each.kind == REPEAT)


def test_sessions_differ_and_a_seed_changes_them_all() -> None:
    test = made_test()
    plans = [session_plan(test, number) for number in range(8)]
    assert len(set(plans)) == 8
    assert not {*plans} & {session_plan(dataclasses.replace(test, seed=1), number) for number in range(8)}


def test_a_session_is_the_same_in_every_process_and_whatever_was_planned_before() -> None:
    code = (
        "from tests.support.made_listening import made_test\n"
        "from musiclab.design.listening import session_plan\n"
        "print(session_plan(made_test(), 5))"
    )
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    test = made_test()
    for number in (9, 0, 5):
        session_plan(test, number)
    assert elsewhere.strip() == str(session_plan(test, 5))


def test_no_condition_is_heard_in_two_pairs_on_end_more_often_than_needed() -> None:
    plan = [each for each in session_plan(made_test(variants=6, presentations=28), 0) if each.kind == PAIR]
    assert sum(bool(_pair(a) & _pair(b)) for a, b in pairwise(plan)) <= 10


@pytest.mark.parametrize("protocol", [PAIRS, RATINGS])
def test_a_test_and_its_presentations_are_read_as_they_were_written(protocol: str) -> None:
    test = made_test(protocol=protocol)
    assert ListeningTest.from_json(test.to_json()) == test
    for presentation in session_plan(test, 0):
        assert Presentation.from_json(presentation.to_json()) == presentation


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"protocol": "triples"}, "protocol must be pairs or ratings; got 'triples'."),
        ({"variants": 1}, "A listening test needs at least 2 variants; got 1."),
        ({"controls": {"v0": "v0"}}, "controls must name a variant for each variant of the listening test."),
        (
            {"controls": {"v0": "v0", "v1": "v9"}},
            "controls must name a variant for each variant of the listening test.",
        ),
        ({"places": ()}, "places must name at least one start, and none twice."),
        ({"places": (Place(0, 1), Place(0, 1))}, "places must name at least one start, and none twice."),
        ({"presentations": 0}, "presentations must be at least 1; got 0."),
        ({"warm_ups": -1}, "warm_ups must be at least 0; got -1."),
        ({"presentations": 3, "repeats": 4}, "repeats must be at most presentations, 3; got 4."),
    ],
)
def test_a_test_that_makes_no_sense_is_refused_in_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        made_test(**fields)
    assert str(error.value) == sentence


def test_a_variant_cannot_be_called_like_the_ceiling() -> None:
    test = made_test()
    renamed = dataclasses.replace(test.conditions[0], name=test.conditions[-1].name)
    with pytest.raises(UserError, match="must have different names"):
        dataclasses.replace(test, conditions=(renamed, *test.conditions[1:]))


@pytest.mark.parametrize(("blocks", "starts", "of_each"), [(7, 4, 3), (12, 4, 2), (20, 4, 1), (40, 4, 1), (3, 2, 2)])
def test_starts_are_spread_over_all_blocks_equally(blocks: int, starts: int, of_each: int) -> None:
    places = [Place(block, start + 1) for block in range(blocks) for start in range(starts)]
    spread = spread_places(places, 24, seed=0)
    assert set(spread) <= set(places) and len(set(spread)) == len(spread)
    assert Counter(place.block for place in spread) == dict.fromkeys(range(blocks), of_each)
    assert spread == spread_places(places[::-1], 24, seed=0)
    assert of_each == starts or spread != spread_places(places, 24, seed=1)
    assert spread_places([], 24, seed=0) == ()
