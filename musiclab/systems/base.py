"""What every system is: a typed config, stages whose products can be kept, continued windows, measures of its own."""

import dataclasses
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from musiclab.code_lock import StageCode, code_hash
from musiclab.data.songs import TRACKS
from musiclab.data.transposition import moved_rolls
from musiclab.data.windows import PITCHES, pack, unpack
from musiclab.errors import UserError
from musiclab.hashing import content_hash
from musiclab.systems.config import GENERATE, MEASURE, Config, without_fields
from musiclab.systems.targets import Targets
from musiclab.training.epoch import Epoch
from musiclab.training.files import Files, UsersFiles
from musiclab.training.fit import FunctionLearner, Learner, Point, fit
from musiclab.training.runtime import Runtime
from musiclab.training.streams import Block
from musiclab.training.windows import BlockWindows
from musiclab.user_code import code_of, described, is_ours, remember

GENERATED = "generated.npy"

# What a system's continuations may depend on, see `System.conditions`.
CONDITIONS = ("start", "piano", "noise", "target", "alpha")
# What measures may need and not every system has, see `System.provides`.
PROVIDES = ("latents", "pairs", "tokens")

ConfigT = TypeVar("ConfigT", bound=Config)
ConfigT_co = TypeVar("ConfigT_co", bound=Config, covariant=True)

_PARTS = ("train", "pairs", "validation")


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

    def rolls(self, part: Literal["train", "pairs", "validation"] = "train") -> npt.NDArray[np.bool_]:
        """The block's windows to learn from, `(n, track, step, pitch)` bool, 20 kB each at the default steps.

        Args:
            part: `train`: all training windows. `pairs`: training windows with their successors,
                `(n, 2, track, step, pitch)`. `validation`: windows of songs that are not trained on, to stop by.

        Raises:
            UserError: there is no such part.
        """
        if part not in _PARTS:
            raise UserError(f"run.rolls must be asked for one of {', '.join(_PARTS)}; got {part!r}.")
        return unpack(self.data.packed(getattr(self.data, part)))

    def fit(
        self,
        learner: Learner | Callable[[Epoch], dict[str, float]],
        epochs: int,
        **parts: torch.nn.Module | torch.optim.Optimizer,
    ) -> list[Point]:
        """Train up to `epochs`, with curves and a checkpoint after each, from the checkpoint if there is one.

        Args:
            learner: a function that trains one epoch and returns the values of its curves by name (`train/loss`); or a
                `Learner`, which has its parts itself and may have a progress. All draws of an epoch must come from
                streams that are named after its number, `run.block.torch("data", epoch.number)`.
            epochs: how many epochs there are in the end.
            parts: the modules and optimizers that the function trains, by the names that they get in checkpoints.

        Returns:
            All points of the curves.

        Raises:
            Diverged: a loss or a weight is not finite.
            UserError: a part is neither, or a `Learner`, which has its own, came with parts.
        """
        if not isinstance(learner, Learner):
            learner = FunctionLearner(learner, parts)
        elif parts:
            raise UserError(f"run.fit must get no parts with a Learner, which has its own; got {', '.join(parts)}.")
        return fit(learner, epochs, self.files, self.after_epoch, self.rungs, self.at_rung)


class System(ABC, Generic[ConfigT]):
    """One generator. Subclasses are stateless: all that lasts is in the stages' files.

    A system of a user's own needs `name`, `config`, `train` and `continuations`; all else has defaults. What only
    measures a system is imported inside functions named `*_measures`, so that a change there retrains nothing.

    Attributes:
        name: what it is called in tables and records.
        config: the class of its configs.
        scales: the sizes of the scales `demo` and `article`, as changes of the config's defaults. By default `demo` has
            as many windows as that of the systems here.
        forms: what the system is in the forms `mended`, `written` and `coded`, likewise. `written` is the article's
            text, and its code where the text is silent; `coded` is its code; `mended` is what is known to help. A form
            is applied after a scale, whose fields only `mended` may change.
        stages: its steps in order, each with its revision: those that train, then `generate`, then `measure`. A
            revision is raised if the numbers of its stage change, for whatever reason; see `musiclab.code_lock`. A
            user's own system may name those that train only, as a tuple: the hash of its code stands for revisions.
        conditions: what its continuations depend on, some of CONDITIONS: the start window, the piano in it (from which
            the other instruments follow), the sampling noise, the target, alpha.
        provides: what measures may need and not every system has: its `latents`, its predictions of `pairs` of
            consecutive windows, its `tokens`.
        progress: by what its trials are compared before they have finished; None if they cannot be.
        packed: whether `continuations` takes and gives packed windows, whose last axis is 16 bytes in place of 128
            pitches.
    """

    name: ClassVar[str]
    config: type[ConfigT]
    scales: ClassVar[dict[str, dict[str, Any]]] = {"demo": {"max_train": 1024, "max_eval": 384}, "article": {}}
    forms: ClassVar[dict[str, dict[str, Any]]] = {"mended": {}, "written": {}, "coded": {}}
    stages: ClassVar[dict[str, int]] = {"train": 1, GENERATE: 1, MEASURE: 1}
    conditions: ClassVar[tuple[str, ...]] = ("start", "noise")
    provides: ClassVar[tuple[str, ...]] = ()
    progress: ClassVar[Progress | None] = None
    packed: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if isinstance(cls.stages, tuple | list):
            cls.stages = dict.fromkeys((*cls.stages, GENERATE, MEASURE), 1)
        if not is_ours(cls):
            remember(cls)

    @abstractmethod
    def train(self, stage: str, run: StageRun[ConfigT]) -> None:
        """Do one of the stages that train; resume from its checkpoint if there is one, as `run.fit` does."""

    @abstractmethod
    def continuations(self, run: StageRun[ConfigT], starts: np.ndarray) -> np.ndarray:
        """Continue start windows `(n, track, step, pitch)` bool: `(n, continuation, track, step, pitch)` bool.

        There are `run.config.continuation` windows after each start, of `run.config.steps` steps. All draws come from
        the block's streams, so that the same starts in the same order give the same continuations. The run may have no
        windows, because whoever generates from a trained trial need not have its data. So anything from the training
        data that is needed here must be kept by a stage that trains.
        """

    def continued(self, run: StageRun[ConfigT], starts: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """What all others call to continue start windows: `continuations`, with packed windows in and out.

        Args:
            run: of the stage `generate`.
            starts: `(n, track, step, 16)`.

        Returns:
            `(n, continuation, track, step, 16)`.

        Raises:
            UserError: `continuations` gave something else.
        """
        if self.packed:
            return self.continuations(run, starts)
        with torch.no_grad():
            made: Any = self.continuations(run, unpack(starts))
        try:
            rolls = np.asarray(made)
        except ValueError as error:
            raise UserError(f"{described(type(self))}: continuations must be an array: {error}.") from error
        shape = (len(starts), run.config.continuation, len(TRACKS), run.config.steps, PITCHES)
        if rolls.shape != shape or rolls.dtype != np.bool_:
            raise UserError(
                f"{described(type(self))}: continuations must be rolls (start, window, track, step, pitch) of shape "
                f"{shape} and type bool; got {rolls.shape}, {rolls.dtype}."
            )
        return pack(rolls)

    def run_stage(self, stage: str, run: StageRun[ConfigT]) -> None:
        """Do any stage but `measure`: train, or continue the block's start windows and keep the result.

        Only the stage of the system's progress gets the run's rungs.
        """
        files, stages = run.files, list(self.stages)
        if not is_ours(type(self)):
            checked = UsersFiles(files, stages[: stages.index(stage) + 1], described(type(self)))
            run = dataclasses.replace(run, config=self._visible(stage, run.config), files=checked)
        if stage == GENERATE:
            starts = run.data.packed(run.data.starts[:, 0])
            write_generated(files, self.continued(run, np.repeat(starts, run.config.variations, axis=0)))
        else:
            on_rungs = run.rungs and self.progress and stage == self.progress.stage
            self.train(stage, run if on_rungs else dataclasses.replace(run, rungs=()))

    def _visible(self, stage: str, config: ConfigT) -> ConfigT:
        """The config as a stage may see it; trials that differ in fields of later stages share what it leaves."""
        stages = list(self.stages)
        where = described(type(self))
        return without_fields(
            config,
            stages[stages.index(stage) + 1 :],
            lambda field, owner: (
                f"{where}: the stage {stage} must not read {field}, a field of {owner}, because trials that differ in "
                f"it share what {stage} leaves; make it a field of {stage}."
            ),
        )

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

    def own_measures(self, run: StageRun[ConfigT]) -> dict[str, float]:
        """Measures that only this kind of system has, by full name (`latent/...`, `tokens/...`)."""
        return {}

    def estimated_seconds(self, config: ConfigT, windows: int) -> float | None:
        """Seconds of training in a trial with `windows` training windows, from a few steps timed here and now.

        None if only a finished trial tells.
        """
        return None

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
            # What follows the first stage without training follows from what was trained.
            trains = not before or stage not in (GENERATE, MEASURE)
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
        own = _own_hash(type(self), measures)
        return [StageCode(f"{self.name}/{stage}", self.stages[stage], own), *([common_code()] if measures else [])]


def _own_hash(system: type[System[Any]], measuring: bool) -> str:
    """The hash of the code of a system, of the house or of a user's."""
    if is_ours(system):
        return code_hash(system.__module__, measuring=measuring)
    return code_of(system, measuring).hash


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
