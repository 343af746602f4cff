"""Trials on Ray Tune, on this machine or on the cluster of RAY_ADDRESS."""

import contextlib
import logging
import math
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Ray reads these while it is imported: no usage statistics, and no second set of result files beside the records. What
# the user has set is kept.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Tune's own handler ends a study as if it were done
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the new output prints tables at every verbosity

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from musiclab.errors import UserError, one_line
from musiclab.execution.executor import OnTrialEnd
from musiclab.execution.metrics import StudyMetrics
from musiclab.execution.queue import Queue
from musiclab.execution.ray_metrics import EpochCounter, MetricsExporter
from musiclab.execution.ray_places import prepare_for_ray
from musiclab.execution.trial import TrialRunner
from musiclab.storage.files import StorageFailed

# A small model leaves most of a GPU idle, but each process takes a share of the GPU's memory.
_TRIALS_A_GPU = 4
_OBJECT_STORE_BYTES = 100 * 2**20  # trials exchange file names only
_FAILED = "storage_failed"  # in a trial's result: why the storage failed, or nothing
_KNOCK_S = 10  # timeout; a cluster that is up accepts a connection far sooner


def cluster() -> dict[str, float]:
    """How many `nodes`, `cpus` and `gpus` a study would have now.

    It connects to the cluster, or starts Ray on this machine, and leaves it again.

    Raises:
        UserError: the cluster cannot be reached.
    """
    _connect()
    try:
        all_nodes = ray.nodes()  # type: ignore[no-untyped-call]  # Ray does not annotate it
        resources, nodes = _resources(), [node for node in all_nodes if node["Alive"]]
        return {"nodes": len(nodes), "cpus": resources.get("CPU", 0), "gpus": resources.get("GPU", 0)}
    finally:
        ray.shutdown()


class RayTune:
    """Runs trials on Ray; a context manager that connects to a cluster, or starts Ray on this machine, and leaves it.

    Args:
        workers: trials at a time, by default as many as the cluster has CPUs or GPU shares for.
        gpus_per_trial: GPUs for each trial, which may be a fraction; by default a share that suits small models.

    Raises:
        UserError: on entry, if the cluster cannot be reached or lacks what is asked for.
    """

    def __init__(self, workers: int | None, gpus_per_trial: float | None) -> None:
        self._asked_workers, self._asked_gpus = workers, gpus_per_trial
        self._exported_study = ""

    def __enter__(self) -> "RayTune":
        _connect()
        resources = _resources()
        cpus, gpus = int(resources.get("CPU", 0)), resources.get("GPU", 0.0)
        self.gpus = _gpu_share(self._asked_gpus, cpus, gpus)
        slots = int(gpus / self.gpus + 1e-9) if self.gpus else cpus
        self.workers = min(self._asked_workers or slots, slots, cpus)
        return self

    def __exit__(self, *_: object) -> None:
        ray.shutdown()

    def run(self, queue: Queue, trials: TrialRunner, on_trial_end: OnTrialEnd) -> None:
        bridge = _QueueBridge(queue, on_trial_end)
        with tempfile.TemporaryDirectory(prefix="musiclab-tune-") as scratch:
            tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(_Worker, trials=trials, exported_study=self._exported_study),
                    {"cpu": 1, "gpu": self.gpus},
                ),
                tune_config=tune.TuneConfig(
                    search_alg=_QueueSearch(bridge),
                    num_samples=-1,
                    max_concurrent_trials=self.workers,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    storage_path=scratch,  # for Tune's own state; what lasts is in the records
                    verbose=0,
                    callbacks=[bridge],
                ),
            ).fit()
        if bridge.error:
            raise bridge.error

    @contextlib.contextmanager
    def exporting(self, study: str, read: Callable[[], StudyMetrics], say: Callable[[str], None]) -> Iterator[bool]:
        if not os.environ.get("RAY_ADDRESS"):  # nobody collects metrics of a Ray that lives as long as the study
            yield False
            return
        self._exported_study = study
        with MetricsExporter(study, read, say):
            yield True


class _Worker(tune.Trainable):
    """A worker process: it imports torch once, then runs trial after trial."""

    # The base class does not declare the last two: Tune passes them on from `with_parameters`.
    def setup(  # type: ignore[override]
        self, config: dict[str, Any], trials: TrialRunner, exported_study: str
    ) -> None:
        self._trials, self._job = trials, config
        self._on_epoch = EpochCounter(exported_study) if exported_study else None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._job = new_config
        return True

    def step(self) -> dict[str, Any]:
        try:
            self._trials(self._job["trial"], self._job["leads"], self._on_epoch)
        except StorageFailed as error:
            return {_FAILED: str(error), "done": True}
        return {_FAILED: "", "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Do nothing: stages keep their own checkpoints in the storage, where a worker on any machine finds them."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Do nothing; see `save_checkpoint`."""


class _QueueBridge(tune.Callback):
    """Connects the queue with Tune: hands out a trial for each of Tune's, and notes when that one ends."""

    def __init__(self, queue: Queue, on_trial_end: OnTrialEnd) -> None:
        self.queue, self._on_trial_end = queue, on_trial_end
        self._keys: dict[str, str] = {}
        self.error: Exception | None = None

    def __getstate__(self) -> dict[str, Any]:
        """No state for Tune to restore: a study resumes from its records."""
        return {}

    def next(self, trial_id: str) -> dict[str, Any] | None:
        """The config of the trial that Tune is to start now; None if none is ready."""
        spec = self.queue.next()
        if spec is None:
            return None
        self._keys[trial_id] = spec.key
        return {"trial": spec.to_json(), "leads": self.queue.leads(spec)}

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        if failure := trial.last_result.get(_FAILED):
            self._give_up(UserError(failure, exit_code=1))
        self._end(trial, None)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        self._end(trial, _death(trial))

    def _end(self, trial: Trial, death: tuple[str, str] | None) -> None:
        try:
            if key := self._keys.pop(trial.trial_id, None):
                self._on_trial_end(self.queue.done(key), death)
        except Exception as error:  # Tune would take it for an error of the trial
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Hand out nothing more; the error is raised when the running trials have ended."""
        self.error, self.queue.closed = self.error or error, True


# Words in Ray's report of a worker's death, and the reason as a person reads it.
_DEATHS = {
    "low on memory": "its worker was killed because the machine ran low on memory",
    "node has died": "the machine that it ran on has gone down",
    "node died": "the machine that it ran on has gone down",
}


def _death(trial: Trial) -> tuple[str, str]:
    """Why a trial's worker died: in one line, and Ray's whole report."""
    log = ""
    with contextlib.suppress(OSError, TypeError):
        log = Path(trial.error_file).read_text(errors="replace")
    detail = log.partition("Worker exit detail: ")[2].partition(". Some common causes")[0]
    shown_detail = f" ({one_line(detail)})" if detail else ""
    unknown = f"its worker died; it may have run out of memory, or its machine has gone down{shown_detail}"
    return next((reason for words, reason in _DEATHS.items() if words in log), unknown), log


class _QueueSearch(Searcher):
    """Presents the queue to Tune as a search algorithm, which proposes a trial whenever a worker is free."""

    def __init__(self, bridge: _QueueBridge) -> None:
        super().__init__(metric=_FAILED, mode="max")
        self._bridge = bridge

    # The base class declares a dictionary or None, but Tune also takes FINISHED, which is a string.
    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        return self._bridge.next(trial_id) or (None if self._bridge.queue else Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Do nothing: `_QueueBridge` gets the same call with more details."""

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: a study resumes from its records, not from Tune's snapshot."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing; see `save`."""


def _resources() -> dict[str, float]:
    """What the cluster has, by Ray's name of it."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray does not annotate it
    return resources


def _connect() -> None:
    address = os.environ.get("RAY_ADDRESS")
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the study itself reports what fails
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if address:
            _knock(address)
            ray.init(address=address, **quiet)
        else:
            prepare_for_ray()
            # "local", because a killed Ray leaves its address behind and a plain init would try to connect to it.
            ray.init(address="local", include_dashboard=False, object_store_memory=_OBJECT_STORE_BYTES, **quiet)
    except Exception as error:  # Ray raises a plain one if its start takes too long
        with contextlib.suppress(Exception):
            ray.shutdown()
        raise UserError(_why_not_connected(address, one_line(str(error)))) from None


def _why_not_connected(address: str | None, reason: str) -> str:
    """The sentence for an error of Ray's, which has several lines if the cluster has other versions."""
    if not address:
        return f"Ray cannot start on this machine ({reason.rstrip('.')}); --in-process runs without it."
    where = f"The Ray cluster at RAY_ADDRESS={address}"
    if any(word in reason for word in ("token", "Failed to connect")):  # of the second Ray says why in its log only
        reason = reason.partition(". ")[0].rstrip(".")
        return (
            f"{where} does not let this process in ({reason}); if it was started with a token, set RAY_AUTH_MODE=token "
            "here and the same RAY_AUTH_TOKEN or ~/.ray/auth_token, else unset RAY_AUTH_MODE."
        )
    return f"{where} cannot be reached ({reason}); start it, or unset RAY_ADDRESS to run on this machine."


def _knock(address: str) -> None:
    """OSError if nothing listens at HOST:PORT; Ray itself would retry for a quarter of an hour."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():  # else it is a word such as auto, or of a kind that Ray checks itself
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_S).close()


def _gpu_share(gpus_per_trial: float | None, cpus: int, gpus: float) -> float:
    """GPUs for each trial: what is asked for, else a share that keeps GPUs busy with the CPUs there are, else none."""
    if gpus_per_trial is None:
        return 1 / max(1, min(_TRIALS_A_GPU, math.floor(cpus / gpus))) if gpus else 0.0
    if gpus_per_trial > gpus:
        raise UserError(f"--gpus-per-trial must be at most what the cluster has, {gpus:g}; got {gpus_per_trial:g}.")
    return gpus_per_trial
