"""Measures beside ears: a measure that hears as listeners do, its opposite, and one that knows nothing."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from musiclab.analysis.ears import HeardStudy, beside_ears, heard_study
from musiclab.analysis.preferences import preferences
from musiclab.design.listening import Place
from musiclab.design.trials import TrialSpec, Variant
from musiclab.storage.trial_documents import TrialRecord
from musiclab.training.streams import Block
from tests.support.made_listening import made_plan, made_test
from tests.support.made_records import made_record
from tests.support.made_votes import heard, prefers, votes_of

BLOCKS = 6
PLAN = made_plan(made_test(variants=4, places=tuple(Place(block, 1) for block in range(BLOCKS)), presentations=30))
# Listeners prefer v2, then v0, v3 and v1.
ORDER = [4, 2, 0, 3, 1, 5]


def _study(scores: dict[int, dict[str, float]], baselines: dict[str, float] | None = None) -> HeardStudy:
    """What listeners of `ORDER` have heard, with these measures of each variant on every block."""
    trials, records = [], {}
    for variant, measures in scores.items():
        for block in range(BLOCKS):
            made = Variant("vae_nn", {}, {}, "d", label=f"v{variant}")
            spec = TrialSpec(made, Block(0, block), {"measure": f"k{variant}{block}"})
            trials.append(spec)
            records[spec.key] = made_record(measures, baselines or {}, key=spec.key)
    found = preferences(PLAN, [heard(PLAN, prefers(ORDER), number) for number in range(4)], resamples=0)
    study = heard_study(found, trials, records)
    assert study
    return study


def test_a_measure_that_orders_as_listeners_do_and_one_that_orders_the_other_way() -> None:
    right = {0: 2.0, 1: 4.0, 2: 1.0, 3: 3.0}
    study = _study({variant: {"set/frechet": value, "set/coverage": value} for variant, value in right.items()})
    found = beside_ears([study], resamples=40)
    frechet, coverage = found["set/frechet"], found["set/coverage"]
    assert (frechet.picked.mean, frechet.picked.low, frechet.picked.high) == (1, 1, 1), "lower is better"
    assert (frechet.rank.mean, frechet.rank.n, frechet.studies) == (1, 6, 1)
    assert (coverage.picked.mean, coverage.rank.mean) == (0, -1), "higher is better"
    assert frechet.picked.n == coverage.picked.n == 4 * 30 * 6 / 15, "votes between two variants"
    assert [*found] == ["set/coverage", "set/frechet"] or [*found] == ["set/frechet", "set/coverage"]


def test_a_measure_that_does_not_tell_variants_apart_picks_half() -> None:
    found = beside_ears([_study({variant: {"set/frechet": 1.0} for variant in range(4)})], resamples=10)
    assert found["set/frechet"].picked.mean == 0.5
    assert found["set/frechet"].rank.mean == 0


def test_a_measure_is_as_good_as_it_is_close_to_real_music_if_that_is_the_aim() -> None:
    values = {0: 0.4, 1: 0.9, 2: 0.5, 3: 0.8}  # from 0.5: 0.1, 0.4, 0, 0.3
    study = _study(
        {variant: {"music/empty_bars": value} for variant, value in values.items()}, {"music/empty_bars": 0.5}
    )
    assert beside_ears([study], resamples=5)["music/empty_bars"].picked.mean == 1


def test_measures_that_only_describe_or_that_one_variant_has_are_left_out() -> None:
    study = _study({0: {"latent/kl": 1.0, "set/frechet": 1.0}, 1: {"latent/kl": 2.0}, 2: {}, 3: {}})
    assert beside_ears([study]) == {}


def test_the_rank_correlation_is_kendalls() -> None:
    values = {0: 1.0, 1: 5.0, 2: 3.0, 3: 2.0}
    study = _study({variant: {"set/frechet": value} for variant, value in values.items()})
    strength = {2: 4, 0: 3, 3: 2, 1: 1}
    expected = stats.kendalltau([-values[v] for v in range(4)], [strength[v] for v in range(4)]).statistic
    found = beside_ears([study], resamples=30)["set/frechet"]
    assert found.rank.mean == pytest.approx(expected)
    assert (found.rank.low, found.rank.high) == pytest.approx((expected, expected)), "all agree on every block"


def test_a_vote_is_picked_by_the_scores_of_its_own_block_and_equal_votes_are_left_out() -> None:
    cast = votes_of([(0, 0, 0, 1, 1.0), (1, 0, 1, 0, 0.0), (0, 3, 0, 1, 1.0), (1, 3, 0, 1, 0.5), (1, 3, 0, 1, 0.0)])
    scores = np.array([[2.0, 1.0], [1.0, 2.0], [np.nan, np.nan]])
    study = HeardStudy(cast, 3, (0, 1), (0, 3), {"set/frechet": scores}, seed=0)
    found = beside_ears([study], resamples=100)["set/frechet"]
    assert (found.picked.mean, found.picked.n) == (3 / 4, 4)
    assert found.picked.low < 3 / 4 < found.picked.high or found.picked.high == 1
    without = dataclasses.replace(study, scores={"set/frechet": np.array([[2.0, np.nan], [1.0, 2.0], [np.nan] * 2])})
    assert (
        beside_ears([without], 10)["set/frechet"].picked.mean,
        beside_ears([without], 10)["set/frechet"].picked.n,
    ) == (1, 2)


def test_studies_are_pooled_vote_by_vote_and_pair_by_pair() -> None:
    right = {0: 2.0, 1: 4.0, 2: 1.0, 3: 3.0}
    good = _study({variant: {"set/frechet": value} for variant, value in right.items()})
    bad = HeardStudy(votes_of([(0, 0, 0, 1, 1.0), (1, 1, 0, 1, 1.0)]), 2, (0, 1), (0, 1),
                     {"set/frechet": np.array([[0.0, 0.0], [1.0, 1.0]])}, seed=1)  # fmt: skip
    found = beside_ears([good, bad], resamples=20)["set/frechet"]
    assert found.studies == 2
    assert (found.picked.mean, found.picked.n) == (48 / 50, 50)
    assert (found.rank.mean, found.rank.n) == (pytest.approx(5 / 7), 7)


def test_nobody_heard_is_no_study() -> None:
    records: dict[str, TrialRecord] = {}
    assert heard_study(preferences(PLAN, []), [], records) is None
    assert beside_ears([]) == {}


def test_one_listener_has_no_interval() -> None:
    study = _study({0: {"set/frechet": 1.0}, 1: {"set/frechet": 2.0}, 2: {}, 3: {}})
    alone = dataclasses.replace(study, votes=votes_of([(0, 0, 0, 1, 1.0), (0, 1, 0, 1, 1.0)]), blocks=(0, 1), scores={
        "set/frechet": study.scores["set/frechet"][:, :2]})  # fmt: skip
    found = beside_ears([alone])["set/frechet"]
    assert found.picked.mean == 1 and math.isnan(found.picked.low)
