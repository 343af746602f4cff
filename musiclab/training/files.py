"""The files of a stage, and those by which others follow a training. Does not import torch."""

import contextlib
import json
from typing import Protocol, Self

CHECKPOINT = "checkpoint.safetensors"
CURVES = "curves.json"
PROGRESS = "progress.json"


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
