"""The fit loop: curves and a checkpoint after each epoch, and a resume that gives the same bits as no interruption.

At its rungs a training is looked at within an epoch too: it leaves a checkpoint there, and its progress.
"""

import contextlib
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import torch

from musiclab.errors import UserError
from musiclab.plain import plain
from musiclab.training import tensors
from musiclab.training.epoch import Epoch
from musiclab.training.files import CHECKPOINT, CURVES, Files, unchecked
from musiclab.training.rungs import Rungs
from musiclab.user_code import described


class Diverged(Exception):
    """A loss or a weight is no longer finite; the message names it and the epoch."""


class Point(TypedDict):
    """One point of a curve, as it stands in the file of curves.

    `name` is the full name of the curve (`train/...`), `step` how many epochs were done, `time` is in Unix seconds.
    """

    name: str
    step: int
    value: float
    time: float


class Learner(ABC):
    """What `fit` trains: modules and their optimisers, by name so that checkpoints are readable.

    An epoch must take all its draws from streams named after its number. Then the weights and the optimisers' moments
    are all of the state between epochs. What else is carried from step to step must be in the `Epoch`.
    """

    modules: Mapping[str, torch.nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]

    @abstractmethod
    def epoch(self, epoch: Epoch) -> dict[str, float]:
        """Train the rest of an epoch, by its `steps`; returns its values of the curves by full name (`train/...`)."""

    def progress(self) -> float:
        """How good the networks are now, for comparisons of trainings of one system that are equally far.

        It is worked out at rungs, from validation songs. Since trials share a stage if they differ in later stages
        only, it depends on no field of these.
        """
        raise NotImplementedError(f"{type(self).__name__} has no progress")

    def weights(self) -> dict[str, torch.Tensor]:
        """The parameters and buffers of all modules, by `module/name`."""
        return {
            f"{name}/{key}": tensor
            for name, module in self.modules.items()
            for key, tensor in module.state_dict().items()
        }

    def checkpoint(self, epoch: Epoch, points: list[Point]) -> bytes:
        """All that `restore` needs to go on with `epoch`, begun or not, as a safetensors file."""
        state = tensors.prefixed("weights", self.weights())
        for name, optimizer in self.optimizers.items():
            state |= tensors.prefixed(f"optimizers/{name}", tensors.optimizer_tensors(optimizer))
        if not epoch.done:
            return tensors.to_bytes(state, {"epochs": epoch.number, "points": points})
        begun, meta = epoch.state()
        # Without "epochs", because versions that know no begun epochs would begin this one anew with its weights.
        return tensors.to_bytes(state | tensors.prefixed("epoch", begun), {"epoch": meta, "points": points})

    def restore(self, data: bytes) -> tuple[Epoch, list[Point]]:
        """Load a checkpoint; returns the epoch to go on with and the points of the curves so far.

        Raises:
            ValueError: `data` is no whole checkpoint.
        """
        state, meta = tensors.from_bytes(data)
        for name, module in self.modules.items():
            module.load_state_dict(tensors.under(f"weights/{name}", state))
        for name, optimizer in self.optimizers.items():
            tensors.load_optimizer(optimizer, tensors.under(f"optimizers/{name}", state))
        begun = "epoch" in meta
        epoch = Epoch.resumed(tensors.under("epoch", state), meta["epoch"]) if begun else Epoch(meta["epochs"])
        return epoch, [
            Point(name=point["name"], step=point["step"], value=point["value"], time=point["time"])
            for point in meta["points"]
        ]


class FunctionLearner(Learner):
    """A learner whose epoch is a function.

    Args:
        epoch: trains one epoch and returns the values of its curves by full name.
        parts: the modules and optimizers that it trains, by name.

    Raises:
        UserError: a part is neither.
    """

    def __init__(
        self,
        epoch: Callable[[Epoch], dict[str, float]],
        parts: Mapping[str, torch.nn.Module | torch.optim.Optimizer],
    ) -> None:
        for name, part in parts.items():
            if not isinstance(part, torch.nn.Module | torch.optim.Optimizer):
                raise UserError(
                    f"run.fit must get modules and optimizers; got {type(part).__name__} for {name}. What else an "
                    "epoch needs, such as a learning rate, must follow from its number, so that a training can resume."
                )
        self.function = epoch
        self.modules = {name: part for name, part in parts.items() if isinstance(part, torch.nn.Module)}
        self.optimizers = {name: part for name, part in parts.items() if isinstance(part, torch.optim.Optimizer)}

    def epoch(self, epoch: Epoch) -> dict[str, float]:
        return self.function(epoch)


def fit(
    learner: Learner,
    epochs: int,
    files: Files,
    after_epoch: Callable[[], None] = lambda: None,
    rungs: tuple[float, ...] = (),
    at_rung: Callable[[int, float], None] = lambda rung, value: None,
) -> list[Point]:
    """Train `learner` up to `epochs`, from the checkpoint in `files` if there is one.

    A checkpoint cannot be half-written, because a write replaces the file in one step. If a checkpoint cannot be read,
    from a failing disk for example, training starts afresh.

    Args:
        learner: what is trained, freshly initialised.
        epochs: how many epochs it has in the end.
        files: where the checkpoint, the curves and the progress at the rungs are kept, see `read_progress`.
        after_epoch: called after each epoch, once its checkpoint and curves are written; on resume also for the epoch
            that the checkpoint belongs to. It may raise to stop the training; a later call of `fit` resumes it.
        rungs: rising shares of the training, between 0 and 1, see `Rungs`.
        at_rung: called with a rung's number and the learner's progress there, once a checkpoint at that step and the
            progress are written; on resume also for the rungs before the checkpoint, with what was kept, but not for
            those that were passed by a training without them. It may raise like `after_epoch`.

    Returns:
        All points of the curves.

    Raises:
        Diverged: a curve, a parameter or a buffer is no longer finite. The curves up to there are kept.
        UserError: an epoch returned anything but numbers by name.
        ValueError: `rungs` are no such shares.
    """
    files = unchecked(files)
    watched = Rungs(rungs, at_rung, files, epochs)
    epoch, points = Epoch(0), list[Point]()
    with contextlib.suppress(FileNotFoundError, ValueError):
        epoch, points = learner.restore(files.read(CHECKPOINT))

    def end_epoch() -> None:
        files.write(CURVES, json.dumps(points).encode())
        after_epoch()

    def after_step(epoch: Epoch) -> None:
        reached = watched.at(epoch)
        # A network that has diverged gets no checkpoint, here as at the end of the epoch, when it is noticed.
        if reached and not _not_finite(learner) - unset:
            files.write(CHECKPOINT, learner.checkpoint(epoch, points))
            watched.tell(reached, lambda: _progress(learner))

    if points:
        # A kill between checkpoint and curves left these without the epoch of the checkpoint, and it may be the last.
        end_epoch()
    watched.tell(watched.known(epoch), lambda: _progress(learner))
    unset = _not_finite(learner)
    while epoch.number < epochs:
        epoch.after_step = after_step
        values = _numbers(learner, learner.epoch(epoch))
        epoch = Epoch(epoch.number + 1)
        now = time.time()
        points += [
            Point(name=name, step=epoch.number, value=value, time=now)
            for name, value in values.items()
            if math.isfinite(value)
        ]
        # The losses were taken before the last update, so the weights are checked too. A buffer that was not finite
        # before the epoch, such as a least loss so far, may stay so.
        unset_now = _not_finite(learner)
        diverged = [name for name, value in values.items() if not math.isfinite(value)] + sorted(unset_now - unset)
        if not diverged:
            files.write(CHECKPOINT, learner.checkpoint(epoch, points))
        end_epoch()
        if diverged:
            raise Diverged(f"diverged: {diverged[0]} is not finite after epoch {epoch.number}")
        unset = unset_now
    return points


def _numbers(learner: Learner, returned: Any) -> dict[str, float]:
    """What an epoch returned, with the numbers of tensors and of NumPy as plain ones."""
    values = returned if isinstance(returned, Mapping) else {"": returned}
    numbers: dict[str, Any] = {name: plain(value) for name, value in values.items()}
    for name, number in numbers.items():
        if not (isinstance(name, str) and name and type(number) in (int, float)):
            value = values[name]
            text = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
            shape = f" of shape {tuple(value.shape)}" if getattr(value, "shape", None) else ""
            where = described(getattr(learner, "function", type(learner).epoch)).replace(".<locals>", "")
            raise UserError(
                f"{where} must return the values of its curves by name, such as {{'train/loss': 0.5}}; got "
                f"{text}{shape}{f' for {name!r}' if values is returned else ''}."
            )
    return numbers


def _progress(learner: Learner) -> float:
    """The learner's progress; afterwards its training goes on as if nobody had asked."""
    modes = {module: module.training for network in learner.modules.values() for module in network.modules()}
    with torch.no_grad(), torch.random.fork_rng():
        value = learner.progress()
    for module, training in modes.items():
        module.training = training
    return value


def _not_finite(learner: Learner) -> set[str]:
    """The names of the parameters and buffers that hold a number that is not finite."""
    return {name for name, tensor in learner.weights().items() if not tensor.isfinite().all()}
