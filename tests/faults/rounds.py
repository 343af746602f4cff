"""A round: one study whose processes are killed at seeded moments, its command run again until it is finished."""

import contextlib
import ctypes
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from tests.faults.judging import Truth, Watch, faults
from tests.faults.tally import TALLY
from tests.support.study_processes import ROOT, descendants, kill
from tests.support.waiting import run_to_end, wait_until

_SUBREAPER = 36  # of prctl
# On a crowded machine a worker takes longer than Ray's minute to start, and Ray would give it up again and again.
_PATIENT = {"RAY_worker_register_timeout_seconds": "600"}


class Server(Protocol):
    """What a round kills and starts again: a tracking server, a database, a node of a cluster."""

    def kill(self) -> None: ...

    def start(self) -> None: ...


Judge = Callable[[Truth, Path, str, Watch, bool], Counter[str]]


class Round:
    """A fresh storage and a seeded schedule of kills; `play` runs it.

    `servers` are killed by their names and started again meanwhile; `uri` is where MLflow is, by default in the
    storage, and `look` where the test itself reads it. `judge` counts what is wrong in the end.
    """

    def __init__(
        self, seed: int, targets: list[str], truth: Truth, folder: Path, *options: str,
        servers: dict[str, Server] | None = None, uri: str = "", look: str = "", env: dict[str, str] | None = None,
        judge: Judge = faults,
    ) -> None:  # fmt: skip
        self._seed = seed
        self._random, self._targets, self._truth = random.Random(seed), targets, truth
        self.storage = truth.fresh(folder / f"round {seed}")
        self._options = [*truth.options, *options, *(["--tracking-uri", uri] if uri else [])]
        self._look = look or f"sqlite:///{self.storage / 'mlflow.db'}"
        self._servers, self._env, self._judge = servers or {}, _PATIENT | (env or {}), judge
        self._starting, self._starter = dict[str, Future[None]](), ThreadPoolExecutor()
        self._log = folder / f"round {seed}.log"
        self._watch = Watch(self.storage)
        self._runs, self._given_up, self.kills = 0, 0, Counter[str]()
        self._may_give_up = False

    def play(self) -> None:
        """Run it; AssertionError, with the study's output, unless it ends as if nothing had been killed."""
        began, before = time.monotonic(), set(descendants(os.getpid()))
        self._watch.start()
        with _orphans_come_to_us():
            try:
                self._start()
                self._kill_all()
                self._finish()
                left = self._left(before)
            except AssertionError as error:
                raise AssertionError(f"{error}; {self}\n{self._output()}") from error
            finally:
                kill(*self._alive(before))
        self._watch.end()
        in_process = "--in-process" in self._options
        found = self._judge(self._truth, self.storage, self._look, self._watch, in_process)
        found += Counter({"processes left": left, "runs given up": self._given_up})
        TALLY.add(self.kills, self._runs - 1, found, time.monotonic() - began)
        assert not found, f"{dict(found)}; {self}\n{self._output()}"
        # Not all may have been there to be killed: the study may have ended before.
        assert self.kills, f"nothing was killed; {self}\n{self._output()}"

    def __str__(self) -> str:
        return f"to repeat this round, with the test's name: FAULT_SEED={self._seed} pytest tests/faults -m '' -k NAME"

    def _output(self) -> str:
        return self._log.read_text()[-6000:]

    def _start(self) -> None:
        assert self._runs < 2 * len(self._targets) + 4, "run again and again, it does not come to an end"
        self._runs, self._may_give_up = self._runs + 1, False
        with self._log.open("a") as log:
            log.write(f"\n--- run {self._runs}\n")
            log.flush()
            self._process = subprocess.Popen(
                [sys.executable, str(self._truth.file), *self._options, "--storage", str(self.storage)],
                cwd=ROOT, env=os.environ | self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def _go_on(self) -> None:
        """Start it again after it has ended by itself, which only the loss of its Ray excuses."""
        self._given_up += not self._may_give_up
        self._start()

    def _kill_all(self) -> None:
        waiting = list(self._targets)
        self._random.shuffle(waiting)
        tries = 3 * len(waiting)
        while waiting and tries and self._next_moment(len(waiting)):
            target, tries = waiting.pop(0), tries - 1
            if self._kill(target):
                self.kills[target] += 1
                self._note(f"--- {target} killed at step {self._watch.steps}")
            else:
                waiting.append(target)

    def _next_moment(self, left: int) -> bool:
        """Wait for the moment of the next of `left` kills; whether it comes before the study's end."""
        steps = max(1, (self._steps_in_all() - self._watch.steps) // (left + 1))
        goal = self._watch.steps + self._random.randint(1, steps)
        pause = self._random.random() / 4
        while self._watch.steps < goal:
            self._wait(lambda: self._watch.steps >= goal or self._process.poll() is not None)
            if self._process.poll() is not None and self._watch.steps < goal:
                if self._process.returncode == 0:
                    return False
                self._go_on()
        time.sleep(pause)
        return True

    def _steps_in_all(self) -> int:
        watch = Watch(self._truth.storage)
        watch.look()
        return watch.steps + self._truth.epochs  # of each file of curves, this watch has seen the last version only

    def _wait(self, true: Callable[[], object]) -> None:
        """Wait for it as long as the study gets on."""
        wait_until(true, "the study's next step", lambda: self._watch.steps, poll_s=0.02)

    def _kill(self, target: str) -> bool:
        """Whether there was one to be killed."""
        if target in self._servers:
            if target in self._starting:
                self._starting[target].result()
            self._servers[target].kill()
            self._starting[target] = self._starter.submit(self._servers[target].start)
            return True
        if target == "driver":
            kill(self._process.pid)
            self._process.wait()
            self._start()
            return True
        if target in ("worker", "raylet"):  # what a killed driver's last worker writes is no sign of the new one's
            self._wait(lambda: self._pids("worker") or self._process.poll() is not None)
        self._may_give_up |= target == "raylet"
        if pids := self._pids(target):
            kill(self._random.choice(pids))
        return bool(pids)

    def _pids(self, target: str) -> list[int]:
        if target == "worker":
            above = os.getpid() if "node" in self._servers else self._process.pid
            return sorted(descendants(above, "ray::ResourceTrainable"))
        of = {"mirror": "musiclab.tracking", "raylet": "raylet/raylet"}[target]
        return descendants(self._process.pid, of)

    def _finish(self) -> None:
        self._wait(lambda: self._process.poll() is not None)
        for starting in self._starting.values():
            starting.result()
        while self._process.returncode != 0:
            self._go_on()
            self._wait(lambda: self._process.poll() is not None)
        if "is behind (" in self._log.read_text().rpartition("--- run ")[2]:
            self._sync()

    def _sync(self) -> None:
        """Bring MLflow up to date by the command that the study names."""
        command = [sys.executable, "-c", "from musiclab.cli.main import main; main()", "sync", str(self.storage)]

        def synced() -> bool:
            done = run_to_end(command, cwd=ROOT, env=os.environ | self._env)
            self._note(f"--- sync\n{done.stdout}{done.stderr}")
            return done.returncode == 0

        wait_until(synced, "MLflow to be in sync")

    def _note(self, text: str) -> None:
        with self._log.open("a") as log:
            log.write(f"{text}\n")

    def _left(self, before: set[int]) -> int:
        """How many processes that it started do not end by themselves.

        What is left of a Ray that was killed may outlive it by more than a minute: that is Ray's doing, and only noted.
        """
        killed = self.kills["driver"] or self.kills["raylet"] or self.kills["node"]
        noted = b"ray::" if killed else b""
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not self._alive(before, noted), "the end of all processes")
        ours = self._alive(before, noted)
        TALLY.orphans += len(self._alive(before)) - len(ours)
        for pid in ours:
            self._note(f"--- left: {_command(pid)}")
        return len(ours)

    def _alive(self, before: set[int], but: bytes = b"") -> list[int]:
        """What runs now and did not before, servers apart, and those that call themselves `but`."""
        servers = {
            pid for server in self._servers.values() for pid in (server.process.pid, *descendants(server.process.pid))
        }
        found = descendants(os.getpid(), " ")  # a zombie has no command line
        found = [pid for pid in found if pid not in before and pid not in servers]
        return [pid for pid in found if not (but and _command(pid).startswith(but))]


def _command(pid: int) -> bytes:
    """Its command line; empty where it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0")
    return b""


@contextlib.contextmanager
def _orphans_come_to_us() -> Iterator[None]:
    """Within it, what loses its parent becomes a child of this process, and so can be found."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_SUBREAPER, 0, 0, 0, 0)
