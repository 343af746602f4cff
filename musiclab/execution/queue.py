"""The queue: decides which trial may run now, so that no two running trials compute the same stage."""

from collections.abc import Callable
from dataclasses import dataclass, field

from musiclab.design.trials import TrialSpec


@dataclass
class Queue:
    """Hands out trials so that no two running ones compute the same stage, and no worker waits for another.

    A trial is ready if none of its missing stages is being computed by another.

    Attributes:
        waiting: the trials to run. A search that does not know its trials in advance adds them here.
        finished: tells whether the stage of a key exists. Answers are kept until a trial ends, because only that can
            change them.
        closed: nothing more is handed out, because the study is to stop.
        running: the trials that were handed out and have not ended, by key.
    """

    waiting: list[TrialSpec]
    finished: Callable[[str], bool]
    closed: bool = False
    running: dict[str, TrialSpec] = field(default_factory=dict)
    _finished: dict[str, bool] = field(default_factory=dict)

    def next(self) -> TrialSpec | None:
        """Hand out a trial that is ready; None if there is none now, or if the queue is closed."""
        if self.closed:
            return None
        in_progress = {key for spec in self.running.values() for key in self._missing(spec)}
        for spec in self.waiting:
            if in_progress.isdisjoint(self._missing(spec)):
                self.waiting.remove(spec)
                self.running[spec.key] = spec
                return spec
        return None

    def done(self, key: str) -> TrialSpec:
        """Note that the trial of that key has ended, in success or failure, and return it."""
        self._finished = {stage: True for stage, exists in self._finished.items() if exists}
        return self.running.pop(key)

    def __bool__(self) -> bool:
        """Whether a trial may still be handed out: one that waits, or one that runs and may be retried."""
        return not self.closed and bool(self.waiting or self.running)

    def _missing(self, spec: TrialSpec) -> set[str]:
        for key in spec.stages.values():
            if key not in self._finished:
                self._finished[key] = self.finished(key)
        return {key for key in spec.stages.values() if not self._finished[key]}
