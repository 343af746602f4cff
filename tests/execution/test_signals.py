"""Ctrl-C and SIGTERM on real studies: once, twice, from a wrapper, and what the next run makes of it."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from musiclab.execution import signals
from musiclab.execution.signals import GracefulShutdown
from tests.support.study_processes import (
    Run,
    descendants,
    ended,
    kill,
    listening,
    paused_study,
    resume,
    run_study,
    start_study,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def under_way(storage: Path, long_study: Path, long_options: list[str]):
    """A study in one process that is suspended, with an epoch of its first trial behind it."""
    process = paused_study(*long_options, storage=storage, file=long_study)
    yield process
    process.kill()


def test_once_is_a_checkpoint_a_summary_and_a_study_that_goes_on(
    under_way: subprocess.Popen, undisturbed: Run, storage: Path, long_study: Path, long_options: list[str]
) -> None:
    assert listening(under_way.pid, *descendants(under_way.pid)) == []  # no server, so none that others could reach
    os.killpg(under_way.pid, signal.SIGINT)  # as a terminal does
    resume(under_way)
    stopped = ended(under_way, storage, code=130)
    epoch = int(re.search(r"^Stopped: 0 of 2 trials done, 1 resumes from epoch (\d+), 1 new; the same command goes on "
                          r"from here\.$", stopped.out, re.MULTILINE)[1])  # fmt: skip
    assert "Press Ctrl-C again to quit now." in stopped.err and "Traceback" not in stopped.err
    assert "No trial has finished, so there is no answer." in stopped.out
    (curves,) = storage.glob("stages/*/curves.json")
    before = json.loads(curves.read_text())
    assert 1 <= max(point["step"] for point in before) == epoch < 100
    assert not [*storage.glob("trials/*/failed.json")]
    assert not [*storage.glob("studies/*/*/runner/*.json")]
    went_on = run_study(*long_options, "--in-process", storage=storage, file=long_study)
    assert f"0 of 2 trials done, 1 resumes from epoch {epoch}, 1 new" in went_on.out
    assert json.loads(curves.read_text())[: len(before)] == before  # no epoch was done twice
    assert went_on.records == undisturbed.records


def test_twice_is_at_once(under_way: subprocess.Popen, storage: Path) -> None:
    (mirror,) = descendants(under_way.pid, "musiclab.tracking")
    os.kill(mirror, signal.SIGSTOP)  # so that the study cannot end by the first one alone
    under_way.send_signal(signal.SIGINT)
    resume(under_way)
    wait_until(lambda: _phase(storage) == "stopping", "the first one's effect", process=under_way)
    time.sleep(0.3)  # less, and it is no second one
    under_way.send_signal(signal.SIGINT)
    try:
        stopped = ended(under_way, storage, code=130)
    finally:
        kill(mirror)
    assert "Traceback" not in stopped.err
    # Neither the trial nor, where that had stopped by then, MLflow is waited for.
    interrupted = "Interrupted; run the same command again to resume." in stopped.err
    assert interrupted or "(the wait was interrupted" in stopped.out


def _phase(storage: Path) -> str:
    """What the study's lease says."""
    (lease,) = storage.glob("studies/*/*/runner/*.json")
    return json.loads(lease.read_text())["phase"]


def test_a_machine_that_is_taken_away_says_so_by_sigterm(under_way: subprocess.Popen, storage: Path) -> None:
    under_way.send_signal(signal.SIGTERM)
    resume(under_way)
    stopped = ended(under_way, storage, code=128 + signal.SIGTERM)
    assert "Stopped: 0 of 2 trials done, 1 resumes from epoch" in stopped.out


def test_a_signal_that_a_wrapper_passes_on_is_no_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: now[0])
    asked = threading.Event()
    with GracefulShutdown(asked.set) as shutdown:
        os.kill(os.getpid(), signal.SIGTERM)
        now[0] = 0.1
        os.kill(os.getpid(), signal.SIGTERM)
        now[0] = 0.3
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    asked.wait()
    assert shutdown.code == 128 + signal.SIGTERM


def test_on_ray_the_workers_stop_with_a_checkpoint_too(
    storage: Path, long_study: Path, long_options: list[str]
) -> None:
    endless = [*long_options, "--set", "vae_epochs=10000"]  # however late the signal comes, there is a training to stop
    process = start_study(*endless, storage=storage, file=long_study)
    wait_until(lambda: [*storage.glob("stages/*/curves.json")], "a training", process=process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: Ray's processes and the mirror get it too
    stopped = ended(process, storage, code=130)
    assert re.search(r"^Stopped: 0 of 2 trials done, .*resumes? from epoch \d+", stopped.out, re.MULTILINE)
    assert "Traceback" not in stopped.err + stopped.out


def test_the_second_to_start_a_study_is_refused_by_name_of_the_first(
    under_way: subprocess.Popen, storage: Path, long_study: Path, long_options: list[str]
) -> None:
    refused = run_study(*long_options, "--in-process", storage=storage, file=long_study, code=1)
    holder = rf"by \S+ on \S+ \(process {under_way.pid}, since [\d :-]+\)"
    goes_on = r"once that has ended, the same command takes up what is left\."
    assert re.fullmatch(rf"error: long is being run in .* {holder}; {goes_on}\n", refused.err)
    planned = run_study(*long_options, "--plan", storage=storage, file=long_study)  # looking is free
    assert "2 trials: 0 done, 2 to run" in planned.out
    (left,) = storage.glob("studies/*/*/runner/*.json")
    under_way.kill()
    under_way.wait()
    taken_up = paused_study(*long_options, storage=storage, file=long_study)
    assert {*storage.glob("studies/*/*/runner/*.json")} - {left}
    taken_up.send_signal(signal.SIGINT)
    resume(taken_up)
    ended(taken_up, storage, code=130)


def test_a_request_is_like_the_first_ctrl_c() -> None:
    asked = threading.Event()
    with GracefulShutdown(asked.set) as shutdown:
        shutdown.request()
        assert asked.wait(60)
        assert shutdown.code == 130
        asked.clear()
        shutdown.request()
        assert not asked.is_set()
        time.sleep(0.3)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
