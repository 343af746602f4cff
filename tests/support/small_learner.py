"""A learner of milliseconds, with all that a resume could get wrong."""

import math

import torch

from musiclab.training.batches import shuffled
from musiclab.training.epoch import Epoch
from musiclab.training.fit import Learner, Point
from musiclab.training.streams import Block

EPOCHS, STEPS = 5, 4


class Small(Learner):
    """A network with all that a resume could get wrong: dropout, running means, moments, two optimisers, layouts."""

    def __init__(self, block: Block, diverge_at: int | None = None, spoil_at: int | None = None) -> None:
        self.block, self.diverge_at, self.spoil_at = block, diverge_at, spoil_at
        self.trained: list[int] = []
        self.asked = 0
        with block.global_torch("init"):
            conv = torch.nn.Sequential(
                torch.nn.Conv2d(2, 4, 2), torch.nn.BatchNorm2d(4), torch.nn.Dropout(0.3), torch.nn.Conv2d(4, 1, 3)
            )
            self.modules = {"conv": conv.to(memory_format=torch.channels_last), "head": torch.nn.Linear(1, 1)}
        self.optimizers = {
            name: torch.optim.Adam(module.parameters(), lr=0.01, fused=True) for name, module in self.modules.items()
        }
        self.x = torch.randn(20, 2, 4, 4, generator=block.torch("x"))

    def epoch(self, epoch: Epoch) -> dict[str, float]:
        number = epoch.number
        self.trained.append(number)
        with self.block.global_torch("dropout", number) as dropout:
            epoch.drawn_from(*dropout)
            for _, batch in epoch.steps(shuffled(len(self.x), 6, self.block.torch("data", number)), STEPS):
                loss = self.modules["head"](self.modules["conv"](self.x[batch]).flatten(1)).square().mean()
                for optimizer in self.optimizers.values():
                    optimizer.zero_grad()
                loss.backward()
                for optimizer in self.optimizers.values():
                    optimizer.step()
                epoch.sums.add(len(batch), {"loss": loss})
        loss_mean = epoch.sums.means()["loss"]
        if number == self.spoil_at:
            self.spoil()
        value = math.nan if number == self.diverge_at else loss_mean
        return {"train/loss": value, "val/loss": loss_mean / 2}

    def progress(self) -> float:
        """What a progress may not do to a training: it draws, and leaves the networks in another mode."""
        self.asked += 1
        torch.manual_seed(torch.randint(100, ()).item())
        return self.modules["head"](self.modules["conv"].eval()(self.x).flatten(1)).square().mean().item()

    def spoil(self) -> None:
        """One number, by the last update of an epoch, which its losses know nothing of."""
        with torch.no_grad():
            self.modules["conv"][0].weight[1, 0, 0, 1] = math.inf


def values(points: list[Point]) -> list[tuple[str, int, float]]:
    """Points of curves without their times."""
    return [(point["name"], point["step"], point["value"]) for point in points]
