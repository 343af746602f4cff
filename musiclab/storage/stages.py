"""Stages: the files of a trial's stages. A finished stage has their checksums; an unfinished one, a checkpoint."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from musiclab.design.trials import TrialSpec
from musiclab.fields import Fields
from musiclab.storage.documents import FORMAT, Documents, NewerFormat, check_format, verified, with_checksum
from musiclab.storage.files import Storage
from musiclab.training.files import CHECKPOINT, CURVES, PROGRESS, Files

DONE = "done"
_MOST_KEPT_BYTES = 64 << 20  # of a file that is kept in memory as long as its trial runs
_POINT = {"name": (str,), "step": (int,), "value": (int, float), "time": (int, float)}


@dataclass(frozen=True)
class CurvePoint:
    """A value of a curve or a metric: `step` is epochs, or 0 for a result; `time` in seconds since 1970."""

    name: str
    step: int
    value: float
    time: float


@dataclass(frozen=True, kw_only=True)
class FinishedStage:
    """What makes a stage count as finished (`done`): the checksum of each of its files, by name.

    In format 0 the file was the table of names itself.
    """

    FORMAT: ClassVar[int] = 1

    files: dict[str, str]
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """See `Document`."""
        fields = Fields({"files": value} if FORMAT not in value else value)
        fields.take_or(FORMAT, int, 0)
        return cls(files=fields.table("files", str), extra=fields.rest)

    def to_json(self) -> dict[str, Any]:
        """See `Document`."""
        return {FORMAT: self.FORMAT, "files": self.files} | self.extra


class StopRequested(Exception):
    """The study is to stop; everything up to the last checkpoint is kept."""


class DamagedStage(Exception):
    """A finished stage's file is not what was written; the stage counts as unfinished from now on."""


def _points(data: bytes) -> list[CurvePoint]:
    """The points in a file of curves; ValueError, TypeError, LookupError or RecursionError if it holds no such."""
    points = json.loads(data)
    if not all(type(point[field]) in kinds for point in points for field, kinds in _POINT.items()):
        raise ValueError("it holds no curves")
    return [CurvePoint(point["name"], point["step"], point["value"], point["time"]) for point in points]


class StoredFiles(Files):
    """A stage's files in the storage. If it is finished, it is never written to, and its files must match checksums.

    Another study that has the same stage may finish it while this one works on it. From a remote storage a file of a
    finished stage is read once, however often this object and its products are asked for it.
    """

    def __init__(
        self, storage: Storage, trial: TrialSpec, stage: str, finished: dict[str, bytes] | None = None
    ) -> None:
        """`finished` has files of finished stages that were read before, by their names in the storage."""
        self._storage, self._trial, self._stage = storage, trial, stage
        self._folder = f"stages/{trial.stages[stage]}"
        self._finished: dict[str, bytes] = {} if finished is None else finished

    def read(self, name: str) -> bytes:
        """The file's bytes; FileNotFoundError if there is none, DamagedStage if they are not what was written."""
        path = f"{self._folder}/{name}"
        if path in self._finished:
            return self._finished[path]
        data = self._storage.read(path)
        checksums = _stage_checksums(self._storage, self._folder)
        if checksums is not None and checksums.get(name) != _checksum(data):
            self._storage.remove(f"{self._folder}/{DONE}")
            raise DamagedStage(f"{path} is not what was written, so its stage is done again")
        if checksums and not self._storage.is_local and len(data) <= _MOST_KEPT_BYTES:
            self._finished[path] = data
        return data

    def write(self, name: str, data: bytes) -> None:
        if not self._storage.exists(f"{self._folder}/{DONE}"):
            self._storage.write(f"{self._folder}/{name}", data)

    def product(self, stage: str) -> "StoredFiles":
        return StoredFiles(self._storage, self._trial, stage, self._finished)

    def names(self) -> list[str]:
        return self._storage.names(self._folder)

    def nothing_kept(self) -> bool:
        """Whether the stage has written nothing that a later one could use."""
        return set(self.names()) <= {CHECKPOINT, CURVES, PROGRESS}

    def finish(self) -> None:
        """Mark the stage as done and remove its checkpoint, which is no longer needed."""
        names = [name for name in self.names() if name not in (CHECKPOINT, DONE)]
        checksums = {name: _checksum(self._storage.read(f"{self._folder}/{name}")) for name in names}
        self.write(DONE, with_checksum(FinishedStage(files=checksums).to_json()))
        self._storage.remove(f"{self._folder}/{CHECKPOINT}")


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _stage_checksums(storage: Storage, folder: str) -> dict[str, str] | None:
    """The checksums of a finished stage's files, by name; empty if `done` is damaged, None if it does not exist.

    NewerFormat if a newer version finished it.
    """
    name = f"{folder}/{DONE}"
    try:
        value = verified(storage.read(name))
        check_format(name, value, FinishedStage.FORMAT)
        return FinishedStage.from_json(value).files
    except FileNotFoundError:
        return None
    except ValueError:
        return {}


class Stages:
    """The stages of one storage."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def done(self, key: str) -> bool:
        """Whether the stage of that key has finished."""
        return self._documents.storage.exists(f"stages/{key}/{DONE}")

    def checksums(self, key: str) -> dict[str, str] | None:
        """The checksums of a finished stage's files, by name; empty if `done` is damaged, None if it does not exist."""
        try:
            return _stage_checksums(self._documents.storage, f"stages/{key}")
        except NewerFormat as error:
            self._documents.note_newer(f"stages/{key}/{DONE}", error)
            return None

    def check(self, key: str) -> None:
        """Read a finished stage's files and note in `damage` those that are not what was written."""
        folder = f"stages/{key}"
        checksums, names = self.checksums(key), self._documents.storage.names(folder)
        if checksums == {}:
            self._documents.damage[f"{folder}/{DONE}"] = "it is not what was written"
        for name, checksum in (checksums or {}).items():
            if name not in names:
                self._documents.damage[f"{folder}/{name}"] = "it is missing"
            elif _checksum(self._documents.storage.read(f"{folder}/{name}")) != checksum:
                self._documents.damage[f"{folder}/{name}"] = "it is not what was written"

    def epochs_kept(self, key: str) -> int | None:
        """How many whole epochs the checkpoint of an unfinished stage has, or None if it has no whole checkpoint."""
        from musiclab.training.tensors import (
            from_bytes,
        )  # imported here, because it needs torch and the mirror does not

        try:
            meta = from_bytes(self._documents.storage.read(f"stages/{key}/{CHECKPOINT}"))[1]
            epochs: int = meta["epoch"]["number"] if "epoch" in meta else meta["epochs"]
            return epochs
        except (FileNotFoundError, ValueError):
            return None

    def curves(self, stage_keys: dict[str, str]) -> list[CurvePoint]:
        """Points of all curves that the trial's stages have written so far, `step` counted in epochs of each stage."""
        points: list[CurvePoint] = []
        for key in stage_keys.values():
            name = f"stages/{key}/{CURVES}"
            try:
                points += self._documents.storage.read_as(name, _points)
            except FileNotFoundError:
                continue
            except (ValueError, TypeError, LookupError, RecursionError) as error:
                self._documents.note_damage(name, error)
            else:
                self._documents.damage.pop(name, None)  # it was written anew
        return points
