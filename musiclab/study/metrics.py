"""The metrics of a study that runs: read from its run, its loop and its mirror, from a thread beside them."""

from collections import Counter
from typing import TYPE_CHECKING

from musiclab.execution.metrics import STATES, StudyMetrics
from musiclab.study.loop import TrialLoop
from musiclab.study.plan_file import PlanFile
from musiclab.tracking import Mirror

if TYPE_CHECKING:
    from musiclab.search.run import SearchRun


def study_metrics(plan_file: PlanFile, search_run: "SearchRun | None", loop: TrialLoop, mirror: Mirror) -> StudyMetrics:
    """The metrics of now. The trials are those of the plan and, in a search, all that were proposed so far."""
    study_run = plan_file.run
    trials = Counter(finished=len(study_run.finished), failed=len(study_run.failed), running=loop.running)
    total, failures = len(study_run.trial_specs), study_run.failures
    if search_run:
        states = search_run.states
        trials += Counter("failed" if state == "diverged" else state for state in states.values() if state)
        total += len(states)
        failures += search_run.failures
    # A trial between two states counts as waiting, so that the states always add up.
    waiting = max(0, total - sum(trials[state] for state in STATES))
    return StudyMetrics(
        {state: trials[state] for state in STATES} | {"waiting": waiting}, failures, mirror.points_behind
    )
