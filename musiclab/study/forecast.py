"""The forecast of `--plan`: what would run, what is there, how long it takes, whether the blocks can show anything."""

import argparse
import statistics

from musiclab.cpus import available_cpus
from musiclab.progress import duration
from musiclab.study.answer import underpowered
from musiclab.study.design import Design
from musiclab.study.plan import Cell, sharing
from musiclab.study.records import Records
from musiclab.study.statistics import ALPHA, blocks_needed, smallest_p
from musiclab.study.storage import Storage


def forecast(design: Design, records: Records, options: argparse.Namespace) -> str:
    """What would run and what is there, how long it takes, and whether the blocks can show anything."""
    todo = [cell for cell in design.cells if not records.get(cell.key)]
    done, comparisons = len(design.cells) - len(todo), len(design.variants) - 1
    lines = [
        f"{design.study.name}: {design.study.question}",
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


def _time_text(design: Design, records: Records, todo: list[Cell], options: argparse.Namespace) -> str:
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
    # A trial costs what its first stage does, which is the training of most of it, and that is done once for all that
    # share it.
    first = {next(iter(cell.stages.values())): cell for cell in reversed(todo)}
    for cell in (cell for stage, cell in first.items() if not records.stage_done(stage)):
        name = cell.variant.name
        if name not in took and name not in timed:
            windows = _training_windows(design, cell, records.storage)
            if windows is None:
                return "time: not known before the windows are built (musiclab data build)"
            timed[name] = design.system.estimated_seconds(design.config(cell), windows)
            basis = "a few training steps timed on this machine"
        seconds += statistics.median(took[name]) if name in took else timed[name]
    if not seconds:
        return "time: seconds a trial, for nothing is left to train"
    workers = 1 if options.in_process else min(len(todo), options.workers or available_cpus())
    plural = "" if workers == 1 else "s"
    return f"time: about {duration(seconds / workers)} with {workers} worker{plural} like this machine's (from {basis})"


def _training_windows(design: Design, cell: Cell, storage: Storage) -> int | None:
    """How many training windows a cell sees; its cap, which the data may not fill, where they are not built yet."""
    if storage.exists(f"data/{cell.variant.data}/songs.json"):
        from musiclab.study.trial import trial_windows

        return len(trial_windows(storage, cell, design.config(cell)).train)
    return cell.variant.config["max_train"] or None
