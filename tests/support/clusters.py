"""A Ray cluster on this machine, each of its nodes a tree of processes of its own."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from tests.support.nodes import start_node
from tests.support.study_processes import end, free_port, start_ray


class Cluster:
    """A head without CPUs for trials, and nodes of two that join it.

    All its processes have the `variables`; `environment` is for drivers, which find the cluster by it.
    """

    def __init__(self, variables: Mapping[str, str] = MappingProxyType({})) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: Ray puts sockets under it
        self.address = f"127.0.0.1:{free_port()}"
        self._nodes = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)} | variables
        self.environment = self._nodes | {"RAY_ADDRESS": self.address}
        self._started: list[subprocess.Popen] = []

    def start_head(self, *options: str, **variables: str) -> None:
        """Start the head; it takes some seconds."""
        head = start_ray(
            self.folder / "head.log", "--head", f"--port={self.address.rpartition(':')[2]}", "--num-cpus=0",
            "--include-dashboard=False", f"--temp-dir={self.folder}", f"--ray-client-server-port={free_port()}",
            *options, environment=self._nodes | variables,
        )  # fmt: skip
        self._started.append(head)

    def start_node(self, inside: Sequence[str] = ()) -> subprocess.Popen:
        """Start a node; `inside` is a command that runs the command behind it."""
        log = self.folder / f"{len(self._started)}.log"
        self._started.append(start_node(log, self.address, cpus=2, environment=self._nodes, inside=inside))
        return self._started[-1]

    def end(self) -> None:
        """End all that is left; the head, which ends what an autoscaler has brought, comes last."""
        for process in reversed(self._started):
            if process.poll() is None:
                end(process)
        shutil.rmtree(self.folder, ignore_errors=True)
