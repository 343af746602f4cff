"""A session: one run of a study from its options to its results. It prints nothing but progress."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from musiclab.analysis.results import Results
from musiclab.design.design import Design
from musiclab.design.spec import StudySpec
from musiclab.design.trials import TrialSpec
from musiclab.errors import UserError, one_line, printable_lines
from musiclab.execution.device import planned_device
from musiclab.progress import Progress
from musiclab.storage.activity import Activity
from musiclab.storage.files import Storage
from musiclab.storage.leases import CLEANING, Lease, LeaseTaken, active_holders
from musiclab.storage.records import Records
from musiclab.storage.windows import ensure_store
from musiclab.study.forecast import forecast, setting
from musiclab.study.loop import TrialLoop
from musiclab.study.metrics import study_metrics
from musiclab.study.options import RunOptions, design_of
from musiclab.study.plan_file import PlanFile
from musiclab.study.run import StudyRun, first_blocks
from musiclab.study.search_forecast import search_forecast
from musiclab.study.staleness import outdated, outdated_search
from musiclab.tracking import Mirror, default_uri, is_own, named_pages, named_uri

if TYPE_CHECKING:
    from musiclab.execution.executor import Executor
    from musiclab.search.dashboard import Dashboard
    from musiclab.search.run import SearchRun

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
        notes: sentences about what was in the storage before: what is damaged, what cannot be reused or asked again.
        tracking: where MLflow shows the study, or why it is behind; may have several lines.
        signal: the exit code of the signal that stopped the session; 0 if none did.
        dashboard: the command line that shows a search in Optuna's dashboard; empty for other studies.
        left: how far the study is, in words, if something is left to run; empty if all is over.
    """

    run: StudyRun
    results: Results
    report: str | None
    no_report: str
    notes: list[str]
    tracking: str
    signal: int
    dashboard: str = ""
    left: str = ""


def plan(spec: StudySpec, options: RunOptions) -> str:
    """What would run with these options; nothing is started or written.

    Raises:
        UserError: if anything cannot be right.
    """
    storage = Storage(options.storage)
    _tracking_address(options, storage)  # refuses one that MLflow would not take
    device = planned_device(options.in_process, options.gpus_per_trial)
    study_run = StudyRun(design_of(spec, options, device), Records(storage))
    search = study_run.design.search
    return search_forecast(study_run, search, options) if search else forecast(study_run, options)


def _tracking_address(options: RunOptions, storage: Storage) -> str:
    named_pages()  # refuses an address at which nobody could open them
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
    tell(f"{setting(design)}, storage {storage.root}")
    prepare = _Windows(design, storage)
    for trial in design.trial_specs_of(design.most):  # before anything starts
        prepare(trial)
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
        search_run = _search_run(design, records, options.max_failures) if design.search else None
        if search_run:
            design = design.confirming(search_run.confirmed())
        study_run = StudyRun(design, records, options.max_failures)
        plan_file = PlanFile(study_run, "" if is_own(uri, storage) else uri, command)
        plan_file.write()
        mirror = Mirror(storage.root, design.folder, uri)
        activity = Activity(storage, design.folder)
        activity.forget_workers()
        try:
            return _execute(study_run, search_run, plan_file, mirror, lease, options, tell)
        finally:
            activity.forget_workers()


def _execute(
    study_run: StudyRun,
    search_run: "SearchRun | None",
    plan_file: PlanFile,
    mirror: Mirror,
    lease: Lease,
    options: RunOptions,
    tell: Callable[[str], None],
) -> Outcome:
    design, records = study_run.design, study_run.records
    notes = [f"{name} is damaged ({why}); what it stood for is done again." for name, why in records.damage.items()]
    notes += [design.unlocked_code] if design.unlocked_code else []
    notes += outdated_search(design, records) if search_run else []
    notes += outdated(design, records, study_run.todo)
    notes += search_run.notes if search_run else []
    if design.adding:
        tell(f"blocks are added until every comparison is clear, {design.most} at most")
    searching = search_run is not None and not search_run.is_over
    dashboard = _dashboard(records.storage, design.folder) if search_run else None
    for line in [*notes, search_run.progress_summary() if search_run and searching else study_run.progress_summary()]:
        tell(line)
    signal, left = 0, ""
    with contextlib.ExitStack() as stack:
        # Before the mirror: a cluster that cannot be reached leaves nothing in MLflow.
        executor = stack.enter_context(opened_executor(options)) if searching or study_run.todo else None
        progress = stack.enter_context(Progress("trials", *_counts(study_run, search_run)))
        loop: TrialLoop | None = None
        exported = False
        if executor:
            loop = TrialLoop(executor, lease, options.fail_fast, progress)
            read = partial(study_metrics, plan_file, search_run, loop, mirror)
            exported = stack.enter_context(executor.exporting(design.spec.name, read, progress.say))
        mirror.start(progress.say, counting=exported)
        try:
            if loop:
                with loop:
                    if search_run and dashboard and searching:
                        with dashboard.live(progress.say):
                            _search(search_run, loop)
                    is_over = not search_run or search_run.is_over  # asked once, because time may be its budget
                    if search_run and searching and is_over:
                        confirming = design.confirming(search_run.confirmed())
                        plan_file.run = study_run = StudyRun(confirming, records, options.max_failures)
                        plan_file.write()
                    if is_over:
                        run_trials(study_run, plan_file, loop, progress)
                    if study_run.todo or not is_over:
                        signal = loop.signal
                        left = study_run.progress_summary()
                        if search_run and not is_over:
                            left = search_run.progress_summary()
            results = Results.read(records.storage, design.spec.name, design.edition)
            report, no_report = _write_report(results)
            if dashboard:
                dashboard.close(results, progress.say)
        except KeyboardInterrupt:
            mirror.leave()
            raise
        except BaseException:
            mirror.stop()
            raise
        tracking = mirror.stop()
    shown = dashboard.command if dashboard else ""
    return Outcome(study_run, results, report, no_report, notes, tracking, signal, shown, left)


def _search_run(design: Design, records: Records, max_failures: int) -> "SearchRun":
    from musiclab.search.run import SearchRun  # Optuna takes half a second to import

    return SearchRun(design, records, max_failures)


def _dashboard(storage: Storage, folder: str) -> "Dashboard":
    from musiclab.search.dashboard import Dashboard

    return Dashboard(storage, folder)


def _counts(study_run: StudyRun, search_run: "SearchRun | None") -> tuple[int | None, int]:
    """How many trials there are, None if that depends on time, and how many are done."""
    total, done = len(study_run.trial_specs), len(study_run.finished)
    if search_run is None:
        return total, done
    if search_run.is_over:
        return total + len(search_run.ends), done + len(search_run.ends)
    trials = search_run.search.limits.trials
    confirmed = (search_run.search.confirm + 1) * study_run.blocks
    return trials and trials - search_run.spent + len(search_run.proposals) + confirmed, done + len(search_run.ends)


def _search(search_run: "SearchRun", loop: TrialLoop) -> None:
    """Run what is proposed until the budget is spent."""
    prepare = _Windows(search_run.design, search_run.records.storage)

    def propose() -> TrialSpec | None:
        if trial := search_run.propose():
            prepare(trial)
        return trial

    search_run.start()
    loop.run(search_run, propose)


def run_trials(study_run: StudyRun, plan_file: PlanFile, loop: TrialLoop, progress: Progress) -> None:
    """Run what is missing and then, if the study adds blocks, more blocks until every comparison is clear."""
    while not loop.stopped and study_run.todo:
        loop.run(study_run)
        before = study_run.blocks
        if not loop.stopped:
            study_run.add_blocks(loop.workers)
        if study_run.blocks > before:
            plan_file.write()
            progress.expect(len(study_run.todo))
            progress.say(f"not clear after {before} blocks; {study_run.blocks} now, {study_run.design.most} at most")


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


class _Windows:
    """Cuts the windows of trials that are missing, and makes sure that their blocks have enough of them."""

    def __init__(self, design: Design, storage: Storage) -> None:
        self._design, self._storage = design, storage
        self._checked: set[tuple[Any, ...]] = set()

    def __call__(self, trial: TrialSpec) -> None:
        from musiclab.storage.windows import trial_windows

        config = self._design.config(trial)
        need = (trial.variant.data, trial.block, config.max_train, config.max_eval, config.starts)
        if need not in self._checked:
            with _script_hidden():
                ensure_store(self._design.source, trial.variant.data, config.window_spec, self._storage)
            trial_windows(self._storage, trial, config)
            self._checked.add(need)


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
