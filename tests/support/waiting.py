"""Waits that go by progress, so that no test's verdict depends on how fast or how busy the machine is."""

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

STILL_S = 600.0  # a wait fails after that long without any progress
_LOOK_S = 2.0  # between two looks at the progress, because a look costs more than most conditions
# CPU time that counts as progress. Daemons that idle, such as Ray's, use less within STILL_S.
_WORK_S = 60.0
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")

Progress = Callable[[], object]


class Patience:
    """The end of a wait: `check` raises AssertionError after STILL_S without any progress.

    Progress is any change of what `progress` returns, and a minute of CPU time of this process's descendants.
    """

    def __init__(self, what: str, progress: Progress | None = None) -> None:
        self._what, self._progress = what, progress
        self._state, self._since = self._now(), time.monotonic()
        self._looked = self._since

    def check(self) -> None:
        """Raise AssertionError if nothing has got on for too long."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        if (state := self._now()) != self._state:
            self._state, self._since = state, now
        got = f" (at {state[0]!r})" if self._progress else ""
        assert now - self._since < STILL_S, f"waited in vain for {self._what}: no progress for {STILL_S:g} s{got}"

    def _now(self) -> tuple[object, int]:
        return self._progress() if self._progress else None, int(cpu_seconds(os.getpid()) // _WORK_S)


def wait_until(
    condition: Callable[[], Any],
    what: str,
    progress: Progress | None = None,
    process: subprocess.Popen | None = None,
    poll_s: float = 0.05,
) -> Any:
    """Return what `condition` returns as soon as that is true.

    Args:
        condition: asked every `poll_s` seconds.
        what: names what is waited for, in the error.
        progress: something that changes as long as what is waited for gets on; see Patience.
        process: if it ends before the condition is true, the wait fails at once, with what the process said.

    Raises:
        AssertionError: if nothing gets on for too long, or `process` has ended.
    """
    patience = Patience(what, progress)
    while True:
        has_ended = process is not None and process.poll() is not None
        if value := condition():
            return value
        if has_ended:
            said = "\n".join(map(str, process.communicate()))
            raise AssertionError(f"waited in vain for {what}: exit status {process.returncode}\n{said}")
        patience.check()
        time.sleep(poll_s)


def outcome(process: subprocess.Popen, what: str, progress: Progress | None = None) -> tuple[Any, Any]:
    """Wait for a process's end; returns its output and its errors, None for one that is no pipe."""
    patience = Patience(f"the end of {what}", progress)
    while True:
        try:
            return process.communicate(timeout=_LOOK_S)
        except subprocess.TimeoutExpired:  # nothing of its output is lost
            patience.check()


def run_to_end(command: list[Any], **options: Any) -> subprocess.CompletedProcess:
    """As `subprocess.run` with text captured, but it is ended only if it makes no progress."""
    options = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    with subprocess.Popen(command, **options) as process:
        try:
            out, err = outcome(process, str(command[0]))
        finally:
            process.kill()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def cpu_seconds(pid: int) -> float:
    """The CPU time of all processes under `pid`, those that have ended and were reaped included."""
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # What follows the name in parentheses: the state, the parent, and after ten more the four times.
            fields = file.read_text().rpartition(")")[2].split()
            number = int(file.parent.name)
            children.setdefault(int(fields[1]), []).append(number)
            ticks[number] = sum(map(int, fields[11:15]))
    layer, total = children.get(pid, []), 0
    while layer:
        total += sum(ticks[number] for number in layer)
        layer = [child for number in layer for child in children.get(number, [])]
    return total / _TICKS_A_SECOND


def suspended(pid: int) -> bool:
    """Whether a signal has suspended the process."""
    return _state(pid) == "T"


def lives(pid: int) -> bool:
    """Whether the process has not ended; one that has, but whose exit status nobody has asked for, does not live."""
    return _state(pid) not in ("", "Z", "X")


def _state(pid: int) -> str:
    """The kernel's letter for what a process does; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
