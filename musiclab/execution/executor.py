"""Executors: one small interface behind which trials run, in this process or on Ray Tune; the first of them is here."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from musiclab.design.trials import TrialSpec
from musiclab.execution.metrics import StudyMetrics
from musiclab.execution.queue import Queue
from musiclab.execution.trial import TrialRunner

# Called with a trial that has ended and, if its worker died, with what is known about that: a line and a log.
OnTrialEnd = Callable[[TrialSpec, tuple[str, str] | None], None]
Say = Callable[[str], None]  # shows a person a line


class Executor(Protocol):
    """Runs the trials that a queue hands out, `workers` at a time."""

    @property
    def workers(self) -> int:
        """How many trials it runs at a time now; on a cluster that changes."""
        ...

    def run(self, queue: Queue, trials: TrialRunner, on_trial_end: OnTrialEnd, say: Say) -> None:
        """Run trials until the queue is empty and none runs; call `on_trial_end` in this process for each.

        A trial that `on_trial_end` puts back into the queue is run again. `say` gets a line if trials have to wait for
        a machine, or if one leaves.

        Raises:
            UserError: the storage cannot be written to any more.
        """
        ...

    def exporting(self, study: str, read: Callable[[], StudyMetrics], say: Say) -> AbstractContextManager[bool]:
        """Export the study's metrics for as long as the context lasts, if there is anybody to collect them.

        Args:
            study: its name.
            read: returns the metrics of now; it is called from another thread.
            say: gets a line if they cannot be exported.

        Returns:
            A context that says whether they are exported.
        """
        ...


class InProcess:
    """Runs one trial after the other in this very process, for breakpoints and whole tracebacks."""

    workers = 1

    def run(self, queue: Queue, trials: TrialRunner, on_trial_end: OnTrialEnd, say: Say) -> None:
        while spec := queue.next():
            queue.place(spec.key)
            trials(spec.to_json(), queue.leads(spec))
            on_trial_end(queue.done(spec.key), None)

    def exporting(self, study: str, read: Callable[[], StudyMetrics], say: Say) -> AbstractContextManager[bool]:
        return contextlib.nullcontext(False)
