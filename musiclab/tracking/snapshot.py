"""A snapshot of a trial: what the storage holds of it, in the terms in which MLflow shows it."""

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.storage.stages import CurvePoint
from musiclab.storage.trial_documents import TrialCost, TrialRecord


class Unreadable(Exception):
    """A trial's files cannot be read, or make no sense although they are whole."""


@dataclass(frozen=True)
class Trial:
    """A trial that has begun.

    Attributes:
        status: MLflow's word for how it ended; empty while it runs.
        mark: tells this end of the trial from any other; it is stored with the run.
        began: when it began, in Unix seconds; likewise `ended`.
        points: without NaN.
        files: reads the files that become the run's artifacts.
        file_names: lists them.
        record: None unless it has finished.
    """

    status: str
    mark: str
    began: float
    ended: float
    points: list[CurvePoint]
    tags: dict[str, str]
    files: Callable[[], dict[str, bytes]]
    file_names: Callable[[], Iterable[str]]
    record: TrialRecord | None


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


@_reading()
def stored_trial(records: Records, stages: dict[str, str], over: bool) -> Trial | None:
    """The trial with these stages as the storage has it; None if it has not begun.

    If `over`, no trial can be running any more. What is missing or damaged beside the record is left out.

    Raises:
        Unreadable: the rest makes no sense.
    """
    key = list(stages.values())[-1]
    record, failure, cost = records.get(key), records.failure(key), records.run(key)
    curves = [replace(point, value=float(point.value)) for point in records.stages.curves(stages)]
    last = max((point.time for point in curves), default=0.0)
    began = cost.began if cost else min((point.time for point in curves), default=time.time())
    if record:
        ended = cost.ended if cost else last or began
        points = curves + _results(record, ended, cost)
        files = _Finished(records, key, record)
        about = {"device": cost.device, "host": cost.host} if cost else {}
        tags = {f"musiclab.{name}": value for name, value in about.items() if value}
        return Trial("FINISHED", "finished", began, ended, _numbers(points), tags, files.read, files.names, record)
    # Curves that continue after the failure mean that the trial is being retried, unless a clock was set back.
    if failure and (over or last <= failure.time):
        mark, tags = f"failed {failure.time}", {"musiclab.failure": failure.reason}
        log = {"failed.txt": failure.log.encode(errors="replace")}
        return Trial("FAILED", mark, began, failure.time, _numbers(curves), tags, lambda: log, log.keys, None)
    return Trial("", "", began, last, _numbers(curves), {}, dict, list, None) if curves else None


@dataclass(frozen=True)
class _Finished:
    """The files of a finished trial, those that exist."""

    records: Records
    key: str
    record: TrialRecord

    @_reading()
    def names(self) -> list[str]:
        return [*self._documents(), *(f"samples/{name}" for name in self._storage.names(f"trials/{self.key}/samples"))]

    @_reading()
    def read(self) -> dict[str, bytes]:
        files = {name: self._storage.read(place) for name, place in self._documents().items()}
        return files | {f"samples/{name}": data for name, data in self.records.samples(self.key).items()}

    def _documents(self) -> dict[str, str]:
        """Where the documents are, by their names as artifacts."""
        places = {name: f"trials/{self.key}/{name}" for name in ("record.json", "run.json")}
        places["split.json"] = f"splits/{self.record.data.split}.json"
        return {name: place for name, place in places.items() if self._storage.exists(place)}

    @property
    def _storage(self) -> Storage:
        return self.records.storage


def _results(record: TrialRecord, ended: float, cost: TrialCost | None) -> list[CurvePoint]:
    values = record.measures | {f"scale/{name}": value for name, value in record.baselines.items()}
    if cost:
        values["cost/seconds"] = cost.wall_seconds
    return [CurvePoint(name, 0, value, ended) for name, value in values.items()]


def _numbers(points: list[CurvePoint]) -> list[CurvePoint]:
    return [point for point in points if not math.isnan(point.value)]
