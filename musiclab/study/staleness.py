"""Staleness: which records of earlier runs of a study cannot be reused now, and why."""

from collections import Counter

from musiclab.code_lock import other_code
from musiclab.design.design import Design
from musiclab.design.trials import TrialSpec
from musiclab.storage.listing import Listing
from musiclab.storage.plans import StudyPlan
from musiclab.storage.records import Records
from musiclab.storage.search_documents import SearchFiles
from musiclab.wording import counted, listing


def outdated(design: Design, records: Records, todo: list[TrialSpec]) -> list[str]:
    """Why records of earlier runs cannot be reused for trials `todo` of the same variants and blocks.

    Returns:
        A line for each reason, with the number of records.
    """
    plans = sorted(records.plans.of_study(design.spec.name).values(), key=lambda plan: plan.began, reverse=True)
    before: dict[tuple[str, int], tuple[TrialSpec, StudyPlan]] = {}
    left = Listing(records.storage).trials
    for plan in plans:
        for trial in plan.trial_specs:
            if _place(trial) not in before and trial.key in left and records.has(trial.key):
                before[_place(trial)] = trial, plan
    reasons = Counter(_reason(design, trial, *before[_place(trial)]) for trial in todo if _place(trial) in before)
    return [
        f"{counted(times, 'record')} from an earlier run cannot be reused ({'it is' if times == 1 else 'they are'} "
        f"kept): {reason}."
        for reason, times in reasons.items()
    ]


def outdated_search(design: Design, records: Records) -> list[str]:
    """Why the proposals of an earlier search of the study do not count in this one, if it has made none yet.

    Returns:
        A line about the newest of the earlier searches; none if there was none.
    """
    control = design.trial_specs[0]
    plans = records.plans.of_study(design.spec.name)
    if SearchFiles(records.storage, design.folder).proposals():
        return []
    for folder, plan in sorted(plans.items(), key=lambda item: item[1].began, reverse=True):
        old = next((trial for trial in plan.trial_specs if _place(trial) == _place(control)), None)
        if old and (made := len(SearchFiles(records.storage, folder).proposals())):
            reason = _reason(design, control, old, plan) if old.key != control.key else "it asked something else"
            return [f"{counted(made, 'proposal')} of an earlier search cannot be reused (they are kept): {reason}."]
    return []


def _place(trial: TrialSpec) -> tuple[str, int]:
    return trial.variant.name, trial.block.index


def _reason(design: Design, trial: TrialSpec, old: TrialSpec, plan: StudyPlan) -> str:
    """In words, what in the trial's key differs from that of its predecessor `old` in the plan."""
    now, then = trial.variant.config, old.variant.config
    fields = [name for name in {**now, **then} if now.get(name) != then.get(name)]
    reasons = [f"{name} was {then[name]}, is {now[name]}" for name in fields if name in now and name in then]
    if len(reasons) < len(fields):
        reasons.append("the system has other fields")
    if trial.block.seed != old.block.seed:
        reasons.append(f"the seed was {old.block.seed}, is {trial.block.seed}")
    reasons += _other_runtime(trial, old)
    source = plan.base.get("data")
    if source != design.source.spec:
        reasons.append(f"the data was {source}, is {design.source.spec}")
    elif plan.songs != design.source.fingerprint() and not fields:
        reasons.append(f"the songs of {source} have changed")
    reasons += _other_measures(design, plan)
    present = {name: stage.identity for name, stage in design.code(trial.variant.system).items()}
    changed = other_code(plan.code, present)
    if changed is None:
        reasons.append("they come from an earlier version of musiclab, which did not know revisions of code")
    elif changed:
        reasons.append(f"the code of {', '.join(_told(changed))} has changed")
    return ", ".join(reasons) or "the code has changed"


def _told(changed: list[str]) -> list[str]:
    """What is told of changed code: of a user's own its files, which say more than its stages; else the stages."""
    files = dict.fromkeys(name.partition(": ")[2] for name in changed if ": " in name)
    owners = {name.partition(": ")[0] for name in changed if ": " in name}
    stages = [name for name in changed if ": " not in name and not owners & {name, name.partition("/")[0]}]
    return [*stages, *files]


def _other_measures(design: Design, plan: StudyPlan) -> list[str]:
    """Which measures the study has brought since, and which it brings no more."""
    now, then = {own.name for own in design.own_measures}, {measure.full_name for measure in plan.measures}
    reasons = [f"{listing(sorted(now - then))} is measured now"] if now - then else []
    return reasons + ([f"{listing(sorted(then - now))} is measured no more"] if then - now else [])


def _other_runtime(trial: TrialSpec, old: TrialSpec) -> list[str]:
    """How the two differ in what they run on; nothing if one does not say."""
    now, then = trial.runtime, old.runtime
    if now is None or then is None:
        return []
    reasons = [f"PyTorch was {then.torch}, is {now.torch}"] * (then.torch != now.torch)
    return reasons + [f"the device was {then.device}, is {now.device}"] * (then.device != now.device)
