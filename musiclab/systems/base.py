"""What every system is: a typed config, stages whose products can be kept, continued windows, measures of its own."""

import dataclasses
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch

from musiclab.code_lock import StageCode, code_hash
from musiclab.data.transposition import moved_rolls
from musiclab.data.windows import unpack
from musiclab.errors import UserError
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

ConfigT = TypeVar("ConfigT", bound=Config)
ConfigT_co = TypeVar("ConfigT_co", bound=Config, covariant=True)


@dataclass(frozen=True)
class Progress:
    """How far trials of a system have come while they train, so that the worst can be stopped early.

    Attributes:
        stage: the dearest stage that trains. Its rungs are where progress is worked out.
        name: what the number is, for a table.
        better: "lower" or "higher".
        unlike: the fields whose values change what the number means, so that it cannot be compared over them.
    """

    stage: str
    name: str
    better: str
    unlike: tuple[str, ...] = ()


@dataclass(frozen=True)
class StageRun(Generic[ConfigT_co]):
    """What a stage works with.

    Attributes:
        config: the trial's config.
        block: the trial's block; all draws come from its streams.
        windows: the block's windows; None if music is generated without the data of the trial. Read them as `data`.
        files: the files of this stage, and those of earlier stages.
        device: where the networks are.
        targets: target songs from outside, such as a user's own. Without them a system that follows targets looks up
            in the windows those that its config names.
        after_epoch: called by `fit` once an epoch's checkpoint and curves are written; may raise to stop the stage.
        rungs: rising shares, between 0 and 1, of the training of the stage of the system's progress. Other stages have
            no rungs.
        at_rung: called by `fit` with a rung's number, from 0, and the progress there, once both a checkpoint at that
            step and the progress are written; may raise to stop the stage.
    """

    config: ConfigT_co
    block: Block
    windows: BlockWindows | None
    files: Files
    device: torch.device
    targets: Targets | None = None
    after_epoch: Callable[[], None] = lambda: None
    rungs: tuple[float, ...] = ()
    at_rung: Callable[[int, float], None] = lambda rung, value: None

    @property
    def data(self) -> BlockWindows:
        """The block's windows.

        Raises:
            UserError: this run has none.
        """
        if self.windows is None:
            raise UserError(
                "The windows of the trial's data are needed, to look up a target for example; none are given."
            )
        return self.windows


class System(ABC, Generic[ConfigT]):
    """One generator of the article. Subclasses are stateless: all that lasts is in the stages' files.

    What only measures a system is imported inside functions named `*_measures`, so that a change there retrains
    nothing.

    Attributes:
        name: by which `find_system` knows it.
        config: the class of its configs.
        scales: the sizes of the scales `demo` and `article`, as changes of the config's defaults.
        forms: what the system is in the forms `mended`, `written` and `coded`, likewise. `written` is the article's
            text, and its code where the text is silent; `coded` is its code; `mended` is what is known to help. A form
            is applied after a scale, whose fields only `mended` may change.
        stages: its steps in order, each with its revision: those that train, then `generate`, then `measure`. A
            revision is raised if the numbers of its stage change, for whatever reason; see `musiclab.code_lock`.
        conditions: what its continuations depend on, some of CONDITIONS: the start window, the piano in it (from which
            the other instruments follow), the sampling noise, the target, alpha.
        provides: what measures may need and not every system has: its `latents`, its predictions of `pairs` of
            consecutive windows, its `tokens`.
        progress: by what its trials are compared before they have finished.
    """

    name: ClassVar[str]
    config: type[ConfigT]
    scales: ClassVar[dict[str, dict[str, Any]]]
    forms: ClassVar[dict[str, dict[str, Any]]]
    stages: ClassVar[dict[str, int]]
    conditions: ClassVar[tuple[str, ...]]
    provides: ClassVar[tuple[str, ...]] = ()
    progress: ClassVar[Progress]

    @abstractmethod
    def train(self, stage: str, run: StageRun[ConfigT]) -> None:
        """Do one of the stages that train; resume from its checkpoint if there is one."""

    @abstractmethod
    def continuations(self, run: StageRun[ConfigT], starts: np.ndarray) -> np.ndarray:
        """Continue packed start windows `(n, track, steps, 16)`: `(n, continuation, track, steps, 16)`, packed too.

        All draws come from the block's streams, so that the same starts in the same order give the same continuations.
        The run may have no windows, because whoever generates from a trained trial need not have its data. So anything
        from the training data that is needed here must be kept by a stage that trains.
        """

    def run_stage(self, stage: str, run: StageRun[ConfigT]) -> None:
        """Do any stage but `measure`: train, or continue the block's start windows and keep the result.

        Only the stage of the system's progress gets the run's rungs.
        """
        if stage == GENERATE:
            starts = run.data.packed(run.data.starts[:, 0])
            write_generated(run.files, self.continuations(run, np.repeat(starts, run.config.variations, axis=0)))
        else:
            on_rungs = run.rungs and stage == self.progress.stage
            self.train(stage, run if on_rungs else dataclasses.replace(run, rungs=()))

    def audible(
        self, config: ConfigT, starts: np.ndarray, continued: np.ndarray, transposed: Sequence[int] | np.ndarray
    ) -> tuple[list[np.ndarray], int]:
        """What can be listened to of packed starts and their continuations.

        Args:
            config: the trial's config.
            starts: `(n, track, steps, 16)`.
            continued: `(n, continuation, track, steps, 16)`.
            transposed: by how many semitones the song of each start was moved, `(n,)`; its roll is moved back.

        Returns:
            Rolls `(track, time, pitch)` bool, and how many steps of each are the start. A system that continues nothing
            has no start in its rolls, because a real start would pass for its own music, and it stays in the key that
            it was trained in.
        """
        follows = "start" in self.conditions
        windows = unpack(np.concatenate([starts[:, None], continued], axis=1) if follows else continued)
        rolls = [np.concatenate(list(roll), axis=1) for roll in windows]
        if follows:
            rolls = [moved_rolls(roll, -semitones) for roll, semitones in zip(rolls, transposed, strict=True)]
        return rolls, config.steps * follows

    @abstractmethod
    def own_measures(self, run: StageRun[ConfigT]) -> dict[str, float]:
        """Measures that only this kind of system has, by full name (`latent/...`, `tokens/...`)."""

    @abstractmethod
    def estimated_seconds(self, config: ConfigT, windows: int) -> float:
        """Seconds of training in a trial with `windows` training windows, from a few steps timed here and now."""

    def stage_keys(self, config: ConfigT, block: Block, data: str, runtime: Runtime) -> dict[str, str]:
        """The content hash of each stage: of all that its numbers depend on, the stage before included.

        The last key, that of `measure`, depends on everything and is the trial's key.

        Args:
            config: the trial's config.
            block: the trial's block.
            data: fingerprint of the windows.
            runtime: what the trial is to run on.
        """
        keys: dict[str, str] = {}
        before = ""
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
        """The code whose behaviour decides what a stage makes. For `measure` the code of the common measures is second.

        The code that makes the windows is not in it, because their fingerprint covers it.
        """
        measures = stage == MEASURE
        own = code_hash(type(self).__module__, measuring=measures)
        return [StageCode(f"{self.name}/{stage}", self.stages[stage], own), *([common_code()] if measures else [])]


def common_code() -> StageCode:
    """The code of the measures that all systems share, and of the baselines they are compared with."""
    from musiclab.measures import REVISION

    return StageCode("measures", REVISION, code_hash("musiclab.systems.evaluation"))


def write_generated(files: Files, rolls: np.ndarray) -> None:
    """Keep continuations, packed `(starts x variations, continuation, track, steps, 16)` uint8.

    The variations of a start are adjacent.
    """
    buffer = io.BytesIO()
    np.save(buffer, rolls, allow_pickle=False)
    files.write(GENERATED, buffer.getvalue())


def read_generated(files: Files) -> np.ndarray:
    """What `write_generated` kept."""
    rolls: np.ndarray = np.load(io.BytesIO(files.read(GENERATED)), allow_pickle=False)
    return rolls
