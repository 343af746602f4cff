"""What a study that was killed again and again has come to, against one that nothing disturbed."""

import json
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow_contents import histories, role, study_runs

STUDY = "killed"
_POLL_S = 0.02
_OF_THE_RUN = ("cost/seconds",)  # what two runs of one trial never have in common

Points = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class Truth:
    """The undisturbed study: its file and options, its storage, its records and what MLflow holds of each trial."""

    file: Path
    options: list[str]
    storage: Path
    records: dict[str, bytes]
    points: dict[str, Points]


def records_in(storage: Path) -> dict[str, bytes]:
    """The records' bytes by key."""
    return {file.parent.name: file.read_bytes() for file in sorted(storage.glob("trials/*/record.json"))}


def points_in(uri: str) -> dict[str, Points]:
    """Every point that MLflow holds of the study's trials, by key and metric, without what a trial cost."""
    client, runs = study_runs(uri, STUDY)
    return {
        run.data.tags["musiclab.key"]: {
            name: sorted(points) for name, points in histories(client, run).items() if name not in _OF_THE_RUN
        }
        for run in role(runs, "trial")
    }


class Watch(threading.Thread):
    """Looks at a storage all the time: `steps` counts what trials have written, `twice` the finished ones run again."""

    def __init__(self, storage: Path) -> None:
        super().__init__(daemon=True)
        self._storage, self._over = storage, threading.Event()
        self._seen: dict[str, tuple[int, int]] = {}
        self._finished: dict[str, dict[str, tuple[int, int]]] = {}
        self.steps, self.twice, self.lost = 0, set[str](), set[str]()

    def run(self) -> None:
        while not self._over.wait(_POLL_S):
            self.look()

    def look(self) -> None:
        """See what is there now."""
        for pattern in ("stages/*/curves.json", "stages/*/done", "trials/*/record.json"):
            for file in self._storage.glob(pattern):
                now = _identity(file)
                if now and self._seen.get(str(file)) != now:
                    self._seen[str(file)], self.steps = now, self.steps + 1
        for folder in self._storage.glob("trials/*"):
            self._look_at_trial(folder)

    def _look_at_trial(self, folder: Path) -> None:
        # The record first: what belongs to it is there before it.
        now = {name: _identity(folder / name) for name in ("record.json", "run.json")}
        before = self._finished.get(folder.name)
        if before and before != now:
            (self.twice if now["record.json"] else self.lost).add(folder.name)
        elif now["record.json"]:
            self._finished[folder.name] = now

    def end(self) -> None:
        """A last look."""
        self._over.set()
        self.join()
        self.look()


def faults(truth: Truth, storage: Path, uri: str, watch: Watch) -> Counter[str]:
    """How a study that has ended differs from the undisturbed one; empty where it does not."""
    found: Counter[str] = Counter()
    records = records_in(storage)
    found["records lost"] = len(watch.lost | (truth.records.keys() - records.keys()))
    found["records changed"] = sum(truth.records.get(key) != data for key, data in records.items())
    found["finished trials run twice"] = len(watch.twice)
    found["leases left"] = len([*storage.glob("studies/*/*/runner/*"), *storage.glob("studies/*/*/mirror/*")])
    return +(found + mlflow_faults(truth, uri))


def mlflow_faults(truth: Truth, uri: str) -> Counter[str]:
    """How MLflow differs from what it holds of the undisturbed study."""
    found: Counter[str] = Counter()
    _, runs = study_runs(uri, STUDY)
    names = Counter((run.data.tags["musiclab.role"], run.data.tags["musiclab.key"]) for run in runs)
    found["runs doubled"] = sum(times - 1 for times in names.values())
    found["runs left running"] = sum(run.info.status == "RUNNING" for run in runs)
    found["runs in a wrong state"] = sum(run.info.status not in ("RUNNING", "FINISHED") for run in runs)
    found["runs missing"] = len(truth.points.keys() - {key for kind, key in names if kind == "trial"})
    there = points_in(uri)
    for key, metrics in truth.points.items():
        for name, points in metrics.items():
            has = Counter(there.get(key, {}).get(name, []))
            steps = Counter(step for step, _ in has.elements())
            found["points missing"] += sum(point not in has for point in points)
            found["points doubled"] += sum(max(0, steps[step] - 1) for step, _ in points)
    for key, metrics in there.items():
        known = truth.points.get(key, {})
        found["points of nothing"] += sum(
            step not in {step for step, _ in known.get(name, [])} for name, points in metrics.items() for step, _ in points
        )
    return +found


def left_beside(storage: Path) -> dict[str, Any]:
    """Every trial's `run.json`, by key."""
    return {file.parent.name: json.loads(file.read_text()) for file in storage.glob("trials/*/run.json")}


def _identity(file: Path) -> tuple[int, int] | None:
    """What changes whenever the file is written anew; None where there is none."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
