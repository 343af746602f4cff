"""What processes say of themselves while they work, for whoever looks on; no trial and no result depends on it.

In an edition's folder: `workers/<name>.json`, written by a worker before each trial; `mirror.json`, written by the
mirror; `runner-stop.json`, by which a page asks the run of a study to stop.
"""

import contextlib
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from musiclab.design.spec import is_folder_name
from musiclab.fields import Fields
from musiclab.hashing import content_hash
from musiclab.storage.documents import FORMAT, Documents
from musiclab.storage.files import Storage, StorageFailed


@dataclass(frozen=True, kw_only=True)
class WorkerState:
    """What a worker does: the trial that it began last. Records and failures tell whether that has ended.

    Attributes:
        trial: the trial's key.
        began: when it began that trial, in seconds since 1970.
        lease: the lease file of the run that the worker belongs to.
        host: the machine's name.
        pid: of the worker.
        device: `cpu`, or the name of the GPU.
        gpu: which GPUs of the machine the worker may use, as `CUDA_VISIBLE_DEVICES` has it; empty if that is not set.
        extra: fields that this version does not know.
    """

    FORMAT: ClassVar[int] = 1

    trial: str
    began: float
    lease: str
    host: str = ""
    pid: int = 0
    device: str = ""
    gpu: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """See `Document`."""
        fields = Fields(value)
        fields.take_or(FORMAT, int, 0)
        trial = fields.take("trial", str)
        if not is_folder_name(trial):
            raise ValueError("a trial's key must be a folder's name")
        return cls(
            trial=trial,
            began=fields.take("began", float),
            lease=fields.take("lease", str),
            host=fields.take_or("host", str, ""),
            pid=fields.take_or("pid", int, 0),
            device=fields.take_or("device", str, ""),
            gpu=fields.take_or("gpu", str, ""),
            extra=fields.rest,
        )

    def to_json(self) -> dict[str, Any]:
        """See `Document`."""
        own = {name: getattr(self, name) for name in ("trial", "began", "lease", "host", "pid", "device", "gpu")}
        return {FORMAT: self.FORMAT} | own | self.extra


@dataclass(frozen=True, kw_only=True)
class MirrorState:
    """How far the mirror has brought MLflow (`mirror.json`).

    Attributes:
        in_sync: how many trials MLflow has whole.
        behind: why MLflow is behind, in words; empty if its last round went well.
        time: when the mirror wrote this, in seconds since 1970.
        extra: fields that this version does not know.
    """

    FORMAT: ClassVar[int] = 1

    in_sync: int
    behind: str
    time: float
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """See `Document`."""
        fields = Fields(value)
        fields.take_or(FORMAT, int, 0)
        return cls(
            in_sync=fields.take("in_sync", int),
            behind=fields.take("behind", str),
            time=fields.take("time", float),
            extra=fields.rest,
        )

    def to_json(self) -> dict[str, Any]:
        """See `Document`."""
        own = {name: getattr(self, name) for name in ("in_sync", "behind", "time")}
        return {FORMAT: self.FORMAT} | own | self.extra


@dataclass(frozen=True, kw_only=True)
class StopRequest:
    """A request to the process that holds a lease to stop; no other process obeys it.

    Attributes:
        lease: the name of the lease file.
        time: when somebody asked, in seconds since 1970.
        extra: fields that this version does not know.
    """

    FORMAT: ClassVar[int] = 1

    lease: str
    time: float
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """See `Document`."""
        fields = Fields(value)
        fields.take_or(FORMAT, int, 0)
        return cls(lease=fields.take("lease", str), time=fields.take("time", float), extra=fields.rest)

    def to_json(self) -> dict[str, Any]:
        """See `Document`."""
        return {FORMAT: self.FORMAT, "lease": self.lease, "time": self.time} | self.extra


class Activity:
    """What processes say of themselves in the folder of an edition. A note that cannot be written is left out."""

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage, self._workers, self._mirror = storage, f"{folder}/workers", f"{folder}/mirror.json"
        self._documents = Documents(storage, notes_newer=True)

    def put_worker(self, state: WorkerState) -> None:
        """Note which trial a worker begins; the note replaces the worker's last one."""
        name = content_hash([state.host, state.pid])[:16]
        with contextlib.suppress(OSError, StorageFailed):
            self._documents.write(f"{self._workers}/{name}.json", state)

    def workers(self) -> list[WorkerState]:
        """What each worker of the edition has begun last."""
        names = self._storage.names(self._workers)
        states = (self._documents.read(f"{self._workers}/{name}", WorkerState) for name in names)
        return [state for state in states if state]

    def forget_workers(self) -> None:
        """Remove what workers of an earlier run have left."""
        with contextlib.suppress(OSError, StorageFailed):
            self._storage.remove_folder(self._workers)

    def put_mirror(self, state: MirrorState) -> None:
        """Note how far the mirror is."""
        with contextlib.suppress(OSError, StorageFailed):
            self._documents.write(self._mirror, state)

    def mirror(self) -> MirrorState | None:
        """How far the mirror was last; None if it has not said so."""
        return self._documents.read(self._mirror, MirrorState)
