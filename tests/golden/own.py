"""A system, a function, measures and a source as users write them, with all that musiclab gives for that."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from musiclab.data import TRACKS, BadSong, Song, Source
from musiclab.measures import measure
from musiclab.measures.declaring import declared
from musiclab.measures.own import OwnMeasure
from musiclab.sending import Sent
from musiclab.systems import Config, FunctionData, StageRun, System, field, system
from musiclab.training import Epoch, Learner, load_weights, save_weights, shuffled


@dataclass(frozen=True)
class OwnConfig(Config):
    """Of `OwnSystem`."""

    hidden: int = field(6, "train", "units", low=1)
    learner: bool = field(False, "train", "trained by a Learner in place of a function")
    level: float = field(0.25, "generate", "of what is kept", low=0, high=1)


class OwnLearner(Learner):
    """Trains a network as `OwnSystem` does, but may be left after each step."""

    def __init__(self, run: StageRun[OwnConfig], net: nn.Module, adam: torch.optim.Optimizer) -> None:
        self.modules, self.optimizers = {"network": net}, {"adam": adam}
        self.pairs, self.block = pitches(run.rolls("pairs")), run.block

    def epoch(self, epoch: Epoch) -> dict[str, float]:
        batches = shuffled(len(self.pairs), 16, self.block.torch("data", epoch.number))
        for _, rows in epoch.steps(batches, 3):
            loss = step(self.modules["network"], self.optimizers["adam"], self.pairs[rows])
            epoch.sums.add(len(rows), {"loss": loss})
        return {"train/loss": epoch.sums.means()["loss"]}


class OwnSystem(System[OwnConfig]):
    """Predicts from a window which pitches the next one has, and keeps those of the start."""

    name, config = "golden", OwnConfig

    def train(self, stage: str, run: StageRun[OwnConfig]) -> None:
        with run.block.global_torch("init"):
            net = network(run.config)
        adam = torch.optim.Adam(net.parameters(), 1e-2)
        rolls, pairs, validation = pitches(run.rolls()), pitches(run.rolls("pairs")), pitches(run.rolls("validation"))

        def epoch(epoch: Epoch) -> dict[str, float]:
            for rows in shuffled(len(pairs), 16, run.block.torch("data", epoch.number)):
                loss = step(net, adam, pairs[rows])
            return {"train/loss": loss.item(), "val/mean": net(validation).mean().item()}

        if run.config.learner:
            run.fit(OwnLearner(run, net, adam), 2)
        else:
            run.fit(epoch, 2, network=net, adam=adam)
        save_weights(net, run.files)
        run.files.write("mean", rolls.mean(0).numpy().tobytes())

    def continuations(self, run: StageRun[OwnConfig], starts: np.ndarray) -> np.ndarray:
        net = load_weights(network(run.config), run.files.product("train"))
        odds = net(pitches(starts)).sigmoid()
        kept = torch.rand(odds.shape, generator=run.block.torch("sampling")) * odds < run.config.level
        return np.repeat((starts & kept.numpy()[:, None, None])[:, None], run.config.continuation, axis=1)


def network(config: OwnConfig) -> nn.Module:
    return nn.Sequential(nn.Linear(128, config.hidden), nn.Tanh(), nn.Linear(config.hidden, 128))


def step(net: nn.Module, adam: torch.optim.Optimizer, pairs: torch.Tensor) -> torch.Tensor:
    """Learn from pairs `(n, 2, pitch)`; returns the loss."""
    loss = nn.functional.binary_cross_entropy_with_logits(net(pairs[:, 0]), pairs[:, 1])
    adam.zero_grad()
    loss.backward()
    adam.step()
    return loss


def pitches(rolls: np.ndarray) -> torch.Tensor:
    """Which pitches sound in windows `(..., track, step, pitch)`: `(..., pitch)`."""
    return torch.from_numpy(rolls.any((-3, -2))).float()


def own_function() -> System[Any]:
    """A function as a system; made here, because its name is not the class's."""
    return system(conditions=("start",))(golden_function)()


def golden_function(data: FunctionData, *, order: int = 1) -> np.ndarray:
    """Repeats the start where training windows sound, moved at random."""
    often = data.train.any((0, 1, 2)) | data.validation.any((0, 1, 2))
    data.report(1, loss=float(often.mean()), resolution=data.resolution)
    steps = data.numpy("noise").integers(data.steps) + torch.randint(order + 1, (1,), generator=data.torch("n")).item()
    return np.repeat(np.roll(data.starts & often, int(steps), axis=2)[:, None], data.windows, axis=1)


@measure(unit="cells", better="real", title="Cells that sound")
def own_cells(rolls: np.ndarray, resolution: int, bins: int = 3) -> float:
    return float(rolls[:, :, ::resolution].sum() * bins)


@measure(unit="share", better="lower", title="How the mean differs from real music", needs=("start",))
def own_difference(rolls: np.ndarray, reference: np.ndarray) -> float:
    return float(abs(rolls.mean((0, 1, 2)) - reference.mean((0, 1, 2))).sum())


@measure(unit="share", better="neither", title="How pieces begin and how songs differ", needs=("noise",))
def own_pieces(pieces: list[np.ndarray], songs: np.ndarray) -> float:
    return float(sum(piece[:, :5].mean() for piece in pieces) + len(np.unique(songs)) + len(pieces[0][0]))


@measure(unit="share", better="higher", title="No value")
def own_none(rolls: np.ndarray) -> float:
    return float("nan")


def own_measures() -> list[OwnMeasure]:
    """The measures above at work; their code is in no key here."""
    return [
        OwnMeasure(replace(declared(function), name=name, needs=needs), Sent(function), "")
        for name, function, needs in (
            ("cells", own_cells, ()),
            ("difference", own_difference, ("start",)),
            ("pieces", own_pieces, ()),
            ("noise", own_pieces, ("noise",)),
            ("none", own_none, ()),
        )
    ]


class OwnSource(Source):
    """Lines `track pitch start length`."""

    kind, suffixes = "golden", (".txt",)

    @classmethod
    def read(cls, name: str, data: bytes) -> Song:
        notes = [line.split() for line in data.decode().splitlines()]
        if len(data) < 2:
            raise BadSong("too short")
        return Song.of(name, [note for note in notes if note[0] in TRACKS], bars=[0, 4, 8.5], tempo=90, beats=32)
