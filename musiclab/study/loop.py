"""The loop that hands trials to an executor until none is left, or until it is to stop."""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, Self

from musiclab.design.design import Design
from musiclab.design.trials import TrialSpec
from musiclab.errors import UserError
from musiclab.execution.early_stopping import EarlyStopping
from musiclab.execution.queue import Queue
from musiclab.execution.signals import GracefulShutdown
from musiclab.progress import Progress
from musiclab.sending import Sent
from musiclab.storage.files import Storage
from musiclab.storage.leases import Lease, should_continue
from musiclab.storage.listing import Listing
from musiclab.storage.records import Records

if TYPE_CHECKING:
    from musiclab.execution.executor import Executor


class Run(Protocol):
    """What is run: the trials of a design, or those of a search."""

    records: Records
    design: Design
    failed: dict[str, str]

    @property
    def early_stopping(self) -> EarlyStopping | None:
        """How its trials may end early; None if they do not."""
        ...

    @property
    def todo(self) -> list[TrialSpec]:
        """The trials to run now."""
        ...

    def on_trial_end(self, trial: TrialSpec, death: tuple[str, str] | None, seconds: float) -> str:
        """Note that a trial ended, which workers have had for so long; why to try it again now, or ""."""
        ...

    def has_ended(self, trial: TrialSpec) -> bool:
        """Whether the trial is over for good; else it was stopped."""
        ...

    def leader(self) -> str | None:
        """What is best so far, for a person."""
        ...


class TrialLoop(contextlib.AbstractContextManager["TrialLoop"]):
    """Runs trials; a context in which the first Ctrl-C lets running trials save a checkpoint, and the second quits.

    A request beside the lease, which a page of `musiclab watch` makes, is like the first Ctrl-C.

    Args:
        executor: what runs them.
        lease: of the study; running trials stop when it says so.
        fail_fast: whether to stop at the first trial that has failed for good.
        progress: where it is told.
    """

    def __init__(self, executor: "Executor", lease: Lease, fail_fast: bool, progress: Progress) -> None:
        self._executor, self._lease, self._fail_fast, self._progress = executor, lease, fail_fast, progress
        self._queue: Queue | None = None
        self._shutdown = GracefulShutdown(self._stop_on_signal)
        self.stopped = False

    @property
    def signal(self) -> int:
        """The exit code of the signal that stopped it, or 0."""
        return self._shutdown.code

    @property
    def workers(self) -> int:
        """How many trials run at a time."""
        return self._executor.workers

    @property
    def running(self) -> int:
        """How many trials run now."""
        return len(self._queue.placed) if self._queue is not None else 0

    def __enter__(self) -> Self:
        self._shutdown.__enter__()
        self._lease.obey(self._shutdown.request)
        return self

    def __exit__(self, *error: object) -> None:
        self._shutdown.__exit__(*error)

    def run(self, run: Run, propose: Callable[[], TrialSpec | None] | None = None) -> None:
        """Run what is to do, and then what is proposed while a worker is free."""
        from musiclab.execution.trial import TrialRunner  # brings torch

        todo, left = run.todo, Listing(run.records.storage).trials
        for trial in todo:
            if trial.key in left:
                run.records.forget_failure(trial.key)  # it is tried again
        self._queue = queue = Queue(todo, run.records.stages.done, propose, closed=self.stopped)

        def on_trial_end(trial: TrialSpec, death: tuple[str, str] | None) -> None:
            name = f"{trial.variant.name}, block {trial.block.index}"
            if reason := run.on_trial_end(trial, death, queue.seconds.get(trial.key, 0.0)):
                self._progress.say(f"{name}, is tried again: {reason}")
                queue.waiting.append(trial)
            elif run.has_ended(trial):
                leader = run.leader()
                self._progress.update(note=f"best so far {leader}" if leader else "none finished well")
                if trial.key in run.failed and self._fail_fast and not queue.closed:
                    self._stop(f"Stopping because a trial failed ({name}): running trials finish their epoch.")
            elif not queue.closed:  # its worker was told that nobody runs this study
                raise UserError(self._why_not_seen(run.records.storage), exit_code=1)

        storage, design = run.records.storage, run.design
        own_systems = {name: Sent(type(system)) for name, system in design.own_systems.items()}
        trials = TrialRunner(storage.root, self._lease.name, run.early_stopping, own_systems, design.own_measures)
        self._executor.run(queue, trials, on_trial_end, self._progress.say)

    def _stop(self, why: str) -> None:
        self._progress.say(why)
        self.stopped = True
        if self._queue is not None:
            self._queue.closed = True
        self._lease.stop()

    def _stop_on_signal(self) -> None:
        self._stop("Stopping: running trials finish their epoch and save a checkpoint. Press Ctrl-C again to quit now.")

    def _why_not_seen(self, storage: Storage) -> str:
        """Why a worker, which asks the storage whether to go on, finds no lease there."""
        if should_continue(storage, self._lease.name):
            return f"Workers on other machines do not see --storage {storage.root}; name a place that all of them see."
        return "Another run of this study has taken over, because this one stopped responding."
