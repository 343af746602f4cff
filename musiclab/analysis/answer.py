"""The answer: records of a study's cells as means, intervals and paired comparisons."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from musiclab.analysis.comparisons import Comparison, compare
from musiclab.analysis.effects import Effects, effects
from musiclab.analysis.sequential import anytime_p
from musiclab.analysis.statistics import Interval, holm, mean_intervals, sign_flip_p
from musiclab.design.criteria import Criteria
from musiclab.design.trials import TrialSpec
from musiclab.measures.registry import MEASURES, Measure
from musiclab.measures.rolls import nan_mean
from musiclab.storage.trial_documents import TrialRecord


@dataclass(frozen=True)
class Answer:
    """Everything a table, MLflow or a report shows; variants are keyed by name, in the study's order.

    `scores` is the mean of the objective, or of its distance to the value of real music where being like it is the aim;
    comparisons are of the same. `above_zero` has, by measure and variant, the p of a mean of 0 where that is a question
    of its own (sign flips over blocks, Holm over a measure's variants). `effects` are those of single fields, where the
    design tells.
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
    cells: list[TrialSpec], records: dict[str, TrialRecord], criteria: Criteria, failed: Collection[str] = ()
) -> Answer:
    """Summarise the records (by key) of the cells; a cell without one counts as missing, and as failed if it is in
    `failed` (keys).

    The comparisons of all variants with their controls are one family.
    """
    controls, objective = criteria.controls, criteria.objective
    found: dict[str, dict[int, TrialRecord]] = {}
    missing: dict[str, int] = {}
    failures: dict[str, int] = {}
    for cell in cells:
        name = cell.variant.name
        of_variant = found.setdefault(name, {})
        missing.setdefault(name, 0)
        failures.setdefault(name, 0)
        if cell.key in records:
            of_variant[cell.block.index] = records[cell.key]
        else:
            missing[name] += 1
            failures[name] += cell.key in failed
    measures = {name: _intervals([record.measures for record in of.values()]) for name, of in found.items()}
    # Baselines are a matter of the block's real music; variants share it unless they cut windows differently.
    baselines: dict[str, float] = {}
    for name in dict.fromkeys([*controls.values(), *found]):
        baselines |= _means([record.baselines for record in found[name].values()], baselines)
    by_block = scores_by_block(cells, records, objective)
    return Answer(
        criteria,
        measures,
        {name: nan_mean(np.array(list(of.values()))) for name, of in by_block.items()},
        compare(by_block, criteria),
        _above_zero(found, anytime_p if criteria.sequential else sign_flip_p),
        effects({cell.variant.name: cell.variant.values for cell in cells}, by_block, criteria),
        baselines,
        missing,
        failures,
    )


def undecided(comparisons: dict[str, Comparison]) -> list[str]:
    """The variants that nothing is known of yet: neither better nor worse nor, where there is a margin, equivalent."""
    return [name for name, of in comparisons.items() if of.verdict not in ("better", "worse", "equivalent")]


def best(answer: Answer) -> str | None:
    """The variant with the best mean objective; None where no trial has finished."""
    return _leader(answer.scores, answer.objective)


def best_so_far(cells: list[TrialSpec], records: dict[str, TrialRecord], objective: Measure) -> str | None:
    """The same from the records alone, without an interval: for whoever asks after every trial."""
    by_block = scores_by_block(cells, records, objective)
    return _leader({name: nan_mean(np.array(list(of.values()))) for name, of in by_block.items()}, objective)


def scores_by_block(
    cells: list[TrialSpec], records: dict[str, TrialRecord], objective: Measure
) -> dict[str, dict[int, float]]:
    """What the objective is judged by, by variant and block, of the cells that have a record."""
    found: dict[str, dict[int, float]] = {}
    for cell in cells:
        of_variant = found.setdefault(cell.variant.name, {})
        if cell.key in records:
            of_variant[cell.block.index] = score(records[cell.key], objective)
    return found


def _leader(scores: dict[str, float], objective: Measure) -> str | None:
    present = (name for name in scores if not math.isnan(scores[name]))
    return max(present, key=lambda name: objective.sign * scores[name], default=None)


def score(record: TrialRecord, objective: Measure) -> float:
    """What the objective is judged by: its value, or its distance to that of the block's real music."""
    value = record.measures.get(objective.full_name, math.nan)
    return abs(value - record.baselines.get(objective.full_name, math.nan)) if objective.better == "real" else value


def _above_zero(
    found: dict[str, dict[int, TrialRecord]], test: Callable[[list[float]], float]
) -> dict[str, dict[str, float]]:
    result = {}
    for measure in MEASURES:
        values = {
            name: tuple(
                value
                for record in of.values()
                if (value := record.measures.get(measure.full_name)) == value and value is not None
            )
            for name, of in found.items()
        }
        values = {name: of for name, of in values.items() if of}
        if measure.above_zero and values:
            distinct = list(dict.fromkeys(values.values()))  # what variants share is one question
            p = dict(zip(distinct, holm([test(list(of)) for of in distinct]), strict=True))
            result[measure.full_name] = {name: p[of] for name, of in values.items()}
    return result


def _intervals(of_blocks: list[dict[str, float]]) -> dict[str, Interval]:
    """The measures that the records have, by full name; values of single tracks stay in the records."""
    names = [measure.full_name for measure in MEASURES if any(measure.full_name in values for values in of_blocks)]
    columns = [[values.get(name, math.nan) for values in of_blocks] for name in names]
    return dict(zip(names, mean_intervals(columns), strict=True))


def _means(of_blocks: list[dict[str, float]], known: Collection[str]) -> dict[str, float]:
    names = {name: None for values in of_blocks for name in values if name not in known}
    return {name: nan_mean(np.array([values.get(name, math.nan) for values in of_blocks])) for name in names}
