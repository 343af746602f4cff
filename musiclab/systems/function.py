"""A plain function as a system: it learns from the training windows and continues the start windows in one stage."""

import dataclasses
import inspect
import json
import math
import time
from collections.abc import Callable
from typing import Any, ClassVar, overload

import numpy as np
import numpy.typing as npt
import torch

from musiclab.plain import plain
from musiclab.systems.base import StageRun, System
from musiclab.systems.config import GENERATE, MEASURE, TAKEN, Config, field, wrong_default
from musiclab.training.files import CURVES, unchecked
from musiclab.training.fit import Point
from musiclab.user_code import described


class FunctionData:
    """What a function is given.

    Attributes:
        train: windows to learn from, `(n, track, step, pitch)` bool.
        starts: windows to continue, `(n, track, step, pitch)` bool, from songs that are not trained on.
        windows: how many windows to make after each start.
        steps: steps a window.
        resolution: steps a beat.
        device: where networks are to be.
    """

    def __init__(self, run: StageRun[Config], starts: npt.NDArray[np.bool_]) -> None:
        self._run, self._points = run, list[Point]()
        self.starts, self.windows = starts, run.config.continuation
        self.steps, self.resolution = run.config.steps, run.config.resolution
        self.device = run.device

    @property
    def train(self) -> npt.NDArray[np.bool_]:
        return self._run.rolls("train")

    @property
    def validation(self) -> npt.NDArray[np.bool_]:
        """Windows of songs that are not trained on, to stop by, `(n, track, step, pitch)` bool."""
        return self._run.rolls("validation")

    def numpy(self, *purpose: str | int) -> np.random.Generator:
        """The block's random stream for a purpose, for NumPy; all draws must come from such streams."""
        return self._run.block.numpy(*purpose)

    def torch(self, *purpose: str | int) -> torch.Generator:
        """The block's random stream for a purpose, for PyTorch."""
        return self._run.block.torch(*purpose)

    def report(self, step: int, **values: float) -> None:
        """Add a point to each named curve, such as `report(epoch, loss=0.5)`; the study may be stopped here.

        Nothing can be resumed: a function that was stopped begins anew.
        """
        now = time.time()
        self._points += [
            Point(name=f"train/{name}", step=step, value=float(value), time=now)
            for name, value in values.items()
            if math.isfinite(value)
        ]
        unchecked(self._run.files).write(CURVES, json.dumps(self._points).encode())
        self._run.after_epoch()


Function = Callable[..., np.ndarray]


class FunctionSystem(System[Any]):
    """A system whose one stage calls a function; see `system`."""

    stages: ClassVar[dict[str, int]] = {GENERATE: 1, MEASURE: 1}
    function: ClassVar[Function]
    wrong: ClassVar[str] = ""  # what is wrong with the function, in a sentence

    def train(self, stage: str, run: StageRun[Any]) -> None:
        raise NotImplementedError("a function has no stage that only trains")

    def continuations(self, run: StageRun[Any], starts: np.ndarray) -> np.ndarray:
        common = {spec.name for spec in dataclasses.fields(Config)}
        fields = {name: value for name, value in run.config.to_json().items() if name not in common}
        return type(self).function(FunctionData(run, starts), **fields)


@overload
def system(function: Function) -> type[FunctionSystem]: ...
@overload
def system(*, conditions: tuple[str, ...]) -> Callable[[Function], type[FunctionSystem]]: ...
def system(function: Function | None = None, *, conditions: tuple[str, ...] = ("start", "noise")) -> Any:
    """Make a system of a function `(data, *, field=default, ...) -> rolls`.

    `data` is a `FunctionData`. Each keyword argument becomes a field of the config, of the type beside it or else
    that of its default, so `heat=1.0` or `heat: float = 1` takes 0.5 and `heat=1` does not.
    The function returns rolls `(start, window, track, step, pitch)` bool: `data.windows` windows after each of
    `data.starts`. Training and generating are one stage, so a trial that is stopped begins anew, and `musiclab
    generate` has no model to generate from.

    Args:
        function: it gives the system its name.
        conditions: what its music depends on, see `System.conditions`.
    """
    if function is None:
        return lambda each: _system(each, conditions)
    return _system(function, conditions)


def _system(function: Function, conditions: tuple[str, ...]) -> type[FunctionSystem]:
    # What is wrong is kept for whoever asks for the system, because an error on import would be a traceback.
    wrong = _wrong(function)
    named = [] if wrong else list(inspect.signature(function).parameters.values())[1:]
    doc = (inspect.getdoc(function) or "").partition("\n")[0]
    name = getattr(function, "__name__", "wrong")
    place = {"__module__": getattr(function, "__module__", __name__), "__doc__": function.__doc__}
    config = dataclasses.make_dataclass(
        f"{name}_config",
        # The annotation says the type, as in a class; without one it is that of the default.
        [(each.name, each.annotation, field(each.default, GENERATE, f"{each.name} of: {doc}")) for each in named],
        bases=(Config,),
        frozen=True,
        namespace=place,
    )
    attributes = {
        "name": name,
        "config": config,
        "conditions": conditions,
        "function": staticmethod(function),
        "wrong": wrong,
        "__qualname__": getattr(function, "__qualname__", name),
    }
    return type(name, (FunctionSystem,), place | attributes)


def _wrong(function: Any) -> str:
    """What is wrong with a function as a system, in a sentence; empty if nothing is."""
    if not inspect.isfunction(function):
        return f"@system must stand above a function; got {described(function)}."
    arguments = list(inspect.signature(function).parameters.values())
    named = [each for each in arguments if each.kind is each.KEYWORD_ONLY and each.default is not each.empty]
    if len(arguments) != len(named) + 1 or arguments[0] in named:
        return (
            f"{described(function)} must take the data and then fields by keyword with defaults, such as "
            f"{function.__name__}(data, *, order=2); got {function.__name__}{inspect.signature(function)}."
        )
    for each in named:
        if each.name in TAKEN:
            return f"{described(function)}: {each.name} must have another name; every system has a {each.name}."
        if wrong := wrong_default(plain(each.default), each.annotation):
            return f"{described(function)}: the default of {each.name} {wrong}."
    return ""


__all__ = ["FunctionData", "FunctionSystem", "system"]
