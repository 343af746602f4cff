"""Executors: one small interface behind which trials run, here or on Ray Tune; this module has the one that is here."""

from collections.abc import Callable
from typing import Protocol

from musiclab.design.trials import TrialSpec
from musiclab.execution.queue import Queue
from musiclab.execution.trial import TrialRunner

# Called with a cell whose run has ended and, where its worker died of it, what is known about that: a line and a log.
OnTrialEnd = Callable[[TrialSpec, tuple[str, str] | None], None]


class Executor(Protocol):
    """Runs what a queue hands out, `workers` cells at a time."""

    workers: int

    def run(self, queue: Queue, trials: TrialRunner, on_trial_end: OnTrialEnd) -> None:
        """Run cells until the queue is empty and nothing runs; call `on_trial_end` in this process for each.

        What `on_trial_end` puts back into the queue is run again. UserError where the storage fails.
        """
        ...


class InProcess:
    """One cell after the other in this very process: breakpoints stop, tracebacks are whole."""

    workers = 1

    def run(self, queue: Queue, trials: TrialRunner, on_trial_end: OnTrialEnd) -> None:
        while cell := queue.next():
            trials(cell.to_json())
            on_trial_end(queue.done(cell.key), None)
