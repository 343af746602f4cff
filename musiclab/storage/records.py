"""Records: what lasts of a trial, written so that it is there whole or not at all.

Under the storage: `stages/<key>/` holds a stage's product (with `done`, the digests of its files, written last),
`trials/<key>/` a trial's samples, `run.json` (what it cost and where it ran) and, written last, `record.json`, which is
equal to the bit wherever the trial ran; where the trial failed `failed.json` stands there instead, with `failed.log`.
`studies/<name>/` holds plans, `data/` window stores, `splits/` the splits that records name, `scales/` what the
measures of a block are read on.

Each JSON file carries a digest of what it says. One that does not match is as good as none, so what it stood for is
done again; `Records.damage` remembers which.
"""

import hashlib
import json
import time
from typing import Any

from musiclab.design.spec import is_folder_name
from musiclab.design.trials import Cell
from musiclab.hashing import content_hash
from musiclab.study.storage import Storage
from musiclab.training.files import CHECKPOINT, CURVES, Files

DONE = "done"
FAILURE_LOG = "failed.log"
NO_DIGEST = "it has no digest, so another version of musiclab wrote it, or something else did"
OTHER_FORM = "another version of musiclab wrote it"
_SEAL = "sha256"
_POINT = {"name": (str,), "step": (int,), "value": (int, float), "time": (int, float)}


class Stopped(Exception):
    """The study is to stop; what has been done up to the last checkpoint is kept."""


class DamagedStage(Exception):
    """A finished stage's file is not what was written; its stage counts as not done from now on."""


def sealed(value: dict[str, Any], sort_keys: bool = True) -> bytes:
    """A JSON file of a storage: `value` with the digest of what it says; equal values are equal bytes if sorted."""
    whole = value | {_SEAL: content_hash(value)}
    return json.dumps(whole, indent=1, sort_keys=sort_keys, allow_nan=False).encode() + b"\n"


def unsealed(data: bytes) -> dict[str, Any]:
    """The value that `sealed` took; ValueError where it is not what was written."""
    try:
        value = json.loads(data)
        if _SEAL not in value:
            raise ValueError(NO_DIGEST)
        if value.pop(_SEAL) != content_hash(value):
            raise ValueError("it is not what was written")
        return value
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("it is no file of a musiclab storage") from error


def _points(data: bytes) -> list[dict[str, Any]]:
    """The points in a file of curves; one of the errors of reading it where it holds anything else."""
    points = json.loads(data)
    if not all(type(point[field]) in kinds for point in points for field, kinds in _POINT.items()):
        raise ValueError("it holds no curves")
    return list(points)


def _without_nan(values: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: None if value != value else value for name, value in values.items()}


def _with_nan(values: dict[str, float | None]) -> dict[str, float]:
    return {name: float("nan") if value is None else value for name, value in values.items()}


class StoredFiles(Files):
    """A stage's files in the storage; finished stages are never written to again, and read only as they were written.

    A stage may become finished while it is being worked on, by another study that has it too.
    """

    def __init__(self, storage: Storage, cell: Cell, stage: str) -> None:
        self._storage, self._cell, self._stage = storage, cell, stage
        self._folder = f"stages/{cell.stages[stage]}"

    def read(self, name: str) -> bytes:
        """The file's bytes; FileNotFoundError where there is none, DamagedStage where they are not what was written."""
        data = self._storage.read(f"{self._folder}/{name}")
        digests = _stage_digests(self._storage, self._folder)
        if digests is not None and digests.get(name) != _digest(data):
            self._storage.remove(f"{self._folder}/{DONE}")
            raise DamagedStage(f"{self._folder}/{name} is not what was written, so its stage is done again")
        return data

    def write(self, name: str, data: bytes) -> None:
        if not self._storage.exists(f"{self._folder}/{DONE}"):
            self._storage.write(f"{self._folder}/{name}", data)

    def product(self, stage: str) -> "StoredFiles":
        return StoredFiles(self._storage, self._cell, stage)

    def finish(self) -> None:
        """Mark the stage as done; its checkpoint has served."""
        names = [name for name in self._storage.names(self._folder) if name not in (CHECKPOINT, DONE)]
        digests = {name: _digest(self._storage.read(f"{self._folder}/{name}")) for name in names}
        self.write(DONE, sealed(digests))
        self._storage.remove(f"{self._folder}/{CHECKPOINT}")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _stage_digests(storage: Storage, folder: str) -> dict[str, str] | None:
    """The digests of a finished stage's files, none of them where these are damaged; None where it is not finished."""
    try:
        return unsealed(storage.read(f"{folder}/{DONE}"))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}


class Records:
    """All records of one storage. `damage` has the files that were found damaged, with what is wrong with them."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.damage: dict[str, str] = {}

    def stage_done(self, key: str) -> bool:
        """Whether the stage of that key has left its whole product."""
        return self.storage.exists(f"stages/{key}/{DONE}")

    def digests(self, key: str) -> dict[str, str] | None:
        """The digests of a finished stage's files; none where these are damaged, None where it is not finished."""
        return _stage_digests(self.storage, f"stages/{key}")

    def check_stage(self, key: str) -> None:
        """Read a finished stage's files and note in `damage` those that are not what was written."""
        folder = f"stages/{key}"
        digests, there = self.digests(key), self.storage.names(folder)
        if digests == {}:
            self.damage[f"{folder}/{DONE}"] = "it is not what was written"
        for name, digest in (digests or {}).items():
            if name not in there:
                self.damage[f"{folder}/{name}"] = "it is missing"
            elif _digest(self.storage.read(f"{folder}/{name}")) != digest:
                self.damage[f"{folder}/{name}"] = "it is not what was written"

    def epochs_kept(self, key: str) -> int | None:
        """How many epochs the checkpoint of an unfinished stage has, or None where it has left none that is whole."""
        from musiclab.training.tensors import from_bytes  # torch, which the mirror does without

        try:
            return from_bytes(self.storage.read(f"stages/{key}/{CHECKPOINT}"))[1]["epochs"]
        except (FileNotFoundError, ValueError):
            return None

    def curves(self, cell_stages: dict[str, str]) -> list[dict[str, Any]]:
        """Points of all curves that the trial's stages have written so far, `step` counted in epochs of each stage."""
        points = []
        for key in cell_stages.values():
            name = f"stages/{key}/{CURVES}"
            try:
                points += _points(self.storage.read(name))
            except FileNotFoundError:
                continue
            except (ValueError, TypeError, LookupError, RecursionError) as error:
                self._note_damage(name, error)
        return points

    def has(self, key: str) -> bool:
        """Whether there is a record of that trial, not looked into."""
        return self.storage.exists(f"trials/{key}/record.json")

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
        failure = self._json(f"trials/{key}/failed.json")
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
        self.storage.write(f"trials/{key}/run.json", sealed(run))
        plain = record | {part: _without_nan(record[part]) for part in ("measures", "scale")}
        self.storage.write(f"trials/{key}/record.json", sealed(plain))
        self.forget_failure(key)

    def put_failure(self, key: str, reason: str, log: str, again: bool) -> None:
        """Write why a trial failed: one line, and all that is known; `again` is whether another try can help."""
        self.storage.write(f"trials/{key}/{FAILURE_LOG}", log.encode(errors="replace"))
        failure = {"reason": reason, "again": again, "time": time.time()}
        self.storage.write(f"trials/{key}/failed.json", sealed(failure))

    def forget_failure(self, key: str) -> None:
        """The trial is tried again, or has gone well."""
        for name in ("failed.json", FAILURE_LOG):
            self.storage.remove(f"trials/{key}/{name}")

    def scale(self, key: str) -> dict[str, Any] | None:
        """The scale of that key, or None where no trial has worked it out yet; `values` without a number are NaN."""
        scale = self._json(f"scales/{key}.json")
        return scale and scale | {"values": _with_nan(scale["values"])}

    def put_scale(self, key: str, scale: dict[str, Any]) -> None:
        """Write a scale. Two workers that do so at once write the same, so neither waits for the other."""
        self.storage.write(f"scales/{key}.json", sealed(scale | {"values": _without_nan(scale["values"])}))

    def plan(self, folder: str) -> dict[str, Any] | None:
        """The plan in an edition's folder, `studies/<name>/<edition>`, or None."""
        plan = self._json(f"{folder}/plan.json")
        try:
            # Keys become paths, which must not lead out of the storage, whoever has written the plan.
            if plan is None or all(is_folder_name(key) for cell in plan["cells"] for _, key in cell["stages"]):
                return plan
        except (LookupError, TypeError, ValueError):
            pass
        self.damage[f"{folder}/plan.json"] = OTHER_FORM
        return None

    def put_plan(self, folder: str, plan: dict[str, Any]) -> None:
        """Write the plan of an edition, as it stands now; fields keep their order, which variants are named by."""
        self.storage.write(f"{folder}/plan.json", sealed(plan, sort_keys=False))

    def _json(self, name: str) -> dict[str, Any] | None:
        try:
            return unsealed(self.storage.read(name))
        except FileNotFoundError:
            return None
        except ValueError as error:
            self._note_damage(name, error)
            return None

    def _note_damage(self, name: str, error: Exception) -> None:
        self.damage[name] = str(error)
