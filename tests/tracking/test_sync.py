"""`musiclab sync`: where it brings MLflow up to date, what it says, and what whole studies leave it to do."""

import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from musiclab.cli.sync import sync
from musiclab.errors import UserError
from musiclab.storage.documents import verified, with_checksum
from musiclab.storage.files import Storage
from musiclab.storage.leases import Lease
from tests.support.kept import NOTHING, Kept
from tests.support.mlflow_contents import assert_level, contents, faults, logged, role, study_runs
from tests.support.mlflow_servers import MlflowServer, Postgres, Proxy
from tests.support.study_processes import Run, descendants, ended, kill, paused_study, resume, run_study
from tests.support.waiting import STILL_S, wait_until

pytestmark = pytest.mark.slow


def test_sync_says_what_it_added_and_then_that_nothing_was_missing(kept: Kept, capsys: Any) -> None:
    assert sync([str(kept.path)], None) == 0
    said = capsys.readouterr().out
    assert said.startswith("latent_dim: in sync: 4 trials, ")
    assert "added 9 runs, " in said
    assert kept.faults() == NOTHING
    before = contents(kept.uri, "latent_dim")
    assert sync([f"{kept.path}/latent_dim"], None) == 0
    assert "points, nothing was missing (MLflow at sqlite:///" in capsys.readouterr().out
    assert contents(kept.uri, "latent_dim") == before


def test_sync_counts_what_a_mirror_that_was_cut_off_left_out(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    send, calls = LocalArtifactRepository.log_artifacts, 0

    def cut(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt  # as good as a kill: nothing catches it
        send(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(LocalArtifactRepository, "log_artifacts", cut)
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
    kept.write_plan(tracking=addresses["plan"])
    assert sync([str(kept.path)], None) == 0
    assert level() == ["plan", "own"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", addresses["environment"])
    assert sync([str(kept.path)], None) == 0
    assert level() == ["environment", "plan", "own"]
    assert sync([str(kept.path)], addresses["option"]) == 0
    assert level() == ["option", "environment", "plan", "own"]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    kept.write_plan(tracking="postgresql://***@host/mlflow")
    with pytest.raises(UserError, match="its password was not stored; give the address by --tracking-uri or"):
        sync([str(kept.path)], None)


def test_sync_leaves_a_study_that_runs_or_is_mirrored_to_itself(kept: Kept, capsys: Any) -> None:
    storage = Storage(str(kept.path))
    for of, words in (("runner", "is being run by"), ("mirror", "the mirror of its last run is still updating")):
        with Lease(storage, f"{kept.folder}/{of}").take():
            assert sync([str(kept.path)], None) == 1
        assert words in capsys.readouterr().out
    assert study_runs(kept.uri, "latent_dim")[1] == []
    (kept.path / kept.folder / "plan.json").write_text("{")
    assert sync([str(kept.path)], None) == 1
    assert "latent_dim: no plan can be read" in capsys.readouterr().out


def test_a_study_whose_mlflow_is_away_keeps_no_other_from_its_own(kept: Kept, capsys: Any) -> None:
    away = "http://127.0.0.1:1"
    for name, uri in (("a", away), ("b", away), ("c", "postgresql://***@host/mlflow")):
        shutil.copytree(kept.plan.parent, kept.path / f"studies/{name}/x")
        Kept.write(kept.path / f"studies/{name}/x/plan.json", study=name, tracking=uri)
    with pytest.raises(UserError, match=f"MLflow at {away} cannot be brought up to date with a: "):
        sync([str(kept.path)], None)
    said = capsys.readouterr().out
    assert "c was run with MLflow at postgresql://***@host/mlflow, and its password was not stored" in said
    assert "latent_dim: in sync: 4 trials" in said
    assert kept.faults() == NOTHING


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((500, "text/plain", b"boom"), r"it answers with errors \(500\)"),
        ((200, "text/html", b"<html><script>alert(1)</script>"), "what answers there is not an MLflow server"),
        ((200, "application/json", b"{}"), "what answers there is not an MLflow server"),
        ((404, "text/html", b"<html>"), "what answers there is not an MLflow server"),
        ((302, "text/html", b""), "what answers there is not an MLflow server"),
        ((401, "text/html", b"who?"), r"access is refused \(401\); set MLFLOW_TRACKING_USERNAME and"),
        ((403, "text/html", b"no"), r"access is refused \(403\); set MLFLOW_TRACKING_USERNAME and"),
        ((400, "application/json", b'{"error_code": "X", "message": "a\\u001b[31m\\nb"}'), r"X: a \[31m b;"),
    ],
)
def test_a_bad_answer_is_one_sentence(kept: Kept, answer: tuple[int, str, bytes], words: str) -> None:
    proxy = Proxy()
    proxy.answer = answer
    try:
        said = f"MLflow at {proxy.uri} cannot be brought up to date with latent_dim: {words}"
        with pytest.raises(UserError, match=said) as of:
            sync([str(kept.path)], proxy.uri)
    finally:
        proxy.end()
    assert of.value.exit_code == 1
    assert str(of.value).isprintable()
    assert "<" not in str(of.value)


def test_nobody_there_is_one_sentence_soon(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    slept, sleep = [], time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: (slept.append(seconds), sleep(seconds)))
    for uri, shown in (
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("postgresql+psycopg2://me:secret@127.0.0.1:1/db", r"postgresql\+psycopg2://\*\*\*@127.0.0.1:1/db"),
    ):
        with pytest.raises(UserError, match=f"MLflow at {shown} cannot .*: nothing listens there"):
            sync([str(kept.path)], uri)
    assert sum(slept) < 10  # it does not try on for minutes


def test_files_that_cannot_be_put_keep_no_number_from_mlflow(kept: Kept, capsys: Any) -> None:
    (kept.path / "mlflow-artifacts").write_text("a file where the folder should be")
    assert sync([str(kept.path)], None) == 1
    assert "latent_dim: behind: files cannot be uploaded: " in capsys.readouterr().out
    assert kept.faults() == NOTHING
    assert sync([str(kept.path)], None) == 1
    assert "; added" not in capsys.readouterr().out
    (kept.path / "mlflow-artifacts").unlink()
    assert sync([str(kept.path)], None) == 0
    assert ", added 54 files (" in capsys.readouterr().out
    client, runs = study_runs(kept.uri, "latent_dim")
    for trial in role(runs, "trial"):
        assert client.list_artifacts(trial.info.run_id, "samples")


def test_a_full_disk_at_mlflow_is_said_and_made_up_for(kept: Kept) -> None:
    size = (kept.path / "mlflow.db").stat().st_size + 100_000
    full = _sync(kept.path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
    assert full.returncode == 1
    assert "cannot be brought up to date with latent_dim: " in full.stderr
    assert "Traceback" not in full.stderr
    assert study_runs(kept.uri, "latent_dim")[1] != []
    assert sync([str(kept.path)], None) == 0
    assert kept.faults() == NOTHING


def test_a_damaged_trial_keeps_no_other_from_mlflow(kept: Kept, capsys: Any) -> None:
    partial, unread, bad, whole = kept.keys
    curves = kept.stage(partial) / "curves.json"
    curves.write_text('[{"name": "train/x", "st')
    (kept.path / "trials" / partial / "run.json").write_bytes(b"\0\0\0")
    shutil.rmtree(kept.path / "trials" / partial / "samples")
    (kept.path / "trials" / unread / "run.json").write_bytes(with_checksum({"began": "then", "ended": "now"}))
    record = verified((kept.path / "trials" / bad / "record.json").read_bytes())
    record["measures"]["a name\n\0 that MLflow refuses"] = 1.0
    (kept.path / "trials" / bad / "record.json").write_bytes(with_checksum(record))
    assert sync([str(kept.path)], None) == 1
    said = capsys.readouterr().out
    assert f"latent_dim: {curves.relative_to(kept.path)} is damaged and was left out" in said
    assert f"latent_dim: trials/{unread}/run.json is damaged and was left out" in said
    assert f"trial {bad} is refused: " in said
    assert said.replace("\n", "").isprintable()
    _, runs = study_runs(kept.uri, "latent_dim")
    in_sync = {run.data.tags["musiclab.key"] for run in role(runs, "trial") if run.info.status == "FINISHED"}
    assert in_sync == {partial, unread, whole}
    assert Counter(run.info.status for run in runs)["RUNNING"] == 0


@pytest.mark.long
def test_driver_and_mirror_killed_leave_no_run_running(
    undisturbed: Run, storage: Path, long_study: Path, long_options: list[str]
) -> None:
    uri = f"sqlite:///{storage / 'mlflow.db'}"
    asked = [*long_options, "--in-process"]
    process = paused_study(*asked, storage=storage, file=long_study)
    wait_until(lambda: logged(uri, "long"), "MLflow to show them")
    kill(*descendants(process.pid, "musiclab.tracking"), process.pid)
    process.communicate()
    assert "RUNNING" in {run.info.status for run in study_runs(uri, "long")[1]}
    assert sync([str(storage)], None) == 0
    assert "RUNNING" not in {run.info.status for run in study_runs(uri, "long")[1]}
    again = run_study(*asked, storage=storage, file=long_study)
    assert again.records == undisturbed.records
    assert_level(again, uri, "long")


def test_a_frozen_server_stalls_no_trial_and_postgres_killed_beneath_it_loses_nothing(
    undisturbed: Run, storage: Path, long_study: Path, long_options: list[str], postgres: Postgres, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    server = MlflowServer(tmp_path / "server", postgres.database("frozen"))
    server.start()
    try:
        asked = [*long_options, "--in-process", "--tracking-uri", server.uri]
        impatient = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "3"}
        process = paused_study(*asked, storage=storage, file=long_study, env=impatient)
        wait_until(lambda: logged(server.uri, "long"), "the first points of a curve")
        server.freeze()
        resume(process)
        frozen = ended(process, storage)  # while it is frozen, from the first trial's training on
        assert frozen.records == undisturbed.records
        assert "is behind (no answer within 3 s); `musiclab sync " in frozen.out
        postgres.kill()
        server.thaw()
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", f"{STILL_S:.0f}")
        assert _sync(storage).returncode == 1
        postgres.start()
        level = _sync(storage)
        assert "long: in sync: 2 trials, " in level.stdout, level.stderr
        assert faults(server.uri, "long", storage) == NOTHING
    finally:
        server.end()


def _sync(storage: Path, **rest: Any) -> subprocess.CompletedProcess:
    """`musiclab sync` as a process."""
    command = [sys.executable, "-c", "from musiclab.cli.main import main; main()", "sync", str(storage)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **rest)
