"""What KubeRay refuses: by its schema, made as strict as an API server, and by the checks of its operator."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cel
from jsonschema import Draft202012Validator

# KubeRay's definitions of RayCluster and RayJob (v1.7.0), without their descriptions; beside the checkout, not in it.
SCHEMAS = Path(__file__).parents[3] / "shared" / "kuberay"
_FILES = {"RayCluster": "rayclusters.crd.json.gz", "RayJob": "rayjobs.crd.json.gz"}
_MODES = ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode")
# A name gets endings, such as those of Services, that may have 63 characters with it.
_LONGEST_NAME = {"RayCluster": 53, "RayJob": 47}
_TOKENS_SINCE = (2, 52)


class Schema:
    """The schema of one kind of KubeRay's objects."""

    def __init__(self, kind: str) -> None:
        definition = json.loads(gzip.decompress((SCHEMAS / _FILES[kind]).read_bytes()))
        (version,) = [each for each in definition["spec"]["versions"] if each["storage"]]
        self._schema = version["schema"]["openAPIV3Schema"]
        self._validator = Draft202012Validator(_strict(self._schema))

    def faults(self, manifest: dict[str, Any]) -> list[str]:
        """What an API server would refuse: places and reasons; none if it takes the object."""
        value = _without_nulls(manifest)
        wrong = [f"{error.json_path}: {error.message}" for error in self._validator.iter_errors(value)]
        return wrong or list(_broken_rules(self._schema, value, "$"))


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """As JSON Schema that refuses unknown fields; one with a default is not required, because it is filled in first."""
    strict = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    if fields := schema.get("properties"):
        strict["properties"] = {name: _strict(field) for name, field in fields.items()}
        strict.setdefault("additionalProperties", False)
        strict["required"] = [name for name in schema.get("required", ()) if "default" not in fields[name]]
    if isinstance(values := schema.get("additionalProperties"), dict):
        strict["additionalProperties"] = _strict(values)
    if "items" in schema:
        strict["items"] = _strict(schema["items"])
    return strict


def _without_nulls(value: Any) -> Any:
    """A field that is null counts as one that is not there."""
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _broken_rules(schema: dict[str, Any], value: Any, place: str) -> Iterator[str]:
    """Rules in the Common Expression Language that do not hold, and entries that a list has twice."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" not in rule["rule"] and not cel.evaluate(rule["rule"], {"self": value}):
            yield f"{place}: {rule['message']}"
    if isinstance(value, list):
        yield from _doubled(schema, value, place)
        for number, each in enumerate(value):
            yield from _broken_rules(schema["items"], each, f"{place}[{number}]")
    elif isinstance(value, dict):
        fields, others = schema.get("properties", {}), schema.get("additionalProperties") or {}
        for name, each in value.items():
            yield from _broken_rules(fields.get(name, others), each, f"{place}.{name}")


def _doubled(schema: dict[str, Any], values: list[Any], place: str) -> Iterator[str]:
    if names := schema.get("x-kubernetes-list-map-keys"):
        fields = schema["items"]["properties"]
        keys = [tuple(each.get(name, fields[name].get("default")) for name in names) for each in values]
        yield from (f"{place}: {key} is there twice" for key, count in Counter(keys).items() if count > 1)


def operator_faults(manifest: dict[str, Any]) -> list[str]:
    """What KubeRay's operator refuses although the schema allows it, of what could happen to manifests like ours."""
    name, spec = manifest["metadata"]["name"], manifest["spec"]
    cluster, faults = spec, []
    if manifest["kind"] == "RayJob":
        cluster, mode = spec["rayClusterSpec"], spec.get("submissionMode", _MODES[0])
        if mode not in _MODES:
            faults.append(f"submissionMode must be one of {', '.join(_MODES)}; got {mode}")
    longest = _LONGEST_NAME[manifest["kind"]]
    if len(name) > longest or not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name):
        faults.append(f"a name must be a DNS label of at most {longest} characters; got {name}")
    version = tuple(int(part) for part in cluster.get("rayVersion", "0.0").split(".")[:2])
    if cluster.get("authOptions", {}).get("mode") == "token" and version < _TOKENS_SINCE:
        faults.append(f"tokens need rayVersion 2.52 or later; got {cluster.get('rayVersion')}")
    workers = cluster.get("workerGroupSpecs", [])
    groups = {"the head": cluster["headGroupSpec"]} | {group["groupName"]: group for group in workers}
    for group, its in groups.items():
        policy = its["template"]["spec"].get("restartPolicy", "Never")
        if cluster.get("autoscalerOptions", {}).get("version") == "v2" and policy != "Never":
            faults.append(f"restartPolicy of {group} must be Never under the autoscaler v2; got {policy}")
        counted = {"num-cpus", "num-gpus", "memory", "resources"} & its.get("rayStartParams", {}).keys()
        if counted and its.get("resources"):
            faults.append(f"resources of {group} must not be in rayStartParams and in resources too")
        if its.get("minReplicas", 0) > its.get("maxReplicas", float("inf")):
            faults.append(f"minReplicas of {group} must be at most maxReplicas")
    return faults
