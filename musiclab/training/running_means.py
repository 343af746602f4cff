"""Running means of losses over an epoch."""

import torch


class RunningMeans:
    """Running means of named losses, kept on the device so that no step waits for a number."""

    def __init__(self) -> None:
        self.count, self.totals = {}, {}

    def add(self, n: int, values: dict[str, torch.Tensor]) -> None:
        """Take up means over a batch of `n`, by name."""
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0) + value.detach().double() * n
            self.count[name] = self.count.get(name, 0) + n

    def means(self) -> dict[str, float]:
        """The means over all that was added, by name."""
        return {name: float(total) / self.count[name] for name, total in self.totals.items()}
