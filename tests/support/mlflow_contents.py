"""What MLflow holds of a study, and how it differs from what the study's records say it should."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun

from tests.support.study_processes import Run

_STATUS = {"pruned": "KILLED", "diverged": "FAILED", "failed": "FAILED"}  # of proposals; all else is to finish


def study_runs(uri: str, study: str) -> tuple[MlflowClient, list[MlflowRun]]:
    """A client, and the study's runs; none where MLflow has no such experiment."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(f"musiclab/{study}")
    return client, list(client.search_runs([experiment.experiment_id], max_results=1000)) if experiment else []


def role(runs: list[MlflowRun], role: str) -> list[MlflowRun]:
    """Those that are `study`, `variant`, `trial`, or of a search `search` or `proposal`."""
    return [run for run in runs if run.data.tags["musiclab.role"] == role]


def logged(uri: str, study: str) -> bool:
    """Whether a trial's curve has begun to show, and the study has not come to its end."""
    return any(run.data.metrics and run.info.status == "RUNNING" for run in role(study_runs(uri, study)[1], "trial"))


def contents(uri: str, study: str) -> dict[str, Any]:
    """All that MLflow holds of a study: each run with its state, params and metrics' points."""
    client, found = study_runs(uri, study)
    return {run.info.run_id: (run.info.status, run.data.params, histories(client, run)) for run in found}


def histories(client: MlflowClient, run: MlflowRun) -> dict[str, list[tuple[int, float]]]:
    """A run's points, step and value, by metric."""
    return {
        name: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }


def faults(uri: str, study: str, storage: Path) -> Counter[str]:
    """How MLflow differs from the finished trials of a storage with this one study; empty if it is in sync.

    Counts runs `missing`, `doubled`, in a `wrong state` and under a `wrong parent`, and points `missing` and `doubled`.
    """
    client, found = study_runs(uri, study)
    result: Counter[str] = Counter()
    names = Counter((run.data.tags["musiclab.role"], run.data.tags["musiclab.key"]) for run in found)
    result["runs doubled"] = sum(times - 1 for times in names.values())
    result["runs in a wrong state"] = sum(
        run.info.status != _STATUS.get(run.data.tags.get("musiclab.state", ""), "FINISHED") for run in found
    )
    parents = {"study": set(), "variant": {run.info.run_id for run in role(found, "study")}}
    parents["trial"] = {run.info.run_id for run in role(found, "variant")}
    parents |= {"search": parents["variant"], "proposal": {run.info.run_id for run in role(found, "search")}}
    for run in found:
        above = run.data.tags.get("mlflow.parentRunId")
        result["runs under a wrong parent"] += (above not in parents[run.data.tags["musiclab.role"]]) and bool(above)
    trials = {run.data.tags["musiclab.key"]: run for run in [*role(found, "trial"), *role(found, "proposal")]}
    for file in storage.glob("trials/*/record.json"):
        record = json.loads(file.read_text())
        if record["key"] not in trials:
            result["runs missing"] += 1
            continue
        there = histories(client, trials[record["key"]])
        for name, points in _expected(storage, record).items():
            result["points missing"] += sum(not _among(point, there.get(name, [])) for point in points)
            result["points doubled"] += max(0, len(there.get(name, [])) - len(points))
    for variant in role(found, "variant"):  # whose points are one for each number of blocks
        for points in histories(client, variant).values():
            result["points doubled"] += len(points) - len(set(points))
    return +result


def assert_level(run: Run, uri: str, study: str) -> None:
    """MLflow holds each trial's curves and measures, every point once, each run once, and none still running."""
    assert faults(uri, study, run.storage) == Counter()
    _, found = study_runs(uri, study)
    trials = {each.data.tags["musiclab.key"]: each for each in role(found, "trial")}
    assert set(trials) == set(run.records)
    variants = {json.dumps(json.loads(data)["config"]) for data in run.records.values()}
    assert Counter(each.data.tags["musiclab.role"] for each in found) == {
        "study": 1, "variant": len(variants), "trial": len(run.records),
    }  # fmt: skip
    for key, data in run.records.items():
        assert any(name.startswith("train/") for name in trials[key].data.metrics)
        assert trials[key].data.params["latent_dim"] == str(json.loads(data)["config"]["latent_dim"])


def _expected(storage: Path, record: dict[str, Any]) -> dict[str, list[tuple[int, float]]]:
    """The points that a finished trial's run must have: its curves and its measures."""
    points: dict[str, list[tuple[int, float]]] = {}
    for stage in record["stages"].values():
        curves = storage / "stages" / stage / "curves.json"
        for point in json.loads(curves.read_text()) if curves.exists() else ():
            points.setdefault(point["name"], []).append((point["step"], point["value"]))
    return points | {name: [] if value is None else [(0, value)] for name, value in record["measures"].items()}


def _among(point: tuple[int, float], points: list[tuple[int, float]]) -> bool:
    return any(step == point[0] and math.isclose(value, point[1], rel_tol=1e-9) for step, value in points)
