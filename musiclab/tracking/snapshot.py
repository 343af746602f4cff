"""A snapshot of a trial: what the storage holds of it, in the terms in which MLflow shows it."""

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from musiclab.storage.files import Storage
from musiclab.storage.listing import Listing
from musiclab.storage.records import Records
from musiclab.storage.stages import CurvePoint
from musiclab.storage.trial_documents import TrialCost, TrialRecord

_DOCUMENTS = ("record.json", "run.json")


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
def stored_trial(records: Records, stages: dict[str, str], over: bool, listing: Listing) -> Trial | None:
    """The trial with these stages as the storage has it; None if it has not begun.

    If `over`, no trial can be running any more. What is missing or damaged beside the record is left out, and so is
    what `listing` does not have: no file is asked for of which that tells that it is not there.

    Raises:
        Unreadable: the rest makes no sense.
    """
    key = list(stages.values())[-1]
    has_left = key in listing.trials
    record, cost = (records.get(key), records.run(key)) if has_left else (None, None)
    failure = records.failure(key) if has_left and not record else None
    begun = {stage: key for stage, key in stages.items() if key in listing.stages}
    curves = [replace(point, value=float(point.value)) for point in records.stages.curves(begun)]
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
        there = self._storage.names(f"trials/{self.key}")
        documents = [name for name in _DOCUMENTS if name in there]
        split = ["split.json"] if self._storage.exists(self._split) else []
        samples = self._storage.names(f"trials/{self.key}/samples") if "samples" in there else []
        return [*documents, *split, *(f"samples/{name}" for name in samples)]

    @_reading()
    def read(self) -> dict[str, bytes]:
        places = {name: f"trials/{self.key}/{name}" for name in _DOCUMENTS} | {"split.json": self._split}
        files: dict[str, bytes] = {}
        for name, place in places.items():
            with contextlib.suppress(FileNotFoundError):
                files[name] = self._storage.read(place)
        return files | {f"samples/{name}": data for name, data in self.records.samples(self.key).items()}

    @property
    def _split(self) -> str:
        return f"splits/{self.record.data.split}.json"

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
