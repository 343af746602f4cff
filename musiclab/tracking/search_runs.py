"""What MLflow shows of a search: a run with its history, and under it a run for each trial that was proposed."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from musiclab.storage.listing import Listing
from musiclab.storage.plans import StudyPlan
from musiclab.storage.records import Records
from musiclab.storage.search_documents import Proposal, SearchFiles, SearchHistory
from musiclab.storage.stages import CurvePoint
from musiclab.tracking.mlflow_runs import Run, Runs
from musiclab.tracking.snapshot import Trial, stored_trial

# MLflow's words; a trial that was ended early was not at fault.
_STATUS = {"finished": "FINISHED", "pruned": "KILLED", "diverged": "FAILED", "failed": "FAILED"}


class SearchRuns:
    """The runs of a search, brought up to date round by round.

    Args:
        records: of the storage.
        folder: of the edition, in the storage.
    """

    def __init__(self, records: Records, folder: str) -> None:
        self._records, self._history = records, SearchHistory(SearchFiles(records.storage, folder))

    @property
    def damage(self) -> dict[str, str]:
        """Damaged files of the search, with what is wrong with them."""
        return self._history.files.damage

    def read(self) -> list[Proposal]:
        """Read what has come since; the proposals that have runs, the first of each trial. A misfit is no trial."""
        self._history.update()
        first: dict[str, Proposal] = {}
        for proposal in self._history.proposals.values():
            first.setdefault(proposal.key, proposal)
        return [proposal for proposal in first.values() if proposal.source != "misfit"]

    def get(self, runs: Runs, plan: StudyPlan, study: Run) -> Run:
        """The run of the search, with its history so far; it runs until it is known what is to be confirmed."""
        history, design = self._history, plan.design
        began = min((proposal.time for proposal in history.proposals.values()), default=plan.began)
        params = {name: design[name] for name in ("sampler", "scheduler") if name in design}
        limits = {name: limit for name, limit in design.get("budget", {}).items() if limit is not None}
        run = runs.get("search", plan.edition, "search", study, began, params | {"budget": _budget(limits)})
        runs.add(run, list(self._points(plan)))
        return run

    def finish(self, runs: Runs, plan: StudyPlan, run: Run, last: bool) -> None:
        """Close the run of the search if it is over, else show it as running unless this is the `last` round."""
        history = self._history
        budget = plan.design.get("budget") or {}  # a larger one may have been given since
        confirmation = history.files.confirmation()
        if confirmation is None or not history.files.is_over(budget, len(history.proposals)):
            if run.status != "RUNNING" and not last:
                runs.resume(run)
            return
        mark = f"{len(history.ends)} of {len(history.proposals)}, {confirmation.numbers}"
        if (run.status, run.mark) != ("FINISHED", mark):
            tags = {
                "musiclab.budget": _budget(budget),
                "musiclab.confirmed": ", ".join(f"proposal {number}" for number in confirmation.numbers),
            }
            runs.end(run, "FINISHED", max((end.time for end in history.ends.values()), default=plan.began), tags)
            runs.mark_in_sync(run, mark)

    def trial(self, proposal: Proposal, over: bool, listing: Listing) -> Trial | None:
        """A proposal's trial; None if it has not begun, see `stored_trial`.

        Raises:
            Unreadable: its files make no sense.
        """
        end = self._history.ends.get(proposal.number)
        trial = stored_trial(self._records, proposal.stages or {"measure": proposal.key}, over, listing)
        tags = {"musiclab.proposal": str(proposal.number), "musiclab.source": proposal.source}
        if end is None:
            return trial and replace(trial, tags=trial.tags | tags)
        if trial is None:  # it never came to a curve
            trial = Trial("", "", proposal.time, end.time, [], {}, dict, list, None)
        tags |= {"musiclab.state": end.state} | ({"musiclab.failure": end.reason} if end.reason else {})
        ended = trial.ended if trial.record else end.time
        # A mark of its own, because the record of a finished trial is there before its end.
        mark = f"ended {end.state}"
        return replace(trial, status=_STATUS[end.state], mark=mark, ended=ended, tags=trial.tags | tags)

    def has_ended(self, proposal: Proposal) -> bool:
        """Whether a proposal's trial is over for good."""
        return proposal.number in self._history.ends

    def _points(self, plan: StudyPlan) -> Iterator[CurvePoint]:
        """How the best score and the numbers of proposals and ends grew."""
        counts: Counter[str] = Counter()
        signs = {measure.full_name: measure.sign for measure in plan.objectives}
        best = dict.fromkeys(signs, -math.inf)
        for step, proposal in enumerate(self._history.proposals.values(), 1):
            counts[proposal.source] += 1
            yield CurvePoint("count/proposals", step, float(step), proposal.time)
            yield CurvePoint(f"count/from_{proposal.source}", step, float(counts[proposal.source]), proposal.time)
        for step, end in enumerate(self._history.ends.values(), 1):
            counts[end.state] += 1
            yield CurvePoint(f"count/{end.state}", step, float(counts[end.state]), end.time)
            for name, sign in signs.items():
                score = sign * end.scores.get(name, math.nan)
                best[name] = max(best[name], score) if score == score else best[name]
                if math.isfinite(best[name]):
                    yield CurvePoint(f"best/{name}", step, sign * best[name], end.time)


def _budget(limits: dict[str, Any]) -> str:
    """The budget in words: `40 trials, 2 wall_hours`."""
    return ", ".join(f"{limit} {name}" for name, limit in limits.items() if limit is not None)
