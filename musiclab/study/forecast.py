"""The forecast of `--plan`: what would run, what is there, how long it takes, whether the blocks can show anything."""

import argparse
import statistics
from collections import Counter
from collections.abc import Callable, Iterable

from musiclab.analysis.sequential import blocks_needed_anytime, smallest_p_anytime
from musiclab.analysis.statistics import ALPHA, blocks_needed, smallest_p
from musiclab.design.design import Design
from musiclab.design.space import Ablation
from musiclab.design.trials import TrialSpec
from musiclab.errors import printable_lines
from musiclab.report.sentences import confounded, underpowered
from musiclab.resources import available_cpus
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.study.run import StudyRun
from musiclab.study.staleness import outdated
from musiclab.systems.config import GENERATE, MEASURE
from musiclab.wording import duration


def forecast(running: StudyRun, options: argparse.Namespace) -> str:
    """What would run and what is there, how long it takes, and whether the blocks can show anything."""
    design, records = running.design, running.records
    # Where blocks are added until it is clear, the least and the most that there may be; else one and the same.
    ends = [running.blocks, design.most if running.todo else running.blocks]
    cells = [design.trial_specs_of(blocks) for blocks in ends]
    todo = [[cell for cell in of if not records.get(cell.key)] for of in cells]
    done = [len(of) - len(left) for of, left in zip(cells, todo, strict=True)]
    lines = [
        f"{design.spec.name}: {printable_lines(design.spec.question)}",
        f"{len(design.variants)} variants x {_span(ends)} blocks = {_span(map(len, cells))} trials: "
        f"{_span(done)} done, {_span(map(len, todo))} to run",
    ]
    lines += [design.unlocked_code] if design.unlocked_code else []
    lines += outdated(design, records, todo[-1])
    if todo[-1]:
        lines.append(running.progress_summary())
    left = [Counter(cell.variant.name for cell in of) for of in todo]
    for name, control in design.controls.items():
        role = " (control)" if name == control else ""
        there = [blocks - of[name] for blocks, of in zip(ends, left, strict=True)]
        lines.append(f"  {name}{role}: {_span(there)} done, {_span(of[name] for of in left)} to run")
    lines += [*_fraction_lines(design), *_stage_lines(design, todo, records)]
    lines.append(_time_text(design, records, todo, options))
    return "\n".join([*lines, *_power_lines(running)])


def _span(numbers: Iterable[float]) -> str:
    """The least and the most of something, as one number where they are equal."""
    least, most = numbers
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _fraction_lines(design: Design) -> list[str]:
    """What share of all combinations a fraction is, and what it cannot tell apart."""
    space, said = design.spec.space, confounded(design.aliases)
    if isinstance(space, Ablation) and space.design == "fractional":
        every, runs = 2 ** len(space.components), len(design.variants)
        clear = [] if said else ["It tells all main effects and interactions of two fields apart."]
        return [f"{runs} of all {every} combinations, a fraction of resolution {space.resolution}.", *said, *clear]
    return said


def _power_lines(running: StudyRun) -> list[str]:
    """Whether the blocks can show anything, and what counts as no difference."""
    design = running.design
    blocks, comparisons, margin = running.blocks, design.comparisons, design.spec.margin
    lines = []
    if margin is not None:
        unit = design.objective.unit
        lines.append(f"Differences within {margin:g} {unit} of {design.objective.name} are tested to be equivalent.")
    least, needed = (smallest_p_anytime, blocks_needed_anytime) if running.sequential else (smallest_p, blocks_needed)
    if design.adding:
        verdicts = "better or worse" if margin is None else "better, worse or equivalent"
        lines.append(
            f"Blocks are added until every comparison is {verdicts}, {design.most} at most; tests hold whenever one "
            f"stops. {blocks_needed_anytime(comparisons)} suffice where they agree."
        )
    elif comparisons:
        p = least(blocks, comparisons)
        plural = "" if comparisons == 1 else "s"
        enough = (
            f"{blocks} blocks suffice where they agree: the smallest p attainable is {p:.3g} (Holm, {comparisons} "
            f"comparison{plural}; {ALPHA:g} is needed). More blocks allow for some that do not."
        )
        lines.append(enough if p <= ALPHA else underpowered(blocks, comparisons, running.sequential))
        if p > ALPHA:
            if margin is not None and smallest_p(blocks, comparisons, sides=1) <= ALPHA:
                lines.append("They can show that variants are equivalent, and nothing else.")
            lines.append(f"Add --blocks {needed(comparisons)}.")
    if main := design.main_effects:
        lines.append(
            f"The {main} main effects are tested by themselves: for them {needed(main)} blocks suffice likewise."
        )
    return lines


def _stage_lines(design: Design, todo: list[list[TrialSpec]], records: Records) -> list[str]:
    """How often each stage runs at least and at most; measure, which every trial has for itself, is left out."""
    lines, trains = [], False
    least, most = (sharing(of, records.stages.done) for of in todo)
    for (system, stage), (times, needed) in most.items():
        if stage == MEASURE:
            continue
        of = f"{system}'s " if len(design.systems) > 1 else ""
        first, first_needed = least.get((system, stage), (0, 0))
        runs = f"runs {_span([first, times])} time{'' if times == 1 else 's'}"
        runs = runs if times else "is there already, nothing runs"
        lines.append(f"{of}stage {stage}: {runs} for {_span([first_needed, needed])} trials")
        trains = trains or (times > 0 and stage != GENERATE)
    if todo[-1] and not trains:
        lines.append("Nothing is trained: all the models are there.")
    return lines


def _time_text(design: Design, records: Records, todo: list[list[TrialSpec]], options: argparse.Namespace) -> str:
    """The time left: what finished trials' steps took where there are some, else a few training steps timed here."""
    if not todo[-1]:
        return "time: nothing is left to run"
    steps = _Steps(design, records)
    took = [_seconds(of, steps, records) for of in todo]
    if steps.unbuilt:
        return "time: not known before the windows are built (musiclab data build)"
    if not took[-1]:
        return f"time: seconds for each of the {_span(map(len, todo))} trials, for nothing is left to train"
    cpus = available_cpus()
    workers = 1 if options.in_process else min(len(todo[-1]), options.workers or cpus, cpus)
    with_workers = f"with {workers} worker{'' if workers == 1 else 's'} like this machine's"
    least, most = (duration(seconds / workers) for seconds in took)
    about = f"about {least}" if least == most else f"{least} to {most}"
    basis = "a few training steps timed on this machine" if steps.timed else "finished trials"
    more = "; what was not timed yet, such as measuring, comes on top" if steps.untimed else ""
    return f"time: {about} {with_workers} (from {basis}{more})"


def _seconds(todo: list[TrialSpec], steps: "_Steps", records: Records) -> float:
    """What all steps of these trials take that are not there yet, each shared one once."""
    seconds, seen = 0.0, set()
    for cell in todo:
        for stage, key in [*cell.stages.items(), ("samples", "")]:
            if key and (key in seen or records.stages.done(key)):
                continue
            seen.add(key)
            seconds += steps.seconds(cell, stage)
    return seconds


class _Steps:
    """What each step of a trial takes: as in finished trials of the variant, else of its system, else timed here."""

    def __init__(self, design: Design, records: Records) -> None:
        self._design, self._records = design, records
        self._took: dict[tuple[str, str], list[float]] = {}
        self.timed: dict[str, float] = {}
        self.unbuilt, self.untimed = False, False
        for cell in design.trial_specs:
            cost = records.run(cell.key)
            for stage, seconds in (cost.seconds if cost else {}).items():
                for of in (cell.variant.name, cell.variant.system):
                    self._took.setdefault((of, stage), []).append(seconds)

    def seconds(self, cell: TrialSpec, stage: str) -> float:
        """Seconds of a step of the cell's trial; 0 where nothing tells, which `unbuilt` and `untimed` remember."""
        variant = cell.variant
        for of in (variant.name, variant.system):
            if (of, stage) in self._took:
                return statistics.median(self._took[of, stage])
        if stage != next(iter(cell.stages)):
            self.untimed = self.untimed or stage in (GENERATE, MEASURE, "samples")
            return 0.0  # the first stage's is all training's
        if variant.name not in self.timed:
            windows = _training_windows(self._design, cell, self._records.storage)
            if windows is None:
                self.unbuilt = True
                return 0.0
            system = self._design.systems[variant.system]
            self.timed[variant.name] = system.estimated_seconds(self._design.config(cell), windows)
        return self.timed[variant.name]


def _training_windows(design: Design, cell: TrialSpec, storage: Storage) -> int | None:
    """How many training windows a cell sees; its cap, which the data may not fill, where they are not built yet."""
    if storage.exists(f"data/{cell.variant.data}/songs.json"):
        from musiclab.storage.windows import trial_windows

        return len(trial_windows(storage, cell, design.config(cell)).train)
    return cell.variant.config["max_train"] or None


def sharing(todo: list[TrialSpec], finished: Callable[[str], bool]) -> dict[tuple[str, str], tuple[int, int]]:
    """For each system's stage: how often it must be done, finished ones not counted, and how many of `todo` need it."""
    keys: dict[tuple[str, str], list[str]] = {}
    for cell in todo:
        for stage, key in cell.stages.items():
            keys.setdefault((cell.variant.system, stage), []).append(key)
    return {of: (len({key for key in needed if not finished(key)}), len(needed)) for of, needed in keys.items()}
