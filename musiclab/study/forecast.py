"""The forecast of `--plan`: what would run, how long it takes, and whether the blocks can show anything."""

from collections import Counter
from collections.abc import Callable, Iterable

from musiclab.analysis.sequential import blocks_needed_anytime, smallest_p_anytime
from musiclab.analysis.stage_times import SAMPLES, StageTimes, work_left
from musiclab.analysis.statistics import ALPHA, blocks_needed, smallest_p
from musiclab.design.design import Design
from musiclab.design.space import Ablation
from musiclab.design.trials import TrialSpec
from musiclab.errors import printable, printable_lines
from musiclab.report.sentences import confounded, underpowered
from musiclab.resources import available_cpus
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.study.options import RunOptions
from musiclab.study.run import StudyRun
from musiclab.study.staleness import outdated
from musiclab.systems.config import GENERATE, MEASURE
from musiclab.systems.own import estimated_seconds
from musiclab.wording import counted, duration, listing

_SLOW_WINDOW_S = 10.0  # from here on the continuations of a trial take longer than most trainings


def forecast(study_run: StudyRun, options: RunOptions) -> str:
    """What would run, what is done already, how long the rest takes, and whether the blocks can show anything."""
    design, records = study_run.design, study_run.records
    # The least and the most blocks that there may be; they differ only if blocks are added until it is clear.
    spans = [study_run.blocks, design.most if study_run.todo else study_run.blocks]
    trials = [design.trial_specs_of(blocks) for blocks in spans]
    todo = [[trial for trial in planned if not records.get(trial.key)] for planned in trials]
    done = [len(planned) - len(missing) for planned, missing in zip(trials, todo, strict=True)]
    lines = [
        f"{design.spec.name}: {printable_lines(design.spec.question)}",
        f"{len(design.variants)} variants x {_span(spans)} blocks = {_span(map(len, trials))} trials: "
        f"{_span(done)} done, {_span(map(len, todo))} to run",
        setting(design),
    ]
    lines += [design.unlocked_code] if design.unlocked_code else []
    lines += outdated(design, records, todo[-1])
    if todo[-1]:
        lines.append(study_run.progress_summary())
    missing_by_variant = [Counter(trial.variant.name for trial in missing) for missing in todo]
    for name, control in design.controls.items():
        role = " (control)" if name == control else ""
        missing = [counts[name] for counts in missing_by_variant]
        finished = [blocks - count for blocks, count in zip(spans, missing, strict=True)]
        lines.append(f"  {name}{role}: {_span(finished)} done, {_span(missing)} to run")
    lines += [*_fraction_lines(design), *_stage_lines(design, todo, records)]
    lines += [_time_text(design, records, todo, options), *_slow_lines(design, records)]
    return "\n".join([*lines, *power_lines(study_run)])


def setting(design: Design) -> str:
    """On which data, at what scale and in which form: `data chorales, scale demo, form mended`."""
    form = f"form {design.form}" if design.form else "forms compared"
    return f"data {printable(design.source.spec)}, scale {design.scale}, {form}"


def _span(numbers: Iterable[float]) -> str:
    """The least and the most of something; one number if they are equal."""
    least, most = numbers
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _fraction_lines(design: Design) -> list[str]:
    """What share of all combinations a fraction is, and what it cannot tell apart."""
    space, aliases = design.spec.space, confounded(design.aliases)
    if isinstance(space, Ablation) and space.design == "fractional":
        every, runs = 2 ** len(space.components), len(design.variants)
        clear = [] if aliases else ["It tells all main effects and interactions of two fields apart."]
        return [f"{runs} of all {every} combinations, a fraction of resolution {space.resolution}.", *aliases, *clear]
    return aliases


def power_lines(study_run: StudyRun) -> list[str]:
    """Whether the blocks can show anything, and what counts as no difference."""
    design = study_run.design
    blocks, comparisons, margin = study_run.blocks, design.comparisons, design.spec.margin
    lines = []
    if margin is not None:
        unit = design.objective.unit
        lines.append(f"Differences within {margin:g} {unit} of {design.objective.name} are tested to be equivalent.")
    least, needed = (smallest_p_anytime, blocks_needed_anytime) if study_run.sequential else (smallest_p, blocks_needed)
    if design.adding:
        verdicts = "better or worse" if margin is None else "better, worse or equivalent"
        lines.append(
            f"Blocks are added until every comparison is {verdicts}, {design.most} at most. The tests are "
            f"anytime-valid. {blocks_needed_anytime(comparisons)} blocks suffice if they all agree."
        )
    elif comparisons:
        p = least(blocks, comparisons)
        enough = (
            f"{blocks} blocks suffice if they all agree: the smallest p attainable is {p:.3g} (Holm, "
            f"{counted(comparisons, 'comparison')}; {ALPHA:g} is needed). With more blocks a few may disagree."
        )
        lines.append(enough if p <= ALPHA else underpowered(blocks, comparisons, study_run.sequential))
        if p > ALPHA:
            if margin is not None and smallest_p(blocks, comparisons, sides=1) <= ALPHA:
                lines.append("They can show that variants are equivalent, and nothing else.")
            lines.append(f"Add --blocks {needed(comparisons)}.")
    if main := design.main_effects:
        lines.append(
            f"The {main} main effects are a family of tests of their own: {needed(main)} blocks suffice for them."
        )
    return lines


def _stage_lines(design: Design, todo: list[list[TrialSpec]], records: Records) -> list[str]:
    """How often each stage runs, at least and at most. The stage measure is left out: every trial has its own."""
    lines, trains = [], False
    least, most = (sharing(missing, records.stages.done) for missing in todo)
    for (system, stage), (times, needed) in most.items():
        if stage == MEASURE:
            continue
        owner = f"{system}'s " if len(design.systems) > 1 else ""
        first, first_needed = least.get((system, stage), (0, 0))
        runs = f"runs {_span([first, times])} time{'' if times == 1 else 's'}"
        runs = runs if times else "is done already, nothing runs"
        lines.append(f"{owner}stage {stage}: {runs} for {_span([first_needed, needed])} trials")
        trains = trains or (times > 0 and (stage != GENERATE or stage == next(iter(design.systems[system].stages))))
    if todo[-1] and not trains:
        lines.append("Nothing is trained: all models exist already.")
    return lines


def _time_text(design: Design, records: Records, todo: list[list[TrialSpec]], options: RunOptions) -> str:
    """The time left, from what finished trials took; without any, from a few training steps timed on this machine."""
    if not todo[-1]:
        return "time: nothing is left to run"
    steps = Steps(design, records)
    took = [work_left(missing, steps.seconds, records.stages.done) for missing in todo]
    if steps.unbuilt:
        return "time: unknown until the windows are built (musiclab data build)"
    if steps.unknown:
        return f"time: not known before a trial of {listing(sorted(steps.unknown))} has finished"
    if not took[-1]:
        return f"time: seconds for each of the {_span(map(len, todo))} trials, because nothing is left to train"
    cpus = available_cpus()
    workers = 1 if options.in_process else min(len(todo[-1]), options.workers or cpus, cpus)
    with_workers = f"with {workers} worker{'' if workers == 1 else 's'} like this machine's"
    least, most = (duration(seconds / workers) for seconds in took)
    about = f"about {least}" if least == most else f"{least} to {most}"
    basis = "a few training steps timed on this machine" if steps.timed else "finished trials"
    more = "; plus measuring and other steps that no trial has timed yet" if steps.untimed else ""
    return f"time: {about} {with_workers} (from {basis}{more})"


def _slow_lines(design: Design, records: Records) -> list[str]:
    """A line about each system that takes long for a window, from finished trials."""
    seconds = dict[str, float]()
    for trial in design.trial_specs:
        if cost := records.run(trial.key):
            config = trial.variant.config
            windows = config["starts"] * config["variations"] * config["continuation"]
            system = trial.variant.system
            seconds[system] = max(seconds.get(system, 0.0), cost.seconds.get(GENERATE, 0.0) / windows)
    return [
        f"generating: {system} takes up to {duration(each)} a window; fewer starts, a shorter continuation or fewer "
        "variations make its trials shorter"
        for system, each in seconds.items()
        if each >= _SLOW_WINDOW_S
    ]


class Steps:
    """How long each step of a trial takes: as in finished trials of its variant, else of its system, else timed here.

    Attributes:
        timed: seconds of training by variant, from a few steps on this machine.
        unbuilt: whether a time is unknown because the windows are not built yet.
        untimed: whether a step was left out because no trial has timed it yet.
        unknown: the systems whose training only a finished trial tells the time of.
    """

    def __init__(self, design: Design, records: Records) -> None:
        self._design, self._records = design, records
        self._times = StageTimes()
        self.timed: dict[str, float] = {}
        self.unbuilt, self.untimed = False, False
        self.unknown = set[str]()
        for trial in design.trial_specs:
            if cost := records.run(trial.key):
                self._times.add(trial.variant, cost)

    def seconds(self, trial: TrialSpec, stage: str) -> float:
        """Seconds of a step of the trial; 0 if nothing tells, which `unbuilt` and `untimed` remember."""
        variant = trial.variant
        if (took := self._times.seconds(variant, stage)) is not None:
            return took
        if stage != next(iter(trial.stages)):
            self.untimed = self.untimed or stage in (GENERATE, MEASURE, SAMPLES)
            return 0.0  # the first stage counts all training
        if variant.name not in self.timed:
            windows = _training_windows(self._design, trial, self._records.storage)
            if windows is None:
                self.unbuilt = True
                return 0.0
            system = self._design.systems[variant.system]
            seconds = estimated_seconds(system, self._design.config(trial), windows)
            if seconds is None:
                self.unknown.add(system.name)
                return 0.0
            self.timed[variant.name] = seconds
        return self.timed[variant.name]


def _training_windows(design: Design, trial: TrialSpec, storage: Storage) -> int | None:
    """How many training windows a trial sees; if they are not built yet, its cap, which the data may not fill."""
    if storage.exists(f"data/{trial.variant.data}/songs.json"):
        from musiclab.storage.windows import trial_windows

        return len(trial_windows(storage, trial, design.config(trial)).train)
    return trial.variant.config["max_train"] or None


def sharing(todo: list[TrialSpec], finished: Callable[[str], bool]) -> dict[tuple[str, str], tuple[int, int]]:
    """How trials share stages.

    Returns:
        By system and stage: how often it must still run, and how many trials of `todo` need it.
    """
    keys: dict[tuple[str, str], list[str]] = {}
    for trial in todo:
        for stage, key in trial.stages.items():
            keys.setdefault((trial.variant.system, stage), []).append(key)
    return {stage: (len({key for key in needed if not finished(key)}), len(needed)) for stage, needed in keys.items()}
