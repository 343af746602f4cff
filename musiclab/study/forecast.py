"""The forecast of `--plan`: what would run, what is there, how long it takes, whether the blocks can show anything."""

import argparse
import statistics
from collections import Counter

from musiclab.cpus import available_cpus
from musiclab.progress import duration
from musiclab.study.design import Design
from musiclab.study.plan import Cell, sharing
from musiclab.study.records import Records
from musiclab.study.shown import underpowered
from musiclab.study.statistics import ALPHA, blocks_needed, smallest_p
from musiclab.study.storage import Storage
from musiclab.systems.config import GENERATE, MEASURE


def forecast(design: Design, records: Records, options: argparse.Namespace) -> str:
    """What would run and what is there, how long it takes, and whether the blocks can show anything."""
    todo = [cell for cell in design.cells if not records.get(cell.key)]
    done, blocks, comparisons = len(design.cells) - len(todo), len(design.blocks), design.comparisons
    lines = [
        f"{design.study.name}: {design.study.question}",
        f"{len(design.variants)} variants x {blocks} blocks = {len(design.cells)} trials: "
        f"{done} done, {len(todo)} to run",
    ]
    left = Counter(cell.variant.name for cell in todo)
    for name, control in design.controls.items():
        role = " (control)" if name == control else ""
        lines.append(f"  {name}{role}: {blocks - left[name]} done, {left[name]} to run")
    lines += _stage_lines(design, todo, records)
    lines.append(_time_text(design, records, todo, options))
    if comparisons:
        p = smallest_p(blocks, comparisons)
        plural = "" if comparisons == 1 else "s"
        enough = (
            f"{blocks} blocks suffice where they agree: the smallest p attainable is {p:.3g} (Holm, {comparisons} "
            f"comparison{plural}; {ALPHA:g} is needed). More blocks allow for some that do not."
        )
        lines.append(enough if p <= ALPHA else underpowered(blocks, comparisons))
        if p > ALPHA:
            lines.append(f"Add --blocks {blocks_needed(comparisons)}.")
    return "\n".join(lines)


def _stage_lines(design: Design, todo: list[Cell], records: Records) -> list[str]:
    """How often each stage runs; measure, which every trial has for itself, is left out."""
    lines, trains = [], False
    for (system, stage), (times, needed) in sharing(todo, records.stage_done).items():
        if stage == MEASURE:
            continue
        of = f"{system}'s " if len(design.systems) > 1 else ""
        runs = f"runs {times} time{'' if times == 1 else 's'}" if times else "is there already, nothing runs"
        lines.append(f"{of}stage {stage}: {runs} for {needed} trials")
        trains = trains or (times > 0 and stage != GENERATE)
    if todo and not trains:
        lines.append("Nothing is trained: all the models are there.")
    return lines


def _time_text(design: Design, records: Records, todo: list[Cell], options: argparse.Namespace) -> str:
    """The time left: what finished trials' steps took where there are some, else a few training steps timed here."""
    if not todo:
        return "time: nothing is left to run"
    steps = _Steps(design, records)
    seconds, untimed, seen = 0.0, False, set()
    for cell in todo:
        for stage, key in [*cell.stages.items(), ("samples", "")]:
            if key and (key in seen or records.stage_done(key)):
                continue
            seen.add(key)
            took = steps.seconds(cell, stage)
            untimed = untimed or took is None
            seconds += took or 0.0
    if steps.unbuilt:
        return "time: not known before the windows are built (musiclab data build)"
    if not seconds:
        return f"time: seconds for each of the {len(todo)} trials, for nothing is left to train"
    cpus = available_cpus()
    workers = 1 if options.in_process else min(len(todo), options.workers or cpus, cpus)
    with_workers = f"with {workers} worker{'' if workers == 1 else 's'} like this machine's"
    basis = "a few training steps timed on this machine" if steps.timed else "finished trials"
    more = "; what was not timed yet, such as measuring, comes on top" if untimed else ""
    return f"time: about {duration(seconds / workers)} {with_workers} (from {basis}{more})"


class _Steps:
    """What each step of a trial takes: as in finished trials of the variant, else of its system, else timed here."""

    def __init__(self, design: Design, records: Records) -> None:
        self._design, self._records = design, records
        self._took: dict[tuple[str, str], list[float]] = {}
        self.timed: dict[str, float] = {}
        self.unbuilt = False
        for cell in design.cells:
            for stage, seconds in records.run(cell.key).get("seconds", {}).items():
                for of in (cell.variant.name, cell.variant.system):
                    self._took.setdefault((of, stage), []).append(seconds)

    def seconds(self, cell: Cell, stage: str) -> float | None:
        """Seconds of a step of the cell's trial; None where nothing tells."""
        variant = cell.variant
        for of in (variant.name, variant.system):
            if (of, stage) in self._took:
                return statistics.median(self._took[of, stage])
        if stage != next(iter(cell.stages)):
            return 0.0 if stage not in (GENERATE, MEASURE, "samples") else None  # the first one's is all training's
        if variant.name not in self.timed:
            windows = _training_windows(self._design, cell, self._records.storage)
            if windows is None:
                self.unbuilt = True
                return None
            system = self._design.systems[variant.system]
            self.timed[variant.name] = system.estimated_seconds(self._design.config(cell), windows)
        return self.timed[variant.name]


def _training_windows(design: Design, cell: Cell, storage: Storage) -> int | None:
    """How many training windows a cell sees; its cap, which the data may not fill, where they are not built yet."""
    if storage.exists(f"data/{cell.variant.data}/songs.json"):
        from musiclab.study.trial import trial_windows

        return len(trial_windows(storage, cell, design.config(cell)).train)
    return cell.variant.config["max_train"] or None
