"""Where a stage keeps its files, and the names that whoever follows a training from outside knows; without torch."""

from typing import Protocol, Self

CHECKPOINT = "checkpoint.safetensors"
CURVES = "curves.json"


class Files(Protocol):
    """A stage's own files, and by `product` those of the stages before it."""

    def read(self, name: str) -> bytes:
        """The file's bytes; FileNotFoundError where there is none."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Replace the file in one step: nobody ever sees half of it."""
        ...

    def product(self, stage: str) -> Self:
        """The finished files of an earlier stage of the same trial."""
        ...
