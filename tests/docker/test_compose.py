"""The compose files: published on loopback alone, no secret with a default, limits, health checks; faults are named."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker.compose_rules import faults, variables

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
FILES = ["compose.yaml", "compose.gpu.yaml"]


def _compose(name: str) -> Any:
    return yaml.safe_load((DOCKER / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FILES)
def test_a_compose_file_has_no_faults(name: str) -> None:
    assert faults(_compose(name)) == []


PLANTED: dict[str, Callable[[dict[str, Any]], object]] = {
    "mlflow: ${MLFLOW_PORT:-5000}:5000 must be published on 127.0.0.1 alone":
        lambda services: services["mlflow"].update(ports=["${MLFLOW_PORT:-5000}:5000"]),
    "head: 0.0.0.0:8265:8265 must be published on 127.0.0.1 alone":
        lambda services: services["head"].update(ports=["0.0.0.0:8265:8265"]),
    "postgres: POSTGRES_PASSWORD must be required, without a default":
        lambda services: services["postgres"]["environment"].update(POSTGRES_PASSWORD="${POSTGRES_PASSWORD:-mlflow}"),
    "pages: PAGES_TOKEN must be required, without a default":
        lambda services: services["pages"]["environment"].update(PAGES_TOKEN="${PAGES_TOKEN}"),
    "head: RAY_AUTH_TOKEN must be required, without a default":
        lambda services: services["head"]["environment"].update(RAY_AUTH_TOKEN="0123456789abcdef"),
    "worker must want a token for Ray's jobs":
        lambda services: services["worker"]["environment"].pop("RAY_AUTH_MODE"),
    "worker must be started again if it ends": lambda services: services["worker"].pop("restart"),
    "worker must have a limit of memory": lambda services: services["worker"].pop("mem_limit"),
    "head must have an init, which reaps what is left of its processes": lambda services: services["head"].pop("init"),
    "pages must have a health check with its times": lambda services: services["pages"].pop("healthcheck"),
    "postgres must have a health check with its times":
        lambda services: services["postgres"].update(healthcheck={"test": ["NONE"]}),
    "head must not gain privileges": lambda services: services["head"].pop("security_opt"),
    "mlflow needs no capability": lambda services: services["mlflow"].update(cap_drop=[]),
    "worker must neither be privileged nor share the machine's network":
        lambda services: services["worker"].update(privileged=True),
    "mlflow must not run as root": lambda services: services["mlflow"].update(user="root"),
    "mlflow must answer to its own names alone":
        lambda services: services["mlflow"]["command"].__setitem__(-1, "--allowed-hosts=*"),
    "head: /data:/data must be a volume of the file": lambda services: services["head"].update(volumes=["/data:/data"]),
    "mlflow must wait until postgres is healthy":
        lambda services: services["mlflow"].update(depends_on={"postgres": {"condition": "service_started"}}),
    "head: a secret must not be in a command line":
        lambda services: services["head"]["command"].append("--redis-password=${RAY_AUTH_TOKEN}"),
}  # fmt: skip


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_named(fault: str) -> None:
    compose = copy.deepcopy(_compose("compose.yaml"))  # what anchors share becomes each service's own
    services = {name: copy.deepcopy(service) for name, service in compose["services"].items()}
    PLANTED[fault](services)
    assert fault in faults(compose | {"services": services})


def test_the_example_of_the_environment_names_all_variables_and_sets_no_secret() -> None:
    text = (DOCKER / ".env.example").read_text(encoding="utf-8")
    assigned = dict(re.findall(r"(?m)^#? ?([A-Z_]+)=(.*)$", text))
    used = set().union(*(variables((DOCKER / name).read_text(encoding="utf-8")) for name in FILES))
    assert {*assigned} == used - {"POSTGRES_IMAGE"}
    secrets = re.findall(r"(?m)^([A-Z_]+)=(.*)$", text)
    assert secrets == [("RAY_AUTH_TOKEN", ""), ("PAGES_TOKEN", ""), ("POSTGRES_PASSWORD", "")]
    for name, default in re.findall(r"(?m)^# ([A-Z_]+)=(\S+)$", text):
        used_default = re.findall(rf"\$\{{{name}:-([^}}]+)\}}", "".join((DOCKER / file).read_text() for file in FILES))
        assert {*used_default} == {default}, name


def test_secrets_travel_neither_with_git_nor_with_a_job() -> None:
    for name in (".gitignore", ".rayignore"):
        assert "docker/.env" in (ROOT / name).read_text(encoding="utf-8").splitlines()


def test_a_gpu_worker_is_a_worker_that_wants_a_gpu() -> None:
    (worker, gpu_worker) = (
        _compose("compose.yaml")["services"]["worker"],
        _compose("compose.gpu.yaml")["services"]["gpu-worker"],
    )
    differing = {"image", "build", "command", "deploy", "cpus", "shm_size", "mem_limit"}
    assert {name for name in {*worker, *gpu_worker} if worker.get(name) != gpu_worker.get(name)} == differing
    assert set(gpu_worker["command"]) - set(worker["command"]) == {"--gpu", "--num-cpus=${GPU_WORKER_CPUS:-4}"}
    (device,) = gpu_worker["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
