"""What a study that was killed again and again has come to, against one that nothing disturbed."""

import json
import shutil
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from sqlalchemy import create_engine, text

from musiclab.hashing import content_hash
from musiclab.storage.files import Storage
from musiclab.storage.leases import active_holders

STUDY = "killed"
_POLL_S = 0.02
_STEPS = ("curves.json", "done", "record.json")
# Files that are never seen half written, those whose writing is a step among them.
_WHOLE = (
    "stages/*/curves.json", "stages/*/done", "trials/*/record.json", "trials/*/run.json", "studies/*/*/plan.json",
    "scales/*.json", "splits/*.json",
)  # fmt: skip
# Those of a search that never change once they are there.
_ONCE = ("search/proposals/*.json", "search/ends/*.json", "search/rungs/*/*.json")
_OF_THE_RUN = ("cost/seconds",)  # what two runs of one trial never have in common

# MLflow's own tables, the same on SQLite and PostgreSQL; what it has deleted is not there.
_OF_STUDY = """
    FROM runs JOIN experiments e ON e.experiment_id = runs.experiment_id AND e.name = :name
    JOIN tags role ON role.run_uuid = runs.run_uuid AND role.key = 'musiclab.role'
    JOIN tags key ON key.run_uuid = runs.run_uuid AND key.key = 'musiclab.key'
"""
_RUNS = f"SELECT role.value, key.value, status, artifact_uri {_OF_STUDY} WHERE runs.lifecycle_stage = 'active'"
_POINTS = f"""
    SELECT key.value, m.key, m.step, m.value {_OF_STUDY} LEFT JOIN metrics m ON m.run_uuid = runs.run_uuid
    WHERE runs.lifecycle_stage = 'active' AND role.value = 'trial'
"""

Points = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class Truth:
    """The undisturbed study: its file and options, its storage, its records and what MLflow holds of each trial."""

    file: Path
    options: list[str]
    storage: Path
    records: dict[str, bytes]
    points: dict[str, Points]

    @property
    def empty(self) -> Path:
        """MLflow's database with nothing in it."""
        return self.file.with_name("empty.db")

    @property
    def epochs(self) -> int:
        """How often its trainings write their curves."""
        curves = [json.loads(file.read_text()) for file in self.storage.glob("stages/*/curves.json")]
        return sum(max(point["step"] for point in points) for points in curves)

    def fresh(self, storage: Path) -> Path:
        """A new storage in which nothing has run: the windows that it would cut, and an empty MLflow."""
        shutil.copytree(self.storage / "data", storage / "data")
        shutil.copy(self.empty, storage / "mlflow.db")
        return storage


def records_in(storage: Path) -> dict[str, bytes]:
    """The records' bytes by key."""
    return {file.parent.name: file.read_bytes() for file in sorted(storage.glob("trials/*/record.json"))}


def points_in(uri: str) -> dict[str, Points]:
    """Every point that MLflow holds of the study's trials, by key and metric, without what a trial cost."""
    found: dict[str, Points] = {}
    for key, name, step, value in _rows(uri, _POINTS):
        metrics = found.setdefault(key, {})
        if name and name not in _OF_THE_RUN:
            metrics.setdefault(name, []).append((step, value))
    return found


class Watch(threading.Thread):
    """Looks at a storage all the time: `steps` counts what trials have written.

    Noted are finished trials that are `lost`, were `written` again or even began after they had finished (`twice`),
    files that are `halves`, and curves that began `again`; and of a search the files that are there `once` and for all,
    and those of them that have `changed`.
    """

    def __init__(self, storage: Path) -> None:
        super().__init__(daemon=True)
        self._storage, self._over = storage, threading.Event()
        self._seen: dict[str, tuple[int, int]] = {}
        self._finished: dict[str, dict[str, tuple[int, int]]] = {}
        self._curves: dict[str, list] = {}
        self.steps = 0
        self._since: dict[str, float] = {}
        self.written, self.twice, self.lost = set[str](), set[str](), set[str]()
        self.halves, self.again = set[str](), set[str]()
        self.once, self.changed = dict[str, str](), set[str]()

    def run(self) -> None:
        while not self._over.wait(_POLL_S):
            self.look()

    def look(self) -> None:
        """See what is there now."""
        for pattern in (*_WHOLE, *(f"studies/*/*/{name}" for name in _ONCE)):
            for file in self._storage.glob(pattern):
                now = _identity(file)
                if now and self._seen.get(str(file)) != now:
                    self._seen[str(file)] = now
                    self._look_into(file)
        for folder in self._storage.glob("trials/*"):
            self._look_at_trial(folder)

    def _look_into(self, file: Path) -> None:
        """A file that is new or has changed."""
        self.steps += file.name in _STEPS
        try:
            text = file.read_text()
            value = json.loads(text)
        except FileNotFoundError:
            return
        except ValueError:
            self.halves.add(str(file))
            return
        if file.name == "curves.json":
            before = self._curves.get(str(file), [])
            if value[: len(before)] != before:
                self.again.add(str(file))
            self._curves[str(file)] = value
        if any(file.match(name) for name in _ONCE) and self.once.setdefault(str(file), text) != text:
            self.changed.add(str(file))

    def _look_at_trial(self, folder: Path) -> None:
        # The record first: what belongs to it is there before it.
        now = {name: _identity(folder / name) for name in ("record.json", "run.json")}
        before = self._finished.get(folder.name)
        if before and not now["record.json"]:
            self.lost.add(folder.name)
        elif before and before != now:
            self.written.add(folder.name)
            if json.loads((folder / "run.json").read_text())["began"] > self._since[folder.name]:
                self.twice.add(folder.name)
        elif now["record.json"] and not before:
            self._finished[folder.name], self._since[folder.name] = now, time.time()

    def end(self) -> None:
        """A last look."""
        self._over.set()
        self.join()
        self.look()


def faults(truth: Truth, storage: Path, uri: str, watch: Watch, in_process: bool) -> Counter[str]:
    """How a study that has ended differs from the undisturbed one; empty where it does not.

    Where several run at once, as on Ray, where a worker outlives its driver for a moment, two may do the same epoch and
    end the same trial; none begins one that has ended.
    """
    found, records = faults_of_files(storage, watch, in_process), records_in(storage)
    found["records lost"] = len(watch.lost | (truth.records.keys() - records.keys()))
    found["records changed"] = sum(truth.records.get(key) != data for key, data in records.items())
    return +(found + _mlflow_faults(truth, uri, storage, records))


def faults_of_files(storage: Path, watch: Watch, in_process: bool) -> Counter[str]:
    """What is wrong with the files of any study that has ended."""
    found, records = Counter[str](), records_in(storage)
    found["finished trials run twice"] = len(watch.written if in_process else watch.twice)
    found["half files seen"] = len(watch.halves)
    found["trainings begun again"] = len(watch.again) if in_process else 0
    found["files missing"] = sum(_missing(storage / "trials" / key, data) for key, data in records.items())
    found["failures left"] = len([*storage.glob("trials/*/failed.json")])
    # What a killed holder leaves is in nobody's way; one who lives and holds on would be.
    folders = [*storage.glob("studies/*/*/runner"), *storage.glob("studies/*/*/mirror")]
    opened = Storage(str(storage))
    found["leases held"] = sum(len(active_holders(opened, str(folder.relative_to(storage)))) for folder in folders)
    return +found


def _missing(trial: Path, record: bytes) -> int:
    """How many of the files that belong to a record are not there, or not whole."""
    samples = json.loads(record)["samples"]
    whole = [
        (trial / "samples" / name).exists() and content_hash((trial / "samples" / name).read_bytes().hex()) == digest
        for name, digest in samples.items()
    ]
    return whole.count(False) + (not (trial / "run.json").exists())


def _mlflow_faults(truth: Truth, uri: str, storage: Path, records: dict[str, bytes]) -> Counter[str]:
    """How MLflow differs from what it holds of the undisturbed study, and its files from those of the storage."""
    found: Counter[str] = Counter()
    runs = _rows(uri, _RUNS)
    names = Counter((role, key) for role, key, *_ in runs)
    found["runs doubled"] = sum(times - 1 for times in names.values())
    found["runs left running"] = sum(status == "RUNNING" for _, _, status, _ in runs)
    found["runs in a wrong state"] = sum(status not in ("RUNNING", "FINISHED") for _, _, status, _ in runs)
    found["runs missing"] = len(truth.points.keys() - {key for role, key in names if role == "trial"})
    for role, expected in (("study", 1), ("variant", len(truth.points))):  # on one block
        found["runs missing"] += max(0, expected - sum(of == role for of, _ in names))
    for role, key, _, place in runs:
        if role == "trial" and key in records:
            wanted = ["record.json", "run.json", *(f"samples/{name}" for name in json.loads(records[key])["samples"])]
            found["files missing in MLflow"] += sum(not (_local(place, storage) / name).exists() for name in wanted)
    there = points_in(uri)
    for key in truth.points.keys() | there.keys():
        expected, has = _counted(truth.points.get(key, {})), _counted(there.get(key, {}))
        found["points missing"] += len(expected.keys() - has.keys())
        found["points of nothing"] += len(has.keys() - expected.keys())
        found["points doubled"] += has.total() - len(has)
    return +found


def _local(artifacts: str, storage: Path) -> Path:
    """Where a run's files lie; a server keeps them in its own folder, beside the storage."""
    server = f"{storage.parent / 'server' / 'artifacts'}/"
    return Path(unquote(artifacts.removeprefix("file://").replace("mlflow-artifacts:/", server)))


def _counted(points: Points) -> Counter[tuple[str, int, float]]:
    return Counter((name, *point) for name, of_name in points.items() for point in of_name)


def _rows(uri: str, query: str) -> list[tuple]:
    """What a query of MLflow's database finds: a thousand times as fast as its client, point by point."""
    engine = create_engine(uri)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query), {"name": f"musiclab/{STUDY}"})]
    finally:
        engine.dispose()


def _identity(file: Path) -> tuple[int, int] | None:
    """What changes whenever the file is written anew; None where there is none."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
