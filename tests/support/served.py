"""Pages served by the `musiclab` command in a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
