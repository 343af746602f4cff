"""What a study says of itself in numbers while it runs, for whoever collects metrics."""

from dataclasses import dataclass, replace

# Every trial is in one of these. `stopped` are those that are left when the run is over.
STATES = ("waiting", "running", "finished", "pruned", "failed", "stopped")


@dataclass(frozen=True)
class StudyMetrics:
    """A study at one moment of a run.

    Attributes:
        trials: how many are in each of STATES; they add up to all of the study so far.
        failures: how often a trial has failed in this run, those that were tried again included.
        mirror_behind: how many points the storage has and MLflow lacks; None if that is not known yet.
    """

    trials: dict[str, int]
    failures: int
    mirror_behind: int | None

    @property
    def over(self) -> "StudyMetrics":
        """The same when the run is over: what waits or runs is left."""
        left = self.trials["waiting"] + self.trials["running"]
        return replace(self, trials=self.trials | {"waiting": 0, "running": 0, "stopped": left})
