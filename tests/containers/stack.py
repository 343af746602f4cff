"""The compose stack as a user has it: up, healthy, asked, down."""

import json
import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.containers.tools import COMPOSE, OUT, Failed, run, tried
from tests.support.study_processes import free_port

PROJECT = "musiclab-test"
SERVICES = ("postgres", "mlflow", "head", "worker", "pages")
_HEALTHY_S = 600.0


@dataclass(frozen=True)
class Stack:
    """A stack that `up` has started.

    Attributes:
        environment: what its compose file is filled with, as a user's `docker/.env` does.
    """

    environment: dict[str, str]

    @classmethod
    def of(cls, image: str, postgres: str) -> "Stack":
        """One of these images, with secrets and ports of its own."""
        return cls({
            "MUSICLAB_IMAGE": image, "POSTGRES_IMAGE": postgres,
            "RAY_AUTH_TOKEN": secrets.token_hex(24), "PAGES_TOKEN": secrets.token_hex(24),
            "POSTGRES_PASSWORD": secrets.token_hex(24),
            "RAY_PORT": str(free_port()), "MLFLOW_PORT": str(free_port()), "PAGES_PORT": str(free_port()),
        })  # fmt: skip

    def url(self, port: str) -> str:
        """Where a published port is on this machine: RAY_PORT, MLFLOW_PORT or PAGES_PORT."""
        return f"http://127.0.0.1:{self.environment[port]}"

    @property
    def submitting(self) -> dict[str, str]:
        """The environment of who submits jobs from this machine."""
        return os.environ | {
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.environment["RAY_AUTH_TOKEN"],
            "RAY_API_SERVER_ADDRESS": self.url("RAY_PORT"), "no_proxy": "127.0.0.1",
        }  # fmt: skip

    def compose(self, *arguments: str, log: str = "", **changed: str) -> str:
        """What podman-compose prints; `changed` are variables that differ."""
        return run(*self.command(*arguments), log=log, env=os.environ | self.environment | changed)

    def command(self, *arguments: str) -> list[str]:
        """The command line of podman-compose for this stack."""
        return [str(COMPOSE), "-p", PROJECT, "-f", "docker/compose.yaml", *arguments]

    def up(self) -> None:
        """Start it, and return as soon as all services are healthy."""
        self.compose("up", "--detach", "--no-build", log="up.log")
        for service in SERVICES:
            self.wait_until_healthy(service)

    def wait_until_healthy(self, service: str) -> None:
        """Wait for a service's own health check. Nothing else runs it where there is no systemd."""
        end = time.monotonic() + _HEALTHY_S
        while tried("podman", "healthcheck", "run", self.container(service)).returncode:
            if time.monotonic() > end:
                raise Failed(f"{service} was not healthy in {_HEALTHY_S:g} s: {self.last_line(service)}")
            time.sleep(2)

    def container(self, service: str) -> str:
        """The name of a service's container."""
        labels = [f"io.podman.compose.project={PROJECT}", f"com.docker.compose.service={service}"]
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        names = run("podman", "ps", "--all", *filters, "--format", "{{.Names}}").split()
        if len(names) != 1:
            raise Failed(f"{service} must have one container; got {names}")
        return names[0]

    def inspect(self, service: str) -> Any:
        """What podman knows of a service's container."""
        return json.loads(run("podman", "inspect", self.container(service)))[0]

    def execute(self, service: str, *command: str, log: str = "") -> str:
        """What a command prints in a service's container."""
        return run("podman", "exec", self.container(service), *command, log=log)

    def last_line(self, service: str) -> str:
        """The last line of a container's log."""
        done = tried("podman", "logs", "--tail", "1", self.container(service))
        return (done.stdout + done.stderr).strip()

    def down(self) -> None:
        """Keep all logs, and remove the stack with its volumes."""
        for service in SERVICES:
            with suppress(Failed):  # it was never started
                done = tried("podman", "logs", self.container(service))
                (OUT / f"{service}.log").write_text(done.stdout + done.stderr)
        self.compose("down", "--volumes", log="down.log")


def is_started() -> bool:
    """Whether a stack of an earlier run is still there."""
    return bool(tried("podman", "ps", "-aq", "--filter", f"label=io.podman.compose.project={PROJECT}").stdout.strip())


def volume_folder(name: str) -> Path:
    """Where a volume of the stack is on this machine."""
    full_name = f"{PROJECT}_{name}"
    return Path(run("podman", "volume", "inspect", "--format", "{{.Mountpoint}}", full_name).strip())
