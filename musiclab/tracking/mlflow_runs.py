"""A study's runs in MLflow, each created once and sent only what it lacks; the only module that knows MLflow."""

import hashlib
import math
import os
import re
import shlex
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musiclab.errors import UserError
from musiclab.storage.stages import CurvePoint
from musiclab.tracking.own_database import bring_files_along, is_same, local_path, location_of, old_folders
from musiclab.tracking.reasons import why
from musiclab.tracking.uri import database_file, is_database, masked, request_timeout, server_address

# MLflow reads these while it is imported. A call is not retried, because a call that succeeded but whose reply was lost
# would create a second run; the next round finds out what is missing.
os.environ.update({
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(request_timeout()),
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",  # a call would return before MLflow has what it sends
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # it would print tracebacks; `why` has the reason
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
})  # fmt: skip

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment, LifecycleStage, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

_TIMEOUT_S = request_timeout()
_BATCH = 1000  # metrics that MLflow takes in one call
_PARENT, _MARK, _STUDY = "mlflow.parentRunId", "musiclab.mirrored", "musiclab.study"


class ExperimentDeleted(UserError):
    """Somebody has deleted a study's experiment in MLflow; it can be restored, or removed for good."""


@dataclass
class Run:
    """What MLflow has of a run.

    Attributes:
        latest: the last point of each metric, by the metric's name.
        artifacts: address of the folder with the run's files.
    """

    id: str
    status: str
    began: int
    params: set[str]
    tags: dict[str, str]
    latest: dict[str, CurvePoint]
    artifacts: str

    @property
    def mark(self) -> str:
        """The state that the run is in sync with, as given to `Runs.mark_in_sync`; empty if there is none."""
        return self.tags.get(_MARK, "")

    def has_lost(self, kind: str, names: Callable[[], Iterable[str]]) -> bool:
        """Whether a tag says that the run has the files of a kind, but not all of `names` are there.

        That is known only if they are in a folder of this machine.
        """
        folder = local_path(self.artifacts)
        if folder is None or f"musiclab.{kind}" not in self.tags:
            return False
        return not all((folder / name).exists() for name in names())

    def lacks(self, points: list[CurvePoint]) -> list[CurvePoint]:
        """The points that the run does not have yet; the points of a metric come in the order of their steps.

        Steps decide, not times: if a checkpoint was damaged, training starts afresh and repeats its points later.
        """
        return [point for point in points if point.name not in self.latest or point.step > self.latest[point.name].step]


class Runs:
    """The runs of an edition of a study: found by their tags at the start, or created when they are asked for.

    If a call succeeded but its reply was lost, the retry may create a second run for the same thing; one of the two is
    deleted. All methods raise what MLflow raises, and can be called again.

    Args:
        uri: address of MLflow.
        study: name of the study.
        edition: of the study.
        artifacts: path of the folder for files of runs, if MLflow is a database.
        changes: counts what was changed.
        is_own: whether the database and that folder are the storage's own, so that they move and are copied together.

    Raises:
        ExperimentDeleted: somebody has deleted the study's experiment.
    """

    def __init__(
        self, uri: str, study: str, edition: str, artifacts: str, changes: Counter[str], is_own: bool = False
    ) -> None:
        _knock(uri)
        self._client, self._uri, self._edition, self._changes = MlflowClient(uri), uri, edition, changes
        file = database_file(uri)
        if is_own and file:
            self._client.search_experiments(max_results=1)  # makes its tables, or refuses those of another version
            bring_files_along(file, artifacts)
        experiment = _experiment(self._client, study) or self._create_experiment(study, artifacts)
        self.experiment = str(experiment.experiment_id)
        if _STUDY not in experiment.tags:  # an older version made it
            self._client.set_experiment_tag(self.experiment, _STUDY, study)
        self._misplaced = "" if is_own else _misplaced(self._client, experiment, artifacts)
        self._runs: dict[tuple[str, str], Run] = {}
        for run in sorted(self._search(), key=lambda run: (not run.mark, run.began, run.id)):
            name = run.tags.get("musiclab.role", ""), run.tags.get("musiclab.key", "")
            if name in self._runs:
                self._client.delete_run(run.id)
                changes["doubles"] += 1
            else:
                self._runs[name] = run

    def _create_experiment(self, study: str, artifacts: str) -> Experiment:
        # A server knows where to keep artifacts; a bare database has to be told.
        location = location_of(artifacts) if is_database(self._uri) else None
        created = self._client.create_experiment(f"musiclab/{study}", location, {_STUDY: study})
        return self._client.get_experiment(created)

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
        """Make `values` what MLflow shows for these metrics; NaN is left out, unless MLflow shows a number there.

        MLflow shows a metric's point with the largest step and, among equal steps, the latest time. So the points take
        the largest step that the metric `by` has, if it is larger than `step`. If there is a point at that step, the
        new one gets a later time and replaces it.
        """
        step = max(step, run.latest[by].step) if by in run.latest else step
        points = []
        for name, value in values.items():
            latest = run.latest.get(name)
            if math.isnan(value) and (latest is None or math.isnan(latest.value)):
                continue
            if latest is None or latest.step != step:
                shown_at, is_shown = time, False
            else:
                shown_at, is_shown = max(time, latest.time + 0.001), latest.value == value
            if not is_shown:
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
        """Upload files, named with their folders, as artifacts of the run, unless it has them.

        A tag says that it has them; if MLflow keeps them in a folder of this machine, they must be there too.
        """
        tag, digest = f"musiclab.{kind}", hashlib.sha256()
        for name, data in sorted(files.items()):
            digest.update(f"{name}\n{len(data)}\n".encode() + data)
        if run.tags.get(tag) == digest.hexdigest() and not run.has_lost(kind, files.keys):
            return
        if self._misplaced:
            raise UserError(self._misplaced)
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items():
                target = Path(folder) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            # Not by the client: it remembers a run's folder by the run's id, which a copied storage shares.
            repository = get_artifact_repository(run.artifacts, tracking_uri=self._uri)
            repository.log_artifacts(folder)  # type: ignore[no-untyped-call]  # MLflow does not annotate it
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

    def tag(self, run: Run, tags: dict[str, str]) -> None:
        """Set those tags of a run that it does not have yet."""
        for key, value in tags.items():
            if run.tags.get(key) != _text(value, 4900):
                self._set_tag(run, key, _text(value, 4900))

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


def examine(studies: list[str], artifacts: str, is_own: bool) -> dict[str, Any]:
    """What answers at MLFLOW_TRACKING_URI, and what is amiss there; nothing is changed.

    Args:
        studies: names of studies that are shown there.
        artifacts: as for `Runs`; likewise `is_own`.

    Returns:
        The version that is `installed` here; that of the `server`, empty if it is unknown; and sentences, empty if all
        is well: `deleted` about experiments, `moved` and `misplaced` about files, `encoding` about the database.

    Raises:
        UserError: what is there does not answer as MLflow does.
    """
    uri = os.environ["MLFLOW_TRACKING_URI"]
    found: dict[str, Any] = {
        "installed": mlflow.__version__, "server": "", "deleted": "", "moved": "", "misplaced": "", "encoding": "",
    }  # fmt: skip
    try:
        _knock(uri)
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
        if not is_database(uri):
            found["server"] = _server_version(uri)
        try:
            client.search_experiments(max_results=1, filter_string="name = '±'")
        except Exception as error:
            found["encoding"] = f"its database cannot hold signs such as ± ({why(error, uri)})"
        file = database_file(uri)
        if is_own and file and (old := old_folders(file, artifacts)):
            found["moved"] = f"it looks for files in {', '.join(sorted(old))}, where this storage is not"
        for study in studies:
            try:
                experiment = _experiment(client, study)
            except ExperimentDeleted as error:
                found["deleted"] = str(error)
                continue
            if experiment and not is_own and (misplaced := _misplaced(client, experiment, artifacts)):
                found["misplaced"] = misplaced
    except Exception as error:
        raise UserError(why(error, uri)) from None
    return found


def _server_version(uri: str) -> str:
    """The server's version, empty if it does not say one."""
    credentials = get_default_host_creds(uri)  # type: ignore[no-untyped-call]  # MLflow does not annotate it
    reply: str = http_request(credentials, "/version", "GET").text  # type: ignore[no-untyped-call]  # nor this one
    return reply if re.fullmatch(r"[\w.+-]{1,40}", reply) else ""


def is_refused(error: Exception) -> bool:
    """Whether MLflow refuses the content of the call, so that a retry could not help.

    A run or experiment that somebody has just deleted is refused too, but the next round finds or makes another.
    """
    is_invalid = isinstance(error, MlflowException) and error.error_code == "INVALID_PARAMETER_VALUE"
    return is_invalid and "must be in the 'active' state" not in str(error)


def _run(run: Any) -> Run:
    if not run.info.run_id:  # JSON, but not MLflow's
        raise _not_mlflow()
    latest = {
        metric.key: CurvePoint(metric.key, metric.step, metric.value, metric.timestamp / 1000)
        for metric in run.data.to_proto().metrics
    }
    info = run.info
    params, tags = set(run.data.params), dict(run.data.tags)
    return Run(info.run_id, info.status, info.start_time, params, tags, latest, info.artifact_uri or "")


def _not_mlflow() -> MlflowException:
    """The error for an answer that is JSON, but not MLflow's."""
    return MlflowException("The answer was not in a valid JSON format of MLflow")


def _text(value: Any, length: int) -> str:
    """The value as text, cut to `length`, without the characters that databases refuse."""
    return str(value).replace("\0", "\ufffd").encode(errors="replace").decode()[:length]


def _knock(uri: str) -> None:
    """OSError if nothing listens at a database's HOST:PORT; MLflow itself would retry for minutes."""
    if is_database(uri) and (address := server_address(uri)):
        socket.create_connection(address, _TIMEOUT_S).close()


def _experiment(client: MlflowClient, study: str) -> Experiment | None:
    """The study's experiment, found by its name or, if somebody has renamed it, by its tag.

    Raises:
        ExperimentDeleted: it was deleted. Its name stays taken until it is removed for good.
    """
    name = f"musiclab/{study}"
    named = client.get_experiment_by_name(name)
    if named and named.lifecycle_stage == LifecycleStage.ACTIVE:
        return named
    tagged = client.search_experiments(ViewType.ALL, filter_string=f"tags.`{_STUDY}` = '{study}'")
    experiments = sorted([*tagged, *([named] if named else [])], key=lambda found: found.lifecycle_stage)
    if not all(experiment.experiment_id for experiment in experiments):
        raise _not_mlflow()
    if experiments and experiments[0].lifecycle_stage != LifecycleStage.ACTIVE:
        raise ExperimentDeleted(_deleted(client.tracking_uri, experiments[0]), exit_code=1)
    return experiments[0] if experiments else None


def _deleted(uri: str, experiment: Experiment) -> str:
    shown, number = shlex.quote(masked(uri)), experiment.experiment_id
    restore = f"`MLFLOW_TRACKING_URI={shown} mlflow experiments restore --experiment-id {number}`"
    gc = f"mlflow gc --experiment-ids {number}"
    is_server = not is_database(uri)
    remove = f"`{gc}` beside the server" if is_server else f"`{gc} --backend-store-uri {shown} --tracking-uri {shown}`"
    return (
        f"its experiment {experiment.name} was deleted in MLflow: first restore it by {restore}, or remove it for good "
        f"by {remove}"
    )


def _misplaced(client: MlflowClient, experiment: Experiment, artifacts: str) -> str:
    """Why files of an experiment cannot be where MLflow says that they are; empty if they can."""
    folder = local_path(experiment.artifact_location)
    if folder is None or folder.exists() or is_same(experiment.artifact_location, artifacts):
        return ""
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    if not any(f"musiclab.{kind}" in run.data.tags for run in runs for kind in ("files", "answer", "report")):
        return ""  # there are none yet, and MLflow makes the folder
    return (
        f"MLflow looks for files of {experiment.name} in {folder}, which does not exist: bring it back, or make an "
        "empty folder there, and `musiclab sync` fills it"
    )
