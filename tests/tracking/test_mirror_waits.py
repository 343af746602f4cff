"""The mirror waits for an MLflow that is dead, frozen, slow or locked, and nobody waits for it for ever."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from mlflow import MlflowClient

from musiclab.tracking import process as mirror_process
from tests.support.kept import NOTHING, Kept
from tests.support.mlflow_contents import study_runs
from tests.support.mlflow_servers import MlflowServer, Postgres, Proxy
from tests.support.study_processes import kill
from tests.support.waiting import run_to_end, wait_until

pytestmark = pytest.mark.slow


def test_postgres_killed_between_rounds_and_answers_lost(
    kept: Kept, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = postgres.database("killed")
    follower, finish = kept.follower(uri), kept.under_way()
    follower.round()
    postgres.kill()
    with pytest.raises(Exception, match=r"server closed the connection|refused|terminated"):
        finish()
        follower.round()
    postgres.start()
    calls, log = 0, MlflowClient.log_batch

    def killing(*arguments: Any, **rest: Any) -> None:
        nonlocal calls
        calls += 1
        log(*arguments, **rest)
        if calls == 2:
            postgres.kill()  # committed, and nobody is told

    monkeypatch.setattr(MlflowClient, "log_batch", killing)
    with pytest.raises(Exception, match=r"server closed the connection|refused|terminated"):
        follower.round()
    postgres.start()
    follower.round(last=True)
    assert kept.faults(uri) == NOTHING


def test_a_server_that_never_answers_keeps_nobody_waiting(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror_process, "_PATIENCE_S", 3.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        mirror = kept.mirror(f"http://127.0.0.1:{silent.getsockname()[1]}")
        mirror.start(print)
        began = time.monotonic()
        said = mirror.stop()
        waited = time.monotonic() - began
        mirror.leave()  # again: whatever was done before
        kill(mirror._process.pid)
        mirror._process.wait()
    assert waited >= 3
    assert "is behind (no progress for 3 s; its mirror keeps trying on its own); `musiclab sync " in said
    assert f"{kept.path}/latent_dim" in said


class _Interrupted(threading.Event):
    """An event that whoever waits for it is interrupted at."""

    def wait(self, timeout: float | None = None) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return super().wait(timeout)


def test_ctrl_c_ends_the_waiting_and_not_the_mirror(kept: Kept) -> None:
    mirror = kept.mirror()
    mirror.start(print)
    os.kill(mirror._process.pid, signal.SIGSTOP)  # so that it has not ended by then
    mirror._message_came = _Interrupted()
    assert "is behind (the wait was interrupted; its mirror continues on its own)" in mirror.stop()
    os.kill(mirror._process.pid, signal.SIGCONT)
    wait_until(lambda: mirror._process.poll() is not None, "the mirror's end")
    assert mirror._process.returncode == 0
    assert kept.faults() == NOTHING


def test_a_mirror_that_was_taken_for_dead_ends(kept: Kept) -> None:
    """It was suspended for long, and another machine's has taken its place."""
    mirror = kept.mirror()
    mirror.start(print)
    leases = kept.path / kept.folder / "mirror"
    (lease,) = wait_until(lambda: list(leases.glob("*.json")), "its lease")
    wait_until(lambda: study_runs(kept.uri, "latent_dim")[1], "its first round")
    lease.unlink()
    wait_until(lambda: mirror._process.poll() is not None, "the mirror's end")
    assert mirror._process.returncode == 0
    mirror.leave()


def test_a_mirror_whose_database_keeps_a_call_for_ever_ends(kept: Kept) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"postgresql+psycopg2://127.0.0.1:{silent.getsockname()[1]}/db"
        main = "import sys, musiclab.tracking.__main__ as it; it._STUCK_S = 4; it.main(*sys.argv[1:])"
        began = time.monotonic()
        done = run_to_end(
            [sys.executable, "-c", main, str(kept.path), kept.folder],
            env=os.environ | {"MLFLOW_TRACKING_URI": uri}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    assert done.returncode == 1
    assert time.monotonic() - began >= 4


def test_a_mirror_ends_by_itself_where_no_answer_comes(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        mirror, said = kept.mirror(f"http://127.0.0.1:{silent.getsockname()[1]}"), []
        mirror.start(said.append)
        wait_until(lambda: said, "a line that MLflow is behind")
        assert "is behind (no answer within 1 s); `musiclab sync " in mirror.stop()
    assert len(said) == 1
    assert ": no answer within 1 s; the study continues, and MLflow is brought up to date later" in said[0]


@pytest.mark.long
def test_a_server_that_is_slow_but_takes_all_is_waited_for(
    kept: Kept, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_process, "_SAY_EVERY_S", 0.5)
    monkeypatch.setattr(mirror_process, "_PATIENCE_S", 15.0)
    for folder in kept.path.glob("trials/*/samples"):
        shutil.rmtree(folder)  # a call each
    proxy, said = Proxy(server.uri), []
    proxy.delay_s = 0.3
    try:
        mirror = kept.mirror(proxy.uri)
        mirror.start(said.append)
        wait_until(lambda: proxy.asked, "the first call")
        began = time.monotonic()
        where = mirror.stop()
        assert time.monotonic() - began > 15  # longer than for one that takes nothing
    finally:
        proxy.end()
    assert where.startswith("MLflow: the study http://")
    assert any("MLflow is being brought up to date: " in line and " of 4 trials" in line for line in said)
    assert kept.faults(server.uri) == NOTHING


@pytest.mark.long
def test_a_database_that_another_has_locked_is_waited_for(kept: Kept) -> None:
    other = sqlite3.connect(kept.path / "mlflow.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    mirror, said = kept.mirror(), []
    mirror.start(said.append)
    wait_until(lambda: said, "a line that MLflow is behind")
    assert "database is locked" in said[0]
    other.execute("ROLLBACK")
    other.close()
    assert mirror.stop().startswith("MLflow: ")
    assert kept.faults() == NOTHING
