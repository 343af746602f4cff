"""The forecast of `--plan` for a search: what is proposed, how long it takes, and what the confirmation can show."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from musiclab.analysis.stage_times import SAMPLES
from musiclab.design.design import Design
from musiclab.design.search import SAMPLERS, SEARCH_BLOCK, Search
from musiclab.errors import printable_lines
from musiclab.resources import available_cpus
from musiclab.search.confirmation import confirmed_values, numbers_to_confirm
from musiclab.storage.records import Records
from musiclab.storage.search_documents import End, Proposal, SearchFiles
from musiclab.study.forecast import Steps, power_lines, setting
from musiclab.study.options import RunOptions
from musiclab.study.run import StudyRun
from musiclab.study.staleness import outdated, outdated_search
from musiclab.wording import counted, duration, listing

_DRAWN = 100  # configurations, to see how many of a space have fields that do not fit together


@dataclass(frozen=True)
class _Progress:
    """How far a search is.

    Attributes:
        proposals: by number.
        ends: how they ended, by number.
        elapsed: for how many seconds it has run.
        is_over: whether it was concluded with this budget.
    """

    proposals: Mapping[int, Proposal]
    ends: Mapping[int, End]
    elapsed: float
    is_over: bool

    @property
    def made(self) -> int:
        """How many proposals count towards the budget."""
        return sum(proposal.counts for proposal in self.proposals.values())

    def seconds_left(self, search: Search, each: float, workers: int) -> float:
        """For how many seconds it still runs if each trial takes `each`: until it reaches the first of its limits."""
        if self.is_over:
            return 0.0
        limits, left = search.limits, list[float]()
        if limits.trials is not None:
            ended = sum(proposal.counts for number, proposal in self.proposals.items() if number in self.ends)
            left.append(each * (max(limits.trials, self.made) - ended) / workers)
        if limits.wall_hours is not None:
            left.append(3600 * limits.wall_hours - self.elapsed)
        if limits.worker_hours is not None:
            worked = sum(end.seconds for end in self.ends.values())
            left.append((3600 * limits.worker_hours - worked) / workers)
        return max(0.0, min(left))


def search_forecast(study_run: StudyRun, search: Search, options: RunOptions) -> str:
    """What would be proposed and confirmed, how long that takes, and what the confirmation can show."""
    design, records = study_run.design, study_run.records
    files = SearchFiles(records.storage, design.folder)
    proposals, ends = {proposal.number: proposal for proposal in files.proposals()}, files.ends()
    confirmation, starts = files.confirmation(), design.starts()
    is_over = files.is_over(asdict(search.limits), len(proposals))
    progress = _Progress(proposals, ends, files.elapsed(), is_over)
    numbers = confirmation.numbers if confirmation else ()
    if is_over:
        numbers = tuple(numbers_to_confirm(design, proposals, ends, confirmation))
    # Of a search that goes on, those that a smaller budget confirmed: they stay among the compared.
    confirming = StudyRun(design.confirming(confirmed_values(proposals, numbers)), records)
    study_run = confirming if is_over else study_run
    best, finished = len(confirming.design.variants) - 1, len(confirming.finished)
    best = best if is_over else max(search.confirm, best)
    confirmed = (best + 1) * study_run.blocks
    sampler = "a sampler of the study's own"
    if isinstance(search.sampler, str):
        sampler = f"{search.sampler} ({SAMPLERS[search.sampler]})"
    lines = [
        f"{design.spec.name}: {printable_lines(design.spec.question)}",
        setting(design),
        f"search: {counted(len(search.space), 'field')} by {sampler}, on block {SEARCH_BLOCK}; {_budget_text(search)}",
        f"  {counted(len(starts), 'starting point')}, {progress.made} proposed, {len(ends)} ended",
    ]
    lines += _misfits(design, search)
    if search.left_to_chance:
        lines.append(
            f"  {listing(search.left_to_chance)}: drawn at random, because {search.sampler} cannot learn of it"
        )
    if search.rungs:
        (system,) = design.systems.values()
        name = system.progress.name if system.progress else ""  # without one asha was refused
        lines.append(f"  asha: at 1/9 and 1/3 of its training a trial ends unless its {name} is among the best third")
    done = f", {finished} done" if finished else ""
    lines.append(
        f"confirmation: the best {best} and the control on {counted(study_run.blocks, 'fresh block')} = "
        f"{confirmed} trials{done}"
    )
    lines += [design.unlocked_code] if design.unlocked_code else []
    lines += [*outdated_search(design, records), *outdated(design, records, study_run.todo)]
    lines.append(_time_text(study_run, search, progress, max(0, confirmed - finished), options))
    return "\n".join([*lines, *power_lines(study_run)])


def _misfits(design: Design, search: Search) -> list[str]:
    """Of configurations drawn at random, how many have fields that do not fit together, and one reason."""
    from musiclab.search.optuna_search import OptunaSearch  # brings optuna, which other plans need not

    sampler = OptunaSearch(replace(search, sampler="random"), [False], design.spec.seed)
    reasons = [design.misfit(sampler.ask(number).values) for number in range(_DRAWN)]
    first = next(filter(None, reasons), "")
    share = f"  of {_DRAWN} configurations drawn at random {sum(map(bool, reasons))} are passed over: {first}"
    return [share] if first else []


def _budget_text(search: Search) -> str:
    limits = search.limits
    parts = [f"{limits.trials:,} proposals"] if limits.trials else []
    parts += [f"{limits.wall_hours:g} hours"] if limits.wall_hours else []
    parts += [f"{limits.worker_hours:g} hours of workers"] if limits.worker_hours else []
    return ", at most ".join(parts)


def _time_text(study_run: StudyRun, search: Search, progress: _Progress, to_confirm: int, options: RunOptions) -> str:
    """How long the search and `to_confirm` trials after it take if every trial takes what the control's takes."""
    if progress.is_over and not to_confirm:
        return "time: nothing is left to run"
    design = study_run.design
    steps = Steps(design, Records(study_run.records.storage))
    control = design.proposed(design.spec.control)
    each = sum(steps.seconds(control, stage) for stage in [*control.stages, SAMPLES])
    if steps.unbuilt:
        return "time: unknown until the windows are built (musiclab data build)"
    if steps.unknown:
        return f"time: not known before a trial of {listing(sorted(steps.unknown))} has finished"
    cpus = available_cpus()
    workers = 1 if options.in_process else min(options.workers or cpus, cpus)
    whole = duration(progress.seconds_left(search, each, workers) + each * to_confirm / workers)
    less = ", less if trials end early" if search.rungs else ""
    return (
        f"time: about {whole} with {counted(workers, 'worker')} like this machine's, if all trials took as long as the "
        f"control's{less}; smaller and larger configurations take less and more"
    )
