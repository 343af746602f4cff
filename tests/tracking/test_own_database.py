"""MLflow's files stay beside a storage's own database, wherever the storage is moved or copied."""

import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from musiclab.cli.sync import sync
from musiclab.errors import UserError
from musiclab.storage.files import Storage
from musiclab.tracking import own_database
from tests.support.kept import NOTHING, Kept, doctor
from tests.support.mlflow_contents import faults, role, study_runs
from tests.support.mlflow_servers import MlflowServer

pytestmark = pytest.mark.slow

_ARTIFACTS = "mlflow-artifacts"


def _uri(storage: Path) -> str:
    return f"sqlite:///{storage}/mlflow.db"


def _files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _shown(uri: str) -> Path:
    """The folder of all files of the study's runs, after MLflow has listed those of each."""
    client, runs = study_runs(uri, "latent_dim")
    folders = set()
    for run in runs:
        listed = {file.path for file in client.list_artifacts(run.info.run_id)}
        if run.data.tags["musiclab.role"] == "trial":
            assert listed >= {"record.json", "run.json", "samples", "split.json"}
        if run.data.tags["musiclab.role"] == "study":
            assert listed >= {"answer.txt", "plan.json", "report.html"}
        folders.add(Path(run.info.artifact_uri).parents[1])
    (folder,) = folders
    experiment = client.get_experiment_by_name("musiclab/latent_dim")
    assert experiment.artifact_location == str(folder)
    return folder


def test_the_files_of_a_moved_storage_are_where_it_is(kept: Kept, tmp_path: Path, capsys: Any) -> None:
    assert sync([str(kept.path)], None) == 0
    before = _files(kept.path / _ARTIFACTS)
    moved = tmp_path / "elsewhere" / "deeper"
    moved.parent.mkdir()
    kept.path.rename(moved)
    database = (moved / "mlflow.db").read_bytes()
    (said,) = doctor(moved)
    assert said.startswith("warn  MLflow: ")
    assert f"it looks for files in {kept.path}/{_ARTIFACTS}, where this storage is not. To do: `musiclab sync`" in said
    assert (moved / "mlflow.db").read_bytes() == database  # the doctor changes nothing
    capsys.readouterr()
    assert sync([str(moved)], None) == 0
    assert "nothing was missing" in capsys.readouterr().out
    assert _shown(_uri(moved)) == moved / _ARTIFACTS
    assert _files(moved / _ARTIFACTS) == before
    assert not kept.path.exists()
    assert faults(_uri(moved), "latent_dim", moved) == NOTHING
    (said,) = doctor(moved)
    assert said.startswith("ok    MLflow: ")


def test_a_copy_writes_nothing_into_the_original(kept: Kept, tmp_path: Path) -> None:
    """Not even if one process brings both up to date: MLflow's client remembers folders by the ids of runs."""
    assert sync([str(kept.path)], None) == 0
    copy = tmp_path / "copy"
    shutil.copytree(kept.path, copy)
    before = _files(kept.path)
    (report,) = copy.glob("studies/latent_dim/*/report.html")
    report.write_text("of the copy")
    assert sync([str(kept.path), str(copy), str(kept.path)], None) == 0
    after = _files(kept.path)
    assert {name: after[name] for name in after if _ARTIFACTS in name} == {
        name: before[name] for name in before if _ARTIFACTS in name
    }
    assert _shown(_uri(kept.path)) == kept.path / _ARTIFACTS
    assert _shown(_uri(copy)) == copy / _ARTIFACTS
    (sent,) = (copy / _ARTIFACTS).rglob("report.html")
    assert sent.read_text() == "of the copy"


@pytest.mark.parametrize(
    "lost", [_ARTIFACTS, f"{_ARTIFACTS}/*/artifacts/samples", f"{_ARTIFACTS}/*/artifacts/{{record.json,answer.txt}}"]
)
def test_files_that_mlflow_has_lost_are_sent_again(kept: Kept, lost: str, capsys: Any) -> None:
    assert sync([str(kept.path)], None) == 0
    before = _files(kept.path / _ARTIFACTS)
    names = re.search(r"{(.*)}", lost)
    for name in names[1].split(",") if names else [""]:
        for path in kept.path.glob(re.sub(r"{.*}", name, lost)):
            path.unlink() if path.is_file() else shutil.rmtree(path)
    assert len(_files(kept.path / _ARTIFACTS)) < len(before)
    capsys.readouterr()
    assert sync([str(kept.path)], None) == 0
    assert re.search(r"in sync: .* added \d+ files \(", capsys.readouterr().out)
    assert _files(kept.path / _ARTIFACTS) == before
    assert sync([str(kept.path)], None) == 0
    assert "nothing was missing" in capsys.readouterr().out


def test_a_storage_that_is_reached_by_a_link_is_the_same_one(kept: Kept, tmp_path: Path) -> None:
    assert sync([str(kept.path)], None) == 0
    link = tmp_path / "link"
    link.symlink_to(kept.path)
    assert sync([str(link)], None) == 0
    assert _shown(_uri(kept.path)) == kept.path / _ARTIFACTS


def test_what_else_a_database_holds_stays_or_follows(kept: Kept, tmp_path: Path) -> None:
    """Somebody's own experiments stay where they are; what is kept with the study's runs follows."""
    assert sync([str(kept.path)], None) == 0
    client = MlflowClient(_uri(kept.path))
    theirs = client.create_run(client.create_experiment("theirs", str(tmp_path / "theirs" / _ARTIFACTS / "5")))
    near = client.create_run(client.create_experiment("near", f"{kept.path}/{_ARTIFACTS}-old"))
    model = client.create_logged_model(client.get_experiment_by_name("musiclab/latent_dim").experiment_id, "m")
    assert model.artifact_location.startswith(f"{kept.path}/{_ARTIFACTS}/")
    moved = tmp_path / "MOVED"
    kept.path.rename(moved)
    assert sync([str(moved)], None) == 0
    client = MlflowClient(_uri(moved))
    for run in (theirs, near):
        assert client.get_run(run.info.run_id).info.artifact_uri == run.info.artifact_uri
    there = client.get_logged_model(model.model_id).artifact_location
    assert there == model.artifact_location.replace(str(kept.path), str(moved))


def test_a_cut_in_the_middle_changes_nothing(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sync([str(kept.path)], None) == 0
    moved = tmp_path / "moved"
    kept.path.rename(moved)
    file, folder = moved / "mlflow.db", str(moved / _ARTIFACTS)
    old = own_database.old_folders(file, folder)
    monkeypatch.setattr(own_database, "_PATHS", (*own_database._PATHS, ("none", "none")))
    with pytest.raises(sqlite3.OperationalError):
        own_database.bring_files_along(file, folder)
    monkeypatch.undo()
    assert own_database.old_folders(file, folder) == old == {f"{kept.path}/{_ARTIFACTS}"}


def test_a_named_database_is_left_as_it_is_and_what_is_missing_is_said(
    kept: Kept, tmp_path: Path, database: Path, capsys: Any
) -> None:
    shutil.copy(database, tmp_path / "named.db")
    named = f"sqlite:///{tmp_path}/named.db"
    assert sync([str(kept.path)], named) == 0
    moved = tmp_path / "moved"
    kept.path.rename(moved)
    capsys.readouterr()
    assert sync([str(moved)], named) == 1
    gone = f"MLflow looks for files of musiclab/latent_dim in {kept.path}/{_ARTIFACTS}, which does not exist: "
    assert f"latent_dim: behind: files cannot be uploaded: {gone}bring it back, or make" in capsys.readouterr().out
    (said,) = doctor(moved, named)
    assert said.startswith("fail  MLflow: ") and gone in said
    assert not kept.path.exists()
    (kept.path / _ARTIFACTS).mkdir(parents=True)
    assert sync([str(moved)], named) == 0
    assert _shown(named) == kept.path / _ARTIFACTS


def test_a_server_over_a_moved_database_keeps_the_files_too(kept: Kept, tmp_path: Path, capsys: Any) -> None:
    """Brought up to date by the server's address, which may be that of any machine, they are not moved but missed."""
    assert sync([str(kept.path)], None) == 0
    moved = tmp_path / "moved"
    kept.path.rename(moved)
    server = MlflowServer(tmp_path / "server", _uri(moved))
    server.start()
    try:
        assert sync([str(moved)], server.uri) == 1
        assert "which does not exist: bring it back" in capsys.readouterr().out
        assert sync([str(moved)], None) == 0
        assert sync([str(moved)], server.uri) == 0
        assert _shown(server.uri) == moved / _ARTIFACTS
    finally:
        server.end()


def test_a_plan_that_names_a_place_that_is_gone_says_so(kept: Kept, tmp_path: Path) -> None:
    kept.write_plan(tracking=f"sqlite:///{tmp_path}/gone/mlflow.db")
    with pytest.raises(UserError, match="is in a folder that does not exist; make it, or give another address"):
        sync([str(kept.path)], None)
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("name", ["%", "what?", "new\nline ha#sh", "per%20cent ü 'q' \"q\" a;b&c=d 50%"])
def test_a_storage_of_any_name_has_its_files_and_makes_no_other(kept: Kept, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    storage = folder / name
    shutil.copytree(kept.path, storage)
    assert sync([str(storage)], None) == 0
    assert [path.name for path in folder.iterdir()] == [name]
    (experiment,) = [each for each in _locations(storage) if each[0] == "musiclab/latent_dim"]
    assert own_database.local_path(experiment[1]) == storage / _ARTIFACTS
    assert len(list((storage / _ARTIFACTS).glob("*/artifacts/record.json"))) == 4
    moved = folder / f"{name}-moved"
    storage.rename(moved)
    assert sync([str(moved)], None) == 0
    assert list(folder.iterdir()) == [moved]
    (experiment,) = [each for each in _locations(moved) if each[0] == "musiclab/latent_dim"]
    assert own_database.local_path(experiment[1]) == moved / _ARTIFACTS


def _locations(storage: Path) -> list[tuple[str, str]]:
    connection = sqlite3.connect(storage / "mlflow.db")
    try:
        return connection.execute("SELECT name, artifact_location FROM experiments").fetchall()
    finally:
        connection.close()


def test_a_server_shows_the_files_of_an_odd_name(kept: Kept, tmp_path: Path) -> None:
    from musiclab.tracking import default_uri

    storage = tmp_path / "per%20cent #1?"
    kept.path.rename(storage)
    assert sync([str(storage)], None) == 0
    server = MlflowServer(tmp_path / "server", default_uri(Storage(str(storage))))
    server.start()
    try:
        client, runs = study_runs(server.uri, "latent_dim")
        trial = role(runs, "trial")[0]
        assert "record.json" in {file.path for file in client.list_artifacts(trial.info.run_id)}
        fetched = client.download_artifacts(trial.info.run_id, "record.json", str(tmp_path))
        key = trial.data.tags["musiclab.key"]
        assert Path(fetched).read_bytes() == (storage / "trials" / key / "record.json").read_bytes()
    finally:
        server.end()
    assert sorted(path.name for path in tmp_path.iterdir() if "cent" in path.name) == [storage.name]
