"""Study: a question in one object, and what its command line does with it."""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musiclab.cpus import available_cpus
from musiclab.data.source import Source
from musiclab.data.store import build
from musiclab.data.windows import WindowSpec
from musiclab.errors import exit_with
from musiclab.progress import Progress
from musiclab.study.answer import best, best_so_far, unclear
from musiclab.study.claims import Claim
from musiclab.study.design import Design
from musiclab.study.forecast import forecast
from musiclab.study.mirror import Mirror, check_tracking_uri
from musiclab.study.options import parse_options
from musiclab.study.plan import Cell, Queue
from musiclab.study.records import Records
from musiclab.study.results import Results
from musiclab.study.running import Running
from musiclab.study.shown import in_words
from musiclab.study.space import Space
from musiclab.study.storage import Storage, cache_folder
from musiclab.study.table import table

if TYPE_CHECKING:
    from musiclab.study.execution import Executor

# What runs trials is imported where it is used: it brings torch or Ray, seconds and hundreds of megabytes that --help,
# an error in the options, and the mirror do without.


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question about systems: which values of which fields, on how many paired blocks, judged by what.

    `space` is grids to be crossed, an ablation of components or a list of variants; `system` may stand in it like a
    field, where systems are compared. `control` has the values of the variant that the others are compared with; if
    systems are compared and it names none, each is compared with the one of its own system. An ablation has one of its
    own: the full variant of leave-one-out, else the bare one. `objective` is a measure that has a better direction,
    or one that is best close to real music. `margin`, in the objective's unit, is how
    far apart two variants may be and still count as equivalent; `claims` are the article's statements that the study
    tests. `fixed` changes fields for all variants that have them (a listed variant
    may change them again), `seed` gives the random streams of all blocks. The question itself is the docstring of the
    file it stands in. Nothing is checked before `main`, which has a sentence for what is wrong where an import would
    have a traceback.
    """

    name: str
    system: str = ""
    space: Space
    control: dict[str, Any] = field(default_factory=dict)
    blocks: int
    objective: str
    margin: float | None = None
    claims: list[Claim] = field(default_factory=list)
    fixed: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    question: str = field(default="")

    def __post_init__(self) -> None:
        if not self.question:
            main = sys.modules.get("__main__")
            object.__setattr__(self, "question", (getattr(main, "__doc__", None) or self.name).strip())

    def main(self, argv: list[str] | None = None) -> None:
        """Run the command line and exit: 0 done, 1 a trial failed, 2 a wrong option or input, 130 interrupted."""
        exit_with(lambda: self._run(parse_options(self.question, argv)))

    def _run(self, options: argparse.Namespace) -> int:
        storage = Storage(options.storage)
        uri = _tracking_uri(options, storage)
        design = Design(self, options)
        running = Running(design, Records(storage))
        if options.plan:
            print(forecast(running, options))
            return 0
        print(f"{self.name}: {self.question}\ndata {options.data}, scale {options.scale}, storage {storage.root}")
        _prepare(design, storage)
        design.write(storage)
        return _execute(running, Mirror(storage.root, design.plan_name, uri), options)


def _execute(running: Running, mirror: Mirror, options: argparse.Namespace) -> int:
    design, records, found = running.design, running.records, running.found
    if design.adding:
        print(f"blocks are added until every comparison is clear, {design.most} at most")
    print(f"{len(found)} of {len(design.cells)} trials done, {len(running.todo)} to run")
    with contextlib.ExitStack() as stack:
        # Before the mirror: a cluster that cannot be reached leaves nothing in MLflow.
        executor = stack.enter_context(_executor(options)) if running.todo else None
        progress = stack.enter_context(Progress("trials", len(design.cells), len(found)))
        mirror.start(progress.say)
        try:
            if executor:
                _run_trials(running, executor, progress)
            results = Results.read(records.storage, design.study.name, design.edition)
            report = _report(results)
        finally:
            where = mirror.stop()
    print("", table(results.answer), *in_words(results.answer), "", sep="\n\n")
    for key, cell in running.failed.items():
        reason = results.failures[key]["reason"]
        print(f"failed: {cell.variant.name}, block {cell.block.index}: {reason} (trials/{key}/failed.json)")
    leader = best(results.answer)
    heard = next((cell for cell in results.cells if cell.variant.name == leader and cell.key in found), None)
    if design.adding and design.blocks == design.most and unclear(results.answer.comparisons):
        print(f"--max-blocks {design.most} is reached; with a larger one the same command goes on from here")
    print(f"records: {records.storage.path('trials')}")
    if heard:
        print(f"listen: {records.storage.path(f'trials/{heard.key}/samples/start-1.mp3')}")
    print(report)
    print(where)
    return 0 if len(found) == len(design.cells) else 1


def _run_trials(running: Running, executor: "Executor", progress: Progress) -> None:
    """Run what is missing, then, where that is asked for, more blocks until it is clear."""
    from musiclab.study.trial import Trials

    design, storage = running.design, running.records.storage

    def ended(cell: Cell, _: bool) -> None:
        running.ended(cell)
        leader = best_so_far(design.cells, running.found, design.objective)
        progress.update(note=f"best so far {leader}" if leader else "none finished well")

    while todo := running.todo:
        executor.run(Queue(todo, running.records.stage_done), Trials(storage.root), ended)
        before = design.blocks
        running.add_blocks(executor.workers)
        if design.blocks > before:
            design.write(storage)
            progress.expect(len(running.todo))
            progress.say(f"not clear after {before} blocks; {design.blocks} now, {design.most} at most")


def _report(results: Results) -> str:
    """Write the report, and say where it is; or why there is none: the answer stands without it."""
    try:
        from musiclab.study.report import write_report

        return f"report: {write_report(results)}"
    except Exception as error:
        return f"no report: {' '.join(f'{type(error).__name__}: {error}'.split())[:300]}"


@contextlib.contextmanager
def _executor(options: argparse.Namespace) -> Iterator["Executor"]:
    if options.in_process:
        from musiclab.study.execution import InProcess

        yield InProcess()
        return
    from musiclab.study.ray_tune import RayTune  # Ray takes a second to import, and --in-process does without it

    with RayTune(options.workers, options.gpus_per_trial) as executor:
        yield executor


def _tracking_uri(options: argparse.Namespace, storage: Storage) -> str:
    """MLflow's address: the option's, the environment's, else a database beside the records."""
    named = options.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if named:
        return check_tracking_uri(named)
    return f"sqlite:///{(Path(storage.root) if storage.is_local else cache_folder()) / 'mlflow.db'}"


def _prepare(design: Design, storage: Storage) -> None:
    """Cut the windows that are not there yet, and make sure before anything starts that every block has enough."""
    from musiclab.study.trial import trial_windows

    checked = set()
    for cell in design.cells_of(design.most):
        config = design.config(cell)
        need = (cell.variant.data, cell.block, config.max_train, config.max_eval, config.starts)
        if need not in checked:
            _ensure_store(design.source, cell.variant.data, config.window_spec, storage)
            trial_windows(storage, cell, config)
            checked.add(need)


def _ensure_store(source: Source, fingerprint: str, spec: WindowSpec, storage: Storage) -> None:
    """Cut the songs into the windows that a variant needs, where that has not been done."""
    name = f"data/{fingerprint}"
    if storage.is_local:
        build(source, spec, storage.local("data"), workers=available_cpus())
    elif not storage.exists(f"{name}/songs.json"):
        built = build(source, spec, cache_folder() / "data", workers=available_cpus())
        storage.upload(built.folder, name, last="songs.json")
