"""Modules of networks, with the types that PyTorch's own annotations leave out."""

from collections.abc import Iterable, Sequence
from typing import TypeVar, cast

import torch
from torch import nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def channels_last(module: ModuleT, device: torch.device) -> ModuleT:
    """Move a module to the device, in the memory layout that convolutions are fastest in on CPUs and tensor cores."""
    module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented but not annotated
    return module


def module_list(modules: Iterable[ModuleT]) -> Sequence[ModuleT]:
    """An `nn.ModuleList`, which does not say itself what kind of modules it holds."""
    return cast("Sequence[ModuleT]", nn.ModuleList(modules))
