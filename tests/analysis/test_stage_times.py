"""How long stages take and how much work is left, from made costs."""

from musiclab.analysis.stage_times import SAMPLES, StageTimes, work_left
from musiclab.design.trials import TrialSpec, Variant
from musiclab.training.streams import Block
from tests.support.made_records import made_cost

A, B = (Variant("vae_nn", {"a": value}, {}, "d") for value in (1, 2))


def _trial(variant: Variant, block: int, vae: str) -> TrialSpec:
    return TrialSpec(variant, Block(block, block), {"vae": vae, "measure": f"{variant.name}{block}"})


def test_a_stage_takes_the_median_of_its_variant_else_of_its_system() -> None:
    times = StageTimes()
    assert times.seconds(A, "vae") is None
    for seconds in (1.0, 2.0, 9.0):
        times.add(A, made_cost(seconds={"vae": seconds}))
    assert times.seconds(A, "vae") == times.seconds(B, "vae") == 2.0
    times.add(B, made_cost(seconds={"vae": 30.0}))
    assert times.seconds(B, "vae") == 30.0
    assert times.seconds(A, "vae") == 2.0
    assert times.seconds(Variant("vae_nn", {"a": 3}, {}, "d"), "vae") == 5.5
    assert times.seconds(Variant("gan", {}, {}, "d"), "vae") is None


def test_work_that_trials_share_counts_once_and_what_is_done_not_at_all() -> None:
    took = {"vae": 10.0, "measure": 2.0, SAMPLES: 1.0}
    trials = [_trial(A, 0, "x"), _trial(B, 0, "x"), _trial(A, 1, "y")]
    assert work_left(trials, lambda spec, stage: took[stage], lambda key: False) == 2 * 10 + 3 * 3
    assert work_left(trials, lambda spec, stage: took[stage], lambda key: key == "y") == 10 + 3 * 3
    assert work_left([], lambda spec, stage: took[stage], lambda key: False) == 0
