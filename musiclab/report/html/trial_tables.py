"""The report's tables about its trials, as text: what they cost, which failed, how to run them again."""

import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from musiclab.analysis.results import Results
from musiclab.design.trials import TrialSpec
from musiclab.report.formatting import NONE, moment
from musiclab.wording import counted, duration


@dataclass(frozen=True)
class StageCost:
    """What a stage cost over all trials: how often it ran, how long, and how often its product was reused."""

    stage: str
    done: int
    total: str
    mean: str
    reused: int


@dataclass(frozen=True)
class Cost:
    """What the study's finished trials cost."""

    facts: list[tuple[str, str]]
    stages: list[StageCost]


def cost(results: Results) -> Cost:
    """Time by trial and by stage, memory, device and host of all finished trials whose run is known."""
    runs = list(results.runs.values())
    seconds_by_stage: dict[str, list[float]] = {}
    for run in runs:
        for stage, seconds in run.seconds.items():
            seconds_by_stage.setdefault(stage, []).append(seconds)
    reused = Counter(stage for run in runs for stage in run.reused)
    walls = [run.wall_seconds for run in runs]
    facts = [
        ("trials", f"{len(results.records)} of {len(results.trial_specs)} finished"),
        ("a trial", f"{_time(sum(walls) / len(walls))} on average, {_time(max(walls))} at most" if walls else NONE),
        ("all trials", f"{_time(sum(walls))} of workers' time" if walls else NONE),
        ("peak memory of a worker", f"{max((run.peak_memory_mib for run in runs), default=0):,} MiB"),
        ("device", _tally(run.device for run in runs)),
        ("host", _tally(run.host for run in runs)),
    ]
    stages = [
        StageCost(
            stage=stage,
            done=len(seconds),
            total=_time(sum(seconds)),
            mean=_time(sum(seconds) / len(seconds)),
            reused=reused.pop(stage, 0),
        )
        for stage, seconds in seconds_by_stage.items()
    ]
    stages += [StageCost(stage=stage, done=0, total=NONE, mean=NONE, reused=times) for stage, times in reused.items()]
    order = list(dict.fromkeys(stage for trial in results.trial_specs for stage in trial.stages))
    stages.sort(key=lambda row: order.index(row.stage) if row.stage in order else len(order))
    return Cost(facts, stages)


def _time(seconds: float) -> str:
    return duration(seconds, exact=True)


def _tally(values: Iterable[str]) -> str:
    """The different values; if there are several, each with the number of its trials."""
    trials_by_value = Counter(values)
    if len(trials_by_value) > 1:
        return ", ".join(f"{value} ({counted(trials, 'trial')})" for value, trials in trials_by_value.items())
    return next(iter(trials_by_value), NONE)


@dataclass(frozen=True)
class Failed:
    """A variant's trials that failed for one reason, or were not run (`reason` is None)."""

    name: str
    blocks: str
    count: int
    reason: str | None


def unfinished(results: Results) -> list[Failed]:
    """What failed, by variant and reason, then what has not been run."""
    blocks_by_reason: dict[tuple[str, str | None], list[int]] = {}
    for trial in results.trial_specs:
        if trial.key not in results.records:
            failure = results.failures.get(trial.key)
            reason = failure.reason if failure else None
            blocks_by_reason.setdefault((trial.variant.name, reason), []).append(trial.block.index)
    rows = [Failed(name, _ranges(blocks), len(blocks), reason) for (name, reason), blocks in blocks_by_reason.items()]
    return sorted(rows, key=lambda row: row.reason is None)


def reproduction(results: Results) -> list[tuple[str, list[str]]]:
    """How to do it again: the command, the code and versions, data, splits and seeds, and when it ran."""
    plan, environment = results.plan, results.plan.environment
    versions = {
        f"{name} {version}"
        for run in results.runs.values()
        for name, version in run.versions.items()
        if version != environment.get(name)
    }
    splits: dict[str, set[int]] = {}
    for trial in results.trial_specs:
        if trial.key in results.records:
            splits.setdefault(results.records[trial.key].data.split, set()).add(trial.block.index)
    planned_with = f"musiclab {environment.get('musiclab', NONE)}, Python {environment.get('python', NONE)}"
    ended = [run.ended for run in results.runs.values()]
    return [
        ("command", [shlex.join(plan.command) or "none, because the study was run from Python"]),
        ("commit", [environment.get("commit") or "unknown, because musiclab was not run from a git checkout"]),
        ("versions", [planned_with, *sorted(versions)]),
        ("platform", [environment.get("platform", NONE)]),
        ("data", [str(plan.base.get("data", NONE))]),
        ("data fingerprint", sorted({trial.variant.data for trial in results.trial_specs})),
        ("split", [f"{split}, block {_ranges(sorted(blocks))}" for split, blocks in splits.items()] or [NONE]),
        ("seeds", _seeds(results.trial_specs)),
        ("edition", [plan.edition]),
        ("when", [f"planned {moment(plan.began)}", *([f"last trial ended {moment(max(ended))}"] if ended else [])]),
    ]


def _seeds(trials: list[TrialSpec]) -> list[str]:
    blocks: dict[int, set[int]] = {}
    for trial in trials:
        blocks.setdefault(trial.block.seed, set()).add(trial.block.index)
    return [f"study seed {seed}, blocks {_ranges(sorted(indices))}" for seed, indices in blocks.items()]


def _ranges(blocks: list[int]) -> str:
    """Numbers as text, with consecutive ones joined: `0–3, 7`."""
    runs: list[list[int]] = []
    for block in sorted(blocks):
        if runs and block == runs[-1][-1] + 1:
            runs[-1].append(block)
        else:
            runs.append([block])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
