"""The machines of a Ray cluster: what a worker's own is told, and how many trials all have room for."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import ray

_ASK_AGAIN_S = 1.0
# How many trials may wait for machines: what makes an autoscaler bring them. So many Tune itself lets wait.
_MOST_WAITING = 200


def resources() -> dict[str, float]:
    """What the cluster has, by Ray's name of it."""
    total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray does not annotate it
    return total


def live_nodes() -> list[dict[str, Any]]:
    """What Ray knows about each node that it has."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # Ray does not annotate it
    return [node for node in nodes if node["Alive"]]


_in_trial, _warned = threading.Event(), threading.Event()


def heed_warnings() -> None:
    """Let a SIGTERM in the middle of a trial be a warning. Ray would end this worker there, within an epoch.

    Between trials Ray's own handler ends it, and sends the last metrics.
    """
    end = signal.getsignal(signal.SIGTERM)

    def heed(number: int, frame: FrameType | None) -> None:
        if _in_trial.is_set() or not callable(end):
            _warned.set()
        else:
            end(number, frame)

    signal.signal(signal.SIGTERM, heed)


@contextlib.contextmanager
def in_trial() -> Iterator[None]:
    """A context in which a SIGTERM to this worker is a warning; see `heed_warnings`."""
    _in_trial.set()
    try:
        yield
    finally:
        _in_trial.clear()


def is_leaving() -> bool:
    """Whether this worker, or its machine, is about to be taken away.

    Ray says so of a node whose `ray start --block` got a SIGTERM, or that somebody drains. Ray Train learns it by the
    same call, which is none of Ray's public ones; if a version of Ray lacks it, nothing is known to leave.
    """
    if _warned.is_set():
        return True
    with contextlib.suppress(Exception):
        node = ray.get_runtime_context().get_node_id()
        return node in ray._private.state.state.get_draining_nodes()
    return False


@dataclass
class Room:
    """How many trials the cluster has room for; nodes come and go, so Ray is asked again after a second.

    Attributes:
        gpus: the GPUs of a trial, which may be a fraction.
        asked: how many trials are to run at a time; None for as many as there is room for.
        grows: whether nodes may come: trials may wait for them.
    """

    gpus: float
    asked: int | None
    grows: bool
    _slots: int = 0
    _asked_at: float = field(default=float("-inf"))

    @property
    def slots(self) -> int:
        """How many trials the cluster can run at a time now."""
        if time.monotonic() > self._asked_at + _ASK_AGAIN_S:
            total = resources()
            cpus = int(total.get("CPU", 0))
            self._slots = min(cpus, int(total.get("GPU", 0.0) / self.gpus + 1e-9)) if self.gpus else cpus
            self._asked_at = time.monotonic()
        return self._slots

    @property
    def workers(self) -> int:
        """How many trials the study wants to run at a time now."""
        if self.grows:
            return self.asked or max(1, self.slots)
        return min(self.asked or self.slots, self.slots)

    @property
    def most_handed_out(self) -> int:
        """How many trials may be handed out: an autoscaler brings machines for those that find no room."""
        return self.workers if self.asked or not self.grows else self.slots + _MOST_WAITING
