"""Batches: shuffled indices, and packed windows unpacked on the device."""

from collections.abc import Iterator

import numpy as np
import torch


def shuffled(n: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Index batches (size,) over 0..n-1 in a new order; the last one may be smaller."""
    yield from torch.randperm(n, generator=generator).split(size)


def unpack(packed_NTB: np.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    """Packed windows `(..., 16)` uint8 as float32 `(..., 128)` on `device`: bits travel, floats are made there."""
    packed = torch.as_tensor(np.ascontiguousarray(packed_NTB) if isinstance(packed_NTB, np.ndarray) else packed_NTB)
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)
    bits = (packed.to(device).unsqueeze(-1) >> shifts) & 1
    return bits.flatten(-2).float()
