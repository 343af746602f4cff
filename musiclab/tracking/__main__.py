"""The mirror's process: rounds until standard input closes, then a last one.

Standard input also closes if the process that started this one is killed. Messages go to standard output as JSON, one a
line: how many trials are `in_sync` of a `total`, why MLflow is `behind` (once when it begins to be, and at the end), or
at the end the `links` to its pages; and, if asked to count, how many `points_behind` it is.
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from musiclab.storage.activity import Activity, MirrorState
from musiclab.storage.files import Storage
from musiclab.storage.leases import Lease, should_continue
from musiclab.tracking.backlog import Backlog
from musiclab.tracking.reasons import why
from musiclab.tracking.reconcile import Reconciler

_EVERY_S, _EVERY_REMOTE_S = 2.0, 10.0  # of a remote storage each look is paid for
_NOTE_EVERY_S = 10.0
_STUCK_S = 600.0  # a database may block a call for ever, and the next mirror waits for this one
_COUNT_EVERY_S = 5.0
_LONG_ROUND_S = 60.0  # a round that takes longer does not keep up, or its MLflow hangs
_SENDING = threading.Lock()  # two threads send


class _Mirror:
    def __init__(self, storage: Storage, folder: str, uri: str, counting: bool) -> None:
        self._uri, self._reconciler = uri, Reconciler(storage, folder, uri, self._report_progress)
        self._backlog = Backlog(storage, folder, self._reconciler.sent)
        self._every_s = _EVERY_S if storage.is_local else _EVERY_REMOTE_S
        self._over, self._was_behind = threading.Event(), False
        self._activity, self._noted = Activity(storage, folder), (-1, "", -_NOTE_EVERY_S)
        self._progressed_at = self._in_sync_at = time.monotonic()
        self._had_round = False
        for watch in (self._wait_for_end, self._end_if_stuck, *([self._count] if counting else [])):
            threading.Thread(target=watch, daemon=True).start()

    def follow(self, should_continue: Callable[[], bool]) -> None:
        """Bring MLflow up to date, again and again until the study is over."""
        while not self._over.wait(self._every_s):
            if not should_continue():
                return
            self._round(last=False)
        _send(self._round(last=True))

    def _round(self, last: bool) -> dict[str, Any]:
        try:
            links, behind = self._reconciler.round(last)
        except Exception as error:  # whatever it is, MLflow is behind, and the next round tries again
            links, behind = [], why(error, self._uri)
        self._progressed_at, self._had_round = time.monotonic(), True
        if not behind:
            self._in_sync_at = self._progressed_at
        message = {"behind": behind} if behind else {"links": links}
        if behind and not self._was_behind:
            _send(message)
        self._was_behind = bool(behind)
        self._note(behind, last)
        return message

    def _note(self, behind: str, last: bool) -> None:
        """Write how far MLflow is if that has changed, but not in every round of a study of short trials."""
        in_sync, now = len(self._reconciler.in_sync), time.monotonic()
        noted_in_sync, noted_behind, noted_at = self._noted
        if (in_sync, behind) == (noted_in_sync, noted_behind):
            return
        if last or behind != noted_behind or now - noted_at >= _NOTE_EVERY_S:
            self._noted = in_sync, behind, now
            self._activity.put_mirror(MirrorState(in_sync=in_sync, behind=behind, time=time.time()))

    def _report_progress(self, in_sync: int, total: int) -> None:
        self._progressed_at = time.monotonic()
        _send({"in_sync": in_sync, "total": total})

    def _wait_for_end(self) -> None:
        while os.read(0, 1024):  # not `sys.stdin`: its lock would keep the process from ending while this waits
            pass
        self._progressed_at = time.monotonic()
        self._over.set()

    def _count(self) -> None:
        """Tell how many points MLflow lacks: none if the last round sent all that it saw, and was not long ago."""
        while True:
            time.sleep(_COUNT_EVERY_S)
            is_late = self._was_behind or time.monotonic() - self._in_sync_at > _LONG_ROUND_S
            if is_late or self._had_round:
                with contextlib.suppress(Exception):  # the storage's, of which the study hears from its trials
                    _send({"points_behind": self._backlog.count() if is_late else 0})

    def _end_if_stuck(self) -> None:
        self._over.wait()
        while time.monotonic() - self._progressed_at < _STUCK_S:
            time.sleep(_EVERY_S)
        os._exit(1)


def _send(message: dict[str, Any]) -> None:
    with _SENDING, contextlib.suppress(OSError):  # the reader may be gone; what counts is in MLflow
        print(json.dumps(message), flush=True)


def main(storage_root: str, folder: str, counting: str = "") -> None:
    """Mirror the edition in `folder` into MLFLOW_TRACKING_URI, as soon as no other process does."""
    uri = os.environ["MLFLOW_TRACKING_URI"]
    try:
        storage = Storage(storage_root, probe="none")  # the study has tried it out
        mirror = _Mirror(storage, folder, uri, bool(counting))
        with Lease(storage, f"{folder}/mirror").take(wait=True) as lease:
            # A mirror that was suspended and lost its lease must not continue beside another.
            mirror.follow(lambda: should_continue(storage, lease.name))
    except Exception as error:  # the storage's
        _send({"behind": why(error, uri)})


if __name__ == "__main__":
    main(*sys.argv[1:])
