"""An epoch in progress: which of its steps are done, and all that is carried from one step to the next."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Self, TypeVar

import torch

from musiclab.training import tensors
from musiclab.training.running_means import RunningMeans

BatchT = TypeVar("BatchT")


class Epoch:
    """One pass of a training over its data, which may be left after any step and resumed there, to the bit.

    Attributes:
        number: counted from 0.
        done: how many of its steps are done.
        count: how many steps it has; 0 before the first one.
        sums: the running means of its losses.
        carried: the tensors that a step leaves to the next one, by name; on the CPU when they have been restored.
        after_step: called after each step; it may raise to leave the epoch.
    """

    def __init__(self, number: int) -> None:
        self.number, self.done, self.count = number, 0, 0
        self.after_step: Callable[[Epoch], None] = lambda epoch: None
        self.sums = RunningMeans()
        self.carried: dict[str, torch.Tensor] = {}
        self._streams: list[torch.Generator] = []
        self._states: list[torch.Tensor] = []

    def drawn_from(self, *streams: torch.Generator) -> None:
        """Name the streams that steps draw from, in the same order each time and before the first step.

        Checkpoints hold their states. In a resumed epoch the streams are put where its last step left them.
        """
        for stream in streams:
            if self._states:
                stream.set_state(self._states[len(self._streams)])
            self._streams.append(stream)

    def steps(self, batches: Iterable[BatchT], count: int) -> Iterator[tuple[int, BatchT]]:
        """The first `count` batches without those that are done, each with its number among all epochs' steps."""
        self.count = count
        for batch in islice(batches, self.done, count):
            yield self.number * count + self.done, batch
            self.done += 1
            self.after_step(self)

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """All that `resumed` needs: tensors and what is JSON-serialisable.

        It is asked for by `after_step`, because a global stream is another one once its context is left.
        """
        streams = {str(place): stream.get_state() for place, stream in enumerate(self._streams)}
        state = {"streams": streams, "sums": self.sums.totals, "carried": self.carried}
        kept = {name: tensor for kind, group in state.items() for name, tensor in tensors.prefixed(kind, group).items()}
        return kept, {"number": self.number, "done": self.done, "count": self.count, "counts": self.sums.counts}

    @classmethod
    def resumed(cls, state: dict[str, torch.Tensor], meta: dict[str, Any]) -> Self:
        """The epoch of which `state` returned this."""
        epoch = cls(meta["number"])
        epoch.done, epoch.count, epoch.carried = meta["done"], meta["count"], tensors.under("carried", state)
        streams, sums = tensors.under("streams", state), tensors.under("sums", state)
        # A file of tensors keeps no order, and the points of curves are in the order in which losses were added.
        epoch.sums.totals, epoch.sums.counts = {name: sums[name] for name in meta["counts"]}, meta["counts"]
        epoch._states = [streams[str(place)] for place in range(len(streams))]
        return epoch
