"""What a study has cost so far, and how long the rest takes: from finished trials, as the forecast of a study does."""

from dataclasses import dataclass

from musiclab.analysis.stage_times import StageTimes, work_left
from musiclab.dashboards.live.follower import Follower
from musiclab.design.trials import TrialSpec
from musiclab.wording import counted, duration


@dataclass(frozen=True)
class Timing:
    """Time spent and left.

    Attributes:
        spent: seconds of workers so far.
        left: seconds of workers that the rest takes; None if nothing tells yet.
        workers: how many are at work.
        untimed: whether a step was left out because no trial has timed it yet.
    """

    spent: float
    left: float | None
    workers: int
    untimed: bool = False

    @property
    def left_text(self) -> str:
        """The time left for a person."""
        if self.left is None:
            return "unknown until a trial has finished"
        if not self.left:
            return "nothing is left to run"
        workers = max(1, self.workers)
        verb = "with" if self.workers else "once it runs again, with"
        more = "; plus steps that no trial has timed yet" if self.untimed else ""
        return f"about {duration(self.left / workers)} {verb} {counted(workers, 'worker')}{more}"

    @property
    def price_text(self) -> str:
        """What it costs, in workers' time: so far, and in all."""
        spent = duration(self.spent)
        if not self.left:
            return f"{spent} of workers' time"
        return f"{spent} of workers' time so far, about {duration(self.spent + self.left)} in all"


class Timer:
    """Keeps count of what a study's trials cost. Each finished trial is taken up once."""

    def __init__(self, follower: Follower) -> None:
        self._follower, self._folder = follower, ""
        self._times, self._counted = StageTimes(), set[str]()

    def now(self, left_of_search: float | None = 0.0) -> Timing:
        """What the study has cost and how long its rest takes.

        Args:
            left_of_search: seconds of proposals to come; None if nothing tells.
        """
        follower = self._follower
        if follower.folder != self._folder:
            self._folder, self._times, self._counted = follower.folder, StageTimes(), set()
        for key, cost in follower.costs.items():
            if key not in self._counted:
                self._counted.add(key)
                self._times.add(follower.all_specs[key].variant, cost)
        spent = sum(cost.wall_seconds for cost in follower.costs.values())
        if follower.search:
            ends = follower.search.ends.items()
            planned = follower.all_specs
            spent += sum(end.seconds for number, end in ends if follower.search.proposals[number].key not in planned)
        left, untimed = self._left()
        if left_of_search is None:
            left = None
        elif left is not None:
            left += left_of_search
        return Timing(spent, left, len(follower.workers), untimed)

    def _left(self) -> tuple[float | None, bool]:
        """Seconds that unfinished trials take, less what running ones have done, and whether a step is not timed."""
        follower = self._follower
        unfinished = [spec for spec in follower.trial_specs if not follower.states[spec.key].is_over]
        if not unfinished:
            return 0.0, False
        unknown = set[str]()

        def seconds(spec: TrialSpec, stage: str) -> float:
            took = self._times.seconds(spec.variant, stage)
            if took is None:
                unknown.add(stage)
                return 0.0
            state = follower.states[spec.key]
            is_half_done = state.stage == stage and state.epochs >= state.epoch > 0
            return took * (1 - state.epoch / state.epochs) if is_half_done else took

        left = work_left(unfinished, seconds, follower.is_done)
        return (left, bool(unknown)) if follower.costs else (None, False)
