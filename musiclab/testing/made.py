"""Made songs, and trials of them in memory: what a system is checked on, in seconds and without a file."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from musiclab.data.songs import TRACKS
from musiclab.data.store import SongRow, WindowStore
from musiclab.data.windows import PITCHES, WindowSpec, pack
from musiclab.systems.base import StageRun, System
from musiclab.systems.config import MEASURE
from musiclab.training.files import CHECKPOINT, CURVES, PROGRESS, Files
from musiclab.training.streams import Block
from musiclab.training.windows import BlockWindows, block_windows

_SONGS, _WINDOWS = 20, 6


class Interrupted(BaseException):
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

    def names(self) -> list[str]:
        return sorted(name for stage, name in self.trial if stage == self.stage)


def windows_of(store: WindowStore, block: Block, config: Any) -> BlockWindows:
    """What the block sees, as a trial asks for it."""
    return block_windows(store, block, config.max_train, config.max_eval, config.starts)


def stage_run(
    store: WindowStore, block: Block, config: Any, files: Files, windows: BlockWindows | None = None
) -> StageRun[Any]:
    """A stage's surroundings on the CPU."""
    return StageRun(config, block, windows or windows_of(store, block, config), files, torch.device("cpu"))


def run_stages(system: System[Any], run: StageRun[Any], stages: tuple[str, ...] | None = None) -> MemoryFiles:
    """Run stages, by default all but `measure`, in order; the files, from which `product` gives each stage's."""
    torch.set_num_threads(1)
    for stage in stages or [stage for stage in system.stages if stage != MEASURE]:
        system.run_stage(stage, replace(run, files=run.files.product(stage)))
    assert isinstance(run.files, MemoryFiles)
    return run.files


def products(files: MemoryFiles) -> dict[tuple[str, str], bytes]:
    """What a trial's stages left, without checkpoints, progress, and curves, which hold the time."""
    return {key: data for key, data in files.trial.items() if key[1] not in (CHECKPOINT, CURVES, PROGRESS)}


def made_store(windows: np.ndarray, counts: list[int], spec: WindowSpec | None = None) -> WindowStore:
    """A store in memory: songs of `counts` windows each out of `windows` `(n, 5, steps, 16)`."""
    store = object.__new__(WindowStore)
    firsts = np.cumsum([0, *counts])
    store.source, store.fingerprint, store.spec = "made", "made", spec or WindowSpec(steps=windows.shape[2])
    store.songs = [
        SongRow(f"song {n:02}", "", "", int(first), count, 120.0, 96, content=f"{n:02}", work=f"song {n:02}")
        for n, (first, count) in enumerate(zip(firsts, counts, strict=False))
    ]
    store.skipped, store.windows = [], windows
    store._rows = {song.id: song for song in store.songs}
    return store


def song_roll(number: int, steps: int) -> np.ndarray:
    """A made song, `(track, step, pitch)` bool: a scale over triads, a bass, a beat; strings are silent."""
    rng = np.random.default_rng(number)
    roll = np.zeros((len(TRACKS), steps, PITCHES), bool)
    root = 48 + int(rng.integers(12))
    for step in range(0, steps, 2):
        degree = int(rng.choice([0, 2, 4, 5, 7, 9, 11]))
        roll[0, step, [36, 42] if step % 4 else [38]] = True
        roll[1, step : step + 2, root + 12 + degree] = True
        roll[2, step : step + 2, [root, root + 4, root + 7]] = True
        roll[3, step, root - 12] = True
    return roll


def song_store(spec: WindowSpec) -> WindowStore:
    """A store in memory of twenty made songs of six windows each."""
    songs = [song_roll(number, _WINDOWS * spec.steps) for number in range(_SONGS)]
    windows = [np.stack(np.split(song, _WINDOWS, axis=1)) for song in songs]
    return made_store(pack(np.concatenate(windows)), [_WINDOWS] * _SONGS, spec)
