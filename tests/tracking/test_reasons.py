"""A proxy that stands between: it is named as what was asked, with the way to do without it."""

import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from musiclab.cli.sync import sync
from musiclab.errors import UserError
from musiclab.maintenance.doctor import services
from musiclab.tracking.reasons import why
from tests.support.kept import NOTHING, Kept
from tests.support.mlflow_servers import MlflowServer, Proxy
from tests.support.study_processes import free_port
from tests.support.waiting import run_to_end

_VARIABLES = [form for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for form in (name, name.upper())]


@pytest.fixture(autouse=True)
def none_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of this machine's."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy that refuses all."""
    made = Proxy()
    made.answer = (403, "text/html", b"<html>not for you</html>")
    yield made
    made.end()


def _refused(kept: Kept, uri: str) -> str:
    with pytest.raises(UserError) as raised:
        sync([str(kept.path)], uri)
    assert raised.value.exit_code == 1
    return str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["http_proxy", pytest.param("ALL_PROXY", marks=pytest.mark.long)])
def test_a_good_server_behind_a_proxy_that_is_not_there(
    kept: Kept, server: MlflowServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv(name, dead)
    said = _refused(kept, server.uri)
    assert "the proxy cannot be reached; " in said
    assert f"the proxy {dead} was asked, which {name} names: to do without it, set no_proxy=127.0.0.1;" in said
    (finding,) = services.tracking(server.uri, None, None)
    assert finding.level == "fail"
    assert f"which {name} names: to do without it, set no_proxy=127.0.0.1" in finding.text
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert sync([str(kept.path)], server.uri) == 0
    monkeypatch.setenv("no_proxy", "10.0.0.0/8,127.0.0.0/8")
    assert sync([str(kept.path)], server.uri) == 0
    assert kept.faults(server.uri) == NOTHING


@pytest.mark.slow
def test_a_proxy_that_answers_for_the_server(kept: Kept, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", proxy.uri.replace("://", "://me:secret@"))
    monkeypatch.setenv("no_proxy", "intern")
    said = _refused(kept, "http://127.0.0.1:1")
    assert f"the proxy http://***@{proxy.uri[7:]} was asked, which http_proxy names" in said
    assert "set no_proxy=intern,127.0.0.1;" in said
    assert "secret" not in said
    proxy.answer = (407, "text/html", b"")
    assert "the proxy wants a user and a password (407)" in _refused(kept, "http://127.0.0.1:1")
    monkeypatch.delenv("http_proxy")
    monkeypatch.setenv("HTTPS_PROXY", proxy.uri)
    said = _refused(kept, "https://127.0.0.1:1")
    assert "which HTTPS_PROXY names" in said
    monkeypatch.delenv("no_proxy")
    assert "proxy" not in _refused(kept, "http://127.0.0.1:1")  # which is for https alone


@pytest.mark.slow
def test_a_proxy_that_never_answers_keeps_a_mirror_no_longer_than_a_server(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{silent.getsockname()[1]}")
        mirror = kept.mirror("http://127.0.0.1:1")
        mirror.start(print)
        assert "is behind (no answer within 1 s; the proxy http://127.0.0.1:" in mirror.stop()


@pytest.mark.slow
def test_a_storage_s_own_database_needs_no_proxy(kept: Kept) -> None:
    environment = os.environ | dict.fromkeys(("http_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    done = run_to_end([sys.executable, "-m", "musiclab", "sync", str(kept.path)], env=environment)
    assert done.returncode == 0
    assert kept.faults() == NOTHING


def test_what_is_no_fault_of_the_network_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    refused: Any = ValueError("[Errno 111] Connection refused")
    assert "no_proxy=host" in why(refused, "http://host:5000")
    assert why(refused, "postgresql://host/db") == "nothing listens there (connection refused)"
    assert why(ValueError("The run must be"), "http://host:5000") == "The run must be"


def test_a_server_that_does_not_know_its_name_is_not_taken_for_one_that_wants_a_password() -> None:
    """What MLflow's client raises if the server's --allowed-hosts lack the name."""
    refused = ValueError(
        "API request to endpoint /api/2.0/mlflow/experiments/search failed with error code 403 != 200. Response body: "
        "'Invalid Host header - possible DNS rebinding attack detected'"
    )
    assert why(refused, "http://me:secret@box:5000") == (
        "the server does not answer to the name box:5000; name it in the server's --allowed-hosts"
    )
