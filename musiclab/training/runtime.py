"""What decides a trained network's numbers beside its code: PyTorch's minor version and the kind of device."""

import functools
import importlib.metadata
from dataclasses import asdict, dataclass
from typing import Any, Literal

Device = Literal["cpu", "cuda"]


class WrongRuntime(Exception):
    """A worker is not what the plan asks for; the message says how it differs."""


@dataclass(frozen=True)
class Runtime:
    """What a trial is to run on, part of the keys of stages that train.

    Trials of one block are compared with one another, so they must not differ in it. `torch` is a minor version such
    as `2.13`. PyTorch is not imported: whoever plans does without it.
    """

    torch: str
    device: Device = "cpu"

    @classmethod
    def here(cls, device: Device = "cpu") -> "Runtime":
        """With the version of PyTorch that is installed here."""
        return cls(_torch_version(), device)

    def to_json(self) -> dict[str, Any]:
        """Its fields by name."""
        return asdict(self)

    def check(self, has_gpu: bool) -> None:
        """Raise WrongRuntime if this process cannot give the numbers that the plan asks for."""
        if self.torch != _torch_version():
            raise WrongRuntime(
                f"The plan asks for PyTorch {self.torch}, and this worker has {_torch_version()}; install the same "
                "version on all machines, or plan anew with this one."
            )
        if self.device == "cuda" and not has_gpu:
            raise WrongRuntime(
                "The plan asks for a GPU, and this worker has none; give it one, or plan with --gpus-per-trial 0."
            )


@functools.cache
def _torch_version() -> str:
    return ".".join(importlib.metadata.version("torch").split(".")[:2])
