"""What processes say of themselves while they work, for whoever looks on; no trial and no result depends on it.

In an edition's folder: `workers/<name>.json`, written by a worker before each trial; `mirror.json`, written by the
mirror; `runner-stop.json`, by which a page asks the run of a study to stop.
"""

import contextlib
from dataclasses import dataclass

from musiclab.design.spec import is_folder_name
from musiclab.hashing import content_hash
from musiclab.storage.documents import Documents, FlatDocument
from musiclab.storage.files import Storage, StorageFailed


@dataclass(frozen=True, kw_only=True)
class WorkerState(FlatDocument):
    """What a worker does: the trial that it began last. Records and failures tell whether that has ended.

    Attributes:
        trial: the trial's key.
        began: when it began that trial, in seconds since 1970.
        lease: the lease file of the run that the worker belongs to.
        host: the machine's name.
        pid: of the worker.
        device: `cpu`, or the name of the GPU.
        gpu: which GPUs of the machine the worker may use, as `CUDA_VISIBLE_DEVICES` has it; empty if that is not set.
    """

    trial: str
    began: float
    lease: str
    host: str = ""
    pid: int = 0
    device: str = ""
    gpu: str = ""

    def __post_init__(self) -> None:
        if not is_folder_name(self.trial):
            raise ValueError("a trial's key must be a folder's name")


@dataclass(frozen=True, kw_only=True)
class MirrorState(FlatDocument):
    """How far the mirror has brought MLflow (`mirror.json`).

    Attributes:
        in_sync: how many trials MLflow has whole.
        behind: why MLflow is behind, in words; empty if its last round went well.
        time: when the mirror wrote this, in seconds since 1970.
    """

    in_sync: int
    behind: str
    time: float


@dataclass(frozen=True, kw_only=True)
class StopRequest(FlatDocument):
    """A request to the process that holds a lease to stop; no other process obeys it.

    Attributes:
        lease: the name of the lease file.
        time: when somebody asked, in seconds since 1970.
    """

    lease: str
    time: float


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
