"""Trials on Ray Tune, on a Ray of this machine or on the cluster of `RAY_ADDRESS`; the only module that knows Ray."""

import contextlib
import logging
import math
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

# Before Ray is imported, which reads them then: no report to its makers, and no second set of result files beside the
# records. Variables that the user has set stay.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Tune's own would end a study as if it were done
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the new one prints tables at every verbosity

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from musiclab.errors import UserError, one_line
from musiclab.execution.executor import OnTrialEnd
from musiclab.execution.queue import Queue
from musiclab.execution.trial import TrialRunner
from musiclab.storage.files import StorageFailed

# A small model leaves most of a GPU idle, but each of its processes takes a share of its memory.
_TRIALS_A_GPU = 4
_OBJECT_STORE_BYTES = 100 * 2**20  # trials hand over file names only
_FAILED = "storage_failed"  # in the result of a trial: the sentence, or nothing
_KNOCK_S = 10  # to a cluster that is there, a connection takes far less


def cluster() -> dict[str, float]:
    """Nodes, CPUs and GPUs that a study would have now; connects, or starts a local Ray, and leaves it again.

    UserError where the cluster cannot be reached.
    """
    _connect()
    try:
        have, nodes = ray.cluster_resources(), [node for node in ray.nodes() if node["Alive"]]
        return {"nodes": len(nodes), "cpus": have.get("CPU", 0), "gpus": have.get("GPU", 0)}
    finally:
        ray.shutdown()


class RayTune:
    """The executor of `Executor` on Ray; a context manager that connects, or starts a local Ray, and leaves it.

    `workers` trials run at a time, by default as many as the cluster has CPUs (or GPU shares) for. UserError where the
    cluster cannot be reached or has not what is asked for.
    """

    def __init__(self, workers: int | None, gpus_per_trial: float | None) -> None:
        self._asked_workers, self._asked_gpus = workers, gpus_per_trial

    def __enter__(self) -> "RayTune":
        _connect()
        have = ray.cluster_resources()
        cpus, gpus = int(have.get("CPU", 0)), have.get("GPU", 0.0)
        self.gpus = _gpu_share(self._asked_gpus, cpus, gpus)
        room = int(gpus / self.gpus + 1e-9) if self.gpus else cpus
        self.workers = min(self._asked_workers or room, room, cpus)
        return self

    def __exit__(self, *_: object) -> None:
        ray.shutdown()

    def run(self, queue: Queue, trials: TrialRunner, on_trial_end: OnTrialEnd) -> None:
        following = _Following(queue, on_trial_end)
        with tempfile.TemporaryDirectory(prefix="musiclab-tune-") as scratch:
            tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(_Worker, trials=trials),
                    {"cpu": 1, "gpu": self.gpus},
                ),
                tune_config=tune.TuneConfig(
                    search_alg=_QueueSearch(following),
                    num_samples=-1,
                    max_concurrent_trials=self.workers,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    storage_path=scratch,  # Tune's own state; what lasts is in the records
                    verbose=0,
                    callbacks=[following],
                ),
            ).fit()
        if following.error:
            raise following.error


class _Worker(tune.Trainable):
    """A worker process: torch is imported once, then it takes cell after cell."""

    def setup(self, config: dict[str, Any], trials: TrialRunner) -> None:
        self._trials, self._cell = trials, config["cell"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._cell = new_config["cell"]
        return True

    def step(self) -> dict[str, Any]:
        try:
            self._trials(self._cell)
        except StorageFailed as error:
            return {_FAILED: str(error), "done": True}
        return {_FAILED: "", "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: stages keep their own checkpoints in the storage, where any machine's worker finds them."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing; see `save_checkpoint`."""


class _Following(tune.Callback):
    """The queue as Tune's trials are handed out of it, and end."""

    def __init__(self, queue: Queue, on_trial_end: OnTrialEnd) -> None:
        self.queue, self._on_trial_end = queue, on_trial_end
        self._keys: dict[str, str] = {}
        self.error: Exception | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing of what Tune would restore: a study goes on from its records."""
        return {}

    def next(self, trial_id: str) -> dict[str, Any] | None:
        """The config of the trial that Tune is to start now."""
        cell = self.queue.next()
        if cell is None:
            return None
        self._keys[trial_id] = cell.key
        return {"cell": cell.to_json()}

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        if failed := trial.last_result.get(_FAILED):
            self._give_up(UserError(failed, exit_code=1))
        self._end(trial, None)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        self._end(trial, _death(trial))

    def _end(self, trial: Trial, death: tuple[str, str] | None) -> None:
        try:
            if key := self._keys.pop(trial.trial_id, None):
                self._on_trial_end(self.queue.done(key), death)
        except Exception as error:  # Tune would take it for the trial's
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Hand out nothing more; the error is raised once what runs has ended."""
        self.error, self.queue.closed = self.error or error, True


# What Ray says of a worker's end, and what that means to a person.
_DEATHS = {
    "low on memory": "its worker was killed because the machine ran low on memory",
    "node has died": "the machine that it ran on is gone",
    "node died": "the machine that it ran on is gone",
}


def _death(trial: Trial) -> tuple[str, str]:
    """Why a trial's worker died, in one line, and all that Ray says of it."""
    log = ""
    with contextlib.suppress(OSError, TypeError):
        log = Path(trial.error_file).read_text(errors="replace")
    detail = log.partition("Worker exit detail: ")[2].partition(". Some common causes")[0]
    known = f" ({one_line(detail)})" if detail else ""
    unknown = f"its worker died, killed for want of memory perhaps, or with its machine{known}"
    return next((reason for said, reason in _DEATHS.items() if said in log), unknown), log


class _QueueSearch(Searcher):
    """Shows Tune the queue as a search algorithm: cells are proposed one by one, whenever there is room."""

    def __init__(self, following: _Following) -> None:
        super().__init__(metric=_FAILED, mode="max")
        self._following = following

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        return self._following.next(trial_id) or (None if self._following.queue else Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """Nothing: `_Following` is told more."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a study goes on from its records, not from Tune's snapshot."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing; see `save`."""


def _connect() -> None:
    address = os.environ.get("RAY_ADDRESS")
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # of what fails the study says itself what there is to say
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if address:
            _knock(address)
            ray.init(address=address, **quiet)
        else:
            # Named "local": a Ray that was killed leaves its address behind, and a bare init would try that.
            ray.init(address="local", include_dashboard=False, object_store_memory=_OBJECT_STORE_BYTES, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        if not address:
            raise
        with contextlib.suppress(Exception):
            ray.shutdown()
        reason = one_line(str(error))  # of other versions there, several lines tell which
        raise UserError(
            f"The Ray cluster at RAY_ADDRESS={address} cannot be reached ({reason}); start it, or unset RAY_ADDRESS to "
            "run on this machine."
        ) from None


def _knock(address: str) -> None:
    """OSError where nothing listens at HOST:PORT: Ray itself would try again for a quarter of an hour."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():  # else it is a word, such as auto, or of a kind that Ray knows better
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_S).close()


def _gpu_share(asked: float | None, cpus: int, gpus: float) -> float:
    """GPUs a trial gets: what is asked for, else a share that keeps GPUs busy with the CPUs there are, else none."""
    if asked is None:
        return 1 / max(1, min(_TRIALS_A_GPU, math.floor(cpus / gpus))) if gpus else 0.0
    if asked > gpus:
        raise UserError(f"--gpus-per-trial {asked:g} is more than the cluster has: {gpus:g}.")
    return asked
