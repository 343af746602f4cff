"""Simulated listeners answer as their model says, and more of them find more."""

import numpy as np
import pytest
from scipy import stats

from musiclab.analysis.listening_power import ListenerModel, Needed, heard_in, listeners_needed, power
from musiclab.design.listening import PAIR, Place, session_plan
from tests.support.made_listening import made_test
from tests.support.made_votes import votes_of

FEW = made_test(places=tuple(Place(block, 1) for block in range(5)), presentations=12)
MANY = made_test(places=tuple(Place(block, 1) for block in range(20)), presentations=30)


@pytest.mark.parametrize("share", [0.6, 0.65, 0.9])
def test_votes_are_won_as_often_as_the_model_says(share: float) -> None:
    model = ListenerModel()
    assert model.share(0) == pytest.approx(0.5)
    difference = model.difference(share)
    assert model.share(difference) == pytest.approx(share)
    assert model.share(-difference) == pytest.approx(1 - share)
    heard = votes_of([(0, 0, 0, 1, 0.0)])
    grades = model.grades(heard, [difference, 0.0], np.random.default_rng(1), 40_000)
    won = (np.sign(grades) + 1) / 2
    assert abs(won.mean() - share) < 4 * won.std() / 200
    assert set(np.unique(grades)) == {-2, -1, 0, 1, 2}


def test_effects_are_shared_by_whoever_has_them() -> None:
    """Without noise of answers to speak of, what a listener, a block and a start have in common decides."""
    heard = votes_of([(0, 0, 0, 1, 0), (0, 1, 0, 1, 0), (1, 0, 0, 1, 0), (1, 1, 0, 1, 0)])
    rng = np.random.default_rng(0)
    none = {"luck_of_blocks": 0.0, "luck_of_starts": 0.0, "taste": 0.0, "side": 0.0}
    for effect, same in (("taste", [(0, 1), (2, 3)]), ("luck_of_blocks", [(0, 2), (1, 3)])):
        grades = np.sign(ListenerModel(**(none | {effect: 1000.0})).grades(heard, [0.0, 0.0], rng, 300))
        for a in range(4):
            for b in range(a + 1, 4):
                agree = (
                    grades[
                        :,
                        a,
                    ]
                    == grades[:, b]
                ).mean()
                assert agree > 0.95 if (a, b) in same else agree < 0.7


def test_what_is_heard_is_the_pairs_of_the_plan_that_count() -> None:
    plans = [session_plan(FEW, number) for number in range(3)]
    heard = heard_in(FEW, plans)
    pairs = [(index, *each.place, each.first, each.second) for index, plan in enumerate(plans) for each in plan
             if each.kind == PAIR]  # fmt: skip
    columns = (heard.listener, heard.block, heard.start, heard.first, heard.second)
    assert [tuple(row) for row in np.stack(columns, 1).tolist()] == pairs


def test_more_listeners_and_larger_differences_are_found_more_often() -> None:
    powers = [power(MANY, listeners, 0.65, studies=150) for listeners in (6, 15, 40)]
    assert powers == sorted(powers) and powers[0] < powers[-1] - 0.3
    assert power(MANY, 15, 0.6, studies=150) < power(MANY, 15, 0.75, studies=150)
    assert power(MANY, 15, 0.65, studies=150) == powers[1], "the same seed"


def test_no_difference_is_found_as_often_as_chance_allows() -> None:
    found = round(power(MANY, 12, 0.5, studies=300) * 300)
    assert stats.binomtest(found, 300, 0.025, alternative="greater").pvalue > 1e-4, "one direction of two"


def test_the_number_that_is_needed_is_the_first_that_is_enough() -> None:
    needed = listeners_needed(MANY, 0.7)
    assert needed.listeners and needed.power >= 0.8
    assert needed.answers == needed.listeners * MANY.length
    assert power(MANY, needed.listeners, 0.7) == needed.power
    assert power(MANY, needed.listeners // 2, 0.7) < 0.8


def test_blocks_that_are_too_few_for_any_number_of_listeners_are_said_to_be() -> None:
    assert listeners_needed(FEW, 0.9) == Needed(0.9, None, 0, 0.0)
