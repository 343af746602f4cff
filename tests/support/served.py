"""Pages served by the `musiclab` command in a process of its own, or by a thread of the test's; and asking for them."""

import http.client
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from musiclab.dashboards.server import Server
from tests.support.study_processes import ROOT, end


@contextmanager
def served(*arguments: str, cwd: Path = ROOT, packages: Path = ROOT) -> Iterator[str]:
    """The address of the pages that `musiclab ARGUMENTS` serves, at a free port, ended with the context.

    Args:
        arguments: a subcommand and what it is given.
        cwd: the folder that it runs in.
        packages: the folder that has the musiclab to run.
    """
    process, url = started_server(*arguments, cwd=cwd, packages=packages)
    try:
        yield url
    finally:
        end(process)


def started_server(
    *arguments: str, port: int = 0, cwd: Path = ROOT, packages: Path = ROOT
) -> tuple[subprocess.Popen[str], str]:
    """The process of `served` at a port, to be given to `end` or killed, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "musiclab", *arguments, "--port", str(port)],
        cwd=cwd, env=os.environ | {"PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0,
    )  # fmt: skip
    assert process.stdout
    line = process.stdout.readline()
    url = re.search(r"http://\S+", line)
    if not url:
        end(process)
        raise AssertionError(f"{line}{process.communicate()[1]}")
    return process, url[0]


@contextmanager
def serving(server: Server) -> Iterator[str]:
    """The address of pages that a thread of this process serves, ended with the context."""
    thread = threading.Thread(target=server.run, args=(lambda line: None,), daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.stop()
        thread.join()


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    text: str
    data: bytes
    headers: dict[str, str]


def ask(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    """Ask a server as no browser would: any path, any header (underscores for dashes), nothing followed."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    path = url.partition(parts.netloc)[2] or "/"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if method == "POST":
        named = {"Content-Type": "application/x-www-form-urlencoded"} | named
    try:
        connection.request(method, path, body, named)
        response = connection.getresponse()
        data = response.read()
        received = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, data.decode(errors="replace"), data, received)
    finally:
        connection.close()


def form_token(page: str) -> str:
    """The token of a page's form."""
    found = re.search(r'name="form_token" value="(\w+)"', page)
    assert found
    return found[1]
