"""The mirror tells MLflow all once, whatever was there before, whatever answer was lost."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from musiclab.cli.sync import sync
from musiclab.maintenance.doctor import services
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.tracking.mlflow_runs import Runs
from musiclab.tracking.snapshot import CurvePoint
from tests.support.kept import NOTHING, Kept
from tests.support.mlflow_contents import role, study_runs
from tests.support.mlflow_servers import MlflowServer, Postgres
from tests.support.study_processes import kill
from tests.support.waiting import STILL_S, wait_until

pytestmark = pytest.mark.slow


def test_two_mirrors_at_once_take_turns(kept: Kept) -> None:
    mirrors = [kept.mirror() for _ in range(2)]
    for mirror in mirrors:
        mirror.start(print)
    for mirror in mirrors:
        mirror.leave()
    assert ["MLflow: " in mirror.stop() for mirror in mirrors] == [True] * 2
    assert kept.faults() == NOTHING


def test_a_killed_mirror_blocks_no_other(kept: Kept) -> None:
    killed, other = kept.mirror(), kept.mirror()
    killed.start(print)
    wait_until(lambda: study_runs(kept.uri, "latent_dim")[1], "the first run")
    kill(killed._process.pid)
    assert "is behind (its mirror ended early); `musiclab sync " in killed.stop()
    other.start(print)
    assert other.stop().startswith("MLflow: ")
    assert kept.faults() == NOTHING


def test_links_lead_to_where_people_open_mlflow(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = kept.mirror()
    monkeypatch.setenv("MUSICLAB_MLFLOW_PAGES", "https://outside:8443/mlflow/")
    mirror.start(print)
    text = mirror.stop()
    # Whoever names that address serves the database there, so no command for that is given.
    assert text.startswith("MLflow: the study https://outside:8443/mlflow/#/experiments/")
    assert text.count("https://outside:8443/mlflow/#/") == text.count("://") == 3


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
    records = kept.under_way()
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
    points = [CurvePoint("train/loss", step, 0.1 * step + 1e-17, 1_700_000_000.123 + step) for step in range(2500)]
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


@pytest.mark.parametrize("behind_a_server", [False, pytest.param(True, marks=pytest.mark.long)])
def test_the_doctor_tells_a_database_that_is_not_utf_8(
    behind_a_server: bool, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(services, "_MLFLOW_S", STILL_S)
    name = "served" if behind_a_server else "plain"
    for database, level in ((postgres.database(f"{name}_utf8"), "ok"), (postgres.ascii_database(name), "fail")):
        server = MlflowServer(tmp_path / level, database) if behind_a_server else None
        try:
            if server:
                server.start()
            (finding,) = services.tracking(server.uri if server else database, None, None)
        finally:
            if server:
                server.end()
        assert finding.level == level
    assert "its database cannot hold signs such as ± (" in finding.text
    assert "in UTF-8 (PostgreSQL: CREATE DATABASE mlflow ENCODING 'UTF8' TEMPLATE template0)" in finding.remedy


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
    finish = kept.under_way()
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
    finish = kept.under_way(of=0.3)
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
    kept.under_way(of=0.6)
    follower.round()
    assert state() == "RUNNING"
    records.put_failure(key, "no luck", "the log", again=False)
    follower.round()
    assert state() == "FAILED"
    records.forget_failure(key)
    follower.round()
    assert state() == "FAILED"
    kept.under_way(of=0.8)
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


def _raise(*_: Any, **__: Any) -> None:
    raise MlflowException("no answer")
