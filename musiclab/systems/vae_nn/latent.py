"""The latent networks of `vae_nn`, which predict the latents of the next window."""

import math
from typing import cast

import numpy as np
import torch
from torch import nn

from musiclab.data.songs import PIANO, TRACKS
from musiclab.systems.base import StageRun
from musiclab.systems.vae_nn.config import VaeNNConfig
from musiclab.systems.vae_nn.vae import Vaes
from musiclab.training.adam import Adam
from musiclab.training.batches import shuffled
from musiclab.training.epoch import Epoch
from musiclab.training.fit import Learner
from musiclab.training.patches import stacked


def melody_nn(config: VaeNNConfig) -> nn.Module:
    """K -> 128 -> 128 -> K: the piano's next latent from its last."""
    return nn.Sequential(
        nn.Linear(config.latent_dim, 128), nn.ReLU(), nn.Dropout(config.dropout),
        nn.Linear(128, 128), nn.ReLU(), nn.Dropout(config.dropout),
        nn.Linear(128, config.latent_dim),
    )  # fmt: skip


def conditional_nn(config: VaeNNConfig) -> nn.Module:
    """2K -> 128 -> K: an instrument's next latent from its last and the piano's current one."""
    return nn.Sequential(nn.Linear(2 * config.latent_dim, 128), nn.ReLU(), nn.Linear(128, config.latent_dim))


class LatentLearner(Learner):
    """MelodyNN and the ConditionalNNs, trained on the posterior means that frozen VAEs give consecutive windows.

    The ConditionalNNs have one shape, so that they are trained as one batch of products.
    """

    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]

    def __init__(self, run: StageRun[VaeNNConfig], vaes: Vaes) -> None:
        self.run, config = run, run.config
        # (pairs, 2, track, K): small enough to be kept in memory. Most windows are in two pairs and are encoded once.
        windows, places = np.unique(run.data.pairs, return_inverse=True)
        self.latents = vaes.means(windows)[torch.from_numpy(places.reshape(run.data.pairs.shape))]
        self.modules = {}
        for track, name in enumerate(TRACKS):
            with run.block.global_torch("init", "latent", name):
                module = melody_nn(config) if track == PIANO else conditional_nn(config)
            self.modules[name] = module.to(run.device)
        self.followers = [track for track in range(len(TRACKS)) if track != PIANO]
        self.melody = self.modules[TRACKS[PIANO]]
        self.conditionals = stacked([cast("nn.Sequential", self.modules[TRACKS[track]]) for track in self.followers])
        # Adam works number by number, so that one for all is one for each.
        parameters = [*self.melody.parameters(), *self.conditionals.parameters()]
        self.optimizers = {"networks": Adam(parameters, lr=config.latent_lr)}

    def epoch(self, epoch: Epoch) -> dict[str, float]:
        run, config = self.run, self.run.config
        optimizer = self.optimizers["networks"]
        optimizer.param_groups[0]["lr"] = config.latent_lr * config.latent_lr_decay**epoch.number
        order = run.block.torch("data", "latent", epoch.number)
        batches = shuffled(len(self.latents), config.latent_batch, order)
        with run.block.global_torch("dropout", "latent", epoch.number) as dropout:
            epoch.drawn_from(*dropout)
            for _, batch in epoch.steps(batches, math.ceil(len(self.latents) / config.latent_batch)):
                losses = self._losses(*self.latents[batch].permute(1, 2, 0, 3))
                optimizer.zero_grad()
                losses.sum().backward()
                optimizer.step()
                named = {f"train/next_mse.{name}": losses[track] for track, name in enumerate(TRACKS)}
                epoch.sums.add(len(batch), named)
        return epoch.sums.means()

    def _losses(self, last_RNK: torch.Tensor, current_RNK: torch.Tensor) -> torch.Tensor:
        """The squared error of each instrument's prediction, `(track,)`."""
        piano_NK = current_RNK[PIANO]
        inputs_MNK = torch.cat([last_RNK[self.followers], piano_NK.expand(len(self.followers), -1, -1)], dim=2)
        predicted = list(self.conditionals(inputs_MNK))
        predicted.insert(PIANO, self.melody(last_RNK[PIANO]))
        return (torch.stack(predicted) - current_RNK).square().mean(dim=(1, 2))


def predict(module: nn.Module, track: int, last_NRK: torch.Tensor, piano_NK: torch.Tensor) -> torch.Tensor:
    """An instrument's next latent `(n, K)` from all last latents and the piano's current one (unused for the piano)."""
    latents_NK: torch.Tensor = module(
        last_NRK[:, track] if track == PIANO else torch.cat([last_NRK[:, track], piano_NK], dim=1)
    )
    return latents_NK
