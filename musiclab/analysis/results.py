"""Results: a study's plan with everything that its trials have written, read once."""

from dataclasses import dataclass

from musiclab.analysis.answer import Answer, answer
from musiclab.analysis.claims import ClaimVerdict, judgements
from musiclab.analysis.listening import ListeningResults, listening_results
from musiclab.analysis.search import SearchResults, search_results
from musiclab.design.trials import TrialSpec
from musiclab.errors import UserError
from musiclab.storage.files import Storage
from musiclab.storage.listing import Listing
from musiclab.storage.plans import StudyPlan
from musiclab.storage.records import Records
from musiclab.storage.trial_documents import Failure, TrialCost, TrialRecord


@dataclass(frozen=True)
class Results:
    """The results of an edition of a study.

    Attributes:
        storage: the storage that holds the study.
        folder: the edition's folder in the storage, `studies/<name>/<edition>`.
        plan: what the run was to do.
        trial_specs: those of the plan.
        records: by key, those of the trials that have finished.
        runs: by key, what a finished trial cost and on which machine it ran, if that is known.
        failures: by key, why a trial without a record failed when it was last tried.
        answer: the statistics.
        judgements: the plan's claims, judged.
        search: what the search has come to whose first places are the variants; None if the study is none.
        listening: what listeners say; None if no listening test was fixed.
    """

    storage: Storage
    folder: str
    plan: StudyPlan
    trial_specs: list[TrialSpec]
    records: dict[str, TrialRecord]
    runs: dict[str, TrialCost]
    failures: dict[str, Failure]
    answer: Answer
    judgements: list[ClaimVerdict]
    search: SearchResults | None = None
    listening: ListeningResults | None = None

    @classmethod
    def read(cls, storage: Storage, study: str, edition: str = "") -> "Results":
        """Read the study's results, by default of its newest edition; UserError if the storage has no such study."""
        stored = Records(storage)
        plans = stored.plans.of_study(study, edition)
        if not plans:
            damaged = f" (damaged: {', '.join(stored.damage)})" if stored.damage else ""
            raise UserError(f"{storage.root} has no study {study!r}{damaged}; run it first, or name another storage.")
        folder = max(plans, key=lambda path: plans[path].began)
        plan = plans[folder]
        trials = list(plan.trial_specs)
        left = Listing(storage).trials
        keys = [trial.key for trial in trials if trial.key in left]
        records = {key: record for key in keys if (record := stored.get(key))}
        lacking = [key for key in keys if key not in records]
        failures = {key: failure for key in lacking if (failure := stored.failure(key))}
        runs = {key: cost for key in records if (cost := stored.run(key))}
        summary = answer(trials, records, plan.criteria, failures)
        verdicts = judgements(plan.claims, trials, records, plan.sequential, plan.measures)
        search = search_results(storage, folder, plan, records)
        listening = listening_results(storage, folder, trials, records)
        return cls(storage, folder, plan, trials, records, runs, failures, summary, verdicts, search, listening)
