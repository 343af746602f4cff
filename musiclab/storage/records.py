"""Records: what lasts of a trial, written so that it is there whole or not at all.

Under the storage: `stages/<key>/` holds a stage's product (with `done`, the digests of its files, written last),
`trials/<key>/` a trial's samples, `run.json` (what it cost and where it ran) and, written last, `record.json`, which is
equal to the bit wherever the trial ran; where the trial failed `failed.json` stands there instead, with `failed.log`.
`studies/<name>/` holds plans, `data/` window stores, `splits/` the splits that records name, `scales/` what the
measures of a block are read on.

Each JSON file carries a digest of what it says. One that does not match is as good as none, so what it stood for is
done again; `Records.damage` remembers which.
"""

import time
from typing import Any

from musiclab.storage.documents import Documents, with_nan, without_nan
from musiclab.storage.files import Storage
from musiclab.storage.plans import Plans
from musiclab.storage.stages import Stages

FAILURE_LOG = "failed.log"


class Records:
    """All records of one storage, with its `stages` and `plans`.

    `damage` has the files that were found damaged, with what is wrong with them.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._documents = Documents(storage)
        self.stages, self.plans = Stages(self._documents), Plans(self._documents)

    @property
    def damage(self) -> dict[str, str]:
        """What is wrong with each damaged file that was read, by name."""
        return self._documents.damage

    def has(self, key: str) -> bool:
        """Whether there is a record of that trial, not looked into."""
        return self.storage.exists(f"trials/{key}/record.json")

    def get(self, key: str) -> dict[str, Any] | None:
        """The record of a finished trial, or None; measures without a value are NaN."""
        record = self._documents.read(f"trials/{key}/record.json")
        if record is not None:
            record |= {part: with_nan(record[part]) for part in ("measures", "scale")}
        return record

    def run(self, key: str) -> dict[str, Any]:
        """What the trial cost and where it ran; empty where that is not known."""
        return self._documents.read(f"trials/{key}/run.json") or {}

    def failure(self, key: str) -> dict[str, Any] | None:
        """Why the trial failed when it was last tried, or None."""
        failure = self._documents.read(f"trials/{key}/failed.json")
        if failure is not None:
            try:
                log = self.storage.read(f"trials/{key}/{FAILURE_LOG}").decode(errors="replace")
            except FileNotFoundError:
                log = failure["reason"]
            failure |= {"log": log}
        return failure

    def samples(self, key: str) -> dict[str, bytes]:
        """The trial's sample files by name."""
        folder = f"trials/{key}/samples"
        return {name: self.storage.read(f"{folder}/{name}") for name in self.storage.names(folder)}

    def sample(self, key: str, name: str) -> bytes | None:
        """One of the trial's sample files; None where it is not there any more."""
        try:
            return self.storage.read(f"trials/{key}/samples/{name}")
        except FileNotFoundError:
            return None

    def put(self, key: str, record: dict[str, Any], run: dict[str, Any], samples: dict[str, bytes]) -> None:
        """Write a finished trial; `record.json` comes last and makes it count."""
        for name, data in samples.items():
            self.storage.write(f"trials/{key}/samples/{name}", data)
        self._documents.write(f"trials/{key}/run.json", run)
        plain = record | {part: without_nan(record[part]) for part in ("measures", "scale")}
        self._documents.write(f"trials/{key}/record.json", plain)
        self.forget_failure(key)

    def put_failure(self, key: str, reason: str, log: str, again: bool) -> None:
        """Write why a trial failed: one line, and all that is known; `again` is whether another try can help."""
        self.storage.write(f"trials/{key}/{FAILURE_LOG}", log.encode(errors="replace"))
        failure = {"reason": reason, "again": again, "time": time.time()}
        self._documents.write(f"trials/{key}/failed.json", failure)

    def forget_failure(self, key: str) -> None:
        """The trial is tried again, or has gone well."""
        for name in ("failed.json", FAILURE_LOG):
            self.storage.remove(f"trials/{key}/{name}")

    def baselines(self, key: str) -> dict[str, Any] | None:
        """The scale of that key, or None where no trial has worked it out yet; `values` without a number are NaN."""
        scale = self._documents.read(f"scales/{key}.json")
        return scale and scale | {"values": with_nan(scale["values"])}

    def put_baselines(self, key: str, scale: dict[str, Any]) -> None:
        """Write a scale. Two workers that do so at once write the same, so neither waits for the other."""
        self._documents.write(f"scales/{key}.json", scale | {"values": without_nan(scale["values"])})
