"""The order of a window's cells in which the layers of `patches` are products over contiguous memory.

Place by place of the third layer's outputs (one of all pitches, or two that halve them), in each the places of that
layer's kernel, in each of these those of the second's, then of the first's, always time before pitch.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from musiclab.data.windows import PITCHES
from musiclab.training.windows import BlockWindows

KERNEL = 4  # of the first two layers, in both directions
_PATCH = KERNEL * KERNEL
# Bytes of windows that are kept in this order, some 100,000 windows of five tracks; more are put into it as they come.
_KEPT = 2**28


def to_patches(x_NMTP: torch.Tensor, places: int = 1) -> torch.Tensor:
    """Windows `(n, member, steps, 128)` in patch order for so many places, `(member, n, steps x 128)`."""
    n, members, steps, pitches = x_NMTP.shape
    blocks = x_NMTP.reshape(n, members, steps // _PATCH, KERNEL, KERNEL, places, -1, KERNEL, KERNEL)
    return blocks.permute(1, 0, 5, 2, 6, 3, 7, 4, 8).reshape(members, n, steps * pitches)


def from_patches(x_MNC: torch.Tensor, steps: int, places: int = 1) -> torch.Tensor:
    """The inverse of `to_patches`."""
    members, n, _ = x_MNC.shape
    blocks = x_MNC.view(members, n, places, steps // _PATCH, -1, KERNEL, KERNEL, KERNEL, KERNEL)
    return blocks.permute(1, 0, 3, 5, 7, 2, 4, 6, 8).reshape(n, members, steps, PITCHES)


class PatchWindows:
    """Windows of a block in patch order, put into it once unless they are too many to be kept.

    Args:
        windows: the block's.
        indices: which of them `(n,)`.
        tracks: the members.
        device: where they are kept and unpacked.
        places: as for `to_patches`.
    """

    def __init__(
        self,
        windows: BlockWindows,
        indices: npt.NDArray[np.int64],
        tracks: list[int],
        device: torch.device,
        places: int = 1,
    ) -> None:
        self._windows, self._indices, self._tracks = windows, indices, tracks
        self._device, self._places = device, places
        size = len(indices) * len(tracks) * windows.store.spec.steps * PITCHES // 8
        self._kept_MNB = self._packed(indices) if size <= _KEPT else None

    def batch(self, positions: torch.Tensor) -> torch.Tensor:
        """The windows at `positions` (size,) in the indices, as float32 `(member, size, steps x 128)`."""
        if self._kept_MNB is None:
            return unpacked(self._packed(self._indices[positions.numpy()]))
        return unpacked(self._kept_MNB[:, positions.to(self._device)])

    def _packed(self, indices: npt.NDArray[np.int64]) -> torch.Tensor:
        packed_NMTB = self._windows.packed(indices)[:, self._tracks]
        return packed_patches(torch.from_numpy(packed_NMTB).to(self._device), self._places)


def packed_patches(packed_NMTB: torch.Tensor, places: int = 1) -> torch.Tensor:
    """Packed windows `(n, member, steps, 16)` uint8 in patch order, still packed: `(member, n, steps x 16)`.

    The innermost four pitches are half a byte. Moving halves of bytes costs a hundredth of moving cells.
    """
    n, members, steps, size = packed_NMTB.shape
    halves = torch.stack([packed_NMTB >> KERNEL, packed_NMTB & 15], dim=-1)
    blocks = halves.view(n, members, steps // _PATCH, KERNEL, KERNEL, places, size // 2 // places, KERNEL)
    pairs = blocks.permute(1, 0, 5, 2, 6, 3, 7, 4).reshape(members, n, steps * size, 2)
    return pairs[..., 0] << KERNEL | pairs[..., 1]


def unpacked(packed: torch.Tensor) -> torch.Tensor:
    """Bytes `(..., bytes)` uint8 as float32 cells `(..., bytes x 8)` on the same device."""
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=packed.device)
    cells = (torch.arange(256, device=packed.device)[:, None] >> shifts & 1).float()
    return F.embedding(packed.int(), cells).flatten(-2)
