"""Nodes that join a running Ray, and the demand that an autoscaler would see there."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.study_processes import start_ray

_ASK = """
import sys
from ray._raylet import GcsClient
from ray.autoscaler.v2.sdk import get_cluster_resource_state

state = get_cluster_resource_state(GcsClient(address=sys.argv[1]))
print(sum(len(group.requests) for group in state.pending_gang_resource_requests))
"""


def start_node(
    log: Path, address: str, cpus: int, environment: dict[str, str] | None = None, inside: Sequence[str] = ()
) -> subprocess.Popen:
    """A node that joins the Ray at `address`; to be given to `end`.

    Args:
        log: where its output goes.
        address: of the head.
        cpus: how many it declares.
        environment: the head's.
        inside: a command that runs the node, such as `unshare`.
    """
    surroundings = {key: value for key, value in (environment or os.environ).items() if key != "RAY_ADDRESS"}
    return start_ray(log, f"--address={address}", f"--num-cpus={cpus}", environment=surroundings, inside=inside)


def pending(address: str, environment: dict[str, str]) -> int:
    """How many trials the Ray at `address` has no room for, as it tells autoscalers."""
    asked = subprocess.run([sys.executable, "-c", _ASK, address], env=environment, capture_output=True, text=True)
    assert asked.returncode == 0, asked.stderr
    return int(asked.stdout)
