"""Manifests against the schemas of Kubernetes and KubeRay and the checks of its operator, all of which find faults."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("cel", reason="common-expression-language, which KubeRay's rules are written in, is not installed")

from tests.support.kuberay import SCHEMAS, Schema, operator_faults
from tests.support.kubernetes import Manifest

needs_schemas = pytest.mark.skipif(not SCHEMAS.exists(), reason="KubeRay's schemas are not there (../shared/kuberay)")
Change = Callable[[Manifest], Any]


@pytest.fixture(scope="module")
def schemas() -> dict[str, Schema]:
    return {kind: Schema(kind) for kind in ("RayCluster", "RayJob")}


@pytest.fixture(scope="module")
def objects(manifests: dict[str, list[Manifest]]) -> list[Manifest]:
    """The objects of all folders, each once."""
    return list({json.dumps(each, sort_keys=True): each for all_ in manifests.values() for each in all_}.values())


def _changed(manifests: dict[str, list[Manifest]], kind: str, change: Change) -> Manifest:
    folder = "jobs/cpu" if kind == "RayJob" else "overlays/cpu"
    (manifest,) = [copy.deepcopy(each) for each in manifests[folder] if each["kind"] == kind]
    change(manifest)
    return manifest


# Kubernetes' own objects.


def _refused(manifest: Manifest) -> str:
    """Why Kubernetes 1.37 would refuse an object; "" if it takes it."""
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    try:
        validator.validate(manifest, "1.37", strict=True)
    except validator.ValidationError as error:
        return error.message
    return ""


def test_kubernetes_takes_every_object_of_its_own(objects: list[Manifest]) -> None:
    own = [each for each in objects if not each["apiVersion"].startswith("ray.io/")]
    assert {each["kind"] for each in own} == {
        "Namespace", "PersistentVolumeClaim", "Service", "Deployment", "StatefulSet", "NetworkPolicy", "ConfigMap",
        "Secret",
    }  # fmt: skip
    assert {f"{each['kind']} {each['metadata']['name']}": _refused(each) for each in own if _refused(each)} == {}


def test_kubernetes_refuses_a_misspelt_field_and_a_wrong_type(manifests: dict[str, list[Manifest]]) -> None:
    def misspelt(manifest: Manifest) -> None:
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        container["livenessProb"] = container.pop("livenessProbe")

    def wrong_type(manifest: Manifest) -> None:
        manifest["spec"]["replicas"] = "1"

    assert "livenessProb" in _refused(_changed(manifests, "StatefulSet", misspelt))
    assert "not of type 'integer'" in _refused(_changed(manifests, "StatefulSet", wrong_type))


# KubeRay's schema.


@needs_schemas
def test_kuberay_s_schema_takes_every_cluster_and_job(schemas: dict[str, Schema], objects: list[Manifest]) -> None:
    theirs = [each for each in objects if each["kind"] in schemas]
    assert {each["kind"] for each in theirs} == {"RayCluster", "RayJob"}
    assert [fault for each in theirs for fault in schemas[each["kind"]].faults(each)] == []


def _head(manifest: Manifest) -> Any:
    return manifest["spec"]["headGroupSpec"]


def _workers(manifest: Manifest) -> Any:
    return manifest["spec"]["workerGroupSpecs"][0]


def _container(group: Any) -> Any:
    return group["template"]["spec"]["containers"][0]


_DELETION = {"policy": "DeleteCluster"}
_RULE = {"policy": "DeleteCluster", "condition": {"jobStatus": "FAILED", "ttlSeconds": 10}}


@needs_schemas
@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("RayCluster", lambda it: it["spec"].update(enableInTreeAutoscaler=True), "enableInTreeAutoscaler"),
        ("RayCluster", lambda it: _container(_head(it)).update(volumeMount=[]), "volumeMount"),
        ("RayCluster", lambda it: _container(_workers(it))["env"][0].update(valueOf="x"), "valueOf"),
        ("RayCluster", lambda it: it["spec"].update(rayVersion=2.6), "not of type 'string'"),
        ("RayCluster", lambda it: _head(it)["rayStartParams"].update({"num-cpus": 0}), "not of type 'string'"),
        ("RayCluster", lambda it: _workers(it).update(maxReplicas="4"), "not of type 'integer'"),
        ("RayCluster", lambda it: it["spec"]["authOptions"].update(mode="password"), "'password' is not one of"),
        ("RayCluster", lambda it: it["spec"]["autoscalerOptions"].update(version="v3"), "'v3' is not one of"),
        ("RayCluster", lambda it: _workers(it).pop("groupName"), "'groupName' is a required property"),
        ("RayCluster", lambda it: _container(_head(it))["resources"]["limits"].update(memory="8GB"), "does not match"),
        ("RayCluster", lambda it: _container(_head(it))["env"].append({"name": "HOME", "value": "/"}), "twice"),
        ("RayCluster", lambda it: it["spec"].update(managedBy="me"), "managedBy field value must be"),
        ("RayJob", lambda it: it["spec"].update(backoffLimits=3), "backoffLimits"),
        ("RayJob", lambda it: it["spec"].update(deletionStrategy={"onSuccess": _DELETION}), "requires either BOTH"),
        (
            "RayJob",
            lambda it: it["spec"].update(
                deletionStrategy={"onSuccess": _DELETION, "onFailure": _DELETION, "deletionRules": [_RULE]}
            ),
            "cannot be used together",
        ),
    ],
)
def test_kuberay_s_schema_refuses(
    schemas: dict[str, Schema], manifests: dict[str, list[Manifest]], kind: str, change: Change, said: str
) -> None:
    (fault,) = schemas[kind].faults(_changed(manifests, kind, change))
    assert said in fault


@needs_schemas
def test_a_field_that_is_null_counts_as_absent_and_one_with_a_default_may_be_absent(
    schemas: dict[str, Schema], manifests: dict[str, list[Manifest]]
) -> None:
    def change(manifest: Manifest) -> None:
        manifest["spec"]["suspend"] = None
        del _workers(manifest)["maxReplicas"]

    assert schemas["RayCluster"].faults(_changed(manifests, "RayCluster", change)) == []


# The operator's checks.


def test_the_operator_takes_every_cluster_and_job(objects: list[Manifest]) -> None:
    theirs = [each for each in objects if each["kind"] in ("RayCluster", "RayJob")]
    assert [fault for each in theirs for fault in operator_faults(each)] == []


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("RayJob", lambda it: it["spec"].update(submissionMode="SideCar"), "submissionMode must be one of"),
        ("RayCluster", lambda it: it["spec"].update(rayVersion="2.51.0"), "tokens need rayVersion 2.52"),
        ("RayJob", lambda it: it["spec"]["rayClusterSpec"].pop("rayVersion"), "tokens need rayVersion 2.52"),
        ("RayCluster", lambda it: _head(it)["template"]["spec"].update(restartPolicy="Always"), "of the head must be"),
        ("RayCluster", lambda it: _workers(it)["template"]["spec"].update(restartPolicy="OnFailure"), "of workers"),
        ("RayCluster", lambda it: _head(it).update(resources={"CPU": "0"}), "in rayStartParams and in resources"),
        ("RayCluster", lambda it: _workers(it).update(minReplicas=9), "at most maxReplicas"),
        ("RayCluster", lambda it: it["metadata"].update(name="m" * 54), "at most 53 characters"),
        ("RayJob", lambda it: it["metadata"].update(name="s" * 48), "at most 47 characters"),
        ("RayJob", lambda it: it["metadata"].update(name="1st"), "must be a DNS label"),
    ],
)
def test_the_operator_refuses(manifests: dict[str, list[Manifest]], kind: str, change: Change, said: str) -> None:
    (fault,) = operator_faults(_changed(manifests, kind, change))
    assert said in fault
