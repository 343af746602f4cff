"""What people do to experiments and runs in MLflow: delete, restore, rename, remove for good."""

import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from musiclab.cli.sync import sync
from tests.support.kept import NOTHING, Kept, doctor
from tests.support.mlflow_contents import contents, role, study_runs
from tests.support.mlflow_servers import MlflowServer
from tests.support.waiting import run_to_end

pytestmark = pytest.mark.slow

_NAME = "musiclab/latent_dim"


def _experiment(uri: str, name: str = _NAME) -> str:
    return MlflowClient(uri).get_experiment_by_name(name).experiment_id


def _doctor(kept: Kept, option: str | None = None) -> str:
    (line,) = doctor(kept.path, option)
    return line


def _do(command: str) -> None:
    """What a message advises, as a shell does it."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _ways_out(said: str) -> tuple[str, str]:
    found = re.search(
        r"its experiment musiclab/latent_dim was deleted in MLflow: first restore it by `([^`]+)`, or remove it for "
        r"good by `([^`]+)`",
        said,
    )
    assert found, said
    return found[1], found[2]


def test_a_deleted_experiment_is_said_with_both_ways_out_and_both_lead_out(kept: Kept, capsys: Any) -> None:
    assert sync([str(kept.path)], None) == 0
    before = contents(kept.uri, "latent_dim")
    MlflowClient(kept.uri).delete_experiment(_experiment(kept.uri))
    capsys.readouterr()
    assert sync([str(kept.path)], None) == 1
    said = capsys.readouterr().out
    restore, remove = _ways_out(said)
    assert said.strip().endswith("; then run the same command again")
    found = _doctor(kept)
    assert found.startswith("fail  MLflow: ")
    assert _ways_out(found) == (restore, remove)
    mirror = kept.mirror()
    mirror.start(print)
    end = mirror.stop()
    assert _ways_out(end) == (restore, remove)
    assert f"); `musiclab sync {shlex.quote(str(kept.path))}/latent_dim` brings it up to date." in end
    assert kept.path.joinpath("mlflow-artifacts").exists()

    _do(restore)
    assert sync([str(kept.path)], None) == 0
    assert contents(kept.uri, "latent_dim") == before
    assert _doctor(kept).startswith("ok ")

    MlflowClient(kept.uri).delete_experiment(_experiment(kept.uri))
    _do(remove)
    assert _doctor(kept).startswith("ok ")
    assert sync([str(kept.path)], None) == 0
    assert "added 9 runs, " in capsys.readouterr().out
    assert kept.faults() == NOTHING


def test_one_deleted_experiment_keeps_no_other_study_from_mlflow(kept: Kept, capsys: Any) -> None:
    other = kept.path / "studies" / "aaa" / kept.plan.parent.name
    other.mkdir(parents=True)
    (other / "plan.json").write_bytes(kept.plan.read_bytes())
    Kept.write(other / "plan.json", study="aaa")
    assert sync([str(kept.path)], None) == 0
    MlflowClient(kept.uri).delete_experiment(_experiment(kept.uri, "musiclab/aaa"))
    capsys.readouterr()
    assert sync([str(kept.path)], None) == 1
    said = capsys.readouterr().out
    assert "aaa: its experiment musiclab/aaa was deleted in MLflow: " in said
    assert "latent_dim: in sync: 4 trials" in said


def test_an_experiment_deleted_while_its_study_runs_is_said_and_its_return_noticed(kept: Kept) -> None:
    follower, finish = kept.follower(), kept.under_way()
    follower.round()
    client, number = MlflowClient(kept.uri), _experiment(kept.uri)
    client.delete_experiment(number)
    finish()
    for _ in range(2):
        with pytest.raises(Exception, match=r"was deleted in MLflow|must be in the 'active' state"):
            follower.round()
    with pytest.raises(Exception, match="was deleted in MLflow"):
        follower.round(last=True)
    client.restore_experiment(number)
    follower.round(last=True)
    assert kept.faults() == NOTHING


@pytest.mark.parametrize("kind", ["sqlite", "server"])
def test_a_renamed_experiment_is_the_same_one(kept: Kept, kind: str, request: pytest.FixtureRequest) -> None:
    uri = kept.uri if kind == "sqlite" else request.getfixturevalue("server").uri
    assert sync([str(kept.path)], uri) == 0
    client, number = MlflowClient(uri), _experiment(uri)
    client.rename_experiment(number, f"of June's paper ({kind})")
    assert sync([str(kept.path)], uri) == 0
    assert client.get_experiment_by_name(_NAME) is None
    assert len(client.search_runs([number], max_results=1000)) == 9
    client.delete_experiment(number)
    assert sync([str(kept.path)], uri) == 1
    client.restore_experiment(number)
    client.rename_experiment(number, _NAME)
    assert kept.faults(uri) == NOTHING


def test_an_experiment_of_an_older_version_is_known_by_its_tag_from_then_on(kept: Kept) -> None:
    client = MlflowClient(kept.uri)
    number = client.create_experiment(_NAME, f"{kept.path}/mlflow-artifacts")
    assert sync([str(kept.path)], None) == 0
    client.rename_experiment(number, "another name")
    assert sync([str(kept.path)], None) == 0
    assert len(client.search_runs([number], max_results=1000)) == 9


def test_a_server_s_deleted_experiment_is_restored_through_it(kept: Kept, server: MlflowServer, capsys: Any) -> None:
    assert sync([str(kept.path)], server.uri) == 0
    MlflowClient(server.uri).delete_experiment(_experiment(server.uri))
    capsys.readouterr()
    assert sync([str(kept.path)], server.uri) == 1
    restore, remove = _ways_out(capsys.readouterr().out)
    assert remove.startswith("mlflow gc --experiment-ids ")
    assert _ways_out(_doctor(kept, server.uri)) == (restore, remove)
    _do(restore)
    assert sync([str(kept.path)], server.uri) == 0


@pytest.mark.parametrize("kind", ["study", "variant", "trial"])
def test_a_deleted_run_comes_back(kept: Kept, kind: str, capsys: Any) -> None:
    """The records are what counts: MLflow only shows them."""
    assert sync([str(kept.path)], None) == 0
    client, runs = study_runs(kept.uri, "latent_dim")
    deleted = role(runs, kind)[0].info.run_id
    client.delete_run(deleted)
    capsys.readouterr()
    assert sync([str(kept.path)], None) == 0
    assert "added 1 run, " in capsys.readouterr().out
    assert kept.faults() == NOTHING
    client.restore_run(deleted)  # now there are two of it
    assert sync([str(kept.path)], None) == 0
    assert kept.faults() == NOTHING


@pytest.mark.parametrize("kind", ["study", "variant", "trial"])
def test_a_run_deleted_while_its_study_runs_comes_back(kept: Kept, kind: str) -> None:
    follower, finish = kept.follower(), kept.under_way()
    follower.round()
    client, runs = study_runs(kept.uri, "latent_dim")
    client.delete_run(role(runs, kind)[0].info.run_id)
    finish()
    behind = Counter[bool]()
    for _ in range(3):
        try:
            behind[bool(follower.round()[1])] += 1
        except Exception:
            behind[True] += 1
    _, reason = follower.round(last=True)
    assert reason == ""
    assert behind[True] <= 1
    assert kept.faults() == NOTHING


def test_variables_meant_for_other_work_change_nothing(kept: Kept) -> None:
    """As a shell's start-up file sets them, for a `--tracking-uri` of our own."""
    variables = {
        "MLFLOW_EXPERIMENT_NAME": "theirs",
        "MLFLOW_EXPERIMENT_ID": "77",
        "MLFLOW_RUN_ID": "0123456789abcdef",
        "MLFLOW_REGISTRY_URI": "databricks",
        "MLFLOW_ENABLE_ASYNC_LOGGING": "true",
        "MLFLOW_TRACKING_INSECURE_TLS": "true",
        "MLFLOW_TRACKING_URI": "databricks",
    }
    command = [sys.executable, "-m", "musiclab", "sync", str(kept.path), "--tracking-uri", kept.uri]
    done = run_to_end(command, env=os.environ | variables)
    assert done.returncode == 0
    assert kept.faults() == NOTHING
    assert [each.name for each in MlflowClient(kept.uri).search_experiments()] == [_NAME, "Default"]
