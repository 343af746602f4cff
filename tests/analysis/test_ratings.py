"""Ratings of single pieces: hand-worked means, and the same verdicts as for pairs."""

import dataclasses
import math

import numpy as np
import pytest

from musiclab.analysis.attendance import attendance
from musiclab.analysis.ratings import rating_results
from musiclab.analysis.statistics import holm, paired_p
from musiclab.analysis.votes import all_ratings
from musiclab.design.listening import RATINGS, REPEAT, SCALES, Place, Presentation
from tests.support.made_listening import made_plan, made_test
from tests.support.made_votes import heard

TEST = made_test(protocol=RATINGS, variants=3, places=tuple(Place(block, 1) for block in range(9)), presentations=10,
                 warm_ups=1, repeats=2)  # fmt: skip
PLAN = made_plan(TEST)
# v0 (the control), v1, v2, the real continuation and shuffled tracks, on a scale.
LEVELS = {"coherence": (3, 4, 3, 5, 1), "structure": (3, 3, 3, 5, 1), "creativity": (4, 3, 4, 2, 2),
          "musicality": (2, 3, 1, 5, 2)}  # fmt: skip


def rate(shown: Presentation) -> dict[str, int]:
    """All listeners agree."""
    return {scale: levels[shown.first] for scale, levels in LEVELS.items()}


def test_ratings_that_all_agree_on_have_their_means_and_verdicts() -> None:
    found = rating_results(PLAN, [heard(PLAN, rate, number) for number in range(9)], resamples=30)
    for index, name in enumerate(("v0", "v1", "v2", "real continuation", "shuffled tracks")):
        for scale in SCALES:
            mean = found.means[name][scale]
            assert (mean.mean, mean.low, mean.high, mean.n) == (*[LEVELS[scale][index]] * 3, 18)
    verdicts = {name: [each[scale].verdict for scale in SCALES] for name, each in found.comparisons.items()}
    same = "no difference shown"
    assert verdicts == {"v1": ["better", same, "worse", "better"], "v2": [same, same, same, "worse"]}
    differences = [found.comparisons["v1"][scale].difference.mean for scale in SCALES]
    assert differences == pytest.approx([1, 0, -1, 1])
    p = [found.comparisons[name][scale].tests.p for name in ("v1", "v2") for scale in SCALES]
    p_holm = [found.comparisons[name][scale].p_holm for name in ("v1", "v2") for scale in SCALES]
    assert p_holm == holm(p), "one family"


def test_a_listener_who_rates_all_higher_says_nothing_for_any_variant() -> None:
    def lenient(shown: Presentation) -> dict[str, int]:
        return dict.fromkeys(SCALES, 5)

    def strict(shown: Presentation) -> dict[str, int]:
        return dict.fromkeys(SCALES, 1 + (shown.first == 1))

    sessions = [heard(PLAN, lenient if number % 2 else strict, number) for number in range(8)]
    found = rating_results(PLAN, sessions, resamples=0)
    assert found.comparisons["v1"]["coherence"].difference.mean == pytest.approx(0.5)
    assert found.means["v1"]["coherence"].mean == pytest.approx(3.5)
    assert found.comparisons["v2"]["coherence"].difference.mean == pytest.approx(0)


def test_what_ratings_say_is_tested_by_listeners_and_by_blocks() -> None:
    rng = np.random.default_rng(2)
    sessions = [heard(PLAN, lambda _: dict(zip(SCALES, rng.integers(1, 6, 4).tolist(), strict=True)), number)
                for number in range(8)]  # fmt: skip
    found = rating_results(PLAN, sessions, resamples=0)
    rated = all_ratings(found.attendance.counted)
    centred = rated.given[:, 0].copy()
    for listener in range(int(rated.listener.max()) + 1):
        centred[rated.listener == listener] -= rated.given[rated.listener == listener, 0].mean()
    of_variant, of_control = rated.condition == 1, rated.condition == 0
    middle = (centred[of_variant].mean() + centred[of_control].mean()) / 2
    says = (centred - middle) * (of_variant.astype(int) - of_control)
    tests = found.comparisons["v1"]["coherence"].tests
    assert tests.listeners == pytest.approx(paired_p(np.bincount(rated.listener, says)))
    assert tests.blocks == pytest.approx(paired_p(np.bincount(rated.block, says)))


def test_nobody_heard_is_nothing_compared() -> None:
    found = rating_results(PLAN, [])
    assert {each.verdict for by_scale in found.comparisons.values() for each in by_scale.values()} == {"not compared"}
    assert all(math.isnan(each.mean) for by_scale in found.means.values() for each in by_scale.values())


def test_who_rates_shuffled_tracks_above_real_music_is_left_out() -> None:
    def upside_down(shown: Presentation) -> dict[str, int]:
        return {scale: 6 - value for scale, value in rate(shown).items()}

    heard_of = attendance(TEST, [heard(PLAN, rate, 0), heard(PLAN, upside_down, 1)])
    assert [(each.reason, each.count, each.of) for each in heard_of.excluded] == [("floor over ceiling", 3, 4)]


def test_repeats_that_are_two_apart_contradict_and_one_apart_are_alike() -> None:
    def again(by: int):
        return lambda shown: dict.fromkeys(SCALES, 3 + by * (shown.kind == REPEAT))

    alike, apart = attendance(TEST, [heard(PLAN, again(1), 0)]), attendance(TEST, [heard(PLAN, again(2), 0)])
    assert (alike.consistency, alike.repeats) == (1.0, 8), "each scale of both repeats"
    assert [(each.reason, each.count, each.of) for each in apart.excluded] == [("contradictions", 8, 8)]
    lenient = dataclasses.replace(TEST, exclusions=dataclasses.replace(TEST.exclusions, contradictions=1.0))
    assert attendance(lenient, [heard(PLAN, again(2), 0)]).consistency == 0.0
