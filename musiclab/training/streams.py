"""Named random streams: every draw of a trial comes from (study seed, block, purpose), so no draw shifts another."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Block:
    """One paired replicate: all variants of a block share its split, data order, start windows and noise.

    Purposes are names such as `("init", "Piano")` or `("data", epoch)`; equal names give equal draws in every process,
    straight through or resumed, because no stream's state is ever carried along: a new name is a new stream. PyTorch is
    imported where it is used: plans hold blocks, and whoever reads plans does without it.
    """

    seed: int
    index: int

    def stream_seed(self, *purpose: str | int) -> int:
        """A 63-bit seed for the named purpose."""
        name = "/".join(str(part) for part in (self.seed, self.index, *purpose))
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1

    def numpy(self, *purpose: str | int) -> np.random.Generator:
        """The purpose's stream for NumPy."""
        return np.random.default_rng(self.stream_seed(*purpose))

    def torch(self, *purpose: str | int) -> "torch.Generator":
        """The purpose's stream for PyTorch, always on the CPU so that a GPU trial sees the same draws."""
        import torch

        return torch.Generator().manual_seed(self.stream_seed(*purpose))

    @contextmanager
    def global_torch(self, *purpose: str | int) -> Iterator[None]:
        """Seed PyTorch's global stream inside the block: initialisers and dropout draw from nothing else."""
        import torch

        with torch.random.fork_rng():
            torch.manual_seed(self.stream_seed(*purpose))
            yield
