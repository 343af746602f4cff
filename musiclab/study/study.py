"""Study: a question in one object, and what its command line does with it."""

import argparse
import contextlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musiclab import __version__
from musiclab.data.sources import Source, open_source
from musiclab.data.store import build, store_fingerprint
from musiclab.data.windows import WindowSpec
from musiclab.errors import UserError
from musiclab.measures.registry import find_measure
from musiclab.progress import Progress, duration
from musiclab.study.answer import answer, best, sentence, table, underpowered
from musiclab.study.mirror import Mirror, check_tracking_uri
from musiclab.study.options import parse_options
from musiclab.study.plan import Cell, Queue, Variant, cells, edition, sharing
from musiclab.study.records import Records
from musiclab.study.space import Grid, grid_variants
from musiclab.study.statistics import ALPHA, blocks_needed, smallest_p
from musiclab.study.storage import Storage, cache_folder
from musiclab.systems import find_system
from musiclab.training.streams import Block

if TYPE_CHECKING:
    from musiclab.study.execution import Executor

# What runs trials is imported where it is used: it brings torch or Ray, seconds and hundreds of megabytes that --help,
# an error in the options, and the mirror do without.


@dataclass(frozen=True)
class Study:
    """A question about a system: which values of which fields, on how many paired blocks, judged by what.

    `control` names the variant that the others are compared with, `objective` a measure that has a better direction,
    `seed` the random streams of all blocks. The question itself is the docstring of the file it stands in. Nothing is
    checked before `main`, which has a sentence for what is wrong where an import would have a traceback.
    """

    name: str
    system: str
    space: dict[str, Grid]
    control: dict[str, Any]
    blocks: int
    objective: str
    seed: int = 0
    question: str = field(default="")

    def __post_init__(self) -> None:
        if not self.question:
            main = sys.modules.get("__main__")
            object.__setattr__(self, "question", (getattr(main, "__doc__", None) or self.name).strip())

    def main(self, argv: list[str] | None = None) -> None:
        """Run the command line and exit: 0 done, 1 a trial failed, 2 a wrong option or input, 130 interrupted."""
        try:
            code = self._run(parse_options(self.question, argv))
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            code = error.exit_code
        except KeyboardInterrupt:
            print("\nInterrupted; the same command goes on from here.", file=sys.stderr)
            code = 130
        sys.exit(code)

    def _run(self, options: argparse.Namespace) -> int:
        storage = Storage(options.storage)
        uri = _tracking_uri(options, storage)
        design = _Design(self, options)
        records = Records(storage)
        if options.plan:
            print(_plan_text(self, design, records, options))
            return 0
        print(f"{self.name}: {self.question}\ndata {options.data}, scale {options.scale}, storage {storage.root}")
        for cell in design.cells[: len(design.variants)]:
            _ensure_store(design.source, cell.variant.data, design.config(cell).window_spec, storage)
        from musiclab.study.trial import trial_windows

        for cell in design.cells:  # before anything starts: every block must have what it needs
            trial_windows(storage, cell, design.config(cell))
        plan = design.write(storage)
        return _execute(design, records, storage, Mirror(storage.root, plan, uri), options)


class _Design:
    """A study with a command line's options applied: its variants and cells on a data source."""

    def __init__(self, study: Study, options: argparse.Namespace) -> None:
        _check(study)
        combinations = grid_variants(study.space)
        self.study = study
        self.system = find_system(study.system)
        self.objective = find_measure(study.objective)
        if self.objective.better == "real":
            raise UserError(f"{study.objective} has no better direction, so it cannot be an objective; try frechet.")
        fixed = dict(options.set)
        for name in fixed:
            self.system.config.spec(name)
            if name in study.space:
                raise UserError(f"--set {name} is not possible: {study.name} compares values of {name}.")
        base = self.system.config().with_values(self.system.presets[options.scale] | fixed)
        self.base = {name: value for name, value in base.to_json().items() if name not in study.space}
        self.source: Source = open_source(options.data)
        self.variants = [self._variant(base, values) for values in combinations]
        for name, times in Counter(variant.name for variant in self.variants).items():
            if times > 1:
                raise UserError(f"{study.name} has the variant {name} {times} times; each value of a Grid stands once.")
        control = {name: self.system.config.value(name, value) for name, value in study.control.items()}
        named = [variant for variant in self.variants if variant.values == control]
        if not named:
            raise UserError(f"control takes one variant of the space with all its fields, not {study.control}.")
        self.control = named[0].name
        self.blocks = [Block(study.seed, index) for index in range(options.blocks or study.blocks)]
        self.cells = cells(self.system, self.variants, self.blocks)
        self._command = sys.argv

    def _variant(self, base: Any, values: dict[str, Any]) -> Variant:
        config = base.with_values(values)
        values = {name: getattr(config, name) for name in values}
        return Variant(values, config.to_json(), store_fingerprint(self.source, config.window_spec))

    def config(self, cell: Cell) -> Any:
        """The system's typed config of a cell."""
        return self.system.config(**cell.variant.config)

    def write(self, storage: Storage) -> str:
        """Write the plan that the mirror and reports follow; its name in the storage."""
        name = edition(self.study.name, self.system, self.base, self.source.fingerprint(), self.study.seed)
        plan = {
            "study": self.study.name,
            "question": self.study.question,
            "edition": name,
            "system": self.system.name,
            "base": self.base | {"data": self.source.spec, "seed": self.study.seed},
            "control": self.control,
            "objective": self.objective.full_name,
            "cells": [cell.to_json() for cell in self.cells],
            "began": time.time(),
            "command": self._command,
            "environment": {
                "musiclab": __version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "commit": _commit(),
            },
        }
        path = f"studies/{self.study.name}/{name}/plan.json"
        storage.write(path, json.dumps(plan, indent=1).encode())
        return path


def _check(study: Study) -> None:
    """UserError where the study's own fields, those that systems and measures do not know of, cannot be right."""
    if not (isinstance(study.name, str) and re.fullmatch(r"\w[\w.-]*", study.name)):
        raise UserError(
            f"A study's name, which names folders, takes letters, digits, '_', '-', '.', not {study.name!r}."
        )
    for name, low in (("blocks", 1), ("seed", 0)):
        value = getattr(study, name)
        if not isinstance(value, int) or value < low:
            raise UserError(f"A study's {name} takes a whole number of at least {low}, not {value!r}.")
    if not isinstance(study.control, dict):
        raise UserError(f"control takes fields with their values, such as {{'latent_dim': 16}}, not {study.control!r}.")


def _execute(design: _Design, records: Records, storage: Storage, mirror: Mirror, options: argparse.Namespace) -> int:
    found = {cell.key: record for cell in design.cells if (record := records.get(cell.key))}
    todo = [cell for cell in design.cells if cell.key not in found]
    print(f"{len(found)} of {len(design.cells)} trials done, {len(todo)} to run")
    failed: dict[str, Cell] = {}

    def summary() -> Any:
        return answer(design.cells, found, design.control, design.objective)

    def ended(cell: Cell, well: bool) -> None:
        record = records.get(cell.key)
        if well and record:
            found[cell.key] = record
        else:
            failed[cell.key] = cell
        leader = best(summary())
        progress.update(note=f"best so far {leader}" if leader else "none finished well")

    from musiclab.study.trial import Trials

    with Progress("trials", len(design.cells), len(found)) as progress:
        mirror.start(progress.say)
        try:
            if todo:
                with _executor(options) as executor:
                    executor.run(Queue(todo, records.stage_done), Trials(design.system.name, storage.root), ended)
        finally:
            where = mirror.stop()
    result = summary()
    print(f"\n{table(result)}\n\n{sentence(result)}\n")
    for cell in failed.values():
        reason = (records.failure(cell.key) or {"reason": "its worker died again and again"})["reason"]
        print(f"failed: {cell.variant.name}, block {cell.block.index}: {reason} (trials/{cell.key}/failed.json)")
    leader = next((cell for cell in design.cells if cell.variant.name == best(result) and cell.key in found), None)
    print(f"records: {storage.path('trials')}")
    if leader:
        print(f"listen: {storage.path(f'trials/{leader.key}/samples/start-1.mp3')}")
    print(where)
    return 1 if failed else 0


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


def _ensure_store(source: Source, fingerprint: str, spec: WindowSpec, storage: Storage) -> None:
    """Cut the songs into the windows that a variant needs, where that has not been done."""
    name = f"data/{fingerprint}"
    if storage.is_local:
        build(source, spec, storage.local("data"), workers=os.cpu_count() or 1)
    elif not storage.exists(f"{name}/songs.json"):
        built = build(source, spec, cache_folder() / "data", workers=os.cpu_count() or 1)
        storage.upload(built.folder, name, last="songs.json")


def _plan_text(study: Study, design: _Design, records: Records, options: argparse.Namespace) -> str:
    """What would run and what is there, how long it takes, and whether the blocks can show anything."""
    todo = [cell for cell in design.cells if not records.get(cell.key)]
    done, comparisons = len(design.cells) - len(todo), len(design.variants) - 1
    lines = [
        f"{study.name}: {study.question}",
        f"{len(design.variants)} variants x {len(design.blocks)} blocks = {len(design.cells)} trials: "
        f"{done} done, {len(todo)} to run",
    ]
    for variant in design.variants:
        left = sum(cell.variant.name == variant.name for cell in todo)
        role = " (control)" if variant.name == design.control else ""
        lines.append(f"  {variant.name}{role}: {len(design.blocks) - left} done, {left} to run")
    for stage, (times, needed) in list(sharing(todo, records.stage_done).items())[:-1]:  # all but measure: never shared
        lines.append(f"stage {stage}: runs {times} time{'' if times == 1 else 's'} for {needed} trials")
    lines.append(_time_text(design, records, todo, options))
    if comparisons:
        p = smallest_p(len(design.blocks), comparisons)
        enough = f"suffice: the smallest p attainable is {p:.3g} (Holm, {comparisons} comparisons; {ALPHA:g} is needed)"
        lines.append(
            f"{len(design.blocks)} blocks {enough}." if p <= ALPHA else underpowered(len(design.blocks), comparisons)
        )
        if p > ALPHA:
            lines.append(f"Add --blocks {blocks_needed(comparisons)}.")
    return "\n".join(lines)


def _time_text(design: _Design, records: Records, todo: list[Cell], options: argparse.Namespace) -> str:
    """The time left: finished trials' own where there are some, else a few training steps timed here."""
    if not todo:
        return "time: nothing is left to run"
    took = {}
    for cell in design.cells:
        run = records.run(cell.key)
        if run and not run["reused"]:
            took.setdefault(cell.variant.name, []).append(run["ended"] - run["began"])
    seconds, basis = 0.0, "finished trials"
    timed: dict[str, float] = {}
    for cell in todo:
        name = cell.variant.name
        if name not in took and name not in timed:
            windows = _training_windows(design, cell, records.storage)
            if windows is None:
                return "time: not known before the windows are built (musiclab data build)"
            timed[name] = design.system.estimated_seconds(design.config(cell), windows)
            basis = "a few training steps timed on this machine"
        seconds += statistics.median(took[name]) if name in took else timed[name]
    workers = 1 if options.in_process else min(len(todo), options.workers or os.cpu_count() or 1)
    plural = "" if workers == 1 else "s"
    return f"time: about {duration(seconds / workers)} with {workers} worker{plural} like this machine's (from {basis})"


def _training_windows(design: _Design, cell: Cell, storage: Storage) -> int | None:
    """How many training windows a cell sees; its cap, which the data may not fill, where they are not built yet."""
    if storage.exists(f"data/{cell.variant.data}/songs.json"):
        from musiclab.study.trial import trial_windows

        return len(trial_windows(storage, cell, design.config(cell)).train)
    return cell.variant.config["max_train"] or None


def _commit() -> str:
    """The checkout's commit, or nothing outside one."""
    root = Path(__file__).parent
    with contextlib.suppress(OSError):
        found = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        return found.stdout.strip()
    return ""
