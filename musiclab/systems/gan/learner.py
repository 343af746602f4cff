"""How the GAN learns: losses, draws, steps, and the generator that results."""

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from musiclab.data.songs import TRACKS
from musiclab.data.windows import PITCHES, unpack
from musiclab.measures.pairs import pairs
from musiclab.measures.variety import diversity_ratio
from musiclab.systems.activations import NoteRules, density_thresholds, own_radii
from musiclab.systems.base import StageRun
from musiclab.systems.gan.config import GANConfig
from musiclab.systems.gan.networks import Discriminator, Generator, TrackStatistics
from musiclab.systems.progress import distance_measures
from musiclab.training.adam import Adam
from musiclab.training.batches import float_rolls, shares_on, shuffled
from musiclab.training.epoch import Epoch
from musiclab.training.fit import Learner
from musiclab.training.modules import channels_last
from musiclab.training.schedule import warm_cosine
from musiclab.training.streams import Block

# Collapse is watched on as many samples of fixed noise as the article's authors listened to.
PROBES = 100
# The lowest pitch by the number of pitches. As coded, 72 pitches are C1 to B6 (C4 is 60).
_LOWEST = {128: 0, 72: 24}
_WIDEST = 0.1  # width of the ranges that smoothed labels are drawn from


def discriminator_loss(
    config: GANConfig, discriminator: Discriminator, real: torch.Tensor, fake: torch.Tensor, labels_2N: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The discriminator's loss: cross-entropy on real and generated windows against `labels_2N`, and R1.

    R1 is half the squared gradient of the log-odds, summed over the batch, with respect to the real windows. With
    spectral norm instead of BatchNorm, and without the spread of the batch, that is the penalty of each window by
    itself (Mescheder et al. 2018). Otherwise a window's log-odds depend on the others in its batch too, and the
    gradient mixes them.

    Returns:
        The loss, and the mean probabilities of being real of the real and of the generated windows.
    """
    real = real.detach().requires_grad_(config.r1 > 0)
    (on_real, _), (on_fake, _) = discriminator(real), discriminator(fake.detach())
    loss = F.binary_cross_entropy_with_logits(on_real, labels_2N[0])
    loss = loss + F.binary_cross_entropy_with_logits(on_fake, labels_2N[1])
    if config.r1:
        (slope,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
        loss = loss + 0.5 * config.r1 * slope.square().sum(dim=(1, 2, 3)).mean()
    return loss, on_real.sigmoid().mean(), on_fake.sigmoid().mean()


def generator_loss(
    config: GANConfig, discriminator: Discriminator, real: torch.Tensor, fake: torch.Tensor
) -> torch.Tensor:
    """The generator's loss: cross-entropy of generated windows labelled as real, and two L2 terms of feature matching.

    The terms are squared L2 norms of differences of batch means, as in MidiNet (Yang et al. 2017). The outputs of the
    first layer are taken after its PReLU, because before it they are linear in the windows and would repeat the other
    term.
    """
    verdict, features = discriminator(fake)
    loss = F.binary_cross_entropy_with_logits(verdict, torch.ones_like(verdict))
    if config.feature_matching:
        with torch.no_grad():
            _, wanted = discriminator(real)
        loss = loss + config.match_inputs * _squared_distance(fake, real)
        loss = loss + config.match_features * _squared_distance(features, wanted)
    return loss


def _squared_distance(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one.mean(dim=0) - other.mean(dim=0)).square().sum()


@dataclass(frozen=True)
class Draws:
    """What one step draws.

    Attributes:
        z: `(n, latent_dim)`, what windows are generated from.
        labels: `(2, n)`, of real and of generated windows.
        instance_noise: `(2, n, track, steps, pitches)`, on real and on generated windows; None if it is off.
    """

    z: torch.Tensor
    labels: torch.Tensor
    instance_noise: torch.Tensor | None


class Adversaries:
    """Both networks with their optimisers, and the average of the generators if the config asks for one."""

    def __init__(self, config: GANConfig, block: Block, tracks: TrackStatistics, device: torch.device) -> None:
        self.config = config
        with block.global_torch("init", "gan", "generator"):
            self.generator = Generator(config, tracks)
        with block.global_torch("init", "gan", "discriminator"):
            self.discriminator = Discriminator(config)
        self.average = copy.deepcopy(self.generator).requires_grad_(False) if config.ema else None
        self.modules: dict[str, nn.Module] = {"generator": self.generator, "discriminator": self.discriminator}
        if self.average is not None:
            self.modules["average"] = self.average
        for module in self.modules.values():
            channels_last(module, device)
        self.rates = rates = {"generator": config.g_lr, "discriminator": config.g_lr * config.ttur}
        self.optimizers = {
            name: Adam(self.modules[name].parameters(), lr=rate, betas=(config.beta1, config.beta2))
            for name, rate in rates.items()
        }

    @property
    def sampled(self) -> Generator:
        """The generator that makes the windows: the average, or else the one that is trained."""
        return self.generator if self.average is None else self.average

    def step(self, real: torch.Tensor, draws: Draws) -> dict[str, torch.Tensor]:
        """One step of the discriminator, then one of the generator against it, on the same generated windows."""
        config, generator, discriminator = self.config, self.generator, self.discriminator
        fake = generator(draws.z)
        if draws.instance_noise is not None:
            real, fake = real + draws.instance_noise[0], fake + draws.instance_noise[1]
        d_loss, on_real, on_fake = discriminator_loss(config, discriminator, real, fake, draws.labels)
        self._descend("discriminator", d_loss)
        # The generator's loss needs no gradients of the discriminator's weights.
        discriminator.requires_grad_(False)
        g_loss = generator_loss(config, discriminator, real, fake)
        self._descend("generator", g_loss)
        discriminator.requires_grad_(True)
        if self.average is not None:
            for mean, parameter in zip(self.average.parameters(), generator.parameters(), strict=True):
                mean.lerp_(parameter.detach(), 1 - config.ema)
        return {"d_loss": d_loss, "g_loss": g_loss, "d_real": on_real, "d_fake": on_fake}

    def set_rates(self, step: int, steps: int) -> None:
        """Set both learning rates for a step of so many, by the cosine schedule."""
        for name, optimizer in self.optimizers.items():
            optimizer.param_groups[0]["lr"] = warm_cosine(self.rates[name], step, steps)

    def _descend(self, name: str, loss: torch.Tensor) -> None:
        self.optimizers[name].zero_grad()
        loss.backward()
        self.optimizers[name].step()


class GanLearner(Learner):
    """Both networks, trained in turn. After each epoch collapse is measured on the same `PROBES` noise vectors."""

    def __init__(self, run: StageRun[GANConfig]) -> None:
        self.run = run
        shares = shares_on(run.data, run.data.train, run.device, _known(run.config))
        self.tracks = TrackStatistics(shares, own_radii(run.data))
        self.pair = Adversaries(run.config, run.block, self.tracks, run.device)
        self.modules, self.optimizers = self.pair.modules, self.pair.optimizers
        self.probes = probes(run.config, run.block, run.device)
        self.real = pairs(unpack(run.data.packed(run.data.validation[:PROBES])))
        self.full = min(run.config.batch, len(run.data.train))
        self.steps = len(run.data.train) // self.full

    def epoch(self, epoch: Epoch) -> dict[str, float]:
        run, config = self.run, self.run.config
        kinds = ("noise", "labels", "instance noise")
        streams = {name: run.block.torch("sampling", "gan", name, epoch.number) for name in kinds}
        epoch.drawn_from(*streams.values())
        batches = shuffled(len(run.data.train), config.batch, run.block.torch("data", "gan", epoch.number))
        # BatchNorm and batch means tell little about a last batch of a few windows, so it is left out.
        for step, batch in epoch.steps(batches, self.steps):
            if config.schedule == "cosine":
                self.pair.set_rates(step, self.steps * config.epochs)
            windows = float_rolls(run.data.packed(run.data.train[batch.numpy()]), run.device)
            draws = draw(config, len(batch), streams, run.device)
            values = self.pair.step(windows[..., _known(config)], draws)
            epoch.sums.add(len(batch), {f"train/{name}": value for name, value in values.items()})
        return epoch.sums.means() | self._collapse()

    def progress(self) -> float:
        """Frechet distance to validation windows of the probes' windows, which are cut as the mended form cuts them."""
        return distance_measures(self.run, self._heard(tuple(self.tracks.radii)))

    def finished(self) -> Generator:
        """The generator as it makes windows."""
        return _with_statistics(self.pair.sampled, self.probes)

    def _collapse(self) -> dict[str, float]:
        made = pairs(self._heard((0,) * len(TRACKS)))
        values = {"diversity_ratio": diversity_ratio(made, self.real), "duplicate_rate": made.duplicate_rate}
        # If all real windows are equal, the ratio is NaN, which is no divergence. Divergence shows in the losses.
        return {f"train/{name}": value for name, value in values.items() if math.isfinite(value)}

    def _heard(self, radii: tuple[int, ...]) -> np.ndarray:
        """The windows of the probes, as dense in each track as training windows."""
        logits = cell_logits(self.finished(), self.probes)
        return sounding(logits, density_rules(logits, self.tracks, radii), self.run.config)


def probes(config: GANConfig, block: Block, device: torch.device) -> torch.Tensor:
    """A block's fixed noise `(PROBES, latent_dim)`: what collapse and the generator's statistics are measured on."""
    noise = torch.randn(PROBES, config.latent_dim, generator=block.torch("sampling", "gan", "probes"))
    return noise.to(device)


def draw(config: GANConfig, n: int, streams: dict[str, torch.Generator], device: torch.device) -> Draws:
    """A step's draws. Each kind has its own stream, so that a kind that is off does not shift the others."""
    z = torch.randn(n, config.latent_dim, generator=streams["noise"])
    labels = torch.tensor([[1.0], [0.0]]).repeat(1, n)
    if config.label_smoothing:
        labels += _WIDEST * torch.tensor([[-1.0], [1.0]]) * torch.rand(2, n, generator=streams["labels"])
    instance_noise = None
    if config.instance_noise:
        shape = (2, n, len(TRACKS), config.steps, config.pitches)
        instance_noise = config.instance_noise * torch.randn(shape, generator=streams["instance noise"]).to(device)
    return Draws(z.to(device), labels.to(device), instance_noise)


def _with_statistics(generator: Generator, z_NL: torch.Tensor) -> Generator:
    """A copy whose BatchNorms hold the statistics of the batch `z_NL`.

    Running averages from training lag behind the weights, and the average of generators has none of its own.
    """
    result = copy.deepcopy(generator).train()
    for module in result.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches since the reset, which is this one
    with torch.no_grad():
        result(z_NL)
    return result.eval()


@torch.no_grad()
def cell_logits(generator: Generator, z_NL: torch.Tensor) -> torch.Tensor:
    """Log-odds of the cells `(n, track, steps, pitches)` on the CPU."""
    return generator.logits(z_NL).cpu()


def density_rules(logits_NRTP: torch.Tensor, tracks: TrackStatistics, radii: tuple[int, ...]) -> NoteRules:
    """The rules by which the windows of these log-odds are as dense in each track as training windows."""
    return NoteRules(density_thresholds(logits_NRTP, [*tracks.cells_on.values()], radii), radii)


def sounding(logits_NRTP: torch.Tensor, rules: NoteRules, config: GANConfig) -> np.ndarray:
    """The cells that sound by the rules, bool `(n, track, steps, 128)`."""
    known = _known(config)
    return np.pad(rules.cells(logits_NRTP).numpy(), ((0, 0), (0, 0), (0, 0), (known.start, PITCHES - known.stop)))


def _known(config: GANConfig) -> slice:
    """The pitches that the networks are made for."""
    below = _LOWEST[config.pitches]
    return slice(below, below + config.pitches)
