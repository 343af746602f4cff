"""A study's runs in MLflow, each created once and sent only what it lacks; the only module that knows MLflow."""

import hashlib
import math
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
from musiclab.storage.stages import CurvePoint
from musiclab.tracking.uri import is_database, masked

# MLflow reads these while it is imported. A call is not retried, because a call that succeeded but whose reply was lost
# would create a second run; the next round finds out what is missing.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.update({
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # it would print tracebacks; `why` has the reason
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
# Patterns in MLflow's error messages, and the reason as a person reads it.
_REASONS = (
    (r"error code (401|403)", "access is refused ({0}); set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
     "MLFLOW_TRACKING_TOKEN, of an account that may write there"),
    (r"not in a valid JSON format|ENDPOINT_NOT_FOUND|failed with error code (?:30\d|404)", "what answers there is not "
     "an MLflow server; check the address"),
    (r"too many (\d+) error responses", "it answers with errors ({0})"),
    (r"ReadTimeout|ConnectTimeout|timed out", "no answer within {timeout} s"),
    (r"[Cc]onnection refused", "nothing listens there (connection refused)"),
    (r"NameResolutionError", "no such host"),
    (r"RemoteDisconnected|Connection aborted|ConnectionReset", "the connection was lost in the middle of an answer"),
)  # fmt: skip


@dataclass
class Run:
    """What MLflow has of a run; `latest` has the last point of each metric, by the metric's name."""

    id: str
    status: str
    began: int
    params: set[str]
    tags: dict[str, str]
    latest: dict[str, CurvePoint]

    @property
    def mark(self) -> str:
        """The state that the run is in sync with, as given to `Runs.mark_in_sync`; empty if there is none."""
        return self.tags.get(_MARK, "")

    def lacks(self, points: list[CurvePoint]) -> list[CurvePoint]:
        """The points that the run does not have yet; the points of a metric come in the order of their steps.

        Steps decide, not times: if a checkpoint was damaged, training starts afresh and repeats its points later.
        """
        return [point for point in points if point.name not in self.latest or point.step > self.latest[point.name].step]


class Runs:
    """The runs of an edition of a study: found by their tags at the start, or created when they are asked for.

    If a call succeeded but its reply was lost, the retry may create a second run for the same thing; one of the two is
    deleted. All methods raise what MLflow raises, and can be called again. `changes` counts what was changed.
    """

    def __init__(self, uri: str, study: str, edition: str, artifacts: str, changes: Counter[str]) -> None:
        _knock(uri)
        self._client, self._edition, self._changes = MlflowClient(uri), edition, changes
        self.experiment = self._find_experiment(f"musiclab/{study}", artifacts if is_database(uri) else None)
        self._runs: dict[tuple[str, str], Run] = {}
        for run in sorted(self._search(), key=lambda run: (not run.mark, run.began, run.id)):
            name = run.tags.get("musiclab.role", ""), run.tags.get("musiclab.key", "")
            if name in self._runs:
                self._client.delete_run(run.id)
                changes["doubles"] += 1
            else:
                self._runs[name] = run

    def _find_experiment(self, name: str, artifacts: str | None) -> str:
        experiment = self._client.get_experiment_by_name(name)
        # A server knows where to keep artifacts; a bare database has to be told.
        return str(experiment.experiment_id if experiment else self._client.create_experiment(name, artifacts))

    def _search(self) -> list[Run]:
        runs: list[Run] = []
        token: str | None = None
        while token != "":
            page = self._client.search_runs(
                [self.experiment], f"tags.`musiclab.edition` = '{self._edition}'", max_results=1000, page_token=token
            )
            runs += [_run(run) for run in page]
            token = page.token or ""
        return runs

    def get(self, role: str, key: str, name: str, parent: Run | None, began: float, params: dict[str, Any]) -> Run:
        """The run of that role and key, with its params, under `parent`; it is created if there is none."""
        if (role, key) not in self._runs:
            tags = {"musiclab.edition": self._edition, "musiclab.role": role, "musiclab.key": key}
            tags |= {_PARENT: parent.id} if parent else {}
            created = self._client.create_run(self.experiment, int(began * 1000), tags, run_name=_text(name, 250))
            self._runs[role, key] = _run(created)
            self._changes["runs"] += 1
        run = self._runs[role, key]
        if parent and run.tags.get(_PARENT) != parent.id:  # its parent was a duplicate and was deleted
            self._set_tag(run, _PARENT, parent.id)
        if lacking := [Param(key, _text(value, 6000)) for key, value in params.items() if key not in run.params]:
            self._client.log_batch(run.id, params=lacking)
            run.params |= params.keys()
        return run

    def add(self, run: Run, points: list[CurvePoint]) -> int:
        """Log the points that the run lacks, in batches. Returns how many there were."""
        lacking = run.lacks(points)
        for start in range(0, len(lacking), _BATCH):
            self._log(run, lacking[start : start + _BATCH])
        return len(lacking)

    def show(self, run: Run, values: dict[str, float], by: str, step: int, time: float) -> None:
        """Make `values` what MLflow shows for these metrics; NaN is left out.

        MLflow shows a metric's point with the largest step and, among equal steps, the latest time. So the points take
        the largest step that the metric `by` has, if it is larger than `step`. If there is a point at that step, the
        new one gets a later time and replaces it.
        """
        step = max(step, run.latest[by].step) if by in run.latest else step
        points = []
        for name, value in values.items():
            latest = run.latest.get(name)
            if latest is None or latest.step != step:
                shown_at, is_shown = time, False
            else:
                shown_at, is_shown = max(time, latest.time + 0.001), latest.value == value
            if not (is_shown or math.isnan(value)):
                points.append(CurvePoint(name, step, value, shown_at))
        for start in range(0, len(points), _BATCH):
            self._log(run, points[start : start + _BATCH])

    def _log(self, run: Run, batch: list[CurvePoint]) -> None:
        self._client.log_batch(
            run.id,
            metrics=[Metric(point.name, point.value, round(point.time * 1000), point.step) for point in batch],
        )
        run.latest |= {point.name: point for point in batch}
        self._changes["points"] += len(batch)

    def put(self, run: Run, kind: str, files: dict[str, bytes]) -> None:
        """Upload files, named with their folders, as artifacts of the run, unless a tag says that it has them."""
        tag, digest = f"musiclab.{kind}", hashlib.sha256()
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
        """Show a run that had ended as running; it is not in sync any more."""
        if run.mark:
            self._set_tag(run, _MARK, "")
        self._client.update_run(run.id, status="RUNNING")
        run.status = "RUNNING"

    def end(self, run: Run, status: str, ended: float, tags: dict[str, Any]) -> None:
        """Close the run with its tags, at a time not before it began."""
        if tags:
            texts = {key: _text(value, 4900) for key, value in tags.items()}
            self._client.log_batch(run.id, tags=[RunTag(key, value) for key, value in texts.items()])
            run.tags |= texts
        self._client.set_terminated(run.id, status, max(round(ended * 1000), run.began))
        run.status = status

    def mark_in_sync(self, run: Run, mark: str) -> None:
        """Note that the run is in sync with the state `mark`; this comes after all else that is sent for that state."""
        self._set_tag(run, _MARK, mark)

    def close_running(self) -> None:
        """Close the runs still marked as running, at the time of their last point; the next run resumes them."""
        for run in self._runs.values():
            if run.status == "RUNNING":
                self.end(run, "KILLED", max((point.time for point in run.latest.values()), default=0.0), {})
                self._changes["closed"] += 1

    def _set_tag(self, run: Run, key: str, value: str) -> None:
        self._client.set_tag(run.id, key, value)
        run.tags[key] = value


def versions() -> dict[str, str]:
    """The version that is `installed` here, and that of the `server` at MLFLOW_TRACKING_URI, empty if it is unknown.

    Raises:
        UserError: what is there does not answer as MLflow does.
    """
    uri = os.environ["MLFLOW_TRACKING_URI"]
    try:
        _knock(uri)
        MlflowClient(uri).search_experiments(max_results=1)
        credentials = get_default_host_creds(uri)  # type: ignore[no-untyped-call]  # MLflow does not annotate it
        is_server = not is_database(uri)
        reply = ""
        if is_server:
            reply = http_request(credentials, "/version", "GET").text  # type: ignore[no-untyped-call]  # nor this one
    except Exception as error:
        raise UserError(why(error)) from None
    return {"installed": mlflow.__version__, "server": reply if re.fullmatch(r"[\w.+-]{1,40}", reply) else ""}


def why(error: Exception) -> str:
    """Why a call to MLflow failed, in a line for a person."""
    text = masked(f"{error}" or type(error).__name__)
    for pattern, reason in _REASONS:
        if match := re.search(pattern, text):
            return reason.format(*match.groups(), timeout=_TIMEOUT_S)
    return one_line("".join(character if character.isprintable() else " " for character in text))[:300]


def is_refused(error: Exception) -> bool:
    """Whether MLflow refuses the content of the call, so that a retry could not help."""
    return isinstance(error, MlflowException) and error.error_code == "INVALID_PARAMETER_VALUE"


def _run(run: Any) -> Run:
    if not run.info.run_id:  # JSON, but not MLflow's
        raise MlflowException("The answer was not in a valid JSON format of MLflow")
    latest = {
        metric.key: CurvePoint(metric.key, metric.step, metric.value, metric.timestamp / 1000)
        for metric in run.data.to_proto().metrics
    }
    info = run.info
    return Run(info.run_id, info.status, info.start_time, set(run.data.params), dict(run.data.tags), latest)


def _text(value: Any, length: int) -> str:
    """The value as text, cut to `length`, without the characters that databases refuse."""
    return str(value).replace("\0", "\ufffd").encode(errors="replace").decode()[:length]


def _knock(uri: str) -> None:
    """OSError if nothing listens at a database's HOST:PORT; MLflow itself would retry for minutes."""
    address = urlsplit(uri)
    kind = address.scheme.split("+")[0]
    if kind in _PORTS and address.hostname:
        socket.create_connection((address.hostname, address.port or _PORTS[kind]), _TIMEOUT_S).close()
