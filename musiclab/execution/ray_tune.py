"""Trials on Ray Tune, on this machine or on the cluster of RAY_ADDRESS."""

import contextlib
import logging
import math
import os
import re
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Ray reads these while it is imported: no usage statistics, and no second set of result files beside the records. What
# the user has set is kept.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Tune's own handler ends a study as if it were done
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the new output prints tables at every verbosity
os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "1000")  # `_QueueBridge` limits them

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from musiclab.errors import UserError, one_line
from musiclab.execution.executor import OnTrialEnd, Say
from musiclab.execution.metrics import StudyMetrics
from musiclab.execution.queue import Queue
from musiclab.execution.ray_metrics import EpochCounter, MetricsExporter
from musiclab.execution.ray_nodes import Room, heed_warnings, in_trial, is_leaving, live_nodes, resources
from musiclab.execution.ray_places import prepare_for_ray
from musiclab.execution.trial import MachineLeaves, TrialRunner
from musiclab.storage.files import StorageFailed

# A small model leaves most of a GPU idle, but each process takes a share of the GPU's memory.
_TRIALS_A_GPU = 4
_OBJECT_STORE_BYTES = 100 * 2**20  # trials exchange file names only
_FAILED = "storage_failed"  # in a trial's result: why the storage failed, or nothing
_KNOCK_S = 10  # timeout; a cluster that is up accepts a connection far sooner
_WAIT_S = 30.0  # so long trials may wait for a machine before that is said


@contextlib.contextmanager
def connected() -> Iterator[None]:
    """A context in which this process is connected to the cluster of RAY_ADDRESS, or Ray runs on this machine.

    Raises:
        UserError: the cluster cannot be reached.
    """
    _connect()
    try:
        yield
    finally:
        ray.shutdown()


def cluster() -> dict[str, float]:
    """How many `nodes`, `cpus` and `gpus` a study would have now; see `connected`."""
    with connected():
        total = resources()
        return {"nodes": len(live_nodes()), "cpus": total.get("CPU", 0), "gpus": total.get("GPU", 0)}


class RayTune:
    """Runs trials on Ray; a context manager that connects to a cluster, or starts Ray on this machine, and leaves it.

    Nodes may join a cluster and leave it meanwhile.

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
        grows, total = bool(os.environ.get("RAY_ADDRESS")), resources()
        share = _gpu_share(self._asked_gpus, int(total.get("CPU", 0)), total.get("GPU", 0.0), grows)
        self._room = Room(share, self._asked_workers, grows)
        return self

    def __exit__(self, *_: object) -> None:
        ray.shutdown()

    @property
    def workers(self) -> int:
        return self._room.workers

    def run(self, queue: Queue, trials: TrialRunner, on_trial_end: OnTrialEnd, say: Say) -> None:
        bridge = _QueueBridge(queue, self._room, on_trial_end, say)
        with tempfile.TemporaryDirectory(prefix="musiclab-tune-") as scratch:
            tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(_Worker, trials=trials, exported_study=self._exported_study),
                    {"cpu": 1, "gpu": self._room.gpus},
                ),
                tune_config=tune.TuneConfig(
                    search_alg=_QueueSearch(bridge),
                    num_samples=-1,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    storage_path=scratch,  # for Tune's own state; what lasts is in the records
                    verbose=0,
                    callbacks=[bridge],
                    stop=bridge,
                ),
            ).fit()
        if bridge.error:
            raise bridge.error

    @contextlib.contextmanager
    def exporting(self, study: str, read: Callable[[], StudyMetrics], say: Say) -> Iterator[bool]:
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
        heed_warnings()
        self._trials, self._job = trials, config
        self._on_epoch = EpochCounter(exported_study) if exported_study else None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._job = new_config
        return True

    def step(self) -> dict[str, Any]:
        try:
            with in_trial():
                self._trials(self._job["trial"], self._job["leads"], self._on_epoch, is_leaving)
        except StorageFailed as error:
            return {_FAILED: str(error), "done": True}
        return {_FAILED: "", "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Do nothing: stages keep their own checkpoints in the storage, where a worker on any machine finds them."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Do nothing; see `save_checkpoint`."""


class _QueueBridge(tune.Callback, tune.Stopper):
    """Connects the queue with Tune: hands out a trial for each of Tune's, and notes when that one ends."""

    def __init__(self, queue: Queue, room: Room, on_trial_end: OnTrialEnd, say: Say) -> None:
        self.queue, self._room, self._on_trial_end, self._say = queue, room, on_trial_end, say
        self._keys: dict[str, str] = {}
        self._busy_at, self._said_waiting = time.monotonic(), False
        self.error: Exception | None = None

    def __getstate__(self) -> dict[str, Any]:
        """No state for Tune to restore: a study resumes from its records."""
        return {}

    def next(self, trial_id: str) -> dict[str, Any] | None:
        """The config of the trial that Tune is to start as soon as there is room; None if none is ready.

        A trial of a search is proposed only if a worker is free, because later proposals know more.
        """
        out = len(self.queue.running)
        if out >= self._room.most_handed_out or not (spec := self.queue.next(may_propose=out < self._room.workers)):
            return None
        self._keys[trial_id] = spec.key
        return {"trial": spec.to_json(), "leads": self.queue.leads(spec)}

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Say once if trials have been waiting for a machine for a while and none runs."""
        if self.queue.placed or not self.queue.running or not self._room.grows:
            self._busy_at, self._said_waiting = time.monotonic(), False
        elif time.monotonic() > self._busy_at + _WAIT_S and not self._said_waiting:
            self._said_waiting = True
            total, gpus = resources(), self._room.gpus
            self._say(
                f"waiting for a machine: a trial asks for 1 CPU{f' and {gpus:.2g} GPU' if gpus else ''}, and the "
                f"cluster has CPUs {total.get('CPU', 0):g}, GPUs {total.get('GPU', 0):g} now"
            )

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """A trial ends by itself."""
        return False

    def stop_all(self) -> bool:
        """Whether all is over: the queue is closed, and what was handed out and not run need not wait for a machine."""
        return self.queue.closed and not self.queue.placed

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        self.queue.place(self._keys[trial.trial_id])

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        if failure := trial.last_result.get(_FAILED):
            self._give_up(UserError(failure, exit_code=1))
        self._end(trial, None)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        log = _log(trial)
        if left := re.search(rf"{MachineLeaves.__name__}: (.+)", log):
            spec = self.queue.put_back(self._keys.pop(trial.trial_id))
            self._say(f"{spec.variant.name}, block {spec.block.index}, goes on elsewhere: {one_line(left[1])}")
        else:
            self._end(trial, (_cause_of_death(log), log))

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


def _log(trial: Trial) -> str:
    """Ray's whole report of what ended a trial."""
    with contextlib.suppress(OSError, TypeError):
        return Path(trial.error_file).read_text(errors="replace")
    return ""


def _cause_of_death(log: str) -> str:
    """Why a trial's worker died, in one line."""
    if missing := re.search(r"ModuleNotFoundError: (No module named '[^']*')", log):
        return (
            f"its worker cannot import what the study needs ({missing[1]}); install packages on all machines, and "
            "import files of your own by plain import statements, so that they are sent"
        )
    detail = log.partition("Worker exit detail: ")[2].partition(". Some common causes")[0]
    shown_detail = f" ({one_line(detail)})" if detail else ""
    unknown = f"its worker died; it may have run out of memory, or its machine has gone down{shown_detail}"
    return next((reason for words, reason in _DEATHS.items() if words in log), unknown)


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


def _gpu_share(gpus_per_trial: float | None, cpus: int, gpus: float, grows: bool) -> float:
    """GPUs for each trial: what is asked for, else a share that keeps GPUs busy with the CPUs there are, else none.

    If a cluster that may grow has none yet, trials wait for what is asked for.
    """
    if gpus_per_trial is None:
        return 1 / max(1, min(_TRIALS_A_GPU, math.floor(cpus / gpus))) if gpus else 0.0
    if gpus_per_trial > gpus and not (grows and not gpus):
        raise UserError(f"--gpus-per-trial must be at most what the cluster has, {gpus:g}; got {gpus_per_trial:g}.")
    return gpus_per_trial
