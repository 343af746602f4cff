"""Leases: one holder at a time, whoever asks, and none that outlives its holder."""

import itertools
import json
import multiprocessing
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from musiclab.storage import leases
from musiclab.storage.files import Storage
from musiclab.storage.leases import (
    HolderWatch,
    Lease,
    LeaseTaken,
    active_holders,
    ask_to_stop,
    should_continue,
    stop_requested,
)
from tests.support.waiting import wait_until

FOLDER = "studies/s/e/runner"

# Takes the lease, says so, and keeps it until it is ended.
_HOLDER = """
import sys, time
from musiclab.storage.leases import Lease
from musiclab.storage.files import Storage
with Lease(Storage(sys.argv[1]), sys.argv[2]).take():
    print("has it", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


@pytest.fixture
def other(tmp_path: Path):
    """Another process that holds the lease."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path), FOLDER], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "has it\n"
    yield process
    process.kill()
    process.communicate()


class Clock:
    """A `time` that moves only while somebody sleeps, and calls `tick` at each move."""

    def __init__(self, tick: Callable[[], None] = lambda: None) -> None:
        self._now, self._tick = 0.0, tick

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds
        self._tick()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats every tenth of a second."""
    monkeypatch.setattr(leases, "_BEAT_S", 0.1)


def _of_another_machine(storage: Storage, beat: int = 0) -> str:
    """A lease as a process on another machine holds it."""
    with Lease(storage, "elsewhere").take() as held:
        holder = json.loads(storage.read(held.name))
    holder |= {"machine": "another", "host": "far", "pid": 1, "beat": beat}
    storage.write(f"{FOLDER}/0.json", json.dumps(holder).encode())
    return f"{FOLDER}/0.json"


def test_a_second_is_refused_with_the_name_of_the_first(storage: Storage, other: subprocess.Popen) -> None:
    with pytest.raises(
        LeaseTaken, match=rf"^\S+ on \S+ \(process {other.pid}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\)$"
    ):
        Lease(storage, FOLDER).take()
    assert len(storage.names(FOLDER)) == 1  # nothing is left of who was refused
    with Lease(storage, "studies/another/e/runner").take():
        pass  # another one is free


def test_what_is_left_of_a_killed_holder_is_in_nobody_s_way(
    storage: Storage, other: subprocess.Popen, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.kill()
    # Not yet reaped, so its id is still there.
    wait_until(lambda: "Z" in Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2], "a zombie")
    assert active_holders(storage, FOLDER) == []
    clock = Clock()
    monkeypatch.setattr(leases, "time", clock)
    with Lease(storage, FOLDER).take() as held:
        assert clock.monotonic() == 0  # nobody was waited for
        assert storage.names(FOLDER) == [held.name.rpartition("/")[2]]


def test_one_that_waits_has_it_when_the_first_ends(storage: Storage, other: subprocess.Popen) -> None:
    told = threading.Event()

    def end() -> None:
        told.set()
        other.send_signal(signal.SIGINT)

    threading.Timer(1.0, end).start()
    with Lease(storage, FOLDER).take(wait=True):
        assert told.is_set()
        assert len(active_holders(storage, FOLDER)) == 1


def test_a_process_with_the_id_of_a_dead_holder_is_not_taken_for_it(storage: Storage) -> None:
    with Lease(storage, FOLDER).take() as held:
        holder = json.loads(storage.read(held.name))
    storage.write(f"{FOLDER}/0.json", json.dumps(holder | {"started": "1"}).encode())
    assert active_holders(storage, FOLDER) == []
    storage.write(f"{FOLDER}/0.json", json.dumps(holder).encode())
    assert len(active_holders(storage, FOLDER)) == 1


def test_a_holder_on_another_machine_is_alive_as_long_as_it_beats(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, ticks = _of_another_machine(storage), itertools.count(1)
    holder = json.loads(storage.read(name))

    def beat() -> None:
        # As slowly as it does, seen ten times between two beats.
        data = json.dumps(holder | {"beat": next(ticks) // 10}).encode()
        storage.write(name, data)

    monkeypatch.setattr(leases, "time", Clock(beat))
    with pytest.raises(LeaseTaken, match="on far"):
        Lease(storage, FOLDER).take()
    assert storage.exists(name)
    monkeypatch.setattr(leases, "time", Clock())
    with Lease(storage, FOLDER).take():  # now it is silent
        assert not storage.exists(name)


def test_a_holder_beats(storage: Storage, quick: None) -> None:
    with Lease(storage, FOLDER).take() as held:
        wait_until(lambda: json.loads(storage.read(held.name))["beat"] >= 3, "beats")
    assert storage.names(FOLDER) == []


def test_a_holder_that_was_taken_for_dead_does_not_come_back(storage: Storage, quick: None) -> None:
    with Lease(storage, FOLDER).take() as held:
        with held._lock:  # it is not just beating
            storage.remove(held.name)
        time.sleep(0.5)
        assert not storage.exists(held.name)
        assert not should_continue(storage, held.name)


def test_who_works_for_a_holder_goes_on_until_it_says_stop_or_is_gone(storage: Storage) -> None:
    lease = Lease(storage, FOLDER)
    assert not should_continue(storage, lease.name)
    with lease.take():
        assert should_continue(storage, lease.name)
        lease.stop()
        assert not should_continue(storage, lease.name)
        with pytest.raises(LeaseTaken):  # it is not over yet
            Lease(storage, FOLDER).take()
    assert not should_continue(storage, lease.name)


def test_a_storage_that_does_not_answer_is_no_order_to_stop(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> bytes:
        raise OSError("no route to host")

    monkeypatch.setattr(Storage, "read", fails)
    assert should_continue(storage, f"{FOLDER}/0.json")


def _ask(root: str, together: Barrier, wait: bool, answers: multiprocessing.Queue) -> None:
    lease = Lease(Storage(root), FOLDER)
    together.wait()
    try:
        with lease.take(wait):
            began = time.monotonic()
            if wait:
                time.sleep(0.05)
            answers.put((began, time.monotonic()))
            if not wait:  # all others ask before this one ends
                signal.pause()
    except LeaseTaken:
        answers.put(None)


def _all_at_once(folder: Path, wait: bool) -> list[tuple[float, float] | None]:
    """What six processes come to: from when to when each had the lease, or None."""
    context = multiprocessing.get_context("forkserver")  # this process has threads, so it should not fork itself
    context.set_forkserver_preload([__name__])
    answers, together = context.Queue(), context.Barrier(6)
    asking = [context.Process(target=_ask, args=(str(folder), together, wait, answers)) for _ in range(6)]
    for process in asking:
        process.start()
    try:
        wait_until(lambda: answers.qsize() == len(asking), "an answer of each", answers.qsize)
        return [answers.get() for _ in asking]
    finally:
        for process in asking:
            process.kill()
            process.join()


@pytest.mark.parametrize("attempt", range(3))
def test_of_many_that_ask_at_once_one_has_it(tmp_path: Path, attempt: int) -> None:
    assert sum(had is not None for had in _all_at_once(tmp_path, wait=False)) == 1


def test_all_that_wait_have_it_one_after_the_other(tmp_path: Path) -> None:
    had = sorted(_all_at_once(tmp_path, wait=True))
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(had))


def test_a_file_that_is_no_lease_holds_nothing(storage: Storage) -> None:
    storage.write(f"{FOLDER}/0.json", b"{")
    with Lease(storage, FOLDER).take() as lease:
        assert storage.names(FOLDER) == [lease.name.rpartition("/")[2]]


def test_who_only_looks_removes_nothing(storage: Storage, quick: None) -> None:
    storage.write(f"{FOLDER}/no lease.json", b"{")
    dead = _of_another_machine(storage)
    assert active_holders(storage, FOLDER) == []
    assert not should_continue(storage, f"{FOLDER}/no lease.json")
    assert storage.exists(dead) and storage.exists(f"{FOLDER}/no lease.json")


def test_a_holder_that_is_asked_to_stop_does_so_once(storage: Storage, quick: None) -> None:
    asked = threading.Event()
    times = []
    with Lease(storage, FOLDER).take() as lease:
        lease.obey(lambda: (times.append(1), asked.set()))
        ask_to_stop(storage, lease.name)
        assert stop_requested(storage, lease.name)
        assert asked.wait(60)
        beat = json.loads(storage.read(lease.name))["beat"]
        wait_until(lambda: json.loads(storage.read(lease.name))["beat"] > beat + 3, "more heartbeats")
    assert times == [1]


def test_a_request_to_another_run_is_not_obeyed(storage: Storage, quick: None) -> None:
    with Lease(storage, FOLDER).take() as earlier:
        ask_to_stop(storage, earlier.name)
    with Lease(storage, FOLDER).take() as lease:
        lease.obey(lambda: pytest.fail("it was asked of another"))
        wait_until(lambda: json.loads(storage.read(lease.name))["beat"] > 3, "heartbeats")
        assert not stop_requested(storage, lease.name)
        assert storage.names(FOLDER) == [lease.name.rpartition("/")[2]]  # a request is no lease


@pytest.mark.parametrize("data", [b"", b"{", b'{"lease": 1}'])
def test_a_damaged_request_is_none(storage: Storage, data: bytes) -> None:
    with Lease(storage, FOLDER).take() as lease:
        storage.write(f"{FOLDER}-stop.json", data)
        assert not stop_requested(storage, lease.name)


def test_a_watch_tells_who_lives_and_who_has_died_without_waiting(storage: Storage) -> None:
    watch = HolderWatch(storage, FOLDER)
    assert watch.look() == []
    with Lease(storage, FOLDER).take() as lease:
        state = json.loads(storage.read(lease.name))
        storage.write(f"{FOLDER}/0.json", json.dumps(state | {"started": "1"}).encode())
        alive, dead = watch.look()
        assert (alive.name, alive.alive, alive.stopping) == (lease.name, True, False)
        assert (dead.name, dead.alive) == (f"{FOLDER}/0.json", False)
        lease.stop()
        assert watch.look()[0].stopping
