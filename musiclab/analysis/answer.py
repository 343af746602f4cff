"""The answer: the records of a study's trials as means, intervals and paired comparisons."""

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from musiclab.analysis.comparisons import Comparison, compare
from musiclab.analysis.effects import Effects, effects
from musiclab.analysis.intervals import Interval, mean_intervals
from musiclab.analysis.sequential import anytime_p
from musiclab.analysis.statistics import holm, paired_p
from musiclab.design.criteria import Criteria
from musiclab.design.trials import TrialSpec
from musiclab.measures.registry import Measure
from musiclab.measures.rolls import nan_mean
from musiclab.storage.trial_documents import TrialRecord

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """All numbers that a table, MLflow or a report shows, by variant in the study's order.

    Attributes:
        criteria: how the study is judged.
        measures: mean and interval by variant and measure.
        scores: the mean score by variant; NaN if it has none. A score is the objective, or its distance to the value of
            real music if the aim is to be like it.
        comparisons: each variant's scores against its control's.
        above_zero: p of a mean of 0, by measure and variant, for measures that are read against a baseline (paired
            tests over blocks, Holm over a measure's variants).
        effects: of single fields, as far as the design can tell them apart.
        baselines: what real, shuffled and random music score, by name.
        missing: how many trials of a variant have no record.
        failed: how many of these have failed.
    """

    criteria: Criteria
    measures: dict[str, dict[str, Interval]]
    scores: dict[str, float]
    comparisons: dict[str, Comparison]
    above_zero: dict[str, dict[str, float]]
    effects: Effects
    baselines: dict[str, float]
    missing: dict[str, int]
    failed: dict[str, int]

    @property
    def objective(self) -> Measure:
        """The measure that decides."""
        return self.criteria.objective

    @property
    def controls(self) -> dict[str, str]:
        """The variant that each one is compared with, by name."""
        return self.criteria.controls


def answer(
    trials: list[TrialSpec], records: dict[str, TrialRecord], criteria: Criteria, failed: Collection[str] = ()
) -> Answer:
    """Summarise the records of a study. The comparisons of all variants with their controls are one family.

    Args:
        trials: the study's trials.
        records: by key; a trial without one counts as missing.
        criteria: how the study is judged.
        failed: keys of trials that have failed.
    """
    missing = dict.fromkeys((trial.variant.name for trial in trials), 0)
    failures = dict(missing)
    for trial in trials:
        if trial.key not in records:
            missing[trial.variant.name] += 1
            failures[trial.variant.name] += trial.key in failed
    records_by_block = values_by_block(trials, records, lambda record: record)
    measures_by_block = values_by_block(trials, records, lambda record: record.measures)
    # Baselines depend on the block's real music; variants share it unless they cut windows differently.
    baselines: dict[str, float] = {}
    for name in dict.fromkeys([*criteria.controls.values(), *records_by_block]):
        baselines |= _means([record.baselines for record in records_by_block[name].values()], baselines)
    scores = scores_by_block(trials, records, criteria.objective)
    return Answer(
        criteria=criteria,
        measures={
            name: _intervals(list(by_block.values()), criteria.measures) for name, by_block in measures_by_block.items()
        },
        scores=_mean_scores(scores),
        comparisons=compare(scores, criteria),
        above_zero=_above_zero(measures_by_block, criteria.measures, anytime_p if criteria.sequential else paired_p),
        effects=_effects(trials, scores, criteria),
        baselines=baselines,
        missing=missing,
        failed=failures,
    )


def undecided(comparisons: dict[str, Comparison]) -> list[str]:
    """The variants that are not shown to be better, worse or, if there is a margin, equivalent."""
    decided = ("better", "worse", "equivalent")
    return [name for name, comparison in comparisons.items() if comparison.verdict not in decided]


def best(answer: Answer) -> str | None:
    """The variant with the best mean score; None if no trial has a score."""
    return _leader(answer.scores, answer.objective)


def best_so_far(trials: list[TrialSpec], records: dict[str, TrialRecord], objective: Measure) -> str | None:
    """As `best`, but from the records alone and without intervals: cheap enough for every finished trial."""
    return _leader(_mean_scores(scores_by_block(trials, records, objective)), objective)


def values_by_block(
    trials: list[TrialSpec], records: dict[str, TrialRecord], value: Callable[[TrialRecord], T]
) -> dict[str, dict[int, T]]:
    """A value of each record, by variant and block. Variants without a record have no blocks."""
    values: dict[str, dict[int, T]] = {}
    for trial in trials:
        by_block = values.setdefault(trial.variant.name, {})
        if trial.key in records:
            by_block[trial.block.index] = value(records[trial.key])
    return values


def scores_by_block(
    trials: list[TrialSpec], records: dict[str, TrialRecord], objective: Measure
) -> dict[str, dict[int, float]]:
    """The scores by variant and block."""
    return values_by_block(trials, records, lambda record: score(record, objective))


def score(record: TrialRecord, objective: Measure) -> float:
    """The score of a trial: the objective, or its distance to the objective of the block's real music."""
    value = record.measures.get(objective.full_name, math.nan)
    if objective.better != "real":
        return value
    return abs(value - record.baselines.get(objective.full_name, math.nan))


def _effects(trials: list[TrialSpec], scores: dict[str, dict[int, float]], criteria: Criteria) -> Effects:
    """The effects of single fields; none of a search, which chose the values for the scores that went with them."""
    if any(trial.variant.label for trial in trials):
        return Effects()
    return effects({trial.variant.name: trial.variant.values for trial in trials}, scores, criteria)


def _mean_scores(scores: dict[str, dict[int, float]]) -> dict[str, float]:
    """The mean over blocks, by variant; NaN if it has none."""
    return {name: nan_mean(np.array(list(by_block.values()))) for name, by_block in scores.items()}


def _leader(scores: dict[str, float], objective: Measure) -> str | None:
    present = (name for name in scores if not math.isnan(scores[name]))
    return max(present, key=lambda name: objective.sign * scores[name], default=None)


def _above_zero(
    measures_by_block: dict[str, dict[int, dict[str, float]]],
    known: Iterable[Measure],
    test: Callable[[list[float]], float],
) -> dict[str, dict[str, float]]:
    """p by measure and variant; variants with the same values count as one test."""
    result = {}
    for measure in known:
        if not measure.above_zero:
            continue
        columns = {
            name: _present(measures.get(measure.full_name) for measures in by_block.values())
            for name, by_block in measures_by_block.items()
        }
        distinct = list(dict.fromkeys(column for column in columns.values() if column))
        if distinct:
            p_values = dict(zip(distinct, holm([test(list(column)) for column in distinct]), strict=True))
            result[measure.full_name] = {name: p_values[column] for name, column in columns.items() if column}
    return result


def _present(values: Iterable[float | None]) -> tuple[float, ...]:
    return tuple(value for value in values if value is not None and not math.isnan(value))


def _intervals(measures_of_blocks: list[dict[str, float]], known: Iterable[Measure]) -> dict[str, Interval]:
    """The intervals of measures that the blocks have, by full name; values of single tracks stay in the records."""
    names = [
        measure.full_name for measure in known if any(measure.full_name in measures for measures in measures_of_blocks)
    ]
    columns = [[measures.get(name, math.nan) for measures in measures_of_blocks] for name in names]
    return dict(zip(names, mean_intervals(columns), strict=True))


def _means(baselines_of_blocks: list[dict[str, float]], known: Collection[str]) -> dict[str, float]:
    """The mean over blocks of each baseline that is not known yet."""
    names = dict.fromkeys(name for baselines in baselines_of_blocks for name in baselines if name not in known)
    return {
        name: nan_mean(np.array([baselines.get(name, math.nan) for baselines in baselines_of_blocks])) for name in names
    }
