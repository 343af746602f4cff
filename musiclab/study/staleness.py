"""Staleness: which records of earlier runs of a study do not apply to this one, and why."""

from collections import Counter

from musiclab.design.design import Design
from musiclab.design.trials import TrialSpec
from musiclab.storage.plans import StudyPlan
from musiclab.storage.records import Records


def outdated(design: Design, records: Records, todo: list[TrialSpec]) -> list[str]:
    """A line for each reason why records of the same variants on the same blocks do not serve for trials `todo`."""
    plans = sorted(records.plans.of_study(design.spec.name).values(), key=lambda plan: plan.began, reverse=True)
    before: dict[tuple[str, int], tuple[TrialSpec, StudyPlan]] = {}
    for plan in plans:
        for cell in plan.trial_specs:
            if _place(cell) not in before and records.has(cell.key):
                before[_place(cell)] = cell, plan
    reasons = Counter(_reason(design, cell, *before[_place(cell)]) for cell in todo if _place(cell) in before)
    return [
        f"{times} record{'' if times == 1 else 's'} of an earlier run {'does' if times == 1 else 'do'} not apply here, "
        f"and {'stays' if times == 1 else 'stay'} as {'it is' if times == 1 else 'they are'}: {reason}."
        for reason, times in reasons.items()
    ]


def _place(cell: TrialSpec) -> tuple[str, int]:
    return cell.variant.name, cell.block.index


def _reason(design: Design, cell: TrialSpec, old: TrialSpec, plan: StudyPlan) -> str:
    """What is in the cell's key and was another one in that of its predecessor, in words."""
    now, then = cell.variant.config, old.variant.config
    fields = [name for name in {**now, **then} if now.get(name) != then.get(name)]
    reasons = [f"{name} was {then[name]}, is {now[name]}" for name in fields if name in now and name in then]
    if len(reasons) < len(fields):
        reasons.append("the system has other fields")
    if cell.block.seed != old.block.seed:
        reasons.append(f"the seed was {old.block.seed}, is {cell.block.seed}")
    reasons += _other_runtime(cell, old)
    source = plan.base.get("data")
    if source != design.source.spec:
        reasons.append(f"the data was {source}, is {design.source.spec}")
    elif plan.songs != design.source.fingerprint() and not fields:
        reasons.append(f"the songs of {source} have changed")
    code, stages = plan.code, design.code(cell.variant.system)
    if code and code.keys().isdisjoint(stages):
        reasons.append("an earlier version of musiclab made them, which did not know revisions of code yet")
    else:
        changed = [name for name, stage in stages.items() if code.get(name) not in (None, stage.identity)]
        reasons += [f"the code of {', '.join(changed)} has changed"] * bool(changed)
    return ", ".join(reasons) or "the code has changed"


def _other_runtime(cell: TrialSpec, old: TrialSpec) -> list[str]:
    """How the two differ in what they are to run on; nothing of a record that does not say."""
    now, then = cell.runtime, old.runtime
    if now is None or then is None:
        return []
    reasons = [f"PyTorch was {then.torch}, is {now.torch}"] * (then.torch != now.torch)
    return reasons + [f"the device was {then.device}, is {now.device}"] * (then.device != now.device)
