"""The latent networks of `vae_nn`: trained together, they are what they are alone."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from musiclab.data.songs import PIANO, TRACKS
from musiclab.systems.vae_nn.config import VaeNNConfig
from musiclab.systems.vae_nn.latent import LatentLearner, conditional_nn, melody_nn, predict
from musiclab.training.batches import shuffled
from musiclab.training.epoch import Epoch
from musiclab.training.streams import Block

K, PAIRS, EPOCHS = 3, 21, 3


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """All numbers in float64, whose rounding hides nothing."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Means:
    """VAEs that give windows the latents of a table."""

    def __init__(self) -> None:
        self.table = torch.randn(PAIRS + 9, len(TRACKS), K, generator=torch.Generator().manual_seed(0))
        self.encoded = 0

    def means(self, indices: np.ndarray) -> torch.Tensor:
        self.encoded += len(indices)
        return self.table[torch.from_numpy(indices)]


def _run() -> Any:
    config = VaeNNConfig(latent_dim=K, latent_batch=8, latent_lr=1e-2, latent_lr_decay=0.5, dropout=0.3)
    pairs = np.stack([np.arange(PAIRS), np.arange(1, PAIRS + 1)], axis=1)[::-1] + 5  # as drawn, in no order
    return SimpleNamespace(
        config=config, block=Block(1, 2), data=SimpleNamespace(pairs=pairs), device=torch.device("cpu")
    )


def _one_by_one(run: Any, latents: torch.Tensor) -> tuple[dict[str, torch.nn.Module], list[dict[str, float]]]:
    """Each network by itself, as one writes it: the networks and the losses of each epoch."""
    networks, optimizers = {}, {}
    for track, name in enumerate(TRACKS):
        with run.block.global_torch("init", "latent", name):
            networks[name] = melody_nn(run.config) if track == PIANO else conditional_nn(run.config)
        optimizers[name] = torch.optim.Adam(networks[name].parameters(), lr=run.config.latent_lr)
    curves = []
    for number in range(EPOCHS):
        sums = dict.fromkeys(TRACKS, 0.0)
        with run.block.global_torch("dropout", "latent", number):
            for batch in shuffled(PAIRS, run.config.latent_batch, run.block.torch("data", "latent", number)):
                last, current = latents[batch].unbind(1)
                for track, name in enumerate(TRACKS):
                    optimizers[name].param_groups[0]["lr"] = run.config.latent_lr * run.config.latent_lr_decay**number
                    loss = F.mse_loss(predict(networks[name], track, last, current[:, PIANO]), current[:, track])
                    optimizers[name].zero_grad()
                    loss.backward()
                    optimizers[name].step()
                    sums[name] += loss.item() * len(batch) / PAIRS
        curves.append({f"train/next_mse.{name}": total for name, total in sums.items()})
    return networks, curves


def test_networks_trained_together_are_those_trained_one_by_one() -> None:
    run, vaes = _run(), Means()
    learner = LatentLearner(run, vaes)  # type: ignore[arg-type]
    losses = [learner.epoch(Epoch(number)) for number in range(EPOCHS)]
    assert torch.equal(learner.latents, vaes.table[torch.from_numpy(run.data.pairs.copy())])
    assert vaes.encoded == PAIRS + 1, "windows of two pairs are encoded once"
    networks, expected = _one_by_one(run, learner.latents)
    for own, other in zip(losses, expected, strict=True):
        assert own == pytest.approx(other, rel=1e-10)
    weights = learner.weights()
    assert set(weights) == {f"{name}/{key}" for name, network in networks.items() for key in network.state_dict()}
    for name, network in networks.items():
        for key, tensor in network.state_dict().items():
            torch.testing.assert_close(weights[f"{name}/{key}"], tensor, rtol=0, atol=1e-10)


def test_a_resume_gives_the_same_bits() -> None:
    straight, first, resumed = (LatentLearner(_run(), Means()) for _ in range(3))  # type: ignore[arg-type]
    for number in range(EPOCHS):
        straight.epoch(Epoch(number))
    first.epoch(Epoch(0))
    assert resumed.restore(first.checkpoint(Epoch(1), []))[0].number == 1
    for number in range(1, EPOCHS):
        resumed.epoch(Epoch(number))
    for name, tensor in straight.weights().items():
        assert torch.equal(tensor, resumed.weights()[name]), name


@pytest.mark.parametrize("steps", [1, 2])
def test_so_does_one_within_an_epoch(steps: int) -> None:
    class Left(Exception):
        pass

    straight, first, resumed = (LatentLearner(_run(), Means()) for _ in range(3))  # type: ignore[arg-type]
    kept = []

    def leave(epoch: Epoch) -> None:
        if epoch.done == steps:
            kept.append(first.checkpoint(epoch, []))
            raise Left

    curves = straight.epoch(Epoch(0))
    begun = Epoch(0)
    begun.after_step = leave
    with pytest.raises(Left):
        first.epoch(begun)
    assert resumed.epoch(resumed.restore(kept[0])[0]) == curves
    for name, tensor in straight.weights().items():
        assert torch.equal(tensor, resumed.weights()[name]), name
