"""Where a study stands, in words: whether it runs, what has ended, and what is wrong."""

import time
from collections import Counter
from dataclasses import dataclass

from musiclab.analysis.answer import best_so_far
from musiclab.dashboards.live.follower import Follower
from musiclab.dashboards.live.states import FAILED, FINISHED, PRUNED, REUSED
from musiclab.report.sentences.missing import damaged
from musiclab.wording import counted

_MIRROR_STARTS_S = 60.0  # a study has no mirror yet while that starts


@dataclass(frozen=True)
class Standing:
    """Where a study stands.

    Attributes:
        word: `running`, `stopping`, `over`, `stopped`, `dead`, `reading` or `unreadable`.
        sentence: the same at length.
        alerts: what is wrong, a sentence each.
    """

    word: str
    sentence: str
    alerts: tuple[str, ...] = ()


MARKS = {
    "running": "▶", "stopping": "◧", "over": "●", "stopped": "○", "dead": "✕", "reading": "…", "unreadable": "!",
}  # fmt: skip


def standing(follower: Follower) -> Standing:
    """Where the study stands now."""
    if follower.plan is None:
        if follower.trouble:
            return Standing("unreadable", follower.trouble)
        return Standing("reading", "Its storage is being read.")
    alerts = tuple(filter(None, [follower.trouble, *damaged(follower.damage), *_mirror_alerts(follower)]))
    if not follower.is_whole:
        return Standing("reading", f"Reading its storage: {_progress(follower)} so far.", alerts)
    left = sum(not state.is_over for state in follower.states.values())
    open_proposals = len(follower.search.open) if follower.search else 0
    is_searching = _is_searching(follower)
    progress = _progress(follower)
    if follower.is_alive and follower.asked_to_stop:
        return Standing(
            "stopping", f"Stopping: running trials finish their epoch and save a checkpoint. {progress}.", alerts
        )
    if follower.is_alive:
        what = "Searching" if is_searching else "Confirming" if follower.search else "Running"
        return Standing("running", f"{what}: {progress}.", alerts)
    if follower.runner is not None and (left or open_proposals or is_searching):
        return Standing(
            "dead",
            f"Dead: {follower.runner.words} ran it and has ended without a word. {progress}; the same command goes on "
            "from there.",
            alerts,
        )
    if left or open_proposals or is_searching:
        return Standing("stopped", f"Stopped: nobody runs it. {progress}; the same command goes on from there.", alerts)
    return Standing("over", f"Over: {progress}.", alerts)


def _is_searching(follower: Follower) -> bool:
    """Whether a search is still to propose: what it has come to may be written for a smaller budget only."""
    if follower.search is None or follower.plan is None:
        return False
    conclusion, budget = follower.search.conclusion, follower.plan.design.get("budget") or {}
    return conclusion is None or not conclusion.covers(budget, len(follower.search.proposals))


def _progress(follower: Follower) -> str:
    """`12 of 28 trials have ended (9 finished, 2 were there before, 1 failed), 2 run`."""
    states = Counter(state.state for state in follower.states.values())
    phrases = []
    if follower.search:
        made, ends = follower.search.counted, follower.search.counted_ends
        by_state = Counter(str(end.state) for end in ends.values())
        phrases.append(f"{len(ends)} of {counted(len(made), 'proposal')} have ended{_in_parts(by_state)}")
    if follower.trial_specs:
        over = {
            "finished": states[FINISHED], "there before": states[REUSED], "failed": states[FAILED],
            "pruned": states[PRUNED],
        }  # fmt: skip
        named = "trials of the confirmation" if follower.search else "trials"
        phrases.append(f"{sum(over.values()):,} of {len(follower.trial_specs):,} {named} have ended{_in_parts(over)}")
    if at_work := len(follower.workers):
        phrases.append(f"{at_work} run{'s' if at_work == 1 else ''} now")
    return ", ".join(phrases)


def _in_parts(counts: dict[str, int] | Counter[str]) -> str:
    parts = [f"{count:,} {name}" for name, count in counts.items() if count]
    return f" ({', '.join(parts)})" if len(parts) > 1 or (parts and not counts.get("finished")) else ""


def progress_of(follower: Follower) -> tuple[int, int]:
    """How many trials have ended, of how many; of a search its proposals count too."""
    ended = sum(state.is_over for state in follower.states.values())
    total = len(follower.trial_specs)
    if follower.search:
        budget = follower.plan.design.get("budget") or {} if follower.plan else {}
        total += max(len(follower.search.counted), budget.get("trials") or 0)
        ended += len(follower.search.counted_ends)
    return ended, total


def best_text(follower: Follower) -> str:
    """Which variant is best so far, for a person; empty if none has a score."""
    if follower.plan is None or follower.trouble:
        return ""
    return best_so_far(follower.trial_specs, follower.records, follower.plan.criteria.objective) or ""


def _mirror_alerts(follower: Follower) -> list[str]:
    """What is wrong with the mirror, in sentences."""
    mirrored, mirror = follower.mirrored, follower.mirror
    if mirrored and mirrored.behind:
        reason = mirrored.behind.rstrip(".")
        if follower.is_alive:
            return [f"MLflow is behind: {reason}."]
        return [f"When the study ended, MLflow was behind: {reason}; `musiclab sync` brings it up to date."]
    if not follower.is_alive:
        return []
    if mirror is not None and not mirror.alive:
        return ["The mirror has died, so MLflow is not kept up to date; `musiclab sync` does it once the study ends."]
    began = follower.plan.began if follower.plan else 0.0
    if mirror is None and time.time() - began > _MIRROR_STARTS_S:
        return ["No mirror is at work, so MLflow is not kept up to date; `musiclab sync` does it once the study ends."]
    return []
