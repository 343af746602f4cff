"""MLflow is level in the end, whatever dies, answers badly or is slow; and `musiclab sync`."""

import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow_contents import assert_level, contents, faults, logged, role, study_runs
from mlflow_servers import MlflowServer, Postgres, Proxy, needs_postgres, sqlite
from study_processes import Run, descendants, ended, kill, start_study, wait_for

from musiclab.errors import UserError
from musiclab.study.lease import Lease
from musiclab.study.mirror import Mirror, starter
from musiclab.study.mirror.follower import Follower
from musiclab.study.mirror.runs import Runs
from musiclab.study.mirror.trials import Point
from musiclab.study.records import Records, sealed, unsealed
from musiclab.study.storage import Storage
from musiclab.study.sync import sync

pytestmark = pytest.mark.slow

NOTHING = Counter()


class Kept:
    """A copy of the finished study's storage, with an MLflow beside it that knows nothing of it."""

    def __init__(self, finished: Run, database: Path, storage: Path) -> None:
        shutil.copytree(finished.storage, storage, ignore=shutil.ignore_patterns("mlflow*"))
        shutil.copy(database, storage / "mlflow.db")
        self.path, self.uri = storage, f"sqlite:///{storage / 'mlflow.db'}"
        (plan,) = storage.glob("studies/latent_dim/*/plan.json")
        self.folder = str(plan.parent.relative_to(storage))
        self.keys = sorted(finished.records)

    def follower(self, uri: str = "") -> Follower:
        return Follower(Storage(str(self.path)), self.folder, uri or self.uri)

    def mirror(self, uri: str = "") -> Mirror:
        return Mirror(str(self.path), self.folder, uri or self.uri)

    def faults(self, uri: str = "") -> Counter[str]:
        return faults(uri or self.uri, "latent_dim", self.path)


@pytest.fixture
def kept(finished: Run, database: Path, tmp_path: Path) -> Kept:
    return Kept(finished, database, tmp_path / "storage")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    needs_postgres()
    made = Postgres()
    made.start()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Iterator[MlflowServer]:
    """A server that runs all the time, for tests that do not kill it."""
    made = sqlite(tmp_path_factory.mktemp("server") / "mlflow", database)
    made.start()
    yield made
    made.end()


# --- sync


def test_sync_says_what_it_added_and_then_that_nothing_was_missing(kept: Kept, capsys: Any) -> None:
    assert sync([str(kept.path)], None) == 0
    said = capsys.readouterr().out
    assert said.startswith("latent_dim: level: 4 trials, ")
    assert "added 9 runs, " in said
    assert kept.faults() == NOTHING
    before = contents(kept.uri, "latent_dim")
    assert sync([f"{kept.path}/latent_dim"], None) == 0
    assert "points, nothing was missing (MLflow at sqlite:///" in capsys.readouterr().out
    assert contents(kept.uri, "latent_dim") == before


def test_sync_counts_what_a_mirror_that_was_cut_off_left_out(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    send, calls = MlflowClient.log_artifacts, 0

    def cut(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt  # as good as a kill: nothing catches it
        send(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifacts", cut)
        with pytest.raises(KeyboardInterrupt):
            kept.follower().round()
    there = sum(len(of) for _, _, run in contents(kept.uri, "latent_dim").values() for of in run.values())
    assert sync([str(kept.path)], None) == 0
    said = capsys.readouterr().out
    total = sum(len(of) for _, _, run in contents(kept.uri, "latent_dim").values() for of in run.values())
    assert f"added 2 runs, {total - there} points, " in said  # the other two trials
    assert kept.faults() == NOTHING


def test_where_sync_brings_it(kept: Kept, finished: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The option, else the environment, else where the study was last shown, else the storage's own database."""
    databases = {name: tmp_path / f"{name}.db" for name in ("option", "environment", "plan")}
    for file in databases.values():
        shutil.copy(kept.path / "mlflow.db", file)
    addresses = {name: f"sqlite:///{file}" for name, file in databases.items()}

    def level() -> list[str]:
        return [name for name, uri in (addresses | {"own": kept.uri}).items() if study_runs(uri, "latent_dim")[1]]

    assert sync([str(kept.path)], None) == 0
    assert level() == ["own"]  # beside the copy, not beside the storage that it is a copy of
    _write_plan(kept, tracking=addresses["plan"])
    assert sync([str(kept.path)], None) == 0
    assert level() == ["plan", "own"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", addresses["environment"])
    assert sync([str(kept.path)], None) == 0
    assert level() == ["environment", "plan", "own"]
    assert sync([str(kept.path)], addresses["option"]) == 0
    assert level() == ["option", "environment", "plan", "own"]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    _write_plan(kept, tracking="postgresql://***@host/mlflow")
    with pytest.raises(UserError, match="whose password is not kept; give the address by --tracking-uri or"):
        sync([str(kept.path)], None)


def test_sync_leaves_a_study_that_runs_or_is_mirrored_to_itself(kept: Kept, capsys: Any) -> None:
    storage = Storage(str(kept.path))
    for of, words in (("runner", "is being run by"), ("mirror", "the mirror of its last run is still bringing")):
        with Lease(storage, f"{kept.folder}/{of}").take():
            assert sync([str(kept.path)], None) == 1
        assert words in capsys.readouterr().out
    assert study_runs(kept.uri, "latent_dim")[1] == []
    (kept.path / kept.folder / "plan.json").write_text("{")
    assert sync([str(kept.path)], None) == 1
    assert "latent_dim: has no plan that can be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((500, "text/plain", b"boom"), r"it answers with errors \(500\)"),
        ((200, "text/html", b"<html><script>alert(1)</script>"), "what answers there is no MLflow server"),
        ((200, "application/json", b"{}"), "what answers there is no MLflow server"),
        ((404, "text/html", b"<html>"), "what answers there is no MLflow server"),
        ((302, "text/html", b""), "what answers there is no MLflow server"),
        ((401, "text/html", b"who?"), r"access is refused \(401\); set MLFLOW_TRACKING_USERNAME and"),
        ((403, "text/html", b"no"), r"access is refused \(403\); set MLFLOW_TRACKING_USERNAME and"),
        ((400, "application/json", b'{"error_code": "X", "message": "a\\u001b[31m\\nb"}'), r"X: a \[31m b;"),
    ],
)
def test_a_bad_answer_is_one_sentence(kept: Kept, answer: tuple[int, str, bytes], words: str) -> None:
    proxy = Proxy()
    proxy.answer = answer
    try:
        said = f"MLflow at {proxy.uri} cannot be brought level with latent_dim: {words}"
        with pytest.raises(UserError, match=said) as of:
            sync([str(kept.path)], proxy.uri)
    finally:
        proxy.end()
    assert of.value.exit_code == 1
    assert str(of.value).isprintable()
    assert "<" not in str(of.value)


def test_nobody_there_is_one_sentence(kept: Kept) -> None:
    for uri, shown in (
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("postgresql+psycopg2://me:secret@127.0.0.1:1/db", r"postgresql\+psycopg2://\*\*\*@127.0.0.1:1/db"),
    ):
        began = time.monotonic()
        with pytest.raises(UserError, match=f"MLflow at {shown} cannot .*: nothing listens there"):
            sync([str(kept.path)], uri)
        assert time.monotonic() - began < 10


# --- two at once, answers that get lost


def test_two_mirrors_at_once_take_turns(kept: Kept) -> None:
    mirrors = [kept.mirror() for _ in range(3)]
    for mirror in mirrors:
        mirror.start(print)
    for mirror in mirrors:
        mirror.leave()
    assert ["MLflow: " in mirror.stop() for mirror in mirrors] == [True] * 3
    assert kept.faults() == NOTHING


def test_a_killed_mirror_blocks_no_other(kept: Kept) -> None:
    killed, other = kept.mirror(), kept.mirror()
    killed.start(print)
    wait_for(lambda: study_runs(kept.uri, "latent_dim")[1], 60, "the first run")
    kill(killed._process.pid)
    assert "is behind (its mirror ended early); `musiclab sync " in killed.stop()
    other.start(print)
    assert other.stop().startswith("MLflow: ")
    assert kept.faults() == NOTHING


@pytest.mark.parametrize("nth", [1, 3, 7])  # the study's run, a variant's, a trial's
def test_a_run_made_after_its_maker_had_looked_for_it_is_not_there_twice(
    kept: Kept, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a frozen server does: a call is given up, its maker looks and finds nothing, then the call comes through."""
    create, calls, late = MlflowClient.create_run, 0, []

    def made_late(*arguments: Any, **rest: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            late.append(lambda: create(*arguments, **rest))
            raise MlflowException("no answer")
        return create(*arguments, **rest)

    monkeypatch.setattr(MlflowClient, "create_run", made_late)
    follower = kept.follower()
    with pytest.raises(MlflowException):
        follower.round()
    follower.round()
    late.pop()()
    assert kept.faults()["runs doubled"] == 1
    follower.round(last=True)
    assert kept.faults() == NOTHING


def test_an_answer_that_comes_through_late_is_there_once(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    log, late = MlflowClient.log_batch, []

    def logged_late(client: MlflowClient, run: str, metrics: Any = (), **rest: Any) -> None:
        if not late and any(metric.key.endswith(".improvement") for metric in metrics):
            late.append(lambda: log(client, run, metrics=metrics, **rest))
            raise MlflowException("no answer")
        log(client, run, metrics=metrics, **rest)

    monkeypatch.setattr(MlflowClient, "log_batch", logged_late)
    follower = kept.follower()
    with pytest.raises(MlflowException):
        follower.round(last=True)
    follower.round(last=True)
    late.pop()()
    assert kept.faults() == NOTHING


def test_of_two_runs_the_one_kept_gets_every_point(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where what was told to the other one was remembered."""
    follower = kept.follower()
    records = _under_way(kept)
    follower.round()
    client, runs = study_runs(kept.uri, "latent_dim")
    for trial in role(runs, "trial"):  # an older one of each, with nothing in it
        client.create_run(trial.info.experiment_id, 1, trial.data.tags)
    for variant in role(runs, "variant"):
        client.create_run(variant.info.experiment_id, 1, variant.data.tags)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", _raise)
        records()
        with pytest.raises(MlflowException):
            follower.round()
    follower.round()
    assert kept.faults()["runs doubled"] == 0
    follower.round(last=True)
    assert kept.faults() == NOTHING


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "server"])
def test_equal_points_are_kept_once(kept: Kept, kind: str, request: pytest.FixtureRequest) -> None:
    """On which it rests that a batch, whose answer was lost, may be sent again."""
    uri = kept.uri if kind == "sqlite" else request.getfixturevalue(kind)
    uri = uri if isinstance(uri, str) else uri.database("equal") if kind == "postgres" else uri.uri
    points = [Point("train/loss", step, 0.1 * step + 1e-17, 1_700_000_000.123 + step) for step in range(2500)]
    runs = Runs(uri, "equal", "e", str(kept.path / "artifacts"), Counter())
    run = runs.get("trial", "k", "n", None, 1.0, {})
    assert runs.add(run, points[:1500]) == 1500
    run.latest.clear()
    assert runs.add(run, points) == 2500  # those that are there, and those that are not, in one batch
    again = Runs(uri, "equal", "e", "", Counter()).get("trial", "k", "n", None, 1.0, {})
    assert again.latest["train/loss"] == run.latest["train/loss"]
    assert runs.add(again, points) == 0
    history = MlflowClient(uri).get_metric_history(run.id, "train/loss")
    assert sorted((of.step, of.value) for of in history) == [(of.step, of.value) for of in points]


# --- what dies, is slow, full or locked


def test_postgres_killed_between_rounds_and_answers_lost(
    kept: Kept, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = postgres.database("killed")
    follower, finish = kept.follower(uri), _under_way(kept)
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
    monkeypatch.setattr(starter, "_PATIENCE_S", 3.0)
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
    assert 3 <= waited < 10
    assert "is behind (nothing was taken up for 3 s; its mirror tries on by itself); `musiclab sync " in said
    assert f"{kept.path}/latent_dim" in said


def test_ctrl_c_ends_the_waiting_and_not_the_mirror(kept: Kept) -> None:
    mirror = kept.mirror()
    mirror.start(print)
    interrupt = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    assert "is behind (it was not waited for; its mirror goes on by itself)" in mirror.stop()
    interrupt.join()
    assert mirror._process.wait(120) == 0
    assert kept.faults() == NOTHING


def test_a_mirror_that_was_taken_for_dead_ends(kept: Kept) -> None:
    """It was suspended for long, and another machine's has taken its place."""
    mirror = kept.mirror()
    mirror.start(print)
    leases = kept.path / kept.folder / "mirror"
    (lease,) = wait_for(lambda: list(leases.glob("*.json")), 60, "its lease")
    wait_for(lambda: study_runs(kept.uri, "latent_dim")[1], 60, "its first round")
    lease.unlink()
    assert mirror._process.wait(60) == 0
    mirror.leave()


def test_a_mirror_whose_database_keeps_a_call_for_ever_ends(kept: Kept) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"postgresql+psycopg2://127.0.0.1:{silent.getsockname()[1]}/db"
        main = "import sys, musiclab.study.mirror.__main__ as it; it._STUCK_S = 4; it.main(*sys.argv[1:])"
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", main, str(kept.path), kept.folder],
            env=os.environ | {"MLFLOW_TRACKING_URI": uri}, stdin=subprocess.DEVNULL, timeout=120, check=False,
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
        wait_for(lambda: said, 60, "a line that MLflow is behind")
        assert "is behind (no answer within 1 s); `musiclab sync " in mirror.stop()
    assert len(said) == 1
    assert ": no answer within 1 s; the study goes on and MLflow is brought level later" in said[0]


@pytest.mark.long
def test_a_server_that_is_slow_but_takes_all_is_waited_for(
    kept: Kept, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starter, "_SAY_EVERY_S", 0.5)
    monkeypatch.setattr(starter, "_PATIENCE_S", 5.0)
    for folder in kept.path.glob("trials/*/samples"):
        shutil.rmtree(folder)  # a call each
    proxy, said = Proxy(server.uri), []
    proxy.delay_s = 0.1
    try:
        mirror = kept.mirror(proxy.uri)
        mirror.start(said.append)
        wait_for(lambda: proxy.asked, 60, "the first call")
        began = time.monotonic()
        where = mirror.stop()
        assert time.monotonic() - began > 5  # longer than for one that takes nothing
    finally:
        proxy.end()
    assert where.startswith("MLflow: the study http://")
    assert any("MLflow is being brought level: " in line and " of 4 trials" in line for line in said)
    assert kept.faults(server.uri) == NOTHING


def test_files_that_cannot_be_put_keep_no_number_from_mlflow(kept: Kept, capsys: Any) -> None:
    (kept.path / "mlflow-artifacts").write_text("a file where the folder should be")
    assert sync([str(kept.path)], None) == 1
    assert "latent_dim: behind: no files can be put there: " in capsys.readouterr().out
    assert kept.faults() == NOTHING
    assert sync([str(kept.path)], None) == 1
    assert "; added" not in capsys.readouterr().out
    (kept.path / "mlflow-artifacts").unlink()
    assert sync([str(kept.path)], None) == 0
    assert ", added 66 files (" in capsys.readouterr().out
    client, runs = study_runs(kept.uri, "latent_dim")
    for trial in role(runs, "trial"):
        assert client.list_artifacts(trial.info.run_id, "samples")


def test_a_full_disk_at_mlflow_is_said_and_made_up_for(kept: Kept) -> None:
    size = (kept.path / "mlflow.db").stat().st_size + 100_000
    full = _sync(kept.path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
    assert full.returncode == 1
    assert "cannot be brought level with latent_dim: " in full.stderr
    assert "Traceback" not in full.stderr
    assert study_runs(kept.uri, "latent_dim")[1] != []
    assert sync([str(kept.path)], None) == 0
    assert kept.faults() == NOTHING


@pytest.mark.long
def test_a_database_that_another_has_locked_is_waited_for(kept: Kept) -> None:
    other = sqlite3.connect(kept.path / "mlflow.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    mirror, said = kept.mirror(), []
    mirror.start(said.append)
    wait_for(lambda: said, 60, "a line that MLflow is behind")
    assert "database is locked" in said[0]
    other.execute("ROLLBACK")
    other.close()
    assert mirror.stop().startswith("MLflow: ")
    assert kept.faults() == NOTHING


# --- damage, clocks, states, names


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_names_that_a_database_would_refuse(kept: Kept, kind: str, request: pytest.FixtureRequest) -> None:
    uri = kept.uri if kind == "sqlite" else request.getfixturevalue(kind).database("names")
    runs = Runs(uri, "names", "e", str(kept.path / "artifacts"), Counter())
    for number, name in enumerate(("<script>alert(1)</script>", "a\0b", "\ud800", "line\nline", "x" * 10_000, "'; --")):
        run = runs.get("variant", str(number), name, None, 1.0, {"text": name})
        runs.end(run, "FINISHED", 2.0, {"musiclab.failure": name})
        there = MlflowClient(uri).get_run(run.id)
        shown = name.replace("\0", "\ufffd").replace("\ud800", "?")
        assert there.info.run_name == shown[:250]
        assert there.data.params == {"text": shown[:6000]}
        assert there.data.tags["musiclab.failure"] == shown[:4900]


def test_a_damaged_trial_keeps_no_other_from_mlflow(kept: Kept, capsys: Any) -> None:
    partial, unread, bad, whole = kept.keys
    curves = _stage(kept, partial) / "curves.json"
    curves.write_text('[{"name": "train/x", "st')
    (kept.path / "trials" / partial / "run.json").write_bytes(b"\0\0\0")
    shutil.rmtree(kept.path / "trials" / partial / "samples")
    (kept.path / "trials" / unread / "run.json").write_bytes(sealed({"began": "then", "ended": "now"}))
    record = unsealed((kept.path / "trials" / bad / "record.json").read_bytes())
    record["measures"]["a name\n\0 that MLflow refuses"] = 1.0
    (kept.path / "trials" / bad / "record.json").write_bytes(sealed(record))
    assert sync([str(kept.path)], None) == 1
    said = capsys.readouterr().out
    assert f"latent_dim: {curves.relative_to(kept.path)} is damaged and left out" in said
    assert f"latent_dim: behind: trial {unread} cannot be read: " in said or f"trial {bad} is refused: " in said
    assert said.replace("\n", "").isprintable()
    _, runs = study_runs(kept.uri, "latent_dim")
    level = {run.data.tags["musiclab.key"] for run in role(runs, "trial") if run.info.status == "FINISHED"}
    assert level == {partial, whole}
    assert Counter(run.info.status for run in runs)["RUNNING"] == 0


def test_clocks_that_are_set_back_change_neither_values_nor_order(kept: Kept) -> None:
    runs = Runs(kept.uri, "clock", "e", str(kept.path / "artifacts"), Counter())
    run, client = runs.get("variant", "k", "n", None, 2000.0, {}), MlflowClient(kept.uri)
    for time_, step, value in ((2000.0, 1, 9.0), (1000.0, 2, 7.0), (900.0, 2, 8.0), (800.0, 2, 6.0)):
        for _ in range(2):  # an answer that was lost is shown again
            runs.show(run, {"a": value, "b": 1.0}, "a", step, time_)
        assert client.get_run(run.id).data.metrics["a"] == value
    runs.show(run, {"a": 5.0}, "a", 1, 3000.0)  # of fewer blocks
    runs.end(run, "FINISHED", 500.0, {})
    there = client.get_run(run.id)
    assert there.data.metrics == {"a": 5.0, "b": 1.0}
    assert sorted((of.step, of.value) for of in client.get_metric_history(run.id, "b")) == [(1, 1.0), (2, 1.0)]
    assert sorted(of.value for of in client.get_metric_history(run.id, "a")) == [5.0, 6.0, 7.0, 8.0, 9.0]
    assert there.info.end_time == there.info.start_time == 2_000_000


def test_training_that_starts_afresh_doubles_no_point(kept: Kept) -> None:
    """After a checkpoint was damaged the same points are made once more, at another time."""
    finish = _under_way(kept)
    kept.follower().round()
    finish()
    for file in kept.path.glob("stages/*/curves.json"):
        points = json.loads(file.read_text())
        file.write_text(json.dumps([point | {"time": point["time"] + 60} for point in points]))
    follower = kept.follower()
    follower.round()
    follower.round(last=True)
    assert kept.faults() == NOTHING


def test_states_of_a_trial_that_is_cut_off_taken_up_fails_and_goes_well(kept: Kept) -> None:
    finish = _under_way(kept, of=0.3)
    key = kept.keys[0]
    records = Records(Storage(str(kept.path)))

    def state() -> str:
        trials = role(study_runs(kept.uri, "latent_dim")[1], "trial")
        return next(run.info.status for run in trials if run.data.tags["musiclab.key"] == key)

    kept.follower().round()
    assert state() == "RUNNING"
    assert sync([str(kept.path)], None) == 0  # driver and mirror were killed
    assert state() == "KILLED"
    follower = kept.follower()  # the study's next run
    follower.round()
    assert state() == "KILLED"  # until it trains
    _under_way(kept, of=0.6)
    follower.round()
    assert state() == "RUNNING"
    records.put_failure(key, "no luck", "the log", again=False)
    follower.round()
    assert state() == "FAILED"
    records.forget_failure(key)
    follower.round()
    assert state() == "FAILED"
    _under_way(kept, of=0.8)
    follower.round()
    assert state() == "RUNNING"
    for reason in ("no luck again", "no luck a third time"):  # before the first point
        records.put_failure(key, reason, "another log", again=False)
        follower.round(last=True)
        (run,) = [of for of in study_runs(kept.uri, "latent_dim")[1] if of.info.status == "FAILED"]
        assert run.data.tags["musiclab.failure"] == reason
    records.forget_failure(key)
    finish()
    kept.follower().round(last=True)
    assert kept.faults() == NOTHING


# --- whole studies


def test_driver_and_mirror_killed_leave_no_run_running(
    undisturbed: Run, storage: Path, long_study: Path, long_options: list[str]
) -> None:
    uri = f"sqlite:///{storage / 'mlflow.db'}"
    asked = [*long_options, "--in-process"]
    process = start_study(*asked, storage=storage, file=long_study)
    wait_for(lambda: logged(uri, "long"), 120, "the first points of a curve")
    kill(*descendants(process.pid, "musiclab.study.mirror"), process.pid)
    process.communicate()
    assert "RUNNING" in {run.info.status for run in study_runs(uri, "long")[1]}
    assert sync([str(storage)], None) == 0
    assert "RUNNING" not in {run.info.status for run in study_runs(uri, "long")[1]}
    process = start_study(*asked, storage=storage, file=long_study)
    wait_for(lambda: logged(uri, "long"), 120, "the trial to be shown as running again")
    again = ended(process, storage)
    assert again.records == undisturbed.records
    assert_level(again, uri, "long")


def test_a_frozen_server_stalls_no_trial_and_postgres_killed_beneath_it_loses_nothing(
    undisturbed: Run, storage: Path, long_study: Path, long_options: list[str], postgres: Postgres, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    server = MlflowServer(tmp_path / "server", postgres.database("frozen"))
    server.start()
    try:
        asked = [*long_options, "--in-process", "--tracking-uri", server.uri]
        process = start_study(*asked, storage=storage, file=long_study)
        wait_for(lambda: logged(server.uri, "long"), 120, "the first points of a curve")
        server.freeze()
        frozen = ended(process, storage)  # while it is frozen, from the first trial's training on
        assert frozen.records == undisturbed.records
        assert "is behind (no answer within 3 s); `musiclab sync " in frozen.out
        postgres.kill()
        server.thaw()
        assert _sync(storage).returncode == 1
        postgres.start()
        level = _sync(storage)
        assert "long: level: 2 trials, " in level.stdout, level.stderr
        assert "nothing was missing" in _sync(storage).stdout
        assert faults(server.uri, "long", storage) == NOTHING
    finally:
        server.end()


def _sync(storage: Path, **rest: Any) -> subprocess.CompletedProcess:
    """`musiclab sync` as a process."""
    command = [sys.executable, "-c", "from musiclab.cli import main; main()", "sync", str(storage)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **rest)


def _write_plan(kept: Kept, **fields: Any) -> None:
    file = kept.path / kept.folder / "plan.json"
    file.write_bytes(sealed(unsealed(file.read_bytes()) | fields, sort_keys=False))


def _stage(kept: Kept, key: str) -> Path:
    """The folder of the trial's first stage."""
    plan = unsealed((kept.path / kept.folder / "plan.json").read_bytes())
    (stages,) = [cell["stages"] for cell in plan["cells"] if cell["stages"][-1][1] == key]
    return kept.path / "stages" / stages[0][1]


def _under_way(kept: Kept, of: float = 0.5) -> Callable[[], None]:
    """Make the trials look as if they had come so far; what makes them finished again."""
    whole = kept.path.with_name("whole")
    if not whole.exists():
        shutil.copytree(kept.path, whole, ignore=shutil.ignore_patterns("mlflow*", "data"))
    for file in whole.glob("stages/*/curves.json"):
        points = json.loads(file.read_text())
        (kept.path / file.relative_to(whole)).write_text(json.dumps(points[: int(of * len(points))]))
    for key in kept.keys:
        (kept.path / "trials" / key / "record.json").unlink(missing_ok=True)

    def finish() -> None:
        shutil.copytree(whole, kept.path, dirs_exist_ok=True)

    return finish


def _raise(*_: Any, **__: Any) -> None:
    raise MlflowException("no answer")
