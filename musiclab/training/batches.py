"""Batches: shuffled indices, and packed windows unpacked on the device."""

from collections.abc import Iterator

import numpy as np
import torch

from musiclab.training.windows import BlockWindows

# What needs no gradients needs little memory: large batches.
EVAL_BATCH = 256


def shuffled(n: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Index batches (size,) over 0..n-1 in a new order; the last one may be smaller."""
    yield from torch.randperm(n, generator=generator).split(size)


def in_order(windows: BlockWindows, indices: np.ndarray, device: torch.device) -> Iterator[torch.Tensor]:
    """The windows at `indices` (n, ...) as float rolls `(up to EVAL_BATCH, ..., track, steps, 128)` on the device."""
    for at in range(0, len(indices), EVAL_BATCH):
        yield unpack(windows.packed(indices[at : at + EVAL_BATCH]), device)


def unpack(packed_NTB: np.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    """Packed windows `(..., 16)` uint8 as float32 `(..., 128)` on `device`: bits travel, floats are made there."""
    packed = torch.as_tensor(np.ascontiguousarray(packed_NTB) if isinstance(packed_NTB, np.ndarray) else packed_NTB)
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)
    bits = (packed.to(device).unsqueeze(-1) >> shifts) & 1
    return bits.flatten(-2).float()
