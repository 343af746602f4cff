"""Records: the durable results of trials. A record is either there as a whole or not at all.

Under the storage: `stages/<key>/` holds a stage's product (with `done`, the checksums of its files, written last),
`trials/<key>/` a trial's samples, `run.json` (what it cost and where it ran) and, written last, `record.json`, which is
equal to the bit wherever the trial ran; if the trial failed, `failed.json` and `failed.log` are there instead.
`studies/<name>/` holds plans, `data/` window stores, `splits/` the splits that records name, `scales/` the baselines
to read the measures of a block against.

Each document carries its format number and a checksum. One whose checksum does not match counts as missing, so the
work that it recorded is done again; `Records.damage` lists it. One of a newer format is never replaced or removed.
"""

import time
from dataclasses import replace

from musiclab.storage.documents import Documents, NewerFormat
from musiclab.storage.files import Storage
from musiclab.storage.plans import Plans
from musiclab.storage.stages import Stages
from musiclab.storage.trial_documents import Baselines, Failure, TrialCost, TrialRecord

FAILURE_LOG = "failed.log"


class Records:
    """All records of one storage, with its `stages` and `plans`.

    Reading or replacing a document of a newer format raises NewerFormat. If `notes_newer`, reading one notes it in
    `newer` instead and gives nothing, for whoever only looks.
    """

    def __init__(self, storage: Storage, notes_newer: bool = False) -> None:
        self.storage = storage
        self._documents = Documents(storage, notes_newer)
        self.stages, self.plans = Stages(self._documents), Plans(self._documents)

    @property
    def damage(self) -> dict[str, str]:
        """What is wrong with each damaged file that was read, by name."""
        return self._documents.damage

    @property
    def newer(self) -> dict[str, NewerFormat]:
        """The documents of a newer format that were read, by name; see `notes_newer`."""
        return self._documents.newer

    def has(self, key: str) -> bool:
        """Whether the trial has a record; it is not read."""
        return self.storage.exists(f"trials/{key}/record.json")

    def get(self, key: str) -> TrialRecord | None:
        """The record of a finished trial, or None."""
        return self._documents.read(f"trials/{key}/record.json", TrialRecord)

    def run(self, key: str) -> TrialCost | None:
        """What the trial cost and where it ran; None if that is not known."""
        return self._documents.read(f"trials/{key}/run.json", TrialCost)

    def failure(self, key: str) -> Failure | None:
        """Why the trial failed when it was last tried, or None."""
        failure = self._documents.read(f"trials/{key}/failed.json", Failure)
        if failure is None:
            return None
        try:
            log = self.storage.read(f"trials/{key}/{FAILURE_LOG}").decode(errors="replace")
        except FileNotFoundError:
            log = failure.reason
        return replace(failure, log=log)

    def samples(self, key: str) -> dict[str, bytes]:
        """The trial's sample files by name."""
        folder = f"trials/{key}/samples"
        return {name: self.storage.read(f"{folder}/{name}") for name in self.storage.names(folder)}

    def sample(self, key: str, name: str) -> bytes | None:
        """One of the trial's sample files; None if it is no longer there."""
        try:
            return self.storage.read(f"trials/{key}/samples/{name}")
        except FileNotFoundError:
            return None

    def put(self, key: str, record: TrialRecord, cost: TrialCost, samples: dict[str, bytes]) -> None:
        """Write a finished trial; `record.json` comes last and makes it count."""
        for name, data in samples.items():
            self.storage.write(f"trials/{key}/samples/{name}", data)
        self._documents.write(f"trials/{key}/run.json", cost)
        self._documents.write(f"trials/{key}/record.json", record)
        self.forget_failure(key)

    def put_failure(self, key: str, reason: str, log: str, again: bool, diverged: bool = False) -> None:
        """Write why a trial failed: the reason in one line, and the log; `Failure` has the rest."""
        failure = Failure(reason=reason, again=again, diverged=diverged, time=time.time())
        self._documents.keep_newer(f"trials/{key}/failed.json", Failure)
        self.storage.write(f"trials/{key}/{FAILURE_LOG}", log.encode(errors="replace"))
        self._documents.write(f"trials/{key}/failed.json", failure)

    def forget_failure(self, key: str) -> None:
        """Remove the failure, because the trial is retried or has finished."""
        names = {"failed.json", FAILURE_LOG} & {*self.storage.names(f"trials/{key}")}
        if "failed.json" in names:
            self._documents.keep_newer(f"trials/{key}/failed.json", Failure)
        for name in sorted(names):
            self.storage.remove(f"trials/{key}/{name}")

    def baselines(self, key: str) -> Baselines | None:
        """The baselines of that key, or None if no trial has worked them out yet."""
        return self._documents.read(f"scales/{key}.json", Baselines)

    def put_baselines(self, key: str, baselines: Baselines) -> None:
        """Write baselines. Two workers that do so at once write the same, so neither waits for the other."""
        self._documents.write(f"scales/{key}.json", baselines)
