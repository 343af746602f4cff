"""Leases: the right to be the only process that runs a study, or mirrors it, in a storage that many machines see."""

import contextlib
import getpass
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from musiclab.storage.activity import StopRequest
from musiclab.storage.documents import Documents, FlatDocument, NewerFormat, check_format
from musiclab.storage.files import Storage, StorageFailed

_BEAT_S = 3.0
CLEANING = "cleaning"  # the folder of the lease of `musiclab clean`; no study may start meanwhile
_MISSED_BEATS = 5  # after so many missed heartbeats a holder on another machine counts as dead


@dataclass(frozen=True, kw_only=True)
class LeaseState(FlatDocument):
    """The content of a lease file: the process that holds the lease, and its state.

    Attributes:
        user: whose process it is.
        host: the machine's name.
        machine: equal for processes that see each other's ids.
        pid: the process's id.
        started: when the process began, in the system's own count.
        since: when it first asked for the lease, as ISO 8601.
        phase: `asking`, `holding` or `stopping`.
        beat: counts heartbeats.
    """

    user: str
    host: str
    machine: str
    pid: int
    started: str
    since: str
    phase: str
    beat: int

    def __post_init__(self) -> None:
        if not 0 < self.pid < 1 << 31:
            raise ValueError("pid must be a process's id")

    @property
    def holder(self) -> str:
        """Who holds it, in words."""
        since = self.since.replace("T", " ")[:19]
        return f"{self.user} on {self.host} (process {self.pid}, since {since})"


@dataclass(frozen=True)
class _NewerLease:
    """A lease of a newer format: it counts as held, because nothing tells whether its process is alive."""

    error: NewerFormat
    name: str

    @property
    def holder(self) -> str:
        return f"a newer musiclab ({self.name} {self.error.reason}; install a newer musiclab to read it)"


class LeaseTaken(Exception):
    """Another process has the lease; the message names its user, its machine and since when."""


class Lease(contextlib.AbstractContextManager["Lease"]):
    """The right to do one thing in a storage, held by one process at a time; a context manager that holds it.

    A process that wants the lease writes a file into `folder` and looks at the other files there. It relies only on
    files becoming visible, never on clocks: a holder on this machine is alive if its process exists; a holder
    elsewhere, if its heartbeat file changes while we watch. So a killed holder is noticed, and its file is removed.
    """

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage, self._folder = storage, folder
        self.name = f"{folder}/{uuid.uuid4().hex}.json"
        self._state = _this_process()
        self._over, self._lock = threading.Event(), threading.Lock()
        self._on_request: Callable[[], None] | None = None

    def take(self, wait: bool = False) -> Self:
        """Take the lease; if another process has it, wait until that one ends or, by default, raise LeaseTaken."""
        self._put(phase="asking")
        try:
            while holder := self._before_us():
                if not wait:
                    raise LeaseTaken(holder)
                self._storage.remove(self.name)  # otherwise two waiting processes would wait for each other
                time.sleep(_BEAT_S / 10)
                self._put(phase="asking")
            self._put(phase="holding")
        except BaseException:
            self._storage.remove(self.name)
            raise
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def stop(self) -> None:
        """Make `should_continue` false for all who ask; if the storage cannot be written to, they notice that too."""
        with contextlib.suppress(OSError, StorageFailed):
            self._put(phase="stopping")

    def obey(self, stop: Callable[[], None]) -> None:
        """Call `stop` once, from another thread, if somebody asks this holder to stop, see `ask_to_stop`."""
        self._on_request = stop

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with self._lock, contextlib.suppress(OSError, StorageFailed):
            self._storage.remove(self.name)

    def _before_us(self) -> str:
        """Who has the lease or gets it before us, in words; empty if nobody does."""
        for name in _names(self._storage, self._folder):
            if name == self.name:
                continue
            other = _read(self._storage, name)
            # If two ask at once, the later name gives way. The earlier name waits for it, because the later one may
            # have looked before the earlier one's file existed.
            while (
                isinstance(other, LeaseState)
                and other.phase == "asking"
                and name > self.name
                and _is_alive(self._storage, name, other)
            ):
                time.sleep(_BEAT_S / 30)
                other = _read(self._storage, name)
            if isinstance(other, LeaseState | _NewerLease) and _is_alive(self._storage, name, other):
                return other.holder
            if other is not None:
                self._storage.remove(name)  # its process is dead, or it is no lease
        return ""

    def _beat(self) -> None:
        while not self._over.wait(_BEAT_S):
            # A storage that cannot be written to now may recover.
            with self._lock, contextlib.suppress(OSError, StorageFailed):
                if self._over.is_set():
                    return
                if not self._storage.exists(self.name):  # perhaps it was suspended and counted as dead
                    return
                self._state = replace(self._state, beat=self._state.beat + 1)
                self._write()
            if self._on_request and stop_requested(self._storage, self.name):
                stop, self._on_request = self._on_request, None
                stop()

    def _put(self, phase: Literal["asking", "holding", "stopping"]) -> None:
        with self._lock:
            self._state = replace(self._state, phase=phase)
            self._write()

    def _write(self) -> None:
        self._storage.write(self.name, json.dumps(self._state.to_json(), indent=1).encode())


def should_continue(storage: Storage, name: str) -> bool:
    """Whether the lease in file `name` is held and its holder has not asked to stop; yes if it cannot be read."""
    try:
        holder = _read(storage, name)
    except (OSError, StorageFailed):
        return True
    return isinstance(holder, _NewerLease) or (isinstance(holder, LeaseState) and holder.phase != "stopping")


def ask_to_stop(storage: Storage, name: str) -> None:
    """Ask the process that holds the lease in file `name` to stop, as one Ctrl-C does; it looks every few seconds."""
    request = StopRequest(lease=name, time=time.time())
    Documents(storage).write(_request_name(name), request)


def stop_requested(storage: Storage, name: str) -> bool:
    """Whether somebody has asked the holder of the lease in file `name` to stop."""
    try:
        request = Documents(storage, notes_newer=True).read(_request_name(name), StopRequest)
    except (OSError, StorageFailed):
        return False
    return request is not None and request.lease == name


def _request_name(lease: str) -> str:
    """Where a request to the holder of a lease stands: beside the folder of the leases."""
    return f"{lease.rpartition('/')[0]}-stop.json"


def active_holders(storage: Storage, folder: str) -> list[str]:
    """The live processes that have the lease of `folder` or ask for it, in words."""
    return [who for who, alive in lease_holders(storage, folder).values() if alive]


def lease_holders(storage: Storage, folder: str) -> dict[str, tuple[str, bool]]:
    """By lease file in `folder`: the process that has, had or asks for the lease, in words, and whether it is alive."""
    leases = {name: _read(storage, name) for name in _names(storage, folder)}
    return {
        name: (lease.holder, _is_alive(storage, name, lease))
        for name, lease in leases.items()
        if isinstance(lease, LeaseState | _NewerLease)
    }


@dataclass(frozen=True)
class Holder:
    """A process that has a lease or has left one behind.

    Attributes:
        name: the lease file.
        words: who it is, in words.
        alive: whether it lives.
        stopping: whether it is about to end.
    """

    name: str
    words: str
    alive: bool
    stopping: bool


class HolderWatch:
    """Follows who holds the lease of a folder, look by look, without ever waiting.

    A holder on another machine counts as alive until its heartbeats have been missing for a while.
    """

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage, self._folder = storage, folder
        self._beats: dict[str, tuple[int, float]] = {}  # of holders elsewhere: the last beat, and when it was new

    def look(self) -> list[Holder]:
        """Those who have the lease or have left one behind, the living first."""
        holders = []
        for name in _names(self._storage, self._folder):
            lease = _read(self._storage, name)
            if isinstance(lease, LeaseState | _NewerLease):
                stopping = isinstance(lease, LeaseState) and lease.phase == "stopping"
                holders.append(Holder(name, lease.holder, self._seems_alive(name, lease), stopping))
        return sorted(holders, key=lambda holder: not holder.alive)

    def _seems_alive(self, name: str, lease: LeaseState | _NewerLease) -> bool:
        if isinstance(lease, _NewerLease):
            return True
        if lease.machine == _machine():
            return _exists(lease)
        beat, since = self._beats.get(name, (-1, 0.0))
        if lease.beat != beat:
            since = time.monotonic()
            self._beats[name] = lease.beat, since
        return time.monotonic() - since < _MISSED_BEATS * _BEAT_S


def _this_process() -> LeaseState:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may know its user by number only
        user = f"user {os.getuid()}"
    return LeaseState(
        user=user,
        host=platform.node(),
        machine=_machine(),
        pid=os.getpid(),
        started=_started(os.getpid()),
        since=datetime.now().astimezone().isoformat(timespec="seconds"),
        phase="asking",
        beat=0,
    )


def _machine() -> str:
    """A name shared by processes that see each other's ids: the boot and, for containers, the namespace of ids."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{uuid.getnode():x}"


def _started(pid: int) -> str:
    """When the process began, in ticks since boot, to tell it from a later process with that id; empty if dead."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state == "Z" else fields[18]  # a zombie has ended


def _exists(holder: LeaseState) -> bool:
    """Whether the process of a holder on this machine is there."""
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's process
        pass
    return _started(holder.pid) == holder.started


def _is_alive(storage: Storage, name: str, holder: LeaseState | _NewerLease) -> bool:
    if isinstance(holder, _NewerLease):
        return True
    if holder.machine == _machine():
        return _exists(holder)
    until = time.monotonic() + _MISSED_BEATS * _BEAT_S
    while time.monotonic() < until:
        time.sleep(_BEAT_S / 10)
        now = _read(storage, name)
        if now != holder:
            return isinstance(now, LeaseState | _NewerLease)
    return False


def _names(storage: Storage, folder: str) -> list[str]:
    return [f"{folder}/{file}" for file in storage.names(folder)]


def _read(storage: Storage, name: str) -> LeaseState | _NewerLease | Literal["no lease"] | None:
    """The lease in the file, or that it is none (leases are never half written); None if there is no such file."""
    try:
        value = storage.read_as(name, json.loads)
        check_format(name, value, LeaseState.FORMAT)
        return LeaseState.from_json(value)
    except FileNotFoundError:
        return None
    except NewerFormat as error:
        return _NewerLease(error, name)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return "no lease"
