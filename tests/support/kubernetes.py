"""Manifests as `kubectl kustomize` renders them, their pods, and who may talk to whom by their network policies."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.study_processes import ROOT

MANIFESTS = ROOT / "docker" / "kubernetes"
NAMESPACE = "musiclab"
# What a user applies; the last two are the examples of docs/kubernetes.md.
FOLDERS = (
    "overlays/cpu", "overlays/gpu", "overlays/s3", "jobs/cpu", "jobs/gpu", "jobs/s3", "mine-cpu", "mine-gpu-s3-job"
)  # fmt: skip
JOBS = tuple(folder for folder in FOLDERS if "job" in folder)
# Where the wheel of kubectl puts it, whether or not the environment is activated.
KUBECTL = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")

Manifest = dict[str, Any]


def kustomize(folder: Path) -> subprocess.CompletedProcess[str]:
    """What `kubectl kustomize` says of a folder."""
    assert KUBECTL
    return subprocess.run([KUBECTL, "kustomize", str(folder)], capture_output=True, text=True)


def rendered(folder: Path) -> list[Manifest]:
    """The objects that a folder stands for."""
    run = kustomize(folder)
    assert run.returncode == 0, run.stderr
    return list(yaml.safe_load_all(run.stdout))


def copy_with_secrets(to: Path) -> Path:
    """A copy of the manifests in which all that a user has to give is given."""
    folder = to / "kubernetes"
    shutil.copytree(MANIFESTS, folder, ignore=shutil.ignore_patterns("*.env", "mine"))
    for example in folder.rglob("*.env.example"):
        lines = [line for line in example.read_text().splitlines() if not line.startswith("#")]
        example.with_suffix("").write_text(
            "".join(f"{line}given\n" if line.endswith("=") else f"{line}\n" for line in lines)
        )
    return folder


@dataclass(frozen=True)
class Pods:
    """The pods that one template makes.

    Attributes:
        name: of the object with the template; with `/GROUP` for a group of Ray's nodes.
        labels: the template's, with those that KubeRay adds.
        spec: what each pod is.
    """

    name: str
    labels: dict[str, str]
    spec: Manifest

    @property
    def containers(self) -> list[Manifest]:
        """All of a pod's containers."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def pods_of(manifest: Manifest) -> Iterator[Pods]:
    """The pods that an object stands for; none for most kinds."""
    name, spec = manifest["metadata"]["name"], manifest.get("spec", {})
    if manifest["kind"] in ("Deployment", "StatefulSet"):
        yield Pods(name, spec["template"]["metadata"]["labels"], spec["template"]["spec"])
    if manifest["kind"] in ("RayCluster", "RayJob"):
        cluster = spec.get("rayClusterSpec", spec)
        for kind, group in [
            ("head", cluster["headGroupSpec"]),
            *(("worker", it) for it in cluster["workerGroupSpecs"]),
        ]:
            template = group["template"]
            labels = template["metadata"]["labels"] | {"ray.io/node-type": kind}
            yield Pods(f"{name}/{group.get('groupName', 'head')}", labels, template["spec"])


def lets_in(manifests: list[Manifest], pods: Pods, port: int, labels: dict[str, str], space: dict[str, str]) -> bool:
    """Whether a pod with these labels, in a namespace with those, reaches a port of `pods` in our namespace."""
    policies = [
        manifest["spec"] for manifest in manifests
        if manifest["kind"] == "NetworkPolicy" and _selects(manifest["spec"]["podSelector"], pods.labels)
    ]  # fmt: skip
    rules = [rule for policy in policies for rule in policy.get("ingress", [])]
    return not policies or any(
        any(_is_from(peer, labels, space) for peer in rule["from"])
        and ("ports" not in rule or port in [each["port"] for each in rule["ports"]])
        for rule in rules
    )


def _is_from(peer: Manifest, labels: dict[str, str], space: dict[str, str]) -> bool:
    """Whether a peer of a rule means a pod with these labels in a namespace with those."""
    ours = {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}
    return _selects(peer.get("namespaceSelector", ours), space) and _selects(peer.get("podSelector", {}), labels)


def _selects(selector: Manifest, labels: dict[str, str]) -> bool:
    assert selector.keys() <= {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= labels.items()
