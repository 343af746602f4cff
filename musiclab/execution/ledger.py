"""The ledger of a run: which trials have finished, which have failed for good, and which are tried again."""

from collections import Counter

from musiclab.design.trials import TrialSpec
from musiclab.storage.listing import Listing
from musiclab.storage.records import Records
from musiclab.storage.trial_documents import TrialRecord


class Ledger:
    """How the trials of a run ended.

    Args:
        records: the storage's.
        max_failures: how often a trial is tried again after a failure that may pass.

    Attributes:
        finished: the records by key.
        failed: by key, why trials failed for good in this run.
    """

    def __init__(self, records: Records, max_failures: int) -> None:
        self.records, self.max_failures = records, max_failures
        self._tries: Counter[str] = Counter()
        self.finished: dict[str, TrialRecord] = {}
        self.failed: dict[str, str] = {}

    @property
    def failures(self) -> int:
        """How often a trial has failed in this run, those that were tried again included."""
        return sum(list(self._tries.values()))

    def read(self, trials: list[TrialSpec]) -> None:
        """Take up the records that these trials have."""
        left = Listing(self.records.storage).trials  # at once: one by one takes minutes on a remote storage
        for trial in trials:
            if trial.key in left and (record := self.records.get(trial.key)):
                self.finished[trial.key] = record

    def on_trial_end(self, trial: TrialSpec, death: tuple[str, str] | None, seconds: float = 0.0) -> str:
        """Note that a trial ended. Its record says whether it went well, even if its worker died afterwards.

        A failure that is tried again is forgotten.

        Args:
            trial: the trial.
            death: a line and a log if its worker died, else None.
            seconds: how long workers have had it in this run, all its tries together; only a search keeps that.

        Returns:
            Why to try it again now, or "".
        """
        if record := self.records.get(trial.key):
            self.finished[trial.key] = record
            return ""
        if death and not self.records.failure(trial.key):  # the trial itself could not say
            self.records.put_failure(trial.key, *death, again=True)
        failure = self.records.failure(trial.key)
        if failure is None:
            return ""  # it was stopped
        self._tries[trial.key] += 1
        if failure.again and self._tries[trial.key] <= self.max_failures:
            self.records.forget_failure(trial.key)  # a retry that is ended early or stopped leaves no word of its own
            return failure.reason
        self.failed[trial.key] = failure.reason
        return ""
