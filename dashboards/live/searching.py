"""A search that runs, for its page: proposals with what has become of them, and the plots of the report so far."""

import math
from dataclasses import dataclass

from musiclab.analysis.search import SearchResults, Tried, results_of
from musiclab.dashboards.live.follower import Follower
from musiclab.dashboards.live.states import TrialState
from musiclab.report.formatting import number
from musiclab.report.html.search import SearchPlot, front_figure, history_figure, rungs_figure
from musiclab.report.sentences.search import score_name, values_phrase

_MOST_ROWS = 20


@dataclass(frozen=True)
class ProposalRow:
    """A proposal in a table: texts, and its state."""

    number: int
    values: str
    scores: tuple[str, ...]
    state: TrialState
    detail: str


@dataclass(frozen=True)
class SearchView:
    """What a page shows of a search.

    Attributes:
        scores: the names of what is searched for.
        best: the best proposals so far; of several objectives, those of the front.
        newest: the proposals that were made last, newest first.
        plots: the history, the rungs, and the front of each further objective.
    """

    scores: list[str]
    best: list[ProposalRow]
    newest: list[ProposalRow]
    plots: list[SearchPlot]


def search_so_far(follower: Follower) -> SearchResults | None:
    """What the search has come to, as far as its documents were read; None if the study is no search."""
    if follower.search is None or follower.plan is None or follower.trouble:
        return None
    search = follower.search
    proposals = [search.proposals[number] for number in sorted(search.proposals)]
    return results_of(follower.plan, proposals, search.ends, search.conclusion, follower.records)


def leaders(search: SearchResults) -> list[Tried]:
    """The finished proposals, best first; of several objectives, those of the front."""
    ranked = [each for each in search.tried if math.isfinite(each.score(search.objective))]
    ranked.sort(key=lambda each: search.objective.sign * each.score(search.objective), reverse=True)
    return [each for each in ranked if each.number in search.front] if search.front else ranked


def search_view(follower: Follower, search: SearchResults) -> SearchView:
    """Tables and plots of a search so far."""
    states = follower.proposal_states
    plots = [history_figure(search)] if search.tried else []
    plots += [plot for plot in [rungs_figure(search)] if plot]
    plots += [front_figure(search, other, []) for other in search.objectives[1:] if search.front]

    def row(each: Tried) -> ProposalRow:
        scores = tuple(number(each.score(objective)) for objective in search.objectives)
        detail = each.end.reason if each.end and each.end.reason else ""
        return ProposalRow(each.number, values_phrase(each.values), scores, states[each.number], detail)

    return SearchView(
        scores=[score_name(objective) for objective in search.objectives],
        best=[row(each) for each in leaders(search)[:_MOST_ROWS]],
        newest=[row(each) for each in search.tried[: -_MOST_ROWS - 1 : -1]],
        plots=plots,
    )


def seconds_left(search: SearchResults) -> float | None:
    """Workers' seconds that proposals to come take, if each takes the mean so far; None if nothing tells."""
    if search.is_over:
        return 0.0
    if search.budget is None or math.isnan(search.cost.mean):
        return None
    return search.cost.mean * max(0, search.budget - search.cost.trials)


def best_proposal(search: SearchResults) -> str:
    """The proposal with the best score so far, with that; empty if none has one."""
    first = search.first
    return f"proposal {first.number} ({number(first.score(search.objective))})" if first else ""
