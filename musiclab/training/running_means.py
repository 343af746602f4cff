"""Running means of losses over an epoch."""

import torch


class RunningMeans:
    """Running means of named losses. They stay on the device, so that no step waits for a copy to the CPU."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.totals: dict[str, torch.Tensor] = {}

    def add(self, n: int, values: dict[str, torch.Tensor]) -> None:
        """Add the means over a batch of `n` items, by name."""
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0) + value.detach().double() * n
            self.counts[name] = self.counts.get(name, 0) + n

    def means(self) -> dict[str, float]:
        """The means over all items, by name."""
        return {name: float(total) / self.counts[name] for name, total in self.totals.items()}
