"""A trial: runs the stages that are missing, then writes samples and record; works in any process."""

import contextlib
import json
import math
import os
import platform
import resource
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from musiclab import ROOT, __version__
from musiclab.design.trials import TrialSpec
from musiclab.errors import UserError, one_line
from musiclab.execution.early_stopping import EarlyStopping, Pruned
from musiclab.hashing import content_hash
from musiclab.measures.own import OwnMeasure
from musiclab.sending import Sent
from musiclab.storage.activity import Activity, WorkerState
from musiclab.storage.files import Storage, StorageFailed, is_remote
from musiclab.storage.leases import should_continue
from musiclab.storage.records import Records
from musiclab.storage.stages import DamagedStage, StopRequested, StoredFiles
from musiclab.storage.trial_documents import Baselines, TrialCost, TrialData, TrialRecord
from musiclab.storage.windows import trial_windows
from musiclab.systems import find_system
from musiclab.systems.base import StageRun, System, read_generated
from musiclab.systems.config import GENERATE, MEASURE
from musiclab.systems.evaluation import (
    baselines_key,
    measured,
    own_baselines,
    own_baselines_key,
    own_measured,
    real_baselines,
)
from musiclab.training.files import CURVES
from musiclab.training.fit import Diverged
from musiclab.training.memory import keep_freed_memory
from musiclab.training.runtime import Runtime, WrongRuntime
from musiclab.training.windows import BlockWindows
from musiclab.user_code import described, is_ours
from musiclab.user_errors import how_failed, is_of_user, place_of, why_failed

# Start windows whose continuations every trial writes as samples, and how many of these it plays: a report plays those
# that it shows, and nobody else listens to four of each trial.
SAMPLES, SOUNDS = 4, 1
# Intervals at which the storage is asked whether the study goes on; of a remote one each look is paid for.
_ASK_EVERY_S, _ASK_REMOTE_EVERY_S = 1.0, 5.0


class MachineLeaves(Exception):
    """The worker's machine is about to be taken away; everything up to the last checkpoint is kept."""


@dataclass(frozen=True)
class TrialRunner:
    """Runs any trial of a study. A worker needs nothing else.

    Attributes:
        storage: the root of the study's storage.
        lease: the lease file of the study's run; trials stop if it is gone or says so.
        early_stopping: how trials of a search may end early; None if they do not.
        own_systems: the classes of the systems that are a user's own, by name; no name is ever looked up as code.
        own_measures: the user's own measures, which all trials have.
    """

    storage: str
    lease: str
    early_stopping: EarlyStopping | None = None
    own_systems: Mapping[str, Sent] = field(default_factory=dict)
    own_measures: tuple[OwnMeasure, ...] = ()

    def __call__(
        self,
        spec_json: dict[str, Any],
        leads: bool = True,
        on_epoch: Callable[[], None] | None = None,
        leaves: Callable[[], bool] = lambda: False,
    ) -> None:
        """Run one trial and write its record. On failure, write the reason instead; if asked to stop, write nothing.

        Args:
            spec_json: the trial.
            leads: whether it works out the baselines of its block before it trains, unless they exist.
            on_epoch: called after each epoch that it trains.
            leaves: tells whether this machine is about to be taken away; asked after each epoch and before each stage.

        Raises:
            MachineLeaves: `leaves` said so; another worker can go on with the trial.
            StorageFailed: the storage cannot be opened or written to any more.
            NewerFormat: a newer version of musiclab wrote the trial's record or its failure.
        """
        try:
            # Whether a remote storage can be used shows at the first request; to try it out would take four.
            storage = Storage(self.storage, probe="none" if is_remote(self.storage) else "write")
        except UserError as error:  # the process that started the study could open the storage
            cause = error.__cause__
            raise StorageFailed(self.storage, cause if isinstance(cause, Exception) else error) from error
        trial = TrialSpec.from_json(spec_json)
        records = Records(storage)
        if records.get(trial.key):
            return
        self._say_what_runs(storage, trial)
        try:
            system, stop_if_asked = self._system(trial.variant.system), self._stopping(storage, leaves)
            finished = _run(
                trial, system, self.own_measures, storage, stop_if_asked, leads, self.early_stopping, on_epoch
            )
            # Another study may have the same trial, or a worker may have outlived its killed driver, and been faster.
            if not records.get(trial.key):
                records.put(trial.key, *finished)
        except (StorageFailed, MachineLeaves):
            raise
        except (StopRequested, Pruned):
            return
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # if one trial fails, the others go on; what panics in Rust raises no Exception
            try:
                log, diverged = traceback.format_exc(), isinstance(error, Diverged)
                own = trial.variant.system in self.own_systems
                records.put_failure(trial.key, _reason(error, own), log, _again(error, own), diverged)
            except OSError as failed:
                raise StorageFailed(storage.root, failed) from error
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()  # this worker's next trial and other workers need it

    def _system(self, name: str) -> System[Any]:
        """A new instance, so that nothing that a user's system keeps in one passes from trial to trial."""
        if name not in self.own_systems:
            return find_system(name)
        system: System[Any] = self.own_systems[name].load()()
        return system

    def _say_what_runs(self, storage: Storage, trial: TrialSpec) -> None:
        """Note for whoever looks on that this worker begins a trial of the study."""
        folder, runs, _ = self.lease.rpartition("/runner/")
        if not runs:
            return
        state = WorkerState(
            trial=trial.key,
            began=time.time(),
            lease=self.lease,
            host=platform.node(),
            pid=os.getpid(),
            device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            gpu=os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        )
        Activity(storage, folder).put_worker(state)

    def _stopping(self, storage: Storage, leaves: Callable[[], bool]) -> Callable[[], None]:
        """A function that raises if the study is to stop or this machine leaves; it asks once in a while."""
        last_time = -math.inf
        every_s = _ASK_EVERY_S if storage.is_local else _ASK_REMOTE_EVERY_S

        def stop_if_asked() -> None:
            nonlocal last_time
            if time.monotonic() - last_time > every_s:
                last_time = time.monotonic()
                if not should_continue(storage, self.lease):
                    raise StopRequested
                if leaves():
                    raise MachineLeaves(f"{platform.node()} is about to be taken away")

        return stop_if_asked


def _reason(error: BaseException, own: bool) -> str:
    """Why a trial failed, in one line; for an unexpected error also where it happened, in this code or a user's own."""
    if isinstance(error, UserError | Diverged | DamagedStage | WrongRuntime):
        return one_line(str(error))
    if isinstance(error, SystemExit):
        return f"a system {how_failed(error)}"
    if own and place_of(error):
        lacks = isinstance(error, ModuleNotFoundError)
        return why_failed(error) + ("; install it on all machines that run trials" if lacks else "")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if ROOT in Path(frame.filename).parents]
    where = f" ({Path(frames[-1].filename).relative_to(ROOT.parent)}, line {frames[-1].lineno})" if frames else ""
    return one_line(f"{type(error).__name__}: {error}") + where


def _again(error: BaseException, own: bool) -> bool:
    """Whether a retry may succeed: memory ran out, or a disk failed.

    Other failures, such as divergence, come from code, config and data, so a retry would fail in the same way. So does
    a file that the code of a user's own system opens, and that is not there.
    """
    lacks_memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
    return (
        lacks_memory
        or isinstance(error, DamagedStage)
        or (isinstance(error, OSError) and not (own and is_of_user(error)))
    )


class _Finished(NamedTuple):
    """What a trial writes when it has finished."""

    record: TrialRecord
    cost: TrialCost
    samples: dict[str, bytes]


def _run(
    trial: TrialSpec,
    system: System[Any],
    own: tuple[OwnMeasure, ...],
    storage: Storage,
    stop_if_asked: Callable[[], None],
    leads: bool,
    early_stopping: EarlyStopping | None,
    on_epoch: Callable[[], None] | None,
) -> _Finished:
    # More threads are no faster for models of this size, and one gives the same sums on any number of cores.
    torch.set_num_threads(1)
    threadpool_limits(1)  # numpy's threads
    keep_freed_memory()
    torch.backends.cudnn.deterministic = True
    runtime = trial.runtime or Runtime.here()
    runtime.check(torch.cuda.is_available())
    device = torch.device(runtime.device)
    config, records = system.config(**trial.variant.config), Records(storage)
    began, start_of_all = time.time(), time.perf_counter()

    stop_if_asked()  # before the windows are opened, because that fails if the storage is out of reach
    windows = trial_windows(storage, trial, config)
    files_of = StoredFiles(storage, trial, MEASURE).product
    seconds: dict[str, float] = {}
    reused: list[str] = []

    sign = -1 if system.progress and system.progress.better == "higher" else 1

    def at_rung(rung: int, value: float) -> None:
        if early_stopping:
            early_stopping.decide(storage, trial.key, rung, sign * value + 0.0)  # 0.0 in place of -0.0

    def after_epoch_of(stage: str) -> Callable[[], None]:
        if on_epoch is None:
            return stop_if_asked
        # A training that resumes is first called back for the epoch that it resumes from, which was counted before.
        counted_before = storage.exists(f"stages/{trial.stages[stage]}/{CURVES}")

        def after_epoch() -> None:
            nonlocal counted_before
            if not counted_before:
                on_epoch()
            counted_before = False
            stop_if_asked()

        return after_epoch

    def run_of(stage: str) -> StageRun[Any]:
        return StageRun(
            config,
            trial.block,
            windows,
            files_of(stage),
            device,
            after_epoch=after_epoch_of(stage),
            rungs=early_stopping.rungs if early_stopping else (),
            at_rung=at_rung,
        )

    if leads:
        _baselines(records, run_of(MEASURE), own, seconds)
    for stage, key in trial.stages.items():
        stop_if_asked()
        run = run_of(stage)
        if stage == MEASURE:
            baselines = _baselines(records, run, own, seconds)
        start = time.perf_counter()
        if stage == MEASURE:
            measures, histograms = measured(
                system, run, {"values": baselines.values, "histograms": baselines.histograms}
            )
            measures |= own_measured(system, run, own) if own else {}
        elif records.stages.done(key):
            reused.append(stage)
            continue
        else:
            _run_stage(system, stage, run, files_of(stage))
            files_of(stage).finish()
        seconds[stage] = round(time.perf_counter() - start, 3)
    start = time.perf_counter()
    samples = _samples(trial, system, run)
    seconds["samples"] = round(time.perf_counter() - start, 3)
    checksums = {name: content_hash(data.hex()) for name, data in samples.items()}
    midi = {name: checksum for name, checksum in checksums.items() if name.endswith(".mid")}
    record = TrialRecord(
        key=trial.key,
        system=system.name,
        config=trial.variant.config,
        block=trial.block,
        stages=trial.stages,
        runtime=runtime,
        data=TrialData(
            fingerprint=windows.store.fingerprint,
            split=_keep_split(storage, windows),
            songs={part: len(getattr(windows.split, part)) for part in ("train", "validation", "test")},
            windows={part: len(getattr(windows, part)) for part in ("train", "validation", "reference", "starts")},
        ),
        measures=measures,
        baselines=baselines.values,
        histograms=histograms,
        samples=midi,
    )
    cost = TrialCost(
        began=began,
        ended=began + time.perf_counter() - start_of_all,  # not `time.time()`, which may have been set back
        seconds=seconds,
        reused=tuple(reused),
        peak_memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        device=torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        host=platform.node(),
        pid=os.getpid(),
        source=windows.store.source,
        versions={
            "musiclab": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        checksums={name: checksum for name, checksum in checksums.items() if name not in midi},
    )
    return _Finished(record, cost, samples)


def _run_stage(system: System[Any], stage: str, run: StageRun[Any], files: StoredFiles) -> None:
    """Run a stage; UserError if it has written nothing, as a user's own may do."""
    system.run_stage(stage, run)
    if not is_ours(type(system)) and files.nothing_kept():  # to look takes a request where files are far away
        raise UserError(f"{described(type(system))}: the stage {stage} must write a file; it wrote none.")


def _baselines(
    records: Records, run: StageRun[Any], own: tuple[OwnMeasure, ...], seconds: dict[str, float]
) -> Baselines:
    """The baselines of the block; what it lacks yet, this trial works out, and `seconds` gets the time.

    Those of each of the user's own measures have a key of their own, so that its code changes no other.
    """
    key, start = baselines_key(run), time.perf_counter()
    baselines = records.baselines(key)
    if baselines is None:
        values = real_baselines(run)
        baselines = Baselines(values=values["values"], histograms=values["histograms"])
        records.put_baselines(key, baselines)
        seconds["baselines"] = round(time.perf_counter() - start, 3)
    own_keys = {each.name: own_baselines_key(run, each) for each in own}
    known = {name: found for name, key in own_keys.items() if (found := records.baselines(key))}
    if missing := [each for each in own if each.name not in known]:
        start = time.perf_counter()
        for name, numbers in own_baselines(run, missing).items():
            known[name] = Baselines(values=numbers)
            records.put_baselines(own_keys[name], known[name])
        seconds["baselines"] = round(seconds.get("baselines", 0.0) + time.perf_counter() - start, 3)
    for each in known.values():
        baselines = replace(baselines, values=baselines.values | each.values)
    return baselines


def _keep_split(storage: Storage, windows: BlockWindows) -> str:
    """Write the split under its content hash, unless it is there, and return the hash."""
    split = windows.split.to_json()
    name, data = content_hash(split), json.dumps(split, indent=0).encode()
    with contextlib.suppress(FileNotFoundError):
        if storage.read(f"splits/{name}.json") == data:
            return name
    storage.write(f"splits/{name}.json", data)
    return name


def _samples(trial: TrialSpec, system: System[Any], run: StageRun[Any]) -> dict[str, bytes]:
    """The continuations of the first start windows, in their songs' keys: MIDI, pictures, and the first as sound."""
    from musiclab.rendering.sample import render_samples  # what draws takes a second to import

    config = run.config
    continued = read_generated(run.files.product(GENERATE))[:: config.variations][:SAMPLES]
    starts = run.data.starts[:SAMPLES, 0]
    rolls, start_steps = system.audible(config, run.data.packed(starts), continued, run.data.store.transposed(starts))
    # Titles do not name the variant, because studies that share the trial may name it differently.
    titles = [f"start {number}, block {trial.block.index}" for number in range(1, len(rolls) + 1)]
    samples = render_samples(rolls, titles, config.resolution, 120.0, start_steps, SOUNDS)
    return {f"start-{number}.{kind}": data for number, sample in enumerate(samples, 1) for kind, data in sample.items()}
