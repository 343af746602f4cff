"""The files of a stage, and those by which others follow a training. Does not import torch."""

import contextlib
import json
import re
from collections.abc import Sequence
from typing import Any, Protocol, Self

from musiclab.errors import UserError

CHECKPOINT = "checkpoint.safetensors"
CURVES = "curves.json"
PROGRESS = "progress.json"
# What musiclab writes beside the files of a stage of a user's: these, its mark of a finished stage, and the music.
_OURS = (CHECKPOINT, CURVES, PROGRESS, "done", "generated.npy")


class Files(Protocol):
    """The files of one stage of a trial, and by `product` those of its earlier stages."""

    def read(self, name: str) -> bytes:
        """The content of a file; FileNotFoundError if there is none."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Create or replace a file in one step, so that nobody ever sees half of it."""
        ...

    def product(self, stage: str) -> Self:
        """The finished files of an earlier stage of the same trial."""
        ...

    def names(self) -> list[str]:
        """The names of the files, sorted."""
        ...


class UsersFiles(Files):
    """The files of a stage as the code of a user's sees them: names and contents are checked, errors say what is there.

    Args:
        files: the files themselves.
        stages: the stages of the system up to this one.
        place: the file and class of the system, for sentences.
        finished: whether the stage has finished, and so is only read.
    """

    def __init__(self, files: Files, stages: Sequence[str], place: str, finished: bool = False) -> None:
        self.files, self._stages, self._place, self._finished = files, stages, place, finished

    def read(self, name: str) -> bytes:
        """As `Files` has it; the FileNotFoundError names the files that the stage has."""
        self._check(name)
        try:
            return self.files.read(name)
        except FileNotFoundError:
            there = ", ".join(self.names()) or "none"
            raise FileNotFoundError(f"the stage {self._stages[-1]} has no file {name!r}; it has {there}") from None

    def write(self, name: str, data: bytes) -> None:
        """As `Files` has it; UserError if it is of an earlier stage, or the name or the data are none of a file."""
        self._check(name)
        if self._finished:
            raise UserError(
                f"{self._place}: a stage must write among its own files, those of run.files; {name!r} was to be "
                f"written among those of {self._stages[-1]}, which has finished."
            )
        if name in _OURS:
            raise UserError(f"{self._place}: a file must have a name of its own; {name!r} is one of musiclab's.")
        if not isinstance(data, bytes | bytearray | memoryview):
            raise UserError(
                f"{self._place}: the content of {name!r} must be bytes, such as a text's .encode() or an array's "
                f".tobytes(); got {type(data).__name__}."
            )
        self.files.write(name, bytes(data))

    def product(self, stage: str) -> "UsersFiles":
        """As `Files` has it; UserError if the stage is no earlier one."""
        if stage not in self._stages:
            earlier = self._stages[:-1]
            known = f"one of {', '.join(earlier)}" if earlier else f"an earlier stage; {self._stages[0]} is the first"
            raise UserError(f"{self._place}: product must name {known}; got {stage!r}.")
        stages = self._stages[: self._stages.index(stage) + 1]
        return UsersFiles(self.files.product(stage), stages, self._place, stages != self._stages)

    def names(self) -> list[str]:
        return [name for name in self.files.names() if name not in _OURS]

    def _check(self, name: Any) -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[^./\\][^/\\]*", name) or not name.isprintable():
            raise UserError(
                f"{self._place}: a file must have a name such as 'odds.npy', without folders; got {name!r}."
            )


def unchecked(files: Files) -> Files:
    """The files themselves, for what musiclab writes among those of a user's."""
    return files.files if isinstance(files, UsersFiles) else files


def read_progress(files: Files) -> dict[float, float]:
    """The progress of a stage at its rungs, by their share of the training; without those that it has not passed.

    A stage that was trained without rungs has none, nor has one whose file is damaged. A value may be NaN or infinite.
    """
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError, LookupError, RecursionError):
        return {float(rung["share"]): float(rung["value"]) for rung in json.loads(files.read(PROGRESS))}
    return {}


def write_progress(files: Files, values: dict[float, float]) -> None:
    """Keep the progress of a stage at its rungs, by their share of the training."""
    rungs = [{"share": share, "value": value} for share, value in sorted(values.items())]
    files.write(PROGRESS, json.dumps(rungs).encode())
