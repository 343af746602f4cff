"""What every system is: a typed config, stages whose products can be kept, continued windows, measures of its own."""

import io
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from musiclab.code_lock import StageCode, code_hash
from musiclab.data.windows import unpack
from musiclab.hashing import content_hash
from musiclab.systems.config import GENERATE, MEASURE, Config
from musiclab.systems.targets import Targets
from musiclab.training.files import Files
from musiclab.training.runtime import Runtime
from musiclab.training.streams import Block
from musiclab.training.windows import BlockWindows

GENERATED = "generated.npy"

# What a system's continuations may depend on, see `System.conditions`.
CONDITIONS = ("start", "piano", "noise", "target", "alpha")


@dataclass(frozen=True)
class StageRun:
    """What a stage works with: config, block, the block's windows, where its files are, the device.

    `targets` are target songs from outside, such as a user's own; without them a system that follows any takes those
    that its config names from the windows. A stage that trains hands `after_epoch` to `fit`, which calls it once an
    epoch's checkpoint and curves are written; it may raise to stop the stage.
    """

    config: Any
    block: Block
    windows: BlockWindows
    files: Files
    device: torch.device
    targets: Targets | None = None
    after_epoch: Callable[[], None] = lambda: None


class System(ABC):
    """One generator of the article. Subclasses are stateless; all that lasts is in the stages' files.

    `stages` names the steps in order, each with its revision: those that train, then `generate`, then `measure`. A
    revision is raised when the numbers of its stage change, for whatever reason; see `musiclab.code_lock`. What only
    measures a system is imported inside functions named `*_measures`, so that a change there trains nothing anew.
    `presets` give the `demo` and `article` scales as changes of the config's
    defaults. `conditions` are those of CONDITIONS that its continuations depend on: the start window, the piano in it
    (what the other instruments play hangs on it), the sampling noise, the target, alpha. `provides` is what measures
    may need and not every system has: its latents, predicted pairs of consecutive windows, tokens.
    """

    name: ClassVar[str]
    config: ClassVar[type[Config]]
    presets: ClassVar[dict[str, dict[str, Any]]]
    stages: ClassVar[dict[str, int]]
    conditions: ClassVar[tuple[str, ...]]
    provides: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def train(self, stage: str, run: StageRun) -> None:
        """Do one of the stages that train, resuming from its checkpoint if it left one."""

    @abstractmethod
    def continuations(self, run: StageRun, starts: np.ndarray) -> np.ndarray:
        """Continue packed start windows `(n, track, steps, 16)`: `(n, continuation, track, steps, 16)`, packed too.

        All draws come from the block's streams, so that the same starts in the same places give the same
        continuations. Of `run`, the windows may be asked for nothing that a stage could have kept: whoever generates
        from a trained trial has no data.
        """

    def run_stage(self, stage: str, run: StageRun) -> None:
        """Do one stage, all but `measure`: train, or continue the block's start windows and keep what comes."""
        if stage == GENERATE:
            starts = run.windows.packed(run.windows.starts[:, 0])
            write_generated(run.files, self.continuations(run, np.repeat(starts, run.config.variations, axis=0)))
        else:
            self.train(stage, run)

    def audible(self, config: Any, starts: np.ndarray, continued: np.ndarray) -> tuple[list[np.ndarray], int]:
        """What there is to listen to of packed starts and their continuations: rolls `(track, time, pitch)` bool.

        And the steps of the start in each: none of a system that continues nothing, where a real start would pass for
        its own music.
        """
        follows = "start" in self.conditions
        windows = unpack(np.concatenate([starts[:, None], continued], axis=1) if follows else continued)
        return [np.concatenate(list(roll), axis=1) for roll in windows], config.steps * follows

    @abstractmethod
    def own_measures(self, run: StageRun) -> dict[str, float]:
        """Measures that only this kind of system has, by full name (`latent/...`, `tokens/...`)."""

    @abstractmethod
    def estimated_seconds(self, config: Any, windows: int) -> float:
        """Seconds of a trial's training that sees `windows` training windows, from a few steps timed here and now."""

    def stage_keys(self, config: Config, block: Block, data: str, runtime: Runtime) -> dict[str, str]:
        """Content hash of each stage: all that its numbers depend on, the stage before included.

        `data` is the fingerprint of the windows, `runtime` what the trial is to run on. The last key, of `measure`,
        depends on everything and is the trial's key.
        """
        keys, before = {}, ""
        for stage in self.stages:
            trains = stage not in (GENERATE, MEASURE)  # the other two follow from what was trained
            keys[stage] = before = content_hash(
                {
                    "system": self.name,
                    "stage": stage,
                    "fields": config.of_stages(("windows", stage)),
                    "block": [block.seed, block.index],
                    "data": data,
                    "runtime": runtime.to_json() if trains else {},
                    "code": [code.identity for code in self.code(stage)],
                    "before": before,
                }
            )
        return keys

    def code(self, stage: str) -> list[StageCode]:
        """The code whose behaviour decides what a stage makes; that of the windows is in their fingerprint.

        Of `measure` that of the measures which all systems have comes second.
        """
        measures = stage == MEASURE
        own = code_hash(type(self).__module__, measuring=measures)
        return [StageCode(f"{self.name}/{stage}", self.stages[stage], own), *([common_code()] if measures else [])]


def common_code() -> StageCode:
    """The code of the measures that all systems share, and of the baselines they are read on."""
    from musiclab.measures import REVISION

    return StageCode("measures", REVISION, code_hash("musiclab.systems.evaluation"))


def write_generated(files: Files, rolls: np.ndarray) -> None:
    """Keep continuations, packed `(starts x variations, continuation, track, steps, 16)` uint8, a start's together."""
    buffer = io.BytesIO()
    np.save(buffer, rolls, allow_pickle=False)
    files.write(GENERATED, buffer.getvalue())


def read_generated(files: Files) -> np.ndarray:
    """What `write_generated` kept."""
    return np.load(io.BytesIO(files.read(GENERATED)), allow_pickle=False)
