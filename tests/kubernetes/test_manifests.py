"""What the manifests come to: names lead somewhere, pods are locked down, doors closed; and what overlays change."""

import itertools
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from musiclab.study.options import parse_options
from tests.support.kubernetes import FOLDERS, JOBS, MANIFESTS, NAMESPACE, Manifest, Pods, kustomize, lets_in, pods_of
from tests.support.study_processes import ROOT

OURS = {"kubernetes.io/metadata.name": NAMESPACE}
All = dict[str, list[Manifest]]


def _of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def _one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (one,) = [manifest for manifest in _of_kind(manifests, kind) if manifest["metadata"]["name"] == name]
    return one


def _pods(manifests: list[Manifest]) -> dict[str, Pods]:
    return {pods.name: pods for manifest in manifests for pods in pods_of(manifest)}


def _environment(container: Manifest) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container.get("env", [])}


def _values(tree: Any, key: str) -> Iterator[Any]:
    """All that stands under a key, anywhere in a tree."""
    if isinstance(tree, dict):
        yield from ([tree[key]] if key in tree else [])
        tree = list(tree.values())
    if isinstance(tree, list):
        for each in tree:
            yield from _values(each, key)


# Secrets.


def test_without_the_user_s_secrets_nothing_is_rendered(with_secrets: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(with_secrets, tmp_path / "kubernetes")
    (folder / "base" / "secrets.env").unlink()
    run = kustomize(folder / "overlays" / "cpu")
    assert run.returncode != 0
    assert "secrets.env" in run.stderr


def test_no_secret_is_in_the_repository_and_git_takes_none() -> None:
    for example in MANIFESTS.rglob("*.env.example"):
        assert not re.search(r"(?m)^(?!storage=)\w+=.", example.read_text()), example
    listed = subprocess.run(["git", "ls-files", "docker/kubernetes"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no checkout of Git")
    assert not [name for name in listed.stdout.splitlines() if name.endswith(".env") or "/mine/" in name]
    for name in ("base/secrets.env", "components/s3/s3.env", "mine/kustomization.yaml"):
        assert subprocess.run(["git", "check-ignore", "-q", MANIFESTS / name], cwd=ROOT).returncode == 0, name


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_secret_claim_and_setting_that_a_pod_names_is_there_and_none_is_idle(manifests: All, folder: str) -> None:
    here = manifests[folder]
    keys = {
        (manifest["kind"], manifest["metadata"]["name"], key)
        for manifest in here if manifest["kind"] in ("Secret", "ConfigMap") for key in manifest["data"]
    }  # fmt: skip
    used = {("ConfigMap", each["name"], each["key"]) for each in _values(here, "configMapKeyRef")}
    used |= {("Secret", each["name"], each["key"]) for each in _values(here, "secretKeyRef")}
    used |= {("ConfigMap", "musiclab", name) for name in ("storage", "gpus_per_trial")}  # of the job's command
    used |= {("Secret", each["secretName"], "auth_token") for each in _values(here, "authOptions")}  # KubeRay's name
    wholes = [each["name"] for each in _values(here, "secretRef")]
    assert set(wholes) == {"s3"}
    assert used | {key for key in keys if key[:2] == ("Secret", "s3")} == keys
    claims = {manifest["metadata"]["name"] for manifest in _of_kind(here, "PersistentVolumeClaim")}
    assert claims == {each["claimName"] for each in _values(here, "persistentVolumeClaim")}
    for pods in _pods(here).values():
        for container in pods.containers:
            mounted = [mount["name"] for mount in container["volumeMounts"]]
            own = [claim["metadata"]["name"] for claims in _values(here, "volumeClaimTemplates") for claim in claims]
            volumes = [volume["name"] for volume in pods.spec["volumes"]]
            assert set(volumes) <= set(mounted) <= {*volumes, *own}, pods.name


# Names that lead somewhere.


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_service_leads_to_a_port_of_a_pod(manifests: All, folder: str) -> None:
    for service in _of_kind(manifests[folder], "Service"):
        selected = [
            pods for pods in _pods(manifests[folder]).values()
            if service["spec"]["selector"].items() <= pods.labels.items()
        ]  # fmt: skip
        assert [pods.name for pods in selected] == [service["metadata"]["name"]]
        ports = {
            port["name"]: port["containerPort"] for each in selected[0].spec["containers"] for port in each["ports"]
        }
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]


def test_mlflow_answers_to_the_name_by_which_studies_call_it_and_finds_its_database(manifests: All) -> None:
    here = manifests["overlays/cpu"]
    pods = _pods(here)
    head, mlflow, postgres = (pods[name].spec["containers"][0] for name in ("musiclab/head", "mlflow", "postgres"))
    command = mlflow["command"]
    assert command[:4] == ["checked", "--writable=/artifacts", "mlflow", "server"]
    options = dict(argument.removeprefix("--").split("=", 1) for argument in command[4:])
    host = _environment(head)["MLFLOW_TRACKING_URI"].removeprefix("http://")
    assert {host, f"localhost:{options['port']}"} <= set(options["allowed-hosts"].split(","))
    assert "*" not in options["allowed-hosts"]
    name, port = host.split(":")
    assert _one(here, "Service", name)["spec"]["ports"][0]["port"] == int(port) == int(options["port"])
    made = _environment(postgres)
    user, database = made["POSTGRES_USER"], made["POSTGRES_DB"]
    assert options["backend-store-uri"] == f"postgresql+psycopg2://{user}@postgres:5432/{database}"
    assert "--encoding=UTF8" in made["POSTGRES_INITDB_ARGS"]
    assert options["artifacts-destination"] in [mount["mountPath"] for mount in mlflow["volumeMounts"]]
    # The password of one is that of the other, and stands on no command line.
    passwords = [each["valueFrom"] for it in (mlflow, postgres) for each in it["env"] if "PASSWORD" in each["name"]]
    assert len(passwords) == 2
    assert passwords[0] == passwords[1]


@pytest.mark.parametrize("folder", FOLDERS)
def test_pods_run_the_image_of_the_overlay_and_nothing_unpinned(manifests: All, folder: str) -> None:
    images = {each["image"] for pods in _pods(manifests[folder]).values() for each in pods.containers}
    ours = "musiclab:cuda" if "gpu" in folder else "musiclab:cpu"
    if "mine" in folder:
        ours = f"registry.example.org/you/{ours}"
    (database,) = images - {ours}
    assert re.fullmatch(r"docker\.io/library/postgres:\d+-\w+", database)
    assert ours in images


def test_ray_s_version_is_the_one_that_the_image_installs(manifests: All) -> None:
    (pinned,) = re.findall(r"(?m)^ray==(.+)$", (ROOT / "constraints.txt").read_text())
    assert set(_values(list(manifests.values()), "rayVersion")) == {pinned}


# Locked-down pods.


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_pod_is_an_ordinary_user_s_and_may_change_nothing_but_its_volumes(manifests: All, folder: str) -> None:
    for pods in _pods(manifests[folder]).values():
        context = pods.spec["securityContext"]
        assert context["runAsNonRoot"] is True, pods.name
        assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        # Else Kubernetes puts MLFLOW_PORT=tcp://... and the like into the environment, which programs take for theirs.
        assert pods.spec["enableServiceLinks"] is False
        # Only the head's autoscaler talks to Kubernetes.
        assert pods.spec.get("automountServiceAccountToken", True) is pods.name.endswith("/head"), pods.name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pods.spec.keys()
        assert not [volume for volume in pods.spec["volumes"] if "hostPath" in volume]
        for container in pods.containers:
            _check_unprivileged(container["securityContext"])
            resources = container["resources"]
            assert resources["requests"].keys() >= {"cpu", "memory"}
            assert "memory" in resources["limits"]
    for options in _values(manifests[folder], "autoscalerOptions"):
        _check_unprivileged(options["securityContext"])
        assert "memory" in options["resources"]["limits"]


def _check_unprivileged(context: Manifest) -> None:
    assert context == {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True
    }  # fmt: skip


def test_what_answers_has_probes_and_kuberay_gives_ray_s_pods_theirs(manifests: All) -> None:
    for name, pods in _pods(manifests["overlays/cpu"]).items():
        for container in pods.spec["containers"]:
            probes = {"startupProbe", "livenessProbe"} & container.keys()
            assert len(probes) == (0 if "/" in name else 2), name
            if "httpGet" in container.get("livenessProbe", {}):
                assert container["livenessProbe"]["httpGet"]["port"] in [port["name"] for port in container["ports"]]


# Closed doors.


def test_only_what_must_comes_in(manifests: All) -> None:
    here = manifests["overlays/cpu"]
    pods = _pods(here)
    elsewhere = {"kubernetes.io/metadata.name": "default"}
    callers = {name: (each.labels, OURS) for name, each in pods.items()} | {
        "KubeRay": ({"app.kubernetes.io/name": "kuberay-operator"}, {"kubernetes.io/metadata.name": "ray-system"}),
        "Prometheus": ({}, {"kubernetes.io/metadata.name": "monitoring", "musiclab/scrapes": "true"}),
        "stranger": ({}, elsewhere),
        "stranger who calls itself a worker": (pods["musiclab/workers"].labels, elsewhere),
        "another pod here": ({}, OURS),
    }
    ports = (5000, 5432, 6379, 8080, 8265, 8470, 10001, 30000)
    open_doors = {
        (caller, name, port)
        for (caller, (labels, space)), name, port in itertools.product(callers.items(), pods, ports)
        if lets_in(here, pods[name], port, labels, space)
    }
    ray = ("musiclab/head", "musiclab/workers")
    assert open_doors == {
        *itertools.product(ray, ray, ports),
        *((caller, "mlflow", 5000) for caller in ray),
        ("mlflow", "postgres", 5432),
        ("KubeRay", "musiclab/head", 8265),
        *(("Prometheus", name, 8080) for name in ray),
    }


def test_the_pages_listen_on_the_pod_s_own_loopback(manifests: All) -> None:
    (container,) = _pods(manifests["overlays/cpu"])["watch"].containers
    assert not [argument for argument in container["command"] if argument.startswith("--host")]
    assert "watch" not in [service["metadata"]["name"] for service in _of_kind(manifests["overlays/cpu"], "Service")]


# The Ray cluster, and what each overlay changes.


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_head_takes_no_trials_and_workers_come_and_go(manifests: All, folder: str) -> None:
    (cluster,) = [
        each["spec"].get("rayClusterSpec", each["spec"]) for each in manifests[folder]
        if each["kind"] in ("RayCluster", "RayJob")
    ]  # fmt: skip
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert cluster["authOptions"]["mode"] == "token"
    (group,) = cluster["workerGroupSpecs"]
    assert group["minReplicas"] == group["replicas"] == 0
    assert group["maxReplicas"] == (20 if folder == "mine-cpu" else 4)
    spec = group["template"]["spec"]
    drain_s = float(_environment(spec["containers"][0])["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
    assert spec["terminationGracePeriodSeconds"] > drain_s
    on_gpus = "gpu" in folder
    limits = spec["containers"][0]["resources"]["limits"]
    assert limits.get("nvidia.com/gpu", "0") == ("1" if on_gpus else "0")
    assert ("nvidia.com/gpu" in [each["key"] for each in spec.get("tolerations", [])]) == on_gpus


@pytest.mark.parametrize("folder", FOLDERS)
def test_ray_s_pods_and_the_pages_have_one_storage(manifests: All, folder: str) -> None:
    here = manifests[folder]
    storage = _one(here, "ConfigMap", "musiclab")["data"]["storage"]
    in_a_bucket = "s3" in folder
    assert storage == ("s3://bucket/musiclab" if in_a_bucket else "/data")
    claims = _of_kind(here, "PersistentVolumeClaim")
    shared = [claim["metadata"]["name"] for claim in claims if claim["spec"]["accessModes"] == ["ReadWriteMany"]]
    assert shared == ([] if in_a_bucket else ["storage"])
    for name, pods in _pods(here).items():
        if name in ("mlflow", "postgres"):
            continue
        (container,) = pods.spec["containers"]
        assert ("/data" in [mount["mountPath"] for mount in container["volumeMounts"]]) != in_a_bucket, name
        assert container["envFrom"] == [{"secretRef": {"name": "s3", "optional": True}}]
    (watch,) = _pods(here)["watch"].containers
    assert [word for word in watch["command"] if word != "--writable=/data"][:4] == [
        "checked", "musiclab", "watch", "$(STORAGE)"
    ]  # fmt: skip
    checks = [word for pods in _pods(here).values() for each in pods.containers for word in each.get("command", [])]
    assert ("--writable=/data" in checks) != in_a_bucket


@pytest.mark.parametrize("folder", JOBS)
def test_a_job_runs_a_study_that_is_there_on_the_overlay_s_cluster_and_tries_again(manifests: All, folder: str) -> None:
    here = manifests[folder]
    assert _of_kind(here, "RayCluster") == []
    spec = dict(_one(here, "RayJob", "study")["spec"])
    if "mine" not in folder:
        standing = manifests[folder.replace("jobs", "overlays")]
        assert spec["rayClusterSpec"] == _one(standing, "RayCluster", "musiclab")["spec"]
        assert [each for each in standing if each["kind"] != "RayCluster"] == [
            each for each in here if each["kind"] != "RayJob"
        ]
    python, file, *options = spec["entrypoint"].split()
    settings = _one(here, "ConfigMap", "musiclab")["data"]
    assert (python, options[::2]) == ("python", ["--storage", "--gpus-per-trial"])
    assert options[1::2] == [settings["storage"], settings["gpus_per_trial"]]
    assert (float(options[3]) > 0) == ("gpu" in folder)
    parse_options("", options)  # the study takes them
    assert (ROOT / Path(file).relative_to("/opt/musiclab")).exists()
    assert spec["submissionMode"] == "SidecarMode"
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["backoffLimit"] > 0


# The page's figures.


def test_the_page_says_what_the_pods_ask_for(manifests: All) -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    cells = [re.split(r" *\| *", line)[1:-1] for line in page.splitlines() if re.match(r"\| .*( GiB|\d) +\|", line)]
    told = {name: (cpus, memory) for name, cpus, memory, _ in (row for row in cells if len(row) == 4 and row[1])}
    here = manifests["overlays/cpu"]
    asked = {name: _requests(pods.spec["containers"]) for name, pods in _pods(here).items()}
    (autoscaler,) = _values(here, "autoscalerOptions")
    asked["musiclab/head"] = _requests([*_pods(here)["musiclab/head"].spec["containers"], autoscaler])
    rows = {
        "Ray's head, with the autoscaler": "musiclab/head", "a worker, if there is one": "musiclab/workers",
        "MLflow": "mlflow", "PostgreSQL": "postgres", "the pages": "watch",
    }  # fmt: skip
    assert told == {row: (f"{asked[name][0]:g}", f"{asked[name][1]:g} GiB") for row, name in rows.items()}


def _requests(containers: list[Manifest]) -> tuple[float, float]:
    """CPUs and GiB that containers ask for together."""
    requests = [container["resources"]["requests"] for container in containers]
    cpus = [float(each["cpu"][:-1]) / 1000 if each["cpu"].endswith("m") else float(each["cpu"]) for each in requests]
    gib = [float(each["memory"][:-2]) / {"Gi": 1, "Mi": 1024}[each["memory"][-2:]] for each in requests]
    return sum(cpus), sum(gib)
