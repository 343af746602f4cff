"""Named random streams: every draw of a trial comes from (study seed, block, purpose), so no draw shifts another."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Generator


@dataclass(frozen=True)
class Block:
    """One paired replicate: all variants of a block share its split, data order, start windows and noise.

    A purpose is a name such as `("init", "Piano")` or `("data", epoch)`. Each name has a stream of its own, whose state
    is never carried along. So equal names give equal draws in every process, whether training ran straight through or
    was resumed. PyTorch is imported only where it is used, because plans hold blocks and reading a plan must not need
    it.
    """

    seed: int
    index: int

    def stream_seed(self, *purpose: str | int) -> int:
        """A 63-bit seed for the named purpose."""
        name = "/".join(str(part) for part in (self.seed, self.index, *purpose))
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1

    def numpy(self, *purpose: str | int) -> np.random.Generator:
        """The stream of a purpose, for NumPy."""
        return np.random.default_rng(self.stream_seed(*purpose))

    def torch(self, *purpose: str | int) -> "Generator":
        """The stream of a purpose, for PyTorch; always on the CPU, so that a trial on a GPU has the same draws."""
        import torch

        return torch.Generator().manual_seed(self.stream_seed(*purpose))

    @contextmanager
    def global_torch(self, *purpose: str | int) -> Iterator[tuple["Generator", ...]]:
        """A context in which PyTorch's global stream is that of a purpose, for initialisers and dropout.

        It gives the generators behind the global stream: the CPU's, and that of the GPU if one is in use. The global
        stream is as before at its end.
        """
        import torch

        with torch.random.fork_rng():
            torch.manual_seed(self.stream_seed(*purpose))
            gpus = torch.cuda.default_generators[torch.cuda.current_device() :] if torch.cuda.is_initialized() else ()
            yield torch.default_generator, *gpus[:1]
