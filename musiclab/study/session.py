"""A session: one run of a study from its options to its answer, and what it tells a person on the way."""

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from musiclab.analysis.answer import best, best_so_far, undecided
from musiclab.analysis.results import Results
from musiclab.design.design import Design
from musiclab.design.spec import StudySpec
from musiclab.design.trials import TrialSpec
from musiclab.errors import UserError, one_line, printable_lines
from musiclab.execution.device import planned_device
from musiclab.execution.queue import Queue
from musiclab.execution.signals import GracefulShutdown
from musiclab.progress import Progress
from musiclab.report.sentences import describe
from musiclab.report.text_table import table
from musiclab.storage.files import Storage
from musiclab.storage.leases import CLEANING, Lease, LeaseTaken, active_holders, should_continue
from musiclab.storage.records import FAILURE_LOG, Records
from musiclab.storage.windows import ensure_store
from musiclab.study.forecast import forecast
from musiclab.study.options import design_of
from musiclab.study.plan_file import PlanFile
from musiclab.study.run import StudyRun, first_blocks
from musiclab.study.staleness import outdated
from musiclab.tracking import Mirror, default_uri, named_uri

if TYPE_CHECKING:
    from musiclab.execution.executor import Executor

# What runs trials is imported where it is used: it brings torch or Ray, seconds and hundreds of megabytes that --help,
# an error in the options, and the mirror do without.


def run(spec: StudySpec, options: argparse.Namespace) -> int:
    """Run a study with these options, and print what it comes to; the exit code."""
    storage = Storage(options.storage)
    uri = named_uri(options.tracking_uri) or default_uri(storage)
    device = planned_device(options.in_process, options.gpus_per_trial)
    if device == "cpu":
        options.gpus_per_trial = 0.0  # none is to be kept busy with trials that leave it idle
    design, records = design_of(spec, options, device), Records(storage)
    if options.plan:
        print(forecast(StudyRun(design, records), options))
        return 0
    if design.adding:
        first_blocks(design)  # refuses what could show nothing, before anything is written
    question = printable_lines(spec.question)
    print(f"{spec.name}: {question}\ndata {options.data}, scale {options.scale}, storage {storage.root}")
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
        running = StudyRun(design, records, options.max_failures)
        plan_file = PlanFile(running, named_uri(options.tracking_uri))
        plan_file.write()
        return _execute(running, plan_file, Mirror(storage.root, design.folder, uri), lease, options)


def _execute(running: StudyRun, plan_file: PlanFile, mirror: Mirror, lease: Lease, options: argparse.Namespace) -> int:
    design, records, found = running.design, running.records, running.found
    if design.adding:
        print(f"blocks are added until every comparison is clear, {design.most} at most")
    print(
        *[f"{name} is damaged ({why}); what it stood for is done again." for name, why in records.damage.items()],
        *([design.unlocked_code] if design.unlocked_code else []),
        *outdated(design, records, running.todo),
        running.progress_summary(),
        sep="\n",
    )
    with contextlib.ExitStack() as stack:
        # Before the mirror: a cluster that cannot be reached leaves nothing in MLflow.
        executor = stack.enter_context(opened_executor(options)) if running.todo else None
        progress = stack.enter_context(Progress("trials", len(running.trial_specs), len(found)))
        mirror.start(progress.say)
        try:
            code = run_trials(running, plan_file, executor, lease, options.fail_fast, progress) if executor else 0
            results = Results.read(records.storage, design.spec.name, design.edition)
            report = _report(results)
        except KeyboardInterrupt:
            mirror.leave()
            raise
        except BaseException:
            mirror.stop()
            raise
        where = mirror.stop()
    print("", table(results.answer), *describe(results.answer), "", sep="\n\n")
    for cell in [cell for cell in running.trial_specs if cell.key in running.failed]:
        log = records.storage.path(f"trials/{cell.key}/{FAILURE_LOG}")
        print(f"failed: {cell.variant.name}, block {cell.block.index}: {running.failed[cell.key]} (log: {log})")
    leader = best(results.answer)
    audible = next((cell for cell in results.trial_specs if cell.variant.name == leader and cell.key in found), None)
    if design.adding and running.blocks == design.most and undecided(results.answer.comparisons):
        print(f"--max-blocks {design.most} is reached; with a larger one the same command goes on from here")
    print(f"records: {records.storage.path('trials')}")
    if audible:
        print(f"listen: {records.storage.path(f'trials/{audible.key}/samples/start-1.mp3')}")
    print(report)
    print(where)
    if running.todo:
        print(f"Stopped: {running.progress_summary()}; the same command goes on from here.")
    return code or (0 if len(found) == len(running.trial_specs) else 1)


def run_trials(
    running: StudyRun, plan_file: PlanFile, executor: "Executor", lease: Lease, fail_fast: bool, progress: Progress
) -> int:
    """Run what is missing, then, where that is asked for, more blocks until it is clear.

    The exit code of a signal that stopped it before, or 0.
    """
    from musiclab.execution.trial import TrialRunner

    design, records = running.design, running.records
    queue = Queue([], records.stages.done)

    def stop(why: str) -> None:
        progress.say(f"{why}: trials under way stop after the epoch they are in, with a checkpoint")
        queue.closed = True
        lease.stop()

    def on_trial_end(cell: TrialSpec, death: tuple[str, str] | None) -> None:
        if reason := running.on_trial_end(cell, death):
            progress.say(f"{cell.variant.name}, block {cell.block.index}, is tried again: {reason}")
            queue.waiting.append(cell)
        elif cell.key in running.found or cell.key in running.failed:
            leader = best_so_far(running.trial_specs, running.found, design.objective)
            progress.update(note=f"best so far {leader}" if leader else "none finished well")
            if cell.key in running.failed and fail_fast and not queue.closed:
                stop("--fail-fast: a trial has failed")
        elif not queue.closed:  # its worker was told that nobody runs this study
            raise UserError(_not_seen(lease, records.storage), exit_code=1)

    with GracefulShutdown(lambda: stop("Ctrl-C again ends it at once. Stopping")) as stopping:
        while not queue.closed and (todo := running.todo):
            for cell in todo:
                records.forget_failure(cell.key)  # it is tried again
            queue.waiting = todo
            executor.run(queue, TrialRunner(records.storage.root, lease.name), on_trial_end)
            before = running.blocks
            if not queue.closed:
                running.add_blocks(executor.workers)
            if running.blocks > before:
                plan_file.write()
                progress.expect(len(running.todo))
                progress.say(f"not clear after {before} blocks; {running.blocks} now, {design.most} at most")
    return stopping.code if running.todo else 0


def _not_seen(lease: Lease, storage: Storage) -> str:
    """Why a worker, which asks the storage whether to go on, finds no lease there."""
    if should_continue(storage, lease.name):
        return f"Workers on other machines do not see --storage {storage.root}; name a place that all of them see."
    return "Another run of this study took this one for dead, which had not answered for long, and is in its place now."


def _report(results: Results) -> str:
    """Write the report, and say where it is; or why there is none: the answer stands without it."""
    try:
        from musiclab.report.write import write_report

        return f"report: {write_report(results)}"
    except Exception as error:
        return f"no report: {one_line(f'{type(error).__name__}: {error}')}"


@contextlib.contextmanager
def opened_executor(options: argparse.Namespace) -> Iterator["Executor"]:
    """What runs the trials, connected for as long as the context lasts."""
    if options.in_process:
        from musiclab.execution.executor import InProcess

        yield InProcess()
        return
    from musiclab.execution.ray_tune import RayTune  # Ray takes a second to import, and --in-process does without it

    with RayTune(options.workers, options.gpus_per_trial) as executor:
        yield executor


def _prepare(design: Design, storage: Storage) -> None:
    """Cut the windows that are not there yet, and make sure before anything starts that every block has enough."""
    from musiclab.storage.windows import trial_windows

    checked = set()
    for cell in design.trial_specs_of(design.most):
        config = design.config(cell)
        need = (cell.variant.data, cell.block, config.max_train, config.max_eval, config.starts)
        if need not in checked:
            ensure_store(design.source, cell.variant.data, config.window_spec, storage)
            trial_windows(storage, cell, config)
            checked.add(need)
