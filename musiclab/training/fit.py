"""The fit loop: curves and a checkpoint after each epoch, and a resume that gives the same bits as no interruption."""

import contextlib
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TypedDict

import torch

from musiclab.training import tensors
from musiclab.training.files import CHECKPOINT, CURVES, Files


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
    are all of the state.
    """

    modules: Mapping[str, torch.nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]

    @abstractmethod
    def epoch(self, number: int) -> dict[str, float]:
        """Train epoch `number`, counted from 0, and return its values of the curves by full name (`train/...`)."""

    def weights(self) -> dict[str, torch.Tensor]:
        """The parameters and buffers of all modules, by `module/name`."""
        return {
            f"{name}/{key}": tensor
            for name, module in self.modules.items()
            for key, tensor in module.state_dict().items()
        }

    def checkpoint(self, done: int, points: list[Point]) -> bytes:
        """All that `restore` needs to resume after `done` epochs, as a safetensors file."""
        state = tensors.prefixed("weights", self.weights())
        for name, optimizer in self.optimizers.items():
            state |= tensors.prefixed(f"optimizers/{name}", tensors.optimizer_tensors(optimizer))
        return tensors.to_bytes(state, {"epochs": done, "points": points})

    def restore(self, data: bytes) -> tuple[int, list[Point]]:
        """Load a checkpoint; returns how many epochs were done and the points of the curves so far.

        Raises:
            ValueError: `data` is no whole checkpoint.
        """
        state, meta = tensors.from_bytes(data)
        for name, module in self.modules.items():
            module.load_state_dict(tensors.under(f"weights/{name}", state))
        for name, optimizer in self.optimizers.items():
            tensors.load_optimizer(optimizer, tensors.under(f"optimizers/{name}", state))
        return meta["epochs"], [
            Point(name=point["name"], step=point["step"], value=point["value"], time=point["time"])
            for point in meta["points"]
        ]


def fit(learner: Learner, epochs: int, files: Files, after_epoch: Callable[[], None] = lambda: None) -> list[Point]:
    """Train `learner` up to `epochs`, from the checkpoint in `files` if there is one.

    A checkpoint cannot be half-written, because a write replaces the file in one step. If a checkpoint cannot be read,
    from a failing disk for example, training starts afresh.

    Args:
        learner: what is trained, freshly initialised.
        epochs: how many epochs it has in the end.
        files: where the checkpoint and the curves are kept.
        after_epoch: called after each epoch, once its checkpoint and curves are written; on resume also for the epoch
            that the checkpoint belongs to. It may raise to stop the training; a later call of `fit` resumes it.

    Returns:
        All points of the curves.

    Raises:
        Diverged: a curve, a parameter or a buffer is no longer finite. The curves up to there are kept.
    """
    done, points = 0, list[Point]()
    with contextlib.suppress(FileNotFoundError, ValueError):
        done, points = learner.restore(files.read(CHECKPOINT))

    def end_epoch() -> None:
        files.write(CURVES, json.dumps(points).encode())
        after_epoch()

    if points:
        # A kill between checkpoint and curves left these without the epoch of the checkpoint, and it may be the last.
        end_epoch()
    unset = _not_finite(learner)
    for number in range(done, epochs):
        values = learner.epoch(number)
        now = time.time()
        points += [
            Point(name=name, step=number + 1, value=value, time=now)
            for name, value in values.items()
            if math.isfinite(value)
        ]
        # The losses were taken before the last update, so the weights are checked too. A buffer that was not finite
        # before the epoch, such as a least loss so far, may stay so.
        unset_now = _not_finite(learner)
        diverged = [name for name, value in values.items() if not math.isfinite(value)] + sorted(unset_now - unset)
        if not diverged:
            files.write(CHECKPOINT, learner.checkpoint(number + 1, points))
        end_epoch()
        if diverged:
            raise Diverged(f"diverged: {diverged[0]} is not finite after epoch {number + 1}")
        unset = unset_now
    return points


def _not_finite(learner: Learner) -> set[str]:
    """The names of the parameters and buffers that hold a number that is not finite."""
    return {name for name, tensor in learner.weights().items() if not tensor.isfinite().all()}
