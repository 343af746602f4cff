"""How long the stages of trials take, by what finished trials took, and how much work is left."""

import statistics
from collections.abc import Callable, Iterable

from musiclab.design.trials import TrialSpec, Variant
from musiclab.storage.trial_documents import TrialCost

SAMPLES = "samples"  # what a trial does last, beside its stages


class StageTimes:
    """Seconds of stages in finished trials, by variant and by system."""

    def __init__(self) -> None:
        self._took: dict[tuple[str, str], list[float]] = {}
        self._medians: dict[tuple[str, str], float] = {}

    def add(self, variant: Variant, cost: TrialCost) -> None:
        """Take up what a finished trial of the variant cost."""
        for stage, seconds in cost.seconds.items():
            for owner in (variant.name, variant.system):
                self._took.setdefault((owner, stage), []).append(seconds)
                self._medians.pop((owner, stage), None)

    def seconds(self, variant: Variant, stage: str) -> float | None:
        """The median of a stage in trials of the variant, else in those of its system; None if there is none."""
        for owner in (variant.name, variant.system):
            if took := self._took.get((owner, stage)):
                if (owner, stage) not in self._medians:
                    self._medians[owner, stage] = statistics.median(took)
                return self._medians[owner, stage]
        return None


def work_left(
    trials: Iterable[TrialSpec], seconds: Callable[[TrialSpec, str], float], is_done: Callable[[str], bool]
) -> float:
    """Seconds of the missing steps of these trials in all; a stage that trials share counts once.

    Args:
        trials: without those that have finished.
        seconds: how long a stage of a trial takes, or its samples.
        is_done: whether the stage of a key is there.
    """
    total, seen = 0.0, set[str]()
    for trial in trials:
        for stage, key in [*trial.stages.items(), (SAMPLES, "")]:
            if key and (key in seen or is_done(key)):
                continue
            seen.add(key)
            total += seconds(trial, stage)
    return total
