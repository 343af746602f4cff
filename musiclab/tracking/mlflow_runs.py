"""A study's runs in MLflow, each made once and told only what it lacks; the only module that knows MLflow."""

import hashlib
import os
import re
import socket
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from musiclab.errors import UserError, one_line
from musiclab.storage.stages import Point
from musiclab.tracking.uri import is_database, masked

# Before MLflow is imported, which reads them then. A server that is down is asked again on the next round, not within a
# call: a second try of a call that came through, but whose answer was lost, would make a second run.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.update({
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # tracebacks; `why` has the reason
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
})  # fmt: skip

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

_TIMEOUT_S = int(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])
_BATCH = 1000  # metrics that MLflow takes in one call
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_PARENT, _MARK = "mlflow.parentRunId", "musiclab.mirrored"
# What MLflow says of itself, and what it says to a person.
_REASONS = (
    (r"error code (401|403)", "access is refused ({0}); set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
     "MLFLOW_TRACKING_TOKEN, of somebody who may write there"),
    (r"not in a valid JSON format|ENDPOINT_NOT_FOUND|failed with error code (?:30\d|404)", "what answers there is no "
     "MLflow server; check the address"),
    (r"too many (\d+) error responses", "it answers with errors ({0})"),
    (r"ReadTimeout|ConnectTimeout|timed out", "no answer within {timeout} s"),
    (r"[Cc]onnection refused", "nothing listens there (connection refused)"),
    (r"NameResolutionError", "no such host"),
    (r"RemoteDisconnected|Connection aborted|ConnectionReset", "it broke off in the middle of an answer"),
)  # fmt: skip


@dataclass
class Run:
    """What MLflow has of a run; `latest` has the last point of each metric, `mark` the end up to which it is level."""

    id: str
    status: str
    began: int
    params: set[str]
    tags: dict[str, str]
    latest: dict[str, Point]

    @property
    def mark(self) -> str:
        """What the run was brought level with; empty while it is not."""
        return self.tags.get(_MARK, "")

    def lacks(self, points: list[Point]) -> list[Point]:
        """Those of the points, in order, that it does not have: points of a metric come in the order of their steps.

        Training that starts afresh, after a checkpoint was damaged, makes equal points at another time.
        """
        return [point for point in points if point.name not in self.latest or point.step > self.latest[point.name].step]


class Runs:
    """The runs of an edition of a study, found by their tags when this is made, or made when they are asked for.

    Of two for one thing, which a call leaves whose answer was lost, one is removed. All methods raise what MLflow does,
    and can be called again. `changes` counts what was done.
    """

    def __init__(self, uri: str, study: str, edition: str, artifacts: str, changes: Counter[str]) -> None:
        _knock(uri)
        self._client, self._edition, self._changes = MlflowClient(uri), edition, changes
        self.experiment = self._find_experiment(f"musiclab/{study}", artifacts if is_database(uri) else None)
        self._runs: dict[tuple[str, str], Run] = {}
        for run in sorted(self._found(), key=lambda run: (not run.mark, run.began, run.id)):
            name = run.tags.get("musiclab.role", ""), run.tags.get("musiclab.key", "")
            if name in self._runs:
                self._client.delete_run(run.id)
                changes["doubles"] += 1
            else:
                self._runs[name] = run

    def _find_experiment(self, name: str, artifacts: str | None) -> str:
        experiment = self._client.get_experiment_by_name(name)
        # A server keeps artifacts where it was told to; a bare database needs a place.
        return experiment.experiment_id if experiment else self._client.create_experiment(name, artifacts)

    def _found(self) -> list[Run]:
        found, token = [], None
        while token != "":
            page = self._client.search_runs(
                [self.experiment], f"tags.`musiclab.edition` = '{self._edition}'", max_results=1000, page_token=token
            )
            found += [_run(run) for run in page]
            token = page.token or ""
        return found

    def get(self, role: str, key: str, name: str, parent: Run | None, began: float, params: dict[str, Any]) -> Run:
        """The run of that role and key, with its params, under `parent`; made where there is none."""
        if (role, key) not in self._runs:
            tags = {"musiclab.edition": self._edition, "musiclab.role": role, "musiclab.key": key}
            tags |= {_PARENT: parent.id} if parent else {}
            made = self._client.create_run(self.experiment, int(began * 1000), tags, run_name=_text(name, 250))
            self._runs[role, key] = _run(made)
            self._changes["runs"] += 1
        run = self._runs[role, key]
        if parent and run.tags.get(_PARENT) != parent.id:  # which was one of two, and was removed
            self._set_tag(run, _PARENT, parent.id)
        if lacking := [Param(key, _text(value, 6000)) for key, value in params.items() if key not in run.params]:
            self._client.log_batch(run.id, params=lacking)
            run.params |= params.keys()
        return run

    def add(self, run: Run, points: list[Point]) -> int:
        """Log the points that the run lacks, in batches; how many these were."""
        lacking = run.lacks(points)
        for at in range(0, len(lacking), _BATCH):
            batch = lacking[at : at + _BATCH]
            self._log(run, batch)
        return len(lacking)

    def show(self, run: Run, values: dict[str, float], by: str, step: int, time: float) -> None:
        """Make `values` what MLflow shows for these metrics; NaN is left out.

        MLflow shows a metric's point of the largest step, and of equal ones the latest. So the points take the largest
        step that the metric `by` has, if that is larger than `step`, and replace others there by coming after them.
        """
        step = max(step, run.latest[by].step) if by in run.latest else step
        points = []
        for name, value in values.items():
            before = run.latest.get(name)
            there = before is not None and before.step == step
            if value == value and not (there and before.value == value):
                points.append(Point(name, step, value, max(time, before.time + 0.001) if there else time))
        for at in range(0, len(points), _BATCH):
            self._log(run, points[at : at + _BATCH])

    def _log(self, run: Run, batch: list[Point]) -> None:
        self._client.log_batch(
            run.id, metrics=[Metric(of.name, of.value, round(of.time * 1000), of.step) for of in batch]
        )
        run.latest |= {point.name: point for point in batch}
        self._changes["points"] += len(batch)

    def put(self, run: Run, what: str, files: dict[str, bytes]) -> None:
        """Put files, named with their folders, among the run's artifacts unless a tag says that they are there."""
        tag, digest = f"musiclab.{what}", hashlib.sha256()
        for name, data in sorted(files.items()):
            digest.update(f"{name}\n{len(data)}\n".encode() + data)
        if run.tags.get(tag) == digest.hexdigest():
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items():
                target = Path(folder) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            self._client.log_artifacts(run.id, folder)
        self._set_tag(run, tag, digest.hexdigest())
        self._changes["files"] += len(files)

    def resume(self, run: Run) -> None:
        """Show a run that had ended as running; it is not level any more."""
        if run.mark:
            self._set_tag(run, _MARK, "")
        self._client.update_run(run.id, status="RUNNING")
        run.status = "RUNNING"

    def end(self, run: Run, status: str, ended: float, tags: dict[str, Any]) -> None:
        """Close the run, at a time that is not before it began, with its tags."""
        if tags:
            texts = {key: _text(value, 4900) for key, value in tags.items()}
            self._client.log_batch(run.id, tags=[RunTag(key, value) for key, value in texts.items()])
            run.tags |= texts
        self._client.set_terminated(run.id, status, max(round(ended * 1000), run.began))
        run.status = status

    def mark_in_sync(self, run: Run, mark: str) -> None:
        """Say of a run that it is level with `mark`; comes last of all that is told of it."""
        self._set_tag(run, _MARK, mark)

    def close_running(self) -> None:
        """Close the runs that look as if they ran, at the time of their last point; the study's next run goes on."""
        for run in self._runs.values():
            if run.status == "RUNNING":
                self.end(run, "KILLED", max((point.time for point in run.latest.values()), default=0.0), {})
                self._changes["closed"] += 1

    def _set_tag(self, run: Run, key: str, value: str) -> None:
        self._client.set_tag(run.id, key, value)
        run.tags[key] = value


def versions() -> dict[str, str]:
    """The version of the MLflow `here` and, where a server tells it, of the one `there`, at MLFLOW_TRACKING_URI.

    UserError where that does not answer as MLflow does.
    """
    uri = os.environ["MLFLOW_TRACKING_URI"]
    try:
        _knock(uri)
        MlflowClient(uri).search_experiments(max_results=1)
        told = "" if is_database(uri) else http_request(get_default_host_creds(uri), "/version", "GET").text
    except Exception as error:
        raise UserError(why(error)) from None
    return {"here": mlflow.__version__, "there": told if re.fullmatch(r"[\w.+-]{1,40}", told) else ""}


def why(error: Exception) -> str:
    """Why MLflow could not be told something, in a line for a person."""
    text = masked(f"{error}" or type(error).__name__)
    for pattern, reason in _REASONS:
        if found := re.search(pattern, text):
            return reason.format(*found.groups(), timeout=_TIMEOUT_S)
    return one_line("".join(character if character.isprintable() else " " for character in text))[:300]


def is_refused(error: Exception) -> bool:
    """Whether MLflow would refuse the call however often it came: what was said, not the server, is at fault."""
    return isinstance(error, MlflowException) and error.error_code == "INVALID_PARAMETER_VALUE"


def _run(run: Any) -> Run:
    if not run.info.run_id:  # JSON, but of something else
        raise MlflowException("The answer was not in a valid JSON format of MLflow")
    latest = {of.key: Point(of.key, of.step, of.value, of.timestamp / 1000) for of in run.data.to_proto().metrics}
    info = run.info
    return Run(info.run_id, info.status, info.start_time, set(run.data.params), dict(run.data.tags), latest)


def _text(value: Any, length: int) -> str:
    """As much of it as MLflow takes, without what databases refuse."""
    return str(value).replace("\0", "\ufffd").encode(errors="replace").decode()[:length]


def _knock(uri: str) -> None:
    """OSError where nothing listens at a database's HOST:PORT: MLflow itself would try again for minutes."""
    parts = urlsplit(uri)
    kind = parts.scheme.split("+")[0]
    if kind in _PORTS and parts.hostname:
        socket.create_connection((parts.hostname, parts.port or _PORTS[kind]), _TIMEOUT_S).close()
