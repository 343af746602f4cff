"""Staleness: which records of earlier runs of a study cannot be reused now, and why."""

from collections import Counter

from musiclab.code_lock import other_code
from musiclab.design.design import Design
from musiclab.design.trials import TrialSpec
from musiclab.storage.listing import Listing
from musiclab.storage.plans import StudyPlan
from musiclab.storage.records import Records
from musiclab.wording import counted


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
    present = {name: stage.identity for name, stage in design.code(trial.variant.system).items()}
    changed = other_code(plan.code, present)
    if changed is None:
        reasons.append("they come from an earlier version of musiclab, which did not know revisions of code")
    elif changed:
        reasons.append(f"the code of {', '.join(changed)} has changed")
    return ", ".join(reasons) or "the code has changed"


def _other_runtime(trial: TrialSpec, old: TrialSpec) -> list[str]:
    """How the two differ in what they run on; nothing if one does not say."""
    now, then = trial.runtime, old.runtime
    if now is None or then is None:
        return []
    reasons = [f"PyTorch was {then.torch}, is {now.torch}"] * (then.torch != now.torch)
    return reasons + [f"the device was {then.device}, is {now.device}"] * (then.device != now.device)
