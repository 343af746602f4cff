"""Batches: shuffled indices, and packed windows unpacked on the device."""

from collections.abc import Iterator

import numpy as np
import torch

from musiclab.data.songs import TRACKS
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


def windows_on(windows: BlockWindows, indices: np.ndarray, device: torch.device) -> torch.Tensor:
    """In how many of the windows at `indices` (n,) each cell is on: `(track, steps, 128)` float64, exact."""
    return sum(x_NRTP.sum(dim=0, dtype=torch.float64) for x_NRTP in in_order(windows, indices, device))


def mean_window(windows: BlockWindows, device: torch.device) -> torch.Tensor:
    """The mean of the training windows `(track, steps, 128)` float64, what a prediction has to be better than."""
    return windows_on(windows, windows.train, device) / len(windows.train)


def shares_on(windows: BlockWindows, device: torch.device, pitches: slice = slice(None)) -> dict[str, float]:
    """Share of each track's cells, of some or all pitches, that are on in the training windows."""
    counts = windows_on(windows, windows.train, device)[..., pitches]
    shares = counts.sum(dim=(1, 2)) / (len(windows.train) * counts[0].numel())
    return dict(zip(TRACKS, shares.tolist(), strict=True))


def unpack(packed_NTB: np.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    """Packed windows `(..., 16)` uint8 as float32 `(..., 128)` on `device`: bits travel, floats are made there."""
    packed = torch.as_tensor(np.ascontiguousarray(packed_NTB) if isinstance(packed_NTB, np.ndarray) else packed_NTB)
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)
    bits = (packed.to(device).unsqueeze(-1) >> shifts) & 1
    return bits.flatten(-2).float()
