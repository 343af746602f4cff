"""Searches: what was proposed, how it ended, and what confirmation on fresh blocks left of it.

Scores of the search are those of its one block, on which its first places were also chosen: the best of many noisy
numbers, which look better than they are. No verdict comes from them.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from musiclab.analysis.answer import scores_by_block
from musiclab.analysis.front import front
from musiclab.analysis.intervals import NO_INTERVAL, Interval, mean_intervals
from musiclab.design.search import Dimension, Float, Int, dimension_from_json, rungs_of
from musiclab.design.trials import TrialSpec
from musiclab.measures.registry import Measure, find_measure
from musiclab.storage.files import Storage
from musiclab.storage.plans import StudyPlan
from musiclab.storage.search_documents import Conclusion, End, Proposal, SearchFiles
from musiclab.storage.trial_documents import TrialRecord

RUNNING = "running"  # the state of a proposal that has no end
GRID_VALUES = 5  # of each numeric field, in the grid that a search's cost is compared with
_NEARNESS = "frechet"  # by which the winner of several objectives is nearest to real music


@dataclass(frozen=True)
class Tried:
    """A proposal and its end, which is None while its trial runs."""

    proposal: Proposal
    end: End | None = None

    @property
    def number(self) -> int:
        """The proposal's."""
        return self.proposal.number

    @property
    def values(self) -> dict[str, Any]:
        """The searched fields that matter."""
        return self.proposal.values

    @property
    def state(self) -> str:
        """How it ended: a `State`, or `running`."""
        return self.end.state if self.end else RUNNING

    @property
    def seconds(self) -> float:
        """How long workers had its trial; 0 if that is not known, or if nothing ran for it."""
        return self.end.seconds if self.end else 0.0

    def score(self, objective: Measure) -> float:
        """Its score on the search's block; NaN unless it finished."""
        return self.end.scores.get(objective.full_name, math.nan) if self.end and self.state == "finished" else math.nan


@dataclass(frozen=True)
class Confirmed:
    """A variant that was run on fresh blocks, beside what the search had made of it.

    Attributes:
        name: the variant's: `control` or `proposal 12`.
        values: the searched fields that matter.
        number: of its proposal; None for a control that the search never tried.
        place: in the search's ranking by the objective, from 1; None if it has no score there.
        searched: its scores on the search's block, by the objectives' full names; NaN if it has none.
        means: its mean scores over the confirmation's blocks with 95 % intervals, likewise.
        nearness: its mean frechet over the confirmation's blocks; NaN if it has none.
    """

    name: str
    values: dict[str, Any]
    number: int | None
    place: int | None
    searched: dict[str, float]
    means: dict[str, Interval]
    nearness: float

    def overstated(self, objective: Measure) -> float:
        """By how much the search made it look better than it is: above 0 if it did, NaN if either score is missing."""
        name = objective.full_name
        return objective.sign * (self.searched[name] - self.means[name].mean)


@dataclass(frozen=True)
class SearchCost:
    """What a search cost, and what others would have.

    Attributes:
        seconds: of workers, by the state in which trials ended.
        trials: how many trials ran for it.
        mean: seconds of a trial that finished, on average over those whose time is known; NaN if none is.
        full: seconds if no trial had ended early: each that did counts as one that finished.
        grid_trials: the trials of a full grid with 5 values of each numeric field and all of each other one, and with
            conditional fields only where they apply.
    """

    seconds: dict[str, float]
    trials: int
    mean: float
    full: float
    grid_trials: int

    @property
    def total(self) -> float:
        """Seconds of workers in all."""
        return sum(self.seconds.values())

    @property
    def grid(self) -> float:
        """Seconds of the full grid."""
        return self.grid_trials * self.mean


@dataclass(frozen=True)
class SearchResults:
    """What a search has come to so far.

    Attributes:
        objectives: the study's objective, then what else is searched for.
        space: the searched fields.
        sampler: its name.
        scheduler: its name.
        budget: the most proposals; None if only time is limited.
        rungs: the shares of a trial's training at which it may end, or at which trials have been.
        tried: all proposals, by number.
        confirmed: the confirmed ones in the search's order, without the control.
        control: the control, likewise.
        front: numbers of the proposals that no other beats, the best by the objective first; empty if there is one
            objective.
        importance: shares of the fields, largest first; empty if the search is not over, or too small for any.
        is_over: whether the budget is spent and all proposals have ended.
        cost: in workers' time.
    """

    objectives: list[Measure]
    space: dict[str, Dimension]
    sampler: str
    scheduler: str
    budget: int | None
    rungs: tuple[float, ...]
    tried: list[Tried]
    confirmed: list[Confirmed]
    control: Confirmed | None
    front: list[int]
    importance: dict[str, float]
    is_over: bool
    cost: SearchCost

    @property
    def objective(self) -> Measure:
        """The measure that decides."""
        return self.objectives[0]

    @property
    def counted(self) -> list[Tried]:
        """The proposals that are part of the budget, because trials ran for them."""
        return [each for each in self.tried if each.proposal.counts]

    @property
    def states(self) -> Counter[str]:
        """How many of the counted proposals ended in each state, or run."""
        return Counter(each.state for each in self.counted)

    @property
    def first(self) -> Tried | None:
        """The proposal with the best score of the objective; None if none has finished."""
        ranked = _ranked(self.tried, self.objective)
        return ranked[0] if ranked else None

    @property
    def history(self) -> list[tuple[int, float]]:
        """The best score so far, at each proposal that improved it, by number."""
        steps: list[tuple[int, float]] = []
        for each in self.tried:
            score, sign = each.score(self.objective), self.objective.sign
            if math.isfinite(score) and (not steps or sign * score > sign * steps[-1][1]):
                steps.append((each.number, score))
        return steps

    @property
    def winner(self) -> Confirmed | None:
        """The confirmed proposal with the best mean on fresh blocks, the control left out; None if none has a value.

        Of several objectives it is the one nearest to real music, by frechet if that was measured.
        """
        if len(self.objectives) > 1:
            near = [each for each in self.confirmed if math.isfinite(each.nearness)]
            if near:
                return min(near, key=lambda each: each.nearness)
        name, sign = self.objective.full_name, self.objective.sign
        present = [each for each in self.confirmed if math.isfinite(each.means[name].mean)]
        return max(present, key=lambda each: sign * each.means[name].mean, default=None)


def search_results(
    storage: Storage, folder: str, plan: StudyPlan, records: Mapping[str, TrialRecord]
) -> SearchResults | None:
    """Read what the search of an edition has come to; None if its study is no search.

    Args:
        storage: the study's.
        folder: of the edition in it.
        plan: of the edition.
        records: of the plan's finished trials by key, which are those of the confirmation.
    """
    if not plan.is_search:
        return None
    files = SearchFiles(storage, folder)
    return results_of(plan, files.proposals(), files.ends(), files.conclusion(), records)


def results_of(
    plan: StudyPlan,
    proposals: Iterable[Proposal],
    ends: Mapping[int, End],
    conclusion: Conclusion | None,
    records: Mapping[str, TrialRecord],
) -> SearchResults:
    """As `search_results`, from documents that have been read: proposals by number, and their ends."""
    objectives = plan.objectives
    space, budget = _space(plan.design.get("fields", {})), plan.design.get("budget") or {}
    tried = [Tried(_in_order(proposal, space), ends.get(proposal.number)) for proposal in proposals]
    is_over = conclusion is not None and conclusion.covers(budget, len(tried))
    scheduler = str(plan.design.get("scheduler", ""))
    variants = _variants(tried, objectives, list(plan.trial_specs), records)
    controls = set(plan.controls.values())
    return SearchResults(
        objectives=objectives,
        space=space,
        sampler=str(plan.design.get("sampler", "")),
        scheduler=scheduler,
        budget=budget.get("trials"),
        rungs=rungs_of(scheduler, max((len(end.rungs) for end in ends.values()), default=0)),
        tried=tried,
        confirmed=[each for each in variants if each.name not in controls],
        control=next((each for each in variants if each.name in controls), None),
        front=_front(tried, objectives) if len(objectives) > 1 else [],
        importance=conclusion.importance if conclusion and is_over else {},
        is_over=is_over,
        cost=_cost(tried, space),
    )


def grid_values(dimension: Dimension) -> list[Any]:
    """The values that a full grid would have of a field: evenly spaced, in logarithms if it is drawn so."""
    if not isinstance(dimension, Float):
        return list(getattr(dimension, "values", ()))
    place, back = (math.log, math.exp) if dimension.log else (float, float)
    low, high = place(dimension.low), place(dimension.high)
    values = [back(low + (high - low) * step / (GRID_VALUES - 1)) for step in range(GRID_VALUES)]
    return list(dict.fromkeys(map(round, values))) if isinstance(dimension, Int) else values


def _space(fields: Mapping[str, Any]) -> dict[str, Dimension]:
    """The fields of a plan; what another version wrote in a way that this one does not know is left out."""
    space = {}
    for name, value in fields.items():
        with suppress(ValueError):
            space[name] = dimension_from_json(value)
    return space


def _in_order(proposal: Proposal, space: Mapping[str, Dimension]) -> Proposal:
    """The proposal with its values in the order of the fields, which its file has lost."""
    values = proposal.values
    ordered = [*(name for name in space if name in values), *(name for name in values if name not in space)]
    return replace(proposal, values={name: values[name] for name in ordered})


def _ranked(tried: Iterable[Tried], objective: Measure) -> list[Tried]:
    """The first proposal of each trial that has a score, best first."""
    by_key: dict[str, Tried] = {}
    for each in tried:
        if math.isfinite(each.score(objective)):
            by_key.setdefault(each.proposal.key, each)
    return sorted(by_key.values(), key=lambda each: objective.sign * each.score(objective), reverse=True)


def _front(tried: list[Tried], objectives: list[Measure]) -> list[int]:
    points = {
        each.number: tuple(measure.sign * each.score(measure) for measure in objectives)
        for each in _ranked(tried, objectives[0])
    }
    return list(front({number: point for number, point in points.items() if all(map(math.isfinite, point))}))


def _variants(
    tried: list[Tried], objectives: list[Measure], trials: list[TrialSpec], records: Mapping[str, TrialRecord]
) -> list[Confirmed]:
    """The variants of the plan, each with what the search had made of it."""
    ranked = _ranked(tried, objectives[0])
    places = {each.number: place for place, each in enumerate(ranked, 1)}
    by_values = {_frozen(each.values): each for each in reversed(tried)}
    by_values |= {_frozen(each.values): each for each in ranked}
    stored = dict(records)
    scores = {measure.full_name: scores_by_block(trials, stored, measure) for measure in objectives}
    near = scores_by_block(trials, stored, find_measure(_NEARNESS))
    variants = {trial.variant.name: trial.variant for trial in trials}
    result = []
    for name, variant in variants.items():
        own = by_values.get(_frozen(variant.values))
        result.append(
            Confirmed(
                name=name,
                values=variant.values,
                number=own.number if own else None,
                place=places.get(own.number) if own else None,
                searched={each.full_name: own.score(each) if own else math.nan for each in objectives},
                means={full_name: _mean(by_block[name]) for full_name, by_block in scores.items()},
                nearness=_mean(near[name]).mean,
            )
        )
    return result


def _mean(by_block: Mapping[int, float]) -> Interval:
    return mean_intervals([list(by_block.values())])[0] if by_block else NO_INTERVAL


def _frozen(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, repr(value)) for name, value in values.items()))


def _cost(tried: list[Tried], space: Mapping[str, Dimension]) -> SearchCost:
    ended = [each for each in tried if each.proposal.counts and each.end]
    seconds: dict[str, float] = {}
    for each in ended:
        seconds[each.state] = seconds.get(each.state, 0.0) + each.seconds
    known = [each.seconds for each in ended if each.state == "finished" and each.seconds > 0]
    mean = sum(known) / len(known) if known else math.nan
    early = sum(each.state == "pruned" for each in ended)
    rest = sum(spent for state, spent in seconds.items() if state != "pruned")
    return SearchCost(seconds, len(ended), mean, rest + early * mean if early else rest, _grid_size(space))


def _grid_size(space: Mapping[str, Dimension]) -> int:
    """How many configurations a full grid has; only values that conditions ask for must be told apart."""
    asked = {name for dimension in space.values() for name in dimension.when}
    counts: dict[tuple[tuple[str, Any], ...], int] = {(): 1}
    for name, dimension in space.items():
        after: Counter[tuple[tuple[str, Any], ...]] = Counter()
        for values, count in counts.items():
            if not dimension.applies(dict(values)):
                after[values] += count
                continue
            for value in grid_values(dimension):
                after[(*values, (name, value)) if name in asked else values] += count
        counts = dict(after)
    return sum(counts.values())
