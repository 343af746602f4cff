"""A cluster of two Ray nodes on this machine, each a tree of processes of its own: a head, and a node to be killed."""

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from tests.support.study_processes import descendants, end, free_port, kill, start_ray

# Ray takes half a minute to notice a node that is gone; these make that some seconds.
_NOTICE = {
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "20000",  # a busy node answers late, a killed one refuses at once
    "RAY_health_check_failure_threshold": "4",
}


class Cluster:
    """A head that has no CPUs for trials and one node that has two: `kill` hits that, `start` makes a new one.

    The processes of both have the `variables`. `inside` is a command that runs the command behind it, for the node.
    """

    def __init__(self, variables: Mapping[str, str] = MappingProxyType({}), inside: Sequence[str] = ()) -> None:
        self._inside = inside
        self._folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: Ray puts sockets under it
        self.address = f"127.0.0.1:{free_port()}"
        self.environment = os.environ | _NOTICE | {
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16), "RAY_ADDRESS": self.address,
        } | variables  # fmt: skip
        self.kills = 0

    def start_head(self) -> None:
        """Start the head; it takes some seconds."""
        port = self.address.rpartition(":")[2]
        self.head = self._ray(
            "head", "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=False",
            f"--temp-dir={self._folder / 'head'}", f"--ray-client-server-port={free_port()}",
        )  # fmt: skip

    def start(self) -> None:
        """Start a node."""
        options = (f"--address={self.address}", "--num-cpus=2")
        self.process = self._ray(f"node {self.kills}", *options, inside=self._inside)

    def kill(self) -> None:
        """`kill -9` of the node's raylet and, when its workers have gone on for a moment, of all that is left of it."""
        self.kills += 1
        tree = [self.process.pid, *descendants(self.process.pid)]
        kill(*descendants(self.process.pid, "raylet/raylet"))
        time.sleep(1)
        kill(*tree)
        self.process.wait()

    def end(self) -> None:
        """End both."""
        for process in (getattr(self, "process", None), getattr(self, "head", None)):
            if process:
                end(process)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ray(self, name: str, *options: str, inside: Sequence[str] = ()) -> subprocess.Popen:
        environment = {key: value for key, value in self.environment.items() if key != "RAY_ADDRESS"}
        return start_ray(self._folder / f"{name}.log", *options, environment=environment, inside=inside)


@contextlib.contextmanager
def running_cluster(
    variables: Mapping[str, str] = MappingProxyType({}), inside: Sequence[str] = ()
) -> Iterator[Cluster]:
    """A cluster that has started, and ends with the context."""
    made = Cluster(variables, inside)
    try:
        made.start_head()
        made.start()
        yield made
    finally:
        made.end()
