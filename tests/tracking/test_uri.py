"""Addresses of MLflow: whose mistake a wrong one is, and that each names one database from everywhere."""

import shutil
from pathlib import Path

import pytest

from musiclab.errors import UserError
from musiclab.storage.files import Storage
from musiclab.tracking.uri import (
    check_tracking_uri,
    database_file,
    default_uri,
    is_own,
    named_pages,
    named_uri,
    request_timeout,
    server_address,
)

_WRONG = [
    ("file:///x", "got 'file:///x', a folder of plain files, which MLflow has given up."),
    ("databricks", "got 'databricks', which MLflow takes, but musiclab does not."),
    ("databricks://profile", "got 'databricks://profile', which MLflow takes, but musiclab does not."),
    ("localhost:5000", "got 'localhost:5000'."),
    ("/home/me/mlruns", "got '/home/me/mlruns'."),
    ("http://", "got 'http://'."),
    ("http://host:99999", "got 'http://host:99999'."),
    ("sqlite://", "got 'sqlite://'."),
    ("sqlite:///", "got 'sqlite:///'."),
    ("sqlite://mlflow.db", "got 'sqlite://mlflow.db'."),
    ("postgresql://", "got 'postgresql://'."),
    ("postgresql://host:99999/db", "got 'postgresql://host:99999/db'."),
    ("arn:aws:sagemaker:r:1:mlflow-tracking-server/x", "got 'arn:aws:sagemaker:r:1:mlflow-tracking-server/x'."),
]


@pytest.mark.parametrize(("uri", "end"), _WRONG)
def test_a_wrong_address_is_told_by_the_name_it_came_by(uri: str, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError) as option:
        named_uri(uri)
    assert str(option.value).startswith("--tracking-uri must be http://HOST:PORT or a database such as sqlite:")
    assert str(option.value).endswith(end)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError) as variable:
        named_uri(None)
    assert str(variable.value).startswith("MLFLOW_TRACKING_URI must be http://HOST:PORT or a database such as sqlite:")
    assert str(variable.value).endswith(f"{end} Unset it, or give another address by --tracking-uri.")
    assert named_uri("http://host:1") == "http://host:1"  # which comes first


@pytest.mark.parametrize("uri", [uri for uri, _ in _WRONG])
def test_a_wrong_address_names_no_server(uri: str) -> None:
    assert server_address(uri) is None


def test_a_right_address_names_its_server_if_it_has_one() -> None:
    assert server_address("postgresql+psycopg2://me@host/db") == ("host", 5432)
    assert server_address("http://host:1") == ("host", 1)
    assert server_address("sqlite:////abs/mlflow.db") is None


def test_a_relative_database_is_the_same_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert named_uri("sqlite:///x/mlflow.db") == f"sqlite:///{tmp_path}/x/mlflow.db"
    assert named_uri("sqlite+pysqlite:///m.db?timeout=9") == f"sqlite+pysqlite:///{tmp_path}/m.db?timeout=9"
    (tmp_path / "a%20b").mkdir()
    monkeypatch.chdir("a%20b")
    assert database_file(named_uri("sqlite:///mlflow.db")) == tmp_path / "a%20b" / "mlflow.db"
    for uri in ("sqlite:////abs/mlflow.db", "postgresql://me@host/db", "http://host"):
        assert named_uri(uri) == uri


@pytest.mark.parametrize("name", ["plain", "per%20cent", "50%", "a?b", "a#b", "new\nline", "ü"])
def test_a_storage_s_own_database_is_known_however_it_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(str(tmp_path / name))
    uri = default_uri(storage)
    assert check_tracking_uri(uri) == uri
    assert database_file(uri) == tmp_path / name / "mlflow.db"
    assert is_own(uri, storage)
    (tmp_path / "link").symlink_to(tmp_path / name)
    assert is_own(f"sqlite:///{tmp_path}/link/mlflow.db", storage)
    monkeypatch.chdir(tmp_path)
    assert is_own("sqlite:///link/mlflow.db", storage)
    assert not is_own(f"sqlite:///{tmp_path}/link/other.db", storage)
    assert not is_own("http://127.0.0.1:5000", storage)
    shutil.copytree(tmp_path / name, tmp_path / "copy")
    assert not is_own(uri, Storage(str(tmp_path / "copy")))


@pytest.mark.parametrize("value", ["abc", "0", "-1", "0.5"])
def test_a_wrong_timeout_is_one_sentence(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", value)
    with pytest.raises(UserError, match=f"^MLFLOW_HTTP_REQUEST_TIMEOUT must be a whole .* got '{value}'.$"):
        request_timeout()


def test_the_address_of_pages_is_a_server_s_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUSICLAB_MLFLOW_PAGES", raising=False)
    assert named_pages() == ""
    monkeypatch.setenv("MUSICLAB_MLFLOW_PAGES", "http://me:secret@localhost:5001/")
    assert named_pages() == "http://***@localhost:5001"
    for wrong in ("localhost:5001", "sqlite:////x/mlflow.db", "http://", "http://host:99999"):
        monkeypatch.setenv("MUSICLAB_MLFLOW_PAGES", wrong)
        with pytest.raises(UserError) as raised:
            named_pages()
        assert str(raised.value) == (
            f"MUSICLAB_MLFLOW_PAGES must be http://HOST:PORT, where MLflow's pages are opened; got {wrong!r}."
        )
