"""The queue: decides which trial may run now, so that no two running trials compute the same stage."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from musiclab.design.trials import TrialSpec

_ASK_AGAIN_S = 0.5
_MOST_PROPOSED = 4  # proposals that wait for another trial's stage
# The fields that decide which windows of a block are compared.
_WINDOWS = ("max_train", "max_eval", "starts", "continuation")


@dataclass
class Queue:
    """Hands out trials so that no two running ones compute the same stage, and no worker waits for another.

    A trial is ready if none of its missing stages is being computed by another. If none is ready, the queue asks now
    and then whether what the others wait for is there: a stage that trials share releases them before the trial that
    computes it has ended.

    Attributes:
        waiting: the trials to run.
        propose: makes another trial to run while none is ready, or returns None if there are no more; None if all
            trials are known.
        finished: tells whether the stage of a key exists. Answers are kept until a trial ends, or until no trial is
            ready.
        closed: nothing more is handed out, because the study is to stop.
        running: the trials that were handed out and have not ended, by key.
        placed: when a worker began each of those that one runs, by the clock of this process; the others wait for a
            machine of the cluster.
        seconds: how long workers have had each trial, all its tries together, by key; without the try that runs now.
    """

    waiting: list[TrialSpec]
    finished: Callable[[str], bool]
    propose: Callable[[], TrialSpec | None] | None = None
    closed: bool = False
    running: dict[str, TrialSpec] = field(default_factory=dict)
    placed: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    _finished: dict[str, bool] = field(default_factory=dict)
    _asked_at: float = float("-inf")
    _led: set[tuple[Any, ...]] = field(default_factory=set)

    def next(self, may_propose: bool = True) -> TrialSpec | None:
        """Hand out a trial that is ready; None if there is none now, or if the queue is closed.

        Args:
            may_propose: whether to propose one if none waits.
        """
        if self.closed:
            return None
        spec = self._ready() or self._released() or (self._proposed() if may_propose else None)
        if spec:
            self.waiting.remove(spec)
            self.running[spec.key] = spec
        return spec

    def leads(self, spec: TrialSpec) -> bool:
        """Whether a trial that was just handed out is the first of its block: it works out the block's baselines.

        It does so before it trains. Other trials need them only after their training, so that none waits for it.
        """
        block = (spec.block, spec.variant.data, *(spec.variant.config.get(name) for name in _WINDOWS))
        leads = block not in self._led
        self._led.add(block)
        return leads

    def place(self, key: str) -> None:
        """Note that a worker begins the trial of that key, which was handed out."""
        self.placed[key] = time.monotonic()

    def done(self, key: str) -> TrialSpec:
        """Note that the trial of that key has ended, in success or failure, and return it."""
        self._forget(self._finished)
        if (began := self.placed.pop(key, None)) is not None:
            self.seconds[key] = self.seconds.get(key, 0.0) + time.monotonic() - began
        return self.running.pop(key)

    def put_back(self, key: str) -> TrialSpec:
        """Let the trial of that key, which was interrupted, be the next that is handed out, and return it."""
        spec = self.done(key)
        self.waiting.insert(0, spec)
        return spec

    def __bool__(self) -> bool:
        """Whether a trial may still be handed out: one that waits, is to be proposed, or runs and may be retried."""
        return not self.closed and bool(self.waiting or self.running or self.propose)

    def _ready(self) -> TrialSpec | None:
        in_progress = self._in_progress()
        return next((spec for spec in self.waiting if in_progress.isdisjoint(self._missing(spec))), None)

    def _proposed(self) -> TrialSpec | None:
        """A new trial that is ready; those that are not, because they share a stage with a running one, wait."""
        while self.propose is not None and len(self.waiting) < _MOST_PROPOSED:
            if (spec := self.propose()) is None:
                self.propose = None
                break
            self.waiting.append(spec)
            if ready := self._ready():
                return ready
        return None

    def _released(self) -> TrialSpec | None:
        """A trial that is ready because what it waited for is there now; the storage is not asked all the time."""
        if not self.waiting or time.monotonic() < self._asked_at + _ASK_AGAIN_S:
            return None
        self._forget(self._in_progress())
        spec, self._asked_at = self._ready(), time.monotonic()
        return spec

    def _in_progress(self) -> set[str]:
        return {key for spec in self.running.values() for key in self._missing(spec)}

    def _missing(self, spec: TrialSpec) -> set[str]:
        for key in spec.stages.values():
            if key not in self._finished:
                self._finished[key] = self.finished(key)
        return {key for key in spec.stages.values() if not self._finished[key]}

    def _forget(self, keys: Iterable[str]) -> None:
        """Ask again whether these exist, except those that did."""
        for key in list(keys):
            if not self._finished[key]:
                del self._finished[key]
