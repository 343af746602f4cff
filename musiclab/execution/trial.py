"""A trial: the stages of one cell that are not there yet, then its samples and its record. Runs in any process."""

import contextlib
import json
import math
import os
import platform
import resource
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from musiclab import ROOT, __version__
from musiclab.design.trials import TrialSpec
from musiclab.errors import UserError, one_line
from musiclab.hashing import content_hash
from musiclab.rendering.sample import render_samples
from musiclab.storage.files import Storage, StorageFailed
from musiclab.storage.leases import should_continue
from musiclab.storage.records import Records
from musiclab.storage.stages import DamagedStage, StopRequested, StoredFiles
from musiclab.storage.trial_documents import Baselines, TrialCost, TrialData, TrialRecord
from musiclab.storage.windows import trial_windows
from musiclab.systems import find_system
from musiclab.systems.base import StageRun, System, read_generated
from musiclab.systems.config import GENERATE, MEASURE
from musiclab.systems.evaluation import baselines_key, measured, real_baselines
from musiclab.training.fit import Diverged
from musiclab.training.runtime import Runtime, WrongRuntime
from musiclab.training.windows import BlockWindows

SAMPLES = 4  # start windows whose continuations every trial leaves to be heard
_ASK_EVERY_S = 1.0  # whether to go on


@dataclass(frozen=True)
class TrialRunner:
    """All that the trials of a study have in common; callable in a worker that knows nothing else.

    `lease` names the lease of whoever runs the study: trials stop where it is gone, or told to stop.
    """

    storage: str
    lease: str

    def __call__(self, cell_json: dict[str, Any]) -> None:
        """Run a cell to its record; where it failed the reason is left instead, where it is to stop neither.

        Raises StorageFailed alone.
        """
        try:
            storage = Storage(self.storage)
        except UserError as error:  # the study's own could be written to
            cause = error.__cause__
            raise StorageFailed(self.storage, cause if isinstance(cause, Exception) else error) from error
        cell = TrialSpec.from_json(cell_json)
        records = Records(storage)
        if records.get(cell.key):
            return
        try:
            finished = _run(cell, find_system(cell.variant.system), storage, self._going_on(storage))
            # Another study with the same trial, or the last worker of a killed driver, may have been faster.
            if not records.get(cell.key):
                records.put(cell.key, *finished)
        except StorageFailed:
            raise
        except StopRequested:
            return
        except Exception as error:  # a trial that fails takes no other with it
            try:
                records.put_failure(cell.key, _reason(error), traceback.format_exc(), _again(error))
            except OSError as failed:
                raise StorageFailed(storage.root, failed) from error
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()  # the next trial of this worker, and its neighbours, need the memory

    def _going_on(self, storage: Storage) -> Callable[[], bool]:
        """Whether the study goes on, asked of the storage now and then."""
        asked, answer = -math.inf, True

        def go_on() -> bool:
            nonlocal asked, answer
            if time.monotonic() - asked > _ASK_EVERY_S:
                asked, answer = time.monotonic(), should_continue(storage, self.lease)
            return answer

        return go_on


def _reason(error: Exception) -> str:
    """Why a trial failed, in one line; of what nobody foresaw also where in this code it happened."""
    if isinstance(error, UserError | Diverged | DamagedStage | WrongRuntime):
        return one_line(str(error))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if ROOT in Path(frame.filename).parents]
    where = f" ({Path(frames[-1].filename).relative_to(ROOT.parent)}, line {frames[-1].lineno})" if frames else ""
    return one_line(f"{type(error).__name__}: {error}") + where


def _again(error: Exception) -> bool:
    """Whether a trial that ended so may go well when it is tried again: a lack of memory or a hiccup of a disk.

    What its code, config and data make it do, such as diverge, they make it do again.
    """
    lacks_memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
    return lacks_memory or isinstance(error, OSError | DamagedStage)


class _Finished(NamedTuple):
    """What a trial leaves."""

    record: TrialRecord
    cost: TrialCost
    samples: dict[str, bytes]


def _run(cell: TrialSpec, system: System[Any], storage: Storage, go_on: Callable[[], bool]) -> _Finished:
    # One thread: as fast as more for models of this size, and sums come out the same on machines of any width.
    torch.set_num_threads(1)
    threadpool_limits(1)  # the same for numpy's
    torch.backends.cudnn.deterministic = True
    runtime = cell.runtime or Runtime.here()
    runtime.check(torch.cuda.is_available())
    device = torch.device(runtime.device)
    config, records = system.config(**cell.variant.config), Records(storage)
    began, start_of_all = time.time(), time.perf_counter()

    def stop_if_asked() -> None:
        if not go_on():
            raise StopRequested

    stop_if_asked()  # before the windows are opened: if the storage cannot be seen, they cannot be either
    windows = trial_windows(storage, cell, config)
    seconds: dict[str, float] = {}
    reused: list[str] = []
    for stage, key in cell.stages.items():
        stop_if_asked()
        files = StoredFiles(storage, cell, stage)
        run = StageRun(config, cell.block, windows, files, device, after_epoch=stop_if_asked)
        start = time.perf_counter()
        if stage == MEASURE:
            baselines = _baselines(records, run)
            measures, histograms = measured(
                system, run, {"values": baselines.values, "histograms": baselines.histograms}
            )
        elif records.stages.done(key):
            reused.append(stage)
            continue
        else:
            system.run_stage(stage, run)
            files.finish()
        seconds[stage] = round(time.perf_counter() - start, 3)
    start = time.perf_counter()
    samples = _samples(cell, system, run)
    seconds["samples"] = round(time.perf_counter() - start, 3)
    record = TrialRecord(
        key=cell.key,
        system=system.name,
        config=cell.variant.config,
        block=cell.block,
        stages=cell.stages,
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
        samples={name: content_hash(data.hex()) for name, data in samples.items()},
    )
    cost = TrialCost(
        began=began,
        ended=began + time.perf_counter() - start_of_all,  # later than it began, whatever clocks are set to
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
    )
    return _Finished(record, cost, samples)


def _baselines(records: Records, run: StageRun[Any]) -> Baselines:
    """What the block's measures are read on, worked out by the first of its trials to come here."""
    key = baselines_key(run)
    baselines = records.baselines(key)
    if baselines is None:
        values = real_baselines(run)
        baselines = Baselines(values=values["values"], histograms=values["histograms"])
        records.put_baselines(key, baselines)
    return baselines


def _keep_split(storage: Storage, windows: BlockWindows) -> str:
    """Write the split down once under its content hash, and return that."""
    parts = windows.split.to_json()
    name, data = content_hash(parts), json.dumps(parts, indent=0).encode()
    with contextlib.suppress(FileNotFoundError):
        if storage.read(f"splits/{name}.json") == data:
            return name
    storage.write(f"splits/{name}.json", data)
    return name


def _samples(cell: TrialSpec, system: System[Any], run: StageRun[Any]) -> dict[str, bytes]:
    """What the first start windows became, as MIDI, picture and sound."""
    config = run.config
    continued = read_generated(run.files.product(GENERATE))[:: config.variations][:SAMPLES]
    rolls, start_steps = system.audible(config, run.data.packed(run.data.starts[:SAMPLES, 0]), continued)
    # Without the variant: studies that share the trial name it differently.
    titles = [f"start {number}, block {cell.block.index}" for number in range(1, len(rolls) + 1)]
    samples = render_samples(rolls, titles, config.resolution, 120.0, start_steps)
    return {f"start-{number}.{kind}": data for number, sample in enumerate(samples, 1) for kind, data in sample.items()}
