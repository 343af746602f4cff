"""A session: one run of a study from its options to its results. It prints nothing but progress."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from musiclab.analysis.answer import best_so_far
from musiclab.analysis.results import Results
from musiclab.design.design import Design
from musiclab.design.spec import StudySpec
from musiclab.design.trials import TrialSpec
from musiclab.errors import UserError, one_line, printable_lines
from musiclab.execution.device import planned_device
from musiclab.execution.queue import Queue
from musiclab.execution.signals import GracefulShutdown
from musiclab.progress import Progress
from musiclab.storage.files import Storage
from musiclab.storage.leases import CLEANING, Lease, LeaseTaken, active_holders, should_continue
from musiclab.storage.records import Records
from musiclab.storage.windows import ensure_store
from musiclab.study.forecast import forecast, setting
from musiclab.study.options import RunOptions, design_of
from musiclab.study.plan_file import PlanFile
from musiclab.study.run import StudyRun, first_blocks
from musiclab.study.staleness import outdated
from musiclab.tracking import Mirror, default_uri, is_own, named_uri

if TYPE_CHECKING:
    from musiclab.execution.executor import Executor

# What runs trials is imported where it is used: it brings torch or Ray, seconds and hundreds of megabytes that --help,
# an error in the options, and the mirror do without.


@dataclass(frozen=True)
class Outcome:
    """What a session has come to.

    Attributes:
        run: the trials that are done, that failed in this session, and that are left.
        results: all that the storage has of the study.
        report: path or URI of `report.html`; None if it could not be written.
        no_report: why it could not, in one line; empty if it was written.
        notes: sentences about what was in the storage before: what is damaged, what cannot be reused.
        tracking: where MLflow shows the study, or why it is behind; may have several lines.
        signal: the exit code of the signal that stopped the session; 0 if none did.
    """

    run: StudyRun
    results: Results
    report: str | None
    no_report: str
    notes: list[str]
    tracking: str
    signal: int


def plan(spec: StudySpec, options: RunOptions) -> str:
    """What would run with these options; nothing is started or written.

    Raises:
        UserError: if anything cannot be right.
    """
    storage = Storage(options.storage)
    _tracking_address(options, storage)  # refuses one that MLflow would not take
    device = planned_device(options.in_process, options.gpus_per_trial)
    return forecast(StudyRun(design_of(spec, options, device), Records(storage)), options)


def _tracking_address(options: RunOptions, storage: Storage) -> str:
    return named_uri(options.tracking_uri) or default_uri(storage)


def run(
    spec: StudySpec,
    options: RunOptions,
    tell: Callable[[str], None] = lambda line: None,
    command: Sequence[str] = (),
) -> Outcome:
    """Run what is missing of a study, and return what it has come to.

    Args:
        spec: the study.
        options: how it is run.
        tell: called before anything runs, with lines that say what is to be run.
        command: the command line of the run, for its plan; empty if there is none.

    Raises:
        UserError: if anything cannot be right, if somebody else runs the study, or if the storage fails.
        KeyboardInterrupt: if it was interrupted before or after its trials ran, or for the second time.
    """
    storage = Storage(options.storage)
    uri = _tracking_address(options, storage)
    device = planned_device(options.in_process, options.gpus_per_trial)
    design, records = design_of(spec, options, device), Records(storage)
    if device == "cpu" and not options.in_process:
        options = replace(options, gpus_per_trial=0.0)  # none is kept busy with trials that leave it idle
    if design.adding:
        first_blocks(design)  # refuses what could show nothing, before anything is written
    tell(f"{spec.name}: {printable_lines(spec.question)}")
    tell(f"{setting(design, options)}, storage {storage.root}")
    _prepare(design, storage)
    try:
        lease = Lease(storage, f"{design.folder}/runner").take()
    except LeaseTaken as holder:
        raise UserError(
            f"{spec.name} is being run in {storage.root} by {holder}; once that has ended, the same command takes "
            "up what is left.",
            exit_code=1,
        ) from None
    with lease:
        if cleaners := active_holders(storage, CLEANING):
            raise UserError(
                f"{storage.root} is being cleaned by {cleaners[0]}; run this once that has ended.", exit_code=1
            )
        study_run = StudyRun(design, records, options.max_failures)
        plan_file = PlanFile(study_run, "" if is_own(uri, storage) else uri, command)
        plan_file.write()
        return _execute(study_run, plan_file, Mirror(storage.root, design.folder, uri), lease, options, tell)


def _execute(
    study_run: StudyRun,
    plan_file: PlanFile,
    mirror: Mirror,
    lease: Lease,
    options: RunOptions,
    tell: Callable[[str], None],
) -> Outcome:
    design, records = study_run.design, study_run.records
    notes = [f"{name} is damaged ({why}); what it stood for is done again." for name, why in records.damage.items()]
    notes += [design.unlocked_code] if design.unlocked_code else []
    notes += outdated(design, records, study_run.todo)
    if design.adding:
        tell(f"blocks are added until every comparison is clear, {design.most} at most")
    for line in [*notes, study_run.progress_summary()]:
        tell(line)
    signal = 0
    with contextlib.ExitStack() as stack:
        # Before the mirror: a cluster that cannot be reached leaves nothing in MLflow.
        executor = stack.enter_context(opened_executor(options)) if study_run.todo else None
        progress = stack.enter_context(Progress("trials", len(study_run.trial_specs), len(study_run.finished)))
        mirror.start(progress.say)
        try:
            if executor:
                signal = run_trials(study_run, plan_file, executor, lease, options.fail_fast, progress)
            results = Results.read(records.storage, design.spec.name, design.edition)
            report, no_report = _write_report(results)
        except KeyboardInterrupt:
            mirror.leave()
            raise
        except BaseException:
            mirror.stop()
            raise
        tracking = mirror.stop()
    return Outcome(study_run, results, report, no_report, notes, tracking, signal)


def run_trials(
    study_run: StudyRun, plan_file: PlanFile, executor: "Executor", lease: Lease, fail_fast: bool, progress: Progress
) -> int:
    """Run what is missing and then, if the study adds blocks, more blocks until every comparison is clear.

    Returns:
        The exit code of the signal that stopped it, or 0.
    """
    from musiclab.execution.trial import TrialRunner

    design, records = study_run.design, study_run.records
    queue = Queue([], records.stages.done)

    def stop(why: str) -> None:
        progress.say(why)
        queue.closed = True
        lease.stop()

    def on_trial_end(trial: TrialSpec, death: tuple[str, str] | None) -> None:
        name = f"{trial.variant.name}, block {trial.block.index}"
        if reason := study_run.on_trial_end(trial, death):
            progress.say(f"{name}, is tried again: {reason}")
            queue.waiting.append(trial)
        elif trial.key in study_run.finished or trial.key in study_run.failed:
            leader = best_so_far(study_run.trial_specs, study_run.finished, design.objective)
            progress.update(note=f"best so far {leader}" if leader else "none finished well")
            if trial.key in study_run.failed and fail_fast and not queue.closed:
                stop(f"Stopping because a trial failed ({name}): running trials finish their epoch.")
        elif not queue.closed:  # its worker was told that nobody runs this study
            raise UserError(_why_not_seen(lease, records.storage), exit_code=1)

    def stop_on_signal() -> None:
        stop("Stopping: running trials finish their epoch and save a checkpoint. Press Ctrl-C again to quit now.")

    with GracefulShutdown(stop_on_signal) as shutdown:
        while not queue.closed and (todo := study_run.todo):
            for trial in todo:
                records.forget_failure(trial.key)  # it is tried again
            queue.waiting = todo
            executor.run(queue, TrialRunner(records.storage.root, lease.name), on_trial_end)
            before = study_run.blocks
            if not queue.closed:
                study_run.add_blocks(executor.workers)
            if study_run.blocks > before:
                plan_file.write()
                progress.expect(len(study_run.todo))
                progress.say(f"not clear after {before} blocks; {study_run.blocks} now, {design.most} at most")
    return shutdown.code if study_run.todo else 0


def _why_not_seen(lease: Lease, storage: Storage) -> str:
    """Why a worker, which asks the storage whether to go on, finds no lease there."""
    if should_continue(storage, lease.name):
        return f"Workers on other machines do not see --storage {storage.root}; name a place that all of them see."
    return "Another run of this study has taken over, because this one stopped responding."


def _write_report(results: Results) -> tuple[str | None, str]:
    """Write the report. Returns where it is and "", or None and why there is none: the answer stands without it."""
    try:
        from musiclab.report.write import write_report

        return write_report(results), ""
    except Exception as error:
        return None, one_line(f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def opened_executor(options: RunOptions) -> Iterator["Executor"]:
    """What runs the trials, connected for as long as the context lasts."""
    if options.in_process:
        from musiclab.execution.executor import InProcess

        yield InProcess()
        return
    from musiclab.execution.ray_tune import RayTune  # Ray takes a second to import, and --in-process does without it

    with RayTune(options.workers, options.gpus_per_trial) as executor:
        yield executor


def _prepare(design: Design, storage: Storage) -> None:
    """Cut the windows that are missing, and make sure before anything starts that every block has enough of them."""
    from musiclab.storage.windows import trial_windows

    checked = set()
    for trial in design.trial_specs_of(design.most):
        config = design.config(trial)
        need = (trial.variant.data, trial.block, config.max_train, config.max_eval, config.starts)
        if need not in checked:
            with _script_hidden():
                ensure_store(design.source, trial.variant.data, config.window_spec, storage)
            trial_windows(storage, trial, config)
            checked.add(need)


@contextlib.contextmanager
def _script_hidden() -> Iterator[None]:
    """Within it, new worker processes do not run the user's script again.

    Python would do so in each of them, and a script that runs a study without `if __name__ == "__main__":` would start
    it once more. Workers that read songs need nothing of the script.
    """
    attributes = vars(sys.modules["__main__"])
    before: dict[str, Any] = {name: attributes[name] for name in ("__file__", "__spec__") if name in attributes}
    attributes.pop("__file__", None)
    attributes["__spec__"] = None
    try:
        yield
    finally:
        attributes.pop("__spec__", None)
        attributes.update(before)
