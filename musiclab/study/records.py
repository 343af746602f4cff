"""Records: what lasts of a trial, written so that it is there whole or not at all.

Under the storage: `stages/<key>/` holds a stage's product (with `done` written last), `trials/<key>/` a trial's
samples, `run.json` (what it cost and where it ran) and, written last, `record.json`, which is equal to the bit wherever
the trial ran; `failed.json` stands there instead where the trial failed. `studies/<name>/` holds plans, `data/` window
stores, `splits/` the splits that records name, `scales/` what the measures of a block are read on.
"""

import json
from typing import Any

from musiclab.study.plan import Cell
from musiclab.study.storage import Storage
from musiclab.training.files import CHECKPOINT, CURVES, Files

DONE = "done"


def _bytes(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"


def _without_nan(values: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: None if value != value else value for name, value in values.items()}


def _with_nan(values: dict[str, float | None]) -> dict[str, float]:
    return {name: float("nan") if value is None else value for name, value in values.items()}


class StoredFiles(Files):
    """A stage's files in the storage; finished stages are never written to again."""

    def __init__(self, storage: Storage, cell: Cell, stage: str) -> None:
        self._storage, self._cell, self._stage = storage, cell, stage
        self._folder = f"stages/{cell.stages[stage]}"

    def read(self, name: str) -> bytes:
        return self._storage.read(f"{self._folder}/{name}")

    def write(self, name: str, data: bytes) -> None:
        self._storage.write(f"{self._folder}/{name}", data)

    def product(self, stage: str) -> "StoredFiles":
        return StoredFiles(self._storage, self._cell, stage)

    def finish(self) -> None:
        """Mark the stage as done; its checkpoint has served."""
        self.write(DONE, b"")
        self._storage.remove(f"{self._folder}/{CHECKPOINT}")


class Records:
    """All records of one storage."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def stage_done(self, key: str) -> bool:
        """Whether the stage of that key has left its whole product."""
        return self.storage.exists(f"stages/{key}/{DONE}")

    def curves(self, cell_stages: dict[str, str]) -> list[dict[str, Any]]:
        """Points of all curves that the trial's stages have written so far, `step` counted in epochs of each stage."""
        points = []
        for key in cell_stages.values():
            try:
                points += json.loads(self.storage.read(f"stages/{key}/{CURVES}"))
            except FileNotFoundError:
                continue
        return points

    def get(self, key: str) -> dict[str, Any] | None:
        """The record of a finished trial, or None; measures without a value are NaN."""
        record = self._json(f"trials/{key}/record.json")
        if record is not None:
            record |= {part: _with_nan(record[part]) for part in ("measures", "scale")}
        return record

    def run(self, key: str) -> dict[str, Any]:
        """What the trial cost and where it ran; empty where that is not known."""
        return self._json(f"trials/{key}/run.json") or {}

    def failure(self, key: str) -> dict[str, Any] | None:
        """Why the trial failed when it was last tried, or None."""
        return self._json(f"trials/{key}/failed.json")

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
        self.storage.write(f"trials/{key}/run.json", _bytes(run))
        plain = record | {part: _without_nan(record[part]) for part in ("measures", "scale")}
        self.storage.write(f"trials/{key}/record.json", _bytes(plain))
        self.storage.remove(f"trials/{key}/failed.json")

    def put_failure(self, key: str, failure: dict[str, Any]) -> None:
        """Write why a trial failed; a later success removes it."""
        self.storage.write(f"trials/{key}/failed.json", _bytes(failure))

    def scale(self, key: str) -> dict[str, Any] | None:
        """The scale of that key, or None where no trial has worked it out yet; `values` without a number are NaN."""
        scale = self._json(f"scales/{key}.json")
        return scale and scale | {"values": _with_nan(scale["values"])}

    def put_scale(self, key: str, scale: dict[str, Any]) -> None:
        """Write a scale. Two workers that do so at once write the same, so neither waits for the other."""
        self.storage.write(f"scales/{key}.json", _bytes(scale | {"values": _without_nan(scale["values"])}))

    def _json(self, name: str) -> dict[str, Any] | None:
        try:
            return json.loads(self.storage.read(name))
        except FileNotFoundError:
            return None
