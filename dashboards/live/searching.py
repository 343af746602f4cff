"""A search that runs, for its page: proposals with what has become of them, and the plots of the report so far."""

import math
from dataclasses import dataclass

from musiclab.analysis.search import SearchResults, Tried, results_of
from musiclab.dashboards.live.follower import Follower
from musiclab.dashboards.live.states import FAILED, FINISHED, PRUNED, WAITING, TrialState
from musiclab.report.formatting import number
from musiclab.report.html.search import SearchPlot, front_figure, history_figure, rungs_figure
from musiclab.report.sentences.search import score_name, values_phrase

_MOST_ROWS = 20
_STATE_OF = {"finished": FINISHED, "pruned": PRUNED, "diverged": FAILED, "failed": FAILED}


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
        states: of all proposals, by number.
    """

    scores: list[str]
    best: list[ProposalRow]
    newest: list[ProposalRow]
    plots: list[SearchPlot]
    states: dict[int, TrialState]


def search_so_far(follower: Follower) -> SearchResults | None:
    """What the search has come to, as far as its documents were read; None if the study is no search."""
    if follower.search is None or follower.plan is None or follower.trouble:
        return None
    search = follower.search
    proposals = [search.proposals[number] for number in sorted(search.proposals)]
    return results_of(follower.plan, proposals, search.ends, search.conclusion, follower.records)


def proposal_states(follower: Follower) -> dict[int, TrialState]:
    """The state of each proposal, by number."""
    if follower.search is None or follower.plan is None:
        return {}
    states = {}
    for place, proposal in follower.search.proposals.items():
        end = follower.search.ends.get(place)
        if end:
            states[place] = TrialState(_STATE_OF[end.state])
        elif proposal.key in follower.workers and proposal.stages:
            config = follower.plan.base | proposal.values
            states[place] = follower.running_state(proposal.stages, config, follower.workers[proposal.key])
        else:
            states[place] = TrialState(WAITING)
    return states


def search_view(follower: Follower, search: SearchResults, states: dict[int, TrialState]) -> SearchView:
    """Tables and plots of a search so far."""
    ranked = [each for each in search.tried if math.isfinite(each.score(search.objective))]
    ranked.sort(key=lambda each: search.objective.sign * each.score(search.objective), reverse=True)
    members = [each for each in ranked if each.number in search.front] if search.front else ranked
    plots = [history_figure(search)] if search.tried else []
    plots += [plot for plot in [rungs_figure(search)] if plot]
    plots += [front_figure(search, other, []) for other in search.objectives[1:] if search.front]

    def row(each: Tried) -> ProposalRow:
        scores = tuple(number(each.score(objective)) for objective in search.objectives)
        detail = each.end.reason if each.end and each.end.reason else ""
        return ProposalRow(each.number, values_phrase(each.values), scores, states[each.number], detail)

    return SearchView(
        scores=[score_name(objective) for objective in search.objectives],
        best=[row(each) for each in members[:_MOST_ROWS]],
        newest=[row(each) for each in search.tried[: -_MOST_ROWS - 1 : -1]],
        plots=plots,
        states=states,
    )


def seconds_left(follower: Follower, search: SearchResults) -> float | None:
    """Workers' seconds that proposals to come take, if each takes the mean so far; None if nothing tells."""
    if search.is_over or (follower.search and follower.search.conclusion is not None):
        return 0.0
    if search.budget is None or math.isnan(search.cost.mean):
        return None
    return search.cost.mean * max(0, search.budget - search.cost.trials)


def trial_name(follower: Follower, key: str) -> str:
    """What a trial is called that a worker runs: `latent_dim=8, block 2`, or `proposal 12`."""
    if spec := follower.all_specs.get(key):
        return f"{spec.variant.name}, block {spec.block.index}"
    proposals = follower.search.proposals.values() if follower.search else ()
    return next((f"proposal {each.number}" for each in proposals if each.key == key), "a trial of another edition")
