"""A search in sentences: how it went, what its first place was worth, and who won on fresh blocks."""

import math

from musiclab.analysis.answer import Answer, best
from musiclab.analysis.intervals import Interval
from musiclab.analysis.search import RUNNING, Confirmed, SearchResults, Tried
from musiclab.measures.registry import Measure
from musiclab.report.formatting import bounds_text, value_text
from musiclab.report.sentences.answer import sentence, verdict
from musiclab.wording import counted, rounded

STATES = {
    "finished": "finished", "pruned": "ended early", "diverged": "diverged", "failed": "failed",
    RUNNING: "have not ended",
}  # fmt: skip
_SOURCES = {
    "found": "taken over from other studies",
    "again": "proposed once more",
    "misfit": "passed over, because their fields do not fit together",
}


def headline(answer: Answer, search: SearchResults | None) -> str:
    """The answer in a sentence; of a search that has confirmed nothing, why there is none."""
    if search is None or (answer.comparisons and best(answer)):
        return sentence(answer)
    if not search.is_over:
        return "The search is not over, so nothing is confirmed and there is no answer yet."
    if answer.comparisons:
        return "The search is over, but no trial of its confirmation has finished, so there is no answer yet."
    if not any(math.isfinite(each.score(search.objective)) for each in search.tried):
        return "No proposal of the search has a score, so nothing is compared with the control."
    return "The search found nothing but the control, so nothing is compared with it."


def searched(answer: Answer, search: SearchResults | None) -> list[str]:
    """How a search went, what its first place was worth on fresh blocks, and who won there; empty if it is none."""
    if search is None:
        return []
    if not search.is_over:
        return [_so_far(search), *_leader_so_far(search)]
    early = search.budget is not None and len(search.counted) < search.budget and not search.tried[-1].proposal.counts
    why = " It ended before its budget, because the last ones were nothing new that could run." if early else ""
    return [f"The search made {_progress(search)}.{why}", *_first(search), *_winner(answer, search)]


def values_phrase(values: dict[str, object]) -> str:
    """The searched fields with their values, numbers to four digits: `lr=0.001234, layers=2`."""
    return ", ".join(f"{name}={value_text(value)}" for name, value in values.items())


def score_name(objective: Measure) -> str:
    """What a score is of: the objective, or its distance to real music."""
    return f"distance of {objective.name} to real music" if objective.better == "real" else objective.name


def _progress(search: SearchResults) -> str:
    """`24 of 24 proposals: 15 finished, 8 ended early, 1 diverged`."""
    made = len(search.counted)
    share = f"{made} of {search.budget} proposals" if search.budget else counted(made, "proposal")
    states = search.states
    ended = [f"{states[state]} {words}" for state, words in STATES.items() if states[state]]
    others = [each.proposal.source for each in search.tried if not each.proposal.counts]
    beside = [f"{others.count(source)} {words}" for source, words in _SOURCES.items() if source in others]
    text = f"{share}: {', '.join(ended)}" if ended else share
    return f"{text}; beside them {' and '.join(beside)}" if beside else text


def _so_far(search: SearchResults) -> str:
    return f"So far the search has made {_progress(search)}."


def _leader_so_far(search: SearchResults) -> list[str]:
    first = search.first
    if first is None:
        return []
    return [
        f"Best so far: {_called(first)} ({score_name(search.objective)} {rounded(first.score(search.objective))}; "
        f"{values_phrase(first.values)}). It is not confirmed: this is one block, on which it was also chosen."
    ]


def _first(search: SearchResults) -> list[str]:
    """The search's own first before and after confirmation."""
    first, objective = search.first, search.objective
    if first is None:
        return []
    own = next((each for each in search.confirmed if each.number == first.number), None)
    score = rounded(first.score(objective))
    if own is None:
        is_control = search.control is not None and search.control.number == first.number
        who = "the control itself" if is_control else f"{_called(first)}, which was not confirmed"
        return [f"First in the search was {who} ({score_name(objective)} {score} on the search's block)."]
    text = f"First in the search was {own.name}: {score_name(objective)} {score} on the search's block"
    mean = own.means[objective.full_name]
    if not mean.n:
        return [f"{text}; it has no confirmed value yet."]
    return [
        f"{text}, {_mean(mean)} on {counted(mean.n, 'fresh block')}: {overstatement(own, objective)}."
        f"{_control_beside(search)}"
    ]


def overstatement(own: Confirmed, objective: Measure) -> str:
    """`the search overstated it by 0.5`, or understated."""
    amount = own.overstated(objective)
    if math.isnan(amount):
        return "by how much the search overstated it is not known"
    return f"the search {'under' if amount < 0 else 'over'}stated it by {rounded(abs(amount))}"


def _control_beside(search: SearchResults) -> str:
    """The control, which nobody chose for its score, tells how much of that is the block."""
    control, objective = search.control, search.objective
    if control is None or math.isnan(control.overstated(objective)):
        return ""
    return (
        f" The control, which was not chosen for its score, went from {rounded(control.searched[objective.full_name])} "
        f"to {_mean(control.means[objective.full_name])}."
    )


def _winner(answer: Answer, search: SearchResults) -> list[str]:
    winner, objective = search.winner, search.objective
    if winner is None:
        return []
    mean = winner.means[objective.full_name]
    place = f"number {winner.place} of the search; " if winner.place and winner.place > 1 else ""
    conclusion = f"against the control: {verdict(answer, winner.name)}" if winner.name in answer.comparisons else ""
    if len(search.objectives) > 1:
        near = f"frechet {rounded(winner.nearness)}; " if math.isfinite(winner.nearness) else ""
        head = f"Of the confirmed, {winner.name} is nearest to real music ({near}{values_phrase(winner.values)})"
    else:
        head = (
            f"Of the confirmed, {winner.name} has the best mean ({_mean(mean)}; {place}{values_phrase(winner.values)})"
        )
    sentences = [f"{head}; {conclusion}." if conclusion else f"{head}."]
    control = search.control.means[objective.full_name] if search.control else None
    if control and control.n and objective.sign * control.mean >= objective.sign * mean.mean:
        sentences.append(f"The mean of the control is no worse: {_mean(control)}.")
    return sentences


def _mean(interval: Interval) -> str:
    return f"{rounded(interval.mean)} {bounds_text(interval)}".rstrip()


def _called(tried: Tried) -> str:
    return f"proposal {tried.number}"
