"""`checked` and its like in the image: what a container lacks is one sentence, and then its command does not run."""

import errno
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.docker.scripts import DOCKER, script

checked, licences, torch_variant = script("checked"), script("licences"), script("torch_variant")
LABELS = {"musiclab-version": "0.1.0", "musiclab-commit": "a" * 40}


class _Head:
    """A head's dashboard that answers with these nodes, or with a status."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = [
            {"is_head_node": False, "state": "ALIVE", "labels": {}},
            {"is_head_node": True, "state": "DEAD", "labels": {}},
            {"is_head_node": True, "state": "ALIVE", "labels": {"ray.io/node-id": "1"} | LABELS},
        ]
        self.status, self.asked = 200, list[str]()
        self.coming: list[Any] = []  # what its nodes are from the second answer on
        head = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                head.asked.append(f"{self.path} {self.headers['Authorization']}")
                self.send_response(head.status)
                self.end_headers()
                self.wfile.write(json.dumps({"data": {"result": {"result": head.nodes}}}).encode())
                head.nodes = head.coming or head.nodes

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def head() -> Iterator[_Head]:
    made = _Head()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """What the image of this container says of itself, as the Dockerfile writes it."""
    file = tmp_path / "image.yaml"
    file.write_text("".join(f'{name}: "{value}"\n' for name, value in LABELS.items()))
    return file


def _unfit(check: Any, *arguments: Any) -> str:
    with pytest.raises(checked.Unfit) as raised:
        check(*arguments)
    return str(raised.value)


def test_the_head_s_image_is_asked_for_with_the_token(
    head: _Head, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    checked.check_same_image(head.url, image, 0)
    assert head.asked == ["/api/v0/nodes Bearer secret"]


@pytest.mark.parametrize("name", LABELS)
def test_another_image_than_the_head_s_is_refused(name: str, head: _Head, image: Path) -> None:
    head.nodes[2]["labels"][name] = "other"
    sentence = _unfit(checked.check_same_image, head.url, image, 0)
    assert re.fullmatch(
        r"This container's image must be the head's, musiclab \S+ of commit \w+; got musiclab 0.1.0 of commit a{12}. "
        r"Start both anew from one image.",
        sentence,
    )
    assert "other" in sentence


def test_a_head_without_labels_is_another_image(head: _Head, image: Path) -> None:
    head.nodes[2]["labels"] = {}
    assert "the head's, musiclab unknown of commit unknown; got" in _unfit(checked.check_same_image, head.url, image, 0)


def test_a_wrong_token_is_not_waited_for(head: _Head, image: Path) -> None:
    head.status = 401
    assert _unfit(checked.check_same_image, head.url, image, 60) == (
        f"RAY_AUTH_TOKEN must be the head's; {head.url} refuses it (401)."
    )


def test_a_head_that_never_comes_is_named(head: _Head, image: Path) -> None:
    head.nodes = head.nodes[:2]
    assert _unfit(checked.check_same_image, head.url, image, 0).endswith("got its node has not started for 0 s.")
    nobody = "http://127.0.0.1:9"
    assert _unfit(checked.check_same_image, nobody, image, 0).startswith(f"The head must answer at {nobody}; got ")


def test_a_head_is_waited_for(head: _Head, image: Path) -> None:
    head.coming, head.nodes = head.nodes, []
    checked.check_same_image(head.url, image, 60)
    assert len(head.asked) == 2


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.EACCES, f"On the machine that has it: chown {os.getuid()}:{os.getgid()} FOLDER."),
     (errno.EROFS, "Mount another.")],
)  # fmt: skip
def test_a_folder_that_cannot_be_written_is_refused(
    number: int, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked.check_writable(str(tmp_path))

    def refuse(**_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(checked.tempfile, "TemporaryFile", refuse)
    assert _unfit(checked.check_writable, "/data") == (
        f"/data must be a volume that user {os.getuid()} can write to; got {os.strerror(number)!r}. {remedy}"
    )


@pytest.mark.parametrize(
    ("cuda", "available", "words"),
    [(None, False, "must have a torch for CUDA; got 2.13.0+cpu. Use an image of VARIANT=cuda."),
     ("13.0", False, "must see a GPU; got none.")],
)  # fmt: skip
def test_a_gpu_that_is_not_there_is_named(
    cuda: str | None, available: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = SimpleNamespace(
        version=SimpleNamespace(cuda=cuda),
        cuda=SimpleNamespace(is_available=lambda: available),
        __version__="2.13.0+cpu",
    )
    monkeypatch.setitem(sys.modules, "torch", fake)
    assert words in _unfit(checked.check_gpu)
    fake.version.cuda, fake.cuda.is_available = "13.0", lambda: True
    checked.check_gpu()


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DOCKER / "checked.py"), *arguments]
    home = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=home | environment, capture_output=True, text=True)


def test_the_command_runs_in_its_place_once_all_is_there() -> None:
    done = _run("--writable", "/tmp", "echo", "--writable", "x", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="secret")
    assert (done.returncode, done.stdout, done.stderr) == (0, "--writable x\n", "")


def test_without_a_token_it_does_not_run() -> None:
    done = _run("echo", "run", RAY_AUTH_MODE="token")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: RAY_AUTH_TOKEN must be the cluster's token, because RAY_AUTH_MODE is token; got none.\n"
    )
    assert _run("echo", "run").stdout == "run\n"  # where Ray wants none


def test_health_is_all_addresses_answering(head: _Head) -> None:
    def code(*addresses: str) -> int:
        return subprocess.run([sys.executable, str(DOCKER / "healthy.py"), *addresses], capture_output=True).returncode

    assert code(head.url, head.url) == 0
    assert code(head.url, "http://127.0.0.1:9/") == 1
    head.status = 503
    assert code(head.url) == 1
    head.status = 401  # it wants a token
    assert code(head.url) == 0


def test_an_image_for_cuda_needs_a_torch_for_cuda() -> None:
    assert torch_variant.refusal("cuda", "2.13.0", "13.0") == torch_variant.refusal("cpu", "2.13.0+cpu", None) == ""
    assert torch_variant.refusal("cpu", "2.13.0", "13.0") == ""  # it runs on CPUs too
    assert "VARIANT=cuda needs a torch that is built for CUDA; got 2.13.0+cpu." in torch_variant.refusal(
        "cuda", "2.13.0+cpu", None
    )
    assert torch_variant.refusal("gpu", "2.13.0", None) == "VARIANT must be cpu or cuda; got 'gpu'."


def test_the_torch_that_is_installed_is_looked_at_without_importing_it() -> None:
    command = [sys.executable, str(DOCKER / "torch_variant.py"), "rocm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "error: VARIANT must be cpu or cuda; got 'rocm'.\n")


def test_licences_name_the_texts_that_packages_have() -> None:
    text = licences.described(metadata.distribution("torch"))
    first, *files = text.splitlines()
    assert first.startswith("torch 2.") and "BSD-3-Clause" in first
    assert files and all(Path(file.strip()).is_file() for file in files)
    assert "its package has no file with the text" not in text
