"""The mirror's process: rounds until standard input ends, which it also does when the starter is killed, then the last.

What it says on standard output is JSON, a line each: `level` of how many trials are brought level, and at the end
either `links` or why MLflow is `behind`, which is also said when it begins to be.
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from musiclab.storage.files import Storage
from musiclab.storage.leases import Lease, should_continue
from musiclab.tracking.mlflow_runs import why
from musiclab.tracking.reconcile import Reconciler

_EVERY_S = 2.0
_STUCK_S = 600.0  # a database may keep a call for ever, and the next mirror waits for this one


class _Mirror:
    def __init__(self, storage: Storage, folder: str, uri: str) -> None:
        self._follower = Reconciler(storage, folder, uri, self._level)
        self._over, self._was_behind = threading.Event(), False
        self._moved = time.monotonic()
        for watch in (self._wait_for_end, self._end_if_stuck):
            threading.Thread(target=watch, daemon=True).start()

    def follow(self, should_continue: Callable[[], bool]) -> None:
        """Bring MLflow level, again and again until the study is over."""
        while not self._over.wait(_EVERY_S):
            if not should_continue():
                return
            self._round(last=False)
        _say(self._round(last=True))

    def _round(self, last: bool) -> dict[str, Any]:
        try:
            links, behind = self._follower.round(last)
        except Exception as error:  # whatever it is, MLflow is behind and is told on the next round
            links, behind = [], why(error)
        self._moved = time.monotonic()
        said = {"behind": behind} if behind else {"links": links}
        if behind and not self._was_behind:
            _say(said)
        self._was_behind = bool(behind)
        return said

    def _level(self, level: int, of: int) -> None:
        self._moved = time.monotonic()
        _say({"level": level, "of": of})

    def _wait_for_end(self) -> None:
        while os.read(0, 1024):  # not by `sys.stdin`, on whose lock a process would not end while this waits
            pass
        self._moved = time.monotonic()
        self._over.set()

    def _end_if_stuck(self) -> None:
        self._over.wait()
        while time.monotonic() - self._moved < _STUCK_S:
            time.sleep(_EVERY_S)
        os._exit(1)


def _say(said: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # whoever reads may be gone; what counts is in MLflow
        print(json.dumps(said), flush=True)


def main(storage: str, folder: str) -> None:
    """Mirror the edition in `folder` once nobody else does, into MLFLOW_TRACKING_URI."""
    try:
        place = Storage(storage)
        mirror = _Mirror(place, folder, os.environ["MLFLOW_TRACKING_URI"])
        with Lease(place, f"{folder}/mirror").take(wait=True) as lease:
            # One that was suspended and taken for dead must not go on beside another.
            mirror.follow(lambda: should_continue(place, lease.name))
    except Exception as error:  # the storage's
        _say({"behind": why(error)})


if __name__ == "__main__":
    main(*sys.argv[1:])
