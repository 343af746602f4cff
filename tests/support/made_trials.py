"""A trial's stages run in memory, interrupted where a test wants it."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from musiclab.data.store import SongRow, WindowStore
from musiclab.data.windows import WindowSpec
from musiclab.systems.base import MEASURE, StageRun, System
from musiclab.training.files import CHECKPOINT, CURVES, PROGRESS, Files
from musiclab.training.streams import Block
from musiclab.training.windows import BlockWindows, block_windows


class Interrupted(Exception):
    """Stands for kill -9: nothing catches it."""


@dataclass
class MemoryFiles(Files):
    """Files of all stages of a trial; the write of a checkpoint after `checkpoints` of them raises Interrupted."""

    trial: dict[tuple[str, str], bytes] = field(default_factory=dict)
    stage: str = ""
    checkpoints: int | None = None

    def read(self, name: str) -> bytes:
        if (self.stage, name) not in self.trial:
            raise FileNotFoundError(name)
        return self.trial[self.stage, name]

    def write(self, name: str, data: bytes) -> None:
        if name == CHECKPOINT and self.checkpoints is not None:
            if not self.checkpoints:
                raise Interrupted
            self.checkpoints -= 1
        self.trial[self.stage, name] = data

    def product(self, stage: str) -> "MemoryFiles":
        return MemoryFiles(self.trial, stage)


def windows_of(store: WindowStore, block: Block, config: Any) -> BlockWindows:
    """What the block sees, as a trial asks for it."""
    return block_windows(store, block, config.max_train, config.max_eval, config.starts)


def stage_run(
    store: WindowStore, block: Block, config: Any, files: Files, windows: BlockWindows | None = None
) -> StageRun:
    """A stage's surroundings on the CPU."""
    return StageRun(config, block, windows or windows_of(store, block, config), files, torch.device("cpu"))


def run_stages(
    system: System,
    run: StageRun,
    stages: tuple[str, ...] | None = None,
) -> MemoryFiles:
    """Run stages, by default all but `measure`, in order; the files, from which `product` gives each stage's."""
    torch.set_num_threads(1)
    for stage in stages or [stage for stage in system.stages if stage != MEASURE]:
        files = run.files.product(stage)
        system.run_stage(stage, replace(run, files=files))
    return run.files


def products(files: MemoryFiles) -> dict[tuple[str, str], bytes]:
    """What a trial's stages left, without checkpoints, progress, and curves, which hold the time."""
    return {key: data for key, data in files.trial.items() if key[1] not in (CHECKPOINT, CURVES, PROGRESS)}


def curves(files: MemoryFiles) -> dict[str, list[tuple[str, int, float]]]:
    """The points of each stage's curves without their times."""
    return {
        stage: [(point["name"], point["step"], point["value"]) for point in json.loads(data)]
        for (stage, name), data in files.trial.items()
        if name == CURVES
    }


def made_store(windows: np.ndarray, counts: list[int]) -> WindowStore:
    """A store in memory: songs of `counts` windows each out of `windows` `(n, 5, steps, 16)`."""
    store = object.__new__(WindowStore)
    firsts = np.cumsum([0, *counts])
    store.source, store.fingerprint, store.spec = "made", "made", WindowSpec(steps=windows.shape[2])
    store.songs = [
        SongRow(f"song {n:02}", "", "", int(first), count, 120.0, 96, content=f"{n:02}", work=f"song {n:02}")
        for n, (first, count) in enumerate(zip(firsts, counts, strict=False))
    ]
    store.skipped, store.windows = [], windows
    store._rows = {song.id: song for song in store.songs}
    return store
