"""The forecast of `--plan` for a search: what is proposed, how long it takes, and what the confirmation can show."""

from musiclab.analysis.stage_times import SAMPLES
from musiclab.design.search import SAMPLERS, Search
from musiclab.errors import printable_lines
from musiclab.resources import available_cpus
from musiclab.storage.records import Records
from musiclab.storage.search_documents import SearchFiles
from musiclab.study.forecast import Steps, power_lines, setting
from musiclab.study.options import RunOptions
from musiclab.study.run import StudyRun
from musiclab.wording import counted, duration, listing


def search_forecast(study_run: StudyRun, search: Search, options: RunOptions) -> str:
    """What would be proposed and confirmed, how long that takes, and what the confirmation can show."""
    design, records = study_run.design, study_run.records
    files = SearchFiles(records.storage, design.folder)
    proposals, ends = files.proposals(), files.ends()
    made, limits, starts = sum(proposal.counts for proposal in proposals), search.limits, design.starts()
    confirmed = (search.confirm + 1) * study_run.blocks
    sampler = "a sampler of the study's own"
    if isinstance(search.sampler, str):
        sampler = f"{search.sampler} ({SAMPLERS[search.sampler]})"
    lines = [
        f"{design.spec.name}: {printable_lines(design.spec.question)}",
        setting(design, options),
        f"search: {counted(len(search.space), 'field')} by {sampler}, on block 0; {_budget_text(search)}",
        f"  {counted(len(starts), 'starting point')}, {made} proposed, {len(ends)} ended",
    ]
    if search.left_to_chance:
        lines.append(
            f"  {listing(search.left_to_chance)}: drawn at random, because {search.sampler} cannot learn of it"
        )
    if search.rungs:
        progress = design.systems[design.spec.system].progress.name
        lines.append(
            f"  asha: at 1/9 and 1/3 of its training a trial ends unless its {progress} is among the best third"
        )
    lines.append(
        f"confirmation: the best {search.confirm} and the control on {counted(study_run.blocks, 'fresh block')} = "
        f"{confirmed} trials"
    )
    lines += [design.unlocked_code] if design.unlocked_code else []
    lines.append(_time_text(study_run, search, (limits.trials or 0) - made, confirmed, options))
    return "\n".join([*lines, *power_lines(study_run)])


def _budget_text(search: Search) -> str:
    limits = search.limits
    parts = [f"{limits.trials:,} proposals"] if limits.trials else []
    parts += [f"{limits.wall_hours:g} hours"] if limits.wall_hours else []
    parts += [f"{limits.worker_hours:g} hours of workers"] if limits.worker_hours else []
    return ", at most ".join(parts)


def _time_text(study_run: StudyRun, search: Search, proposals: int, confirmed: int, options: RunOptions) -> str:
    """How long all takes if every trial took what the control's takes."""
    design = study_run.design
    steps = Steps(design, Records(study_run.records.storage))
    control = design.proposed(design.spec.control)
    each = sum(steps.seconds(control, stage) for stage in [*control.stages, SAMPLES])
    if steps.unbuilt:
        return "time: unknown until the windows are built (musiclab data build)"
    cpus = available_cpus()
    workers = 1 if options.in_process else min(options.workers or cpus, cpus)
    whole = duration(each * (max(0, proposals) + confirmed) / workers)
    less = ", less if trials end early" if search.rungs else ""
    return (
        f"time: about {whole} with {counted(workers, 'worker')} like this machine's, if all trials took as long as the "
        f"control's{less}; smaller and larger configurations take less and more"
    )
