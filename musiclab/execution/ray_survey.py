"""A survey of a cluster's machines for the doctor: what each has installed, sees, reaches, and reads on its clock."""

import hashlib
import os
import platform
import socket
import sys
import time
import uuid
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from musiclab.errors import one_line
from musiclab.execution.ray_nodes import live_nodes, resources
from musiclab.execution.ray_tune import connected
from musiclab.storage.files import PROBE, storage_at

_ANSWER_S = 60.0  # a machine that is busy takes long to start the process that answers
_REACH_S = 5.0


def survey(place: str, addresses: list[tuple[str, int]]) -> dict[str, Any]:
    """Ask every machine of the cluster of RAY_ADDRESS; without one, Ray starts on this machine, and nobody is asked.

    Args:
        place: a storage; empty if there is none.
        addresses: host and port of servers.

    Returns:
        What the cluster has: `nodes`, `cpus` and `gpus`; the versions that are installed `here`; and for each of the
        `machines` its `name`, and either why it gave no answer, as `error`, or its `versions`, by how many seconds its
        clock is `ahead`, why it cannot use the storage, and why it cannot reach each address, in words that are empty
        if it can.

    Raises:
        UserError: the cluster cannot be reached.
    """
    with connected():
        total, nodes = resources(), live_nodes()
        machines = _answers(nodes, place, addresses) if os.environ.get("RAY_ADDRESS") else []
        return {
            "nodes": len(nodes), "cpus": total.get("CPU", 0), "gpus": total.get("GPU", 0), "here": _versions(),
            "machines": machines,
        }  # fmt: skip


def _answers(nodes: list[dict[str, Any]], place: str, addresses: list[tuple[str, int]]) -> list[dict[str, Any]]:
    # By value, because a machine may lack this very module.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]
    probe = f"{PROBE}{uuid.uuid4().hex}"
    storage = storage_at(place) if place else None
    if storage:
        storage.write(probe, b"")
    look = ray.remote(num_cpus=0, max_retries=0)(_look)
    try:
        began = time.time()
        asked = {
            look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
                place if storage else "", probe, addresses
            ): f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            for node in nodes
        }
        answers = []
        while asked and (left := began + _ANSWER_S - time.time()) > 0:
            for answer in ray.wait([*asked], timeout=left)[0]:
                answers.append({"name": asked.pop(answer)} | _answer(answer, began))
        silent = [{"name": name, "error": f"no answer within {_ANSWER_S:g} s"} for name in asked.values()]
        return sorted(answers + silent, key=lambda machine: str(machine["name"]))
    finally:
        if storage:
            storage.remove(probe)


def _answer(reference: Any, began: float) -> dict[str, Any]:
    """What a machine answered, with how far its clock is ahead at least (behind, if negative)."""
    try:
        answer: dict[str, Any] = ray.get(reference)
    except Exception as error:
        return {"error": one_line((str(error).strip().splitlines() or [type(error).__name__])[-1])}
    now, there = time.time(), answer.pop("time")
    return answer | {"ahead": there - now if there > now else min(0.0, there - began)}


# What runs on the machines; musiclab may be missing there, or another.


def _look(place: str, probe: str, addresses: list[tuple[str, int]]) -> dict[str, Any]:
    now = time.time()
    return {
        "time": now,
        "versions": _versions(),
        "storage": _why_not_usable(place, probe) if place else "",
        "addresses": [_why_not_reached(*address) for address in addresses],
    }


def _versions() -> dict[str, str]:
    """What is installed, by name; `none` if it is not. Builds of one version of PyTorch count as the same."""
    versions = {"Python": platform.python_version()}
    for name, package in (("Ray", "ray"), ("PyTorch", "torch"), ("numpy", "numpy")):
        try:
            versions[name] = metadata.version(package).partition("+")[0]
        except metadata.PackageNotFoundError:
            versions[name] = "none"
    try:
        musiclab = import_module("musiclab")
        files = sorted(Path(musiclab.ROOT).rglob("*.py"))
        code = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]
        versions["musiclab"] = f"{musiclab.__version__} (code {code})"
    except Exception:
        versions["musiclab"] = "none"
    return versions


def _why_not_usable(place: str, probe: str) -> str:
    """Why a storage cannot be used here; empty if it can, or if musiclab is missing, which is said elsewhere."""
    try:
        files = import_module("musiclab.storage.files")
    except ImportError:
        return ""
    try:
        storage = files.storage_at(place)  # writes and removes a file
        if storage is None:
            return "there is no such folder"
        return "" if storage.exists(probe) else "it has another folder of that name"
    except Exception as error:
        return str(error).splitlines()[0]


def _why_not_reached(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), _REACH_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""
