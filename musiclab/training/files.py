"""The files of a stage, and the names of those that others follow a training by. Does not import torch."""

from typing import Protocol, Self

CHECKPOINT = "checkpoint.safetensors"
CURVES = "curves.json"


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
