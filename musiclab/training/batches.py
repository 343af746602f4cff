"""Batches: shuffled indices, and packed windows unpacked on the device."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from musiclab.data.songs import TRACKS
from musiclab.data.windows import PITCHES
from musiclab.training.windows import BlockWindows

# Large, because what needs no gradients needs little memory.
EVAL_BATCH = 256


def shuffled(n: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Batches (size,) of the indices 0 to n - 1 in random order; the last batch may be smaller."""
    yield from torch.split(torch.randperm(n, generator=generator), size)


def in_order(windows: BlockWindows, indices: npt.NDArray[np.int64], device: torch.device) -> Iterator[torch.Tensor]:
    """The windows at `indices` (n, ...) as float32 rolls `(up to EVAL_BATCH, ..., track, steps, 128)` on the device."""
    for first in range(0, len(indices), EVAL_BATCH):
        yield float_rolls(windows.packed(indices[first : first + EVAL_BATCH]), device)


def windows_on(windows: BlockWindows, indices: npt.NDArray[np.int64], device: torch.device) -> torch.Tensor:
    """For each cell, in how many of the windows at `indices` (n,) it is on: `(track, steps, 128)` float64, exact."""
    shape = (len(TRACKS), windows.store.spec.steps, PITCHES)
    counts_RTP = torch.zeros(shape, dtype=torch.float64, device=device)
    for x_NRTP in in_order(windows, indices, device):
        counts_RTP += x_NRTP.sum(dim=0, dtype=torch.float64)
    return counts_RTP


def mean_window(windows: BlockWindows, device: torch.device) -> torch.Tensor:
    """The mean of the training windows `(track, steps, 128)` float64: the baseline of every prediction."""
    return windows_on(windows, windows.train, device) / len(windows.train)


def shares_on(
    windows: BlockWindows, indices: npt.NDArray[np.int64], device: torch.device, pitches: slice = slice(None)
) -> dict[str, float]:
    """For each track, the share of its cells at `pitches` that are on in the windows at `indices` (n,)."""
    counts = windows_on(windows, indices, device)[..., pitches]
    shares = counts.sum(dim=(1, 2)) / (len(indices) * counts[0].numel())
    return dict(zip(TRACKS, shares.tolist(), strict=True))


def float_rolls(packed_NTB: npt.NDArray[np.uint8] | torch.Tensor, device: torch.device) -> torch.Tensor:
    """Packed windows `(..., 16)` uint8 as float32 `(..., 128)` on `device`; only the bits are copied to the device."""
    packed = torch.as_tensor(np.ascontiguousarray(packed_NTB) if isinstance(packed_NTB, np.ndarray) else packed_NTB)
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)
    bits = (packed.to(device).unsqueeze(-1) >> shifts) & 1
    return bits.flatten(-2).float()
