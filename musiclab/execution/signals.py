"""Signals: how a running study stops on Ctrl-C, or when its machine is about to be taken away."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # SIGTERM is what schedulers, containers and spot machines send
_SAME_S = 0.2  # a second signal so soon is the first, passed on by a wrapper such as timeout or make


class GracefulShutdown(contextlib.AbstractContextManager["GracefulShutdown"]):
    """A context in which the first Ctrl-C or SIGTERM asks running trials to stop, and the second quits at once.

    Args:
        ask: asks the trials to stop. It runs in a thread of its own, because a signal may come while locks are held.

    Attributes:
        code: the study's exit code if it was asked to stop, else 0.
    """

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask, self.code = ask, 0
        self._first_signal_at = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "GracefulShutdown":
        if threading.current_thread() is threading.main_thread():  # only it receives signals
            self._before = {number: signal.signal(number, self._signalled) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def request(self) -> None:
        """Do what the first Ctrl-C does, on somebody's request; nothing if it was asked to stop already."""
        if not self.code:
            self._stop(signal.SIGINT)

    def _signalled(self, number: int, _: FrameType | None) -> None:
        if self.code:
            if time.monotonic() - self._first_signal_at > _SAME_S:
                raise KeyboardInterrupt
            return
        self._stop(number)

    def _stop(self, number: int) -> None:
        self.code, self._first_signal_at = 128 + number, time.monotonic()
        threading.Thread(target=self._ask, daemon=True).start()
