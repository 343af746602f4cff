"""gan: a DCGAN over all five instruments at once, with the article's stability tricks as switches of their own.

Facts (Tham and Kim 2021, and their code where the text is silent): a generator of 6 transposed convolutions makes a
5 x 32 x 128 window of 100 normal numbers; a discriminator mirrors it with 6 convolutions to one probability; PReLU and
BatchNorm between, Adam for both. As coded the window is 5 x 64 x 72, one BatchNorm and one PReLU module serve every
layer, labels are smoothed and features matched in variables that nothing uses. The article heard mode collapse: 100
samples of different noise sounded alike.

The text gives no kernels: here every convolution but the one between noise and first map divides (or multiplies) the
window by its stride s with a kernel of s + 2. As in DCGAN (Radford et al. 2016) the discriminator's first layer and the
generator's last have no BatchNorm. A convolution has one channel count, so one BatchNorm can serve only layers of equal
width: with `norm` reused all hidden layers have the middle one's, and share scale, shift and PReLU slope. What a
BatchNorm has seen stays each layer's own even then, which changes nothing in training.

The system continues no start window: each window is an independent sample. When windows are made, BatchNorm uses the
statistics of one fixed batch of noise, taken after training, so that no window hangs on those it is made beside.
"""

import copy
import json
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from musiclab.data.songs import TRACKS
from musiclab.data.windows import pack
from musiclab.data.windows import unpack as unpack_bits
from musiclab.errors import UserError
from musiclab.measures.sets import diversity_ratio, duplicate_rate
from musiclab.systems.base import GENERATE, MEASURE, StageRun, System
from musiclab.systems.config import Config, field
from musiclab.systems.timing import seconds_a_step
from musiclab.training import tensors
from musiclab.training.batches import EVAL_BATCH, shares_on, shuffled, unpack
from musiclab.training.fit import Diverged, Learner, fit
from musiclab.training.streams import Block
from musiclab.training.sums import Sums

WEIGHTS, THRESHOLDS = "weights.safetensors", "thresholds.json"
# Collapse is watched on as many samples of fixed noise as the article's authors listened to.
PROBES = 100
# Strides of the discriminator's first five convolutions, those of the generator mirrored: over time, and over pitch
# for each number of pitches.
_TIME_STRIDES = (4, 2, 2, 2, 1)
_PITCH_STRIDES = {128: (4, 2, 2, 2, 1), 72: (3, 2, 2, 2, 1)}
# As coded, 72 pitches are these, C1 to B6 where C4 is 60.
_LOWEST = {128: 0, 72: 24}
_WIDEST = 0.1  # the width of the ranges that smoothed labels are drawn from


@dataclass(frozen=True)
class GANConfig(Config):
    """Fields of `gan` by stage; "as written" is the article's text, "as coded" its authors' code."""

    steps_factor = math.prod(_TIME_STRIDES)

    pitches: int = field(
        128, "train", "128 as written, or 72 (24 to 95) as coded; others stay silent", low=72, high=128
    )
    latent_dim: int = field(100, "train", "normal numbers that a window is made of", low=1, high=10_000)
    width: int = field(
        64, "train", "channels of the discriminator's first layer; the next have 2, 4, 8, 16 times as many",
        low=1, high=512,
    )  # fmt: skip
    norm: str = field(
        "separate", "train", "BatchNorm and PReLU: each layer's own, or one for all layers as coded",
        choices=("separate", "reused"),
    )  # fmt: skip
    init: str = field(
        "normal", "train", "convolutions at first: N(0, 0.02) as coded, or PyTorch's default",
        choices=("normal", "default"),
    )  # fmt: skip
    output_start: str = field(
        "data", "train", "cells of generated windows at first: as dense as each track's, or even odds as coded",
        choices=("data", "even"),
    )  # fmt: skip
    epochs: int = field(100, "train", "passes over the training windows", low=1, high=10_000)
    batch: int = field(64, "train", "windows a step", low=2, high=4096)
    g_lr: float = field(3e-4, "train", "Adam's learning rate of the generator", low=1e-7, high=1)
    ttur: float = field(
        2.0, "train", "the discriminator's learning rate over the generator's; 1 is off", low=0.001, high=1000
    )
    beta1: float = field(0.0, "train", "Adam's decay of the mean gradient", low=0, high=0.9999)
    beta2: float = field(0.99, "train", "Adam's decay of the mean square", low=0, high=0.99999)
    label_smoothing: bool = field(
        True, "train", "the discriminator's labels drawn from [0.9, 1] for real and [0, 0.1] for generated windows"
    )
    feature_matching: bool = field(True, "train", "the generator's loss has the two L2 terms on expected features")
    match_inputs: float = field(
        0.1, "train", "weight of the squared difference of expected windows, real v. generated", low=0, high=1000
    )
    match_features: float = field(
        0.1, "train", "weight of the same of expected outputs of the discriminator's first layer", low=0, high=1000
    )

    spectral_norm: bool = field(
        False, "train", "the discriminator's weights at spectral norm 1, in place of its BatchNorm"
    )
    r1: float = field(
        0.0, "train",
        "weight of the discriminator's gradient penalty on real windows; each window's own with spectral_norm and "
        "without minibatch_sd only", low=0, high=10_000,
    )  # fmt: skip
    ema: float = field(
        0.0, "train", "decay of the average of generators that makes the windows; 0 is off", low=0, high=0.99999
    )
    instance_noise: float = field(0.0, "train", "sd of noise on all that the discriminator sees", low=0, high=10)
    minibatch_sd: bool = field(False, "train", "the discriminator also sees how much a batch's windows differ")

    threshold_rule: str = field(
        "calibrated", "generate", "absolute on the probability, or each track as dense as in training windows",
        choices=("calibrated", "absolute"),
    )  # fmt: skip
    threshold: float = field(0.5, "generate", "the absolute threshold", low=0, high=1)

    def check(self) -> None:
        if self.pitches not in _PITCH_STRIDES:
            raise UserError(
                f"pitches must be 128 or 72, because the convolutions are made for these; got {self.pitches}."
            )

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the discriminator's five hidden layers."""
        return (4 * self.width,) * 5 if self.norm == "reused" else tuple(self.width << n for n in range(5))

    @property
    def strides(self) -> tuple[tuple[int, int], ...]:
        """Strides over time and pitch of the discriminator's first five convolutions."""
        return tuple(zip(_TIME_STRIDES, _PITCH_STRIDES[self.pitches], strict=True))

    @property
    def smallest_map(self) -> tuple[int, int]:
        """Steps and pitches that the strides leave of a window."""
        return self.steps // self.steps_factor, self.pitches // math.prod(_PITCH_STRIDES[self.pitches])


class Between(nn.Module):
    """What stands between convolutions: BatchNorm (where `normed`) and PReLU, each layer's own or shared by all."""

    def __init__(self, channels: tuple[int, ...], normed: list[bool], reused: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(count, affine=not reused) if on else nn.Identity()
            for count, on in zip(channels, normed, strict=True)
        )
        self.slopes = nn.ModuleList(nn.PReLU() for _ in (channels[:1] if reused else channels))
        if reused and any(normed):
            self.scale, self.shift = nn.Parameter(torch.ones(channels[0])), nn.Parameter(torch.zeros(channels[0]))

    def forward(self, x_NCTP: torch.Tensor, place: int) -> torch.Tensor:
        norm = self.norms[place]
        x_NCTP = norm(x_NCTP)
        if isinstance(norm, nn.BatchNorm2d) and not norm.affine:
            x_NCTP = x_NCTP * self.scale[:, None, None] + self.shift[:, None, None]
        return self.slopes[min(place, len(self.slopes) - 1)](x_NCTP)


class Generator(nn.Module):
    """Noise `(n, latent_dim)` to windows `(n, track, steps, pitches)`.

    `cells_on` is the share of each track's cells that are on in the training windows; a track without any is silent.
    """

    def __init__(self, config: GANConfig, cells_on: dict[str, float]) -> None:
        super().__init__()
        channels = config.channels[::-1]
        self.convs = nn.ModuleList([nn.ConvTranspose2d(config.latent_dim, channels[0], config.smallest_map)])
        for count, following, stride in zip(channels, (*channels[1:], len(TRACKS)), config.strides[::-1], strict=True):
            self.convs.append(nn.ConvTranspose2d(count, following, _kernel(stride), stride, padding=1))
        self.between = Between(channels, [True] * len(channels), config.norm == "reused")
        _initialise(self.convs, config.init)
        shares = torch.tensor([cells_on[name] for name in TRACKS])
        self.register_buffer("sounds", (shares > 0)[:, None, None], persistent=False)
        if config.output_start == "data":
            # From even odds a generator first has to unlearn 60 of 64 cells, and by then the discriminator is far off.
            with torch.no_grad():
                self.convs[-1].bias.copy_(shares.logit(eps=1e-6))

    def logits(self, z_NL: torch.Tensor) -> torch.Tensor:
        """Log-odds that a cell is on; -inf in silent tracks."""
        x = z_NL[:, :, None, None]
        for place, conv in enumerate(self.convs[:-1]):
            x = self.between(conv(x), place)
        return self.convs[-1](x).masked_fill(~self.sounds, -math.inf)

    def forward(self, z_NL: torch.Tensor) -> torch.Tensor:
        """Probabilities that a cell is on."""
        return self.logits(z_NL).sigmoid()


class Discriminator(nn.Module):
    """Windows `(n, track, steps, pitches)` to the log-odds of being real `(n,)`, and the first layer's outputs."""

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        channels, normed = config.channels, [False] + [not config.spectral_norm] * 4
        # All with a bias, also where BatchNorm takes it away again: with spectral norm in its place it counts, and
        # none may be drawn then that was not drawn without.
        self.convs = nn.ModuleList(
            nn.Conv2d(count, following, _kernel(stride), stride, padding=1)
            for count, following, stride in zip((len(TRACKS), *channels[:-1]), channels, config.strides, strict=True)
        )
        self.convs.append(nn.Conv2d(channels[-1], 1, config.smallest_map))
        self.between = Between(channels, normed, config.norm == "reused")
        _initialise(self.convs, config.init)
        # After all others, so that neither shifts their draws.
        self.weigh_spread = nn.Linear(1, 1, bias=False) if config.minibatch_sd else None
        if config.spectral_norm:
            for conv in self.convs:
                spectral_norm(conv)

    def forward(self, x_NRTP: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first = x = self.between(self.convs[0](x_NRTP), 0)
        for place, conv in enumerate(self.convs[1:-1], 1):
            x = self.between(conv(x), place)
        logits = self.convs[-1](x).flatten()
        if self.weigh_spread is not None:
            logits = logits + self.weigh_spread(_spread(first))
        return logits, first


def _spread(x_NCTP: torch.Tensor) -> torch.Tensor:
    """How much a batch's windows differ, one number `(1,)` for all of it (Karras et al. 2018).

    Taken where no BatchNorm has yet levelled it. They give it to a convolution as one more constant map; before a
    convolution that covers the whole map, as here, that is one number times one weight.
    """
    variance = x_NCTP.var(dim=0, unbiased=False)
    return (variance + 1e-8).sqrt().mean().reshape(1)


def _kernel(stride: tuple[int, int]) -> tuple[int, int]:
    return stride[0] + 2, stride[1] + 2


def _initialise(convs: nn.ModuleList, init: str) -> None:
    if init == "normal":
        for conv in convs:
            nn.init.normal_(conv.weight, 0.0, 0.02)
            nn.init.zeros_(conv.bias)


def discriminator_loss(
    config: GANConfig, discriminator: Discriminator, real: torch.Tensor, fake: torch.Tensor, labels_2N: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cross-entropy on real and generated windows, with `labels_2N` for each, and R1; the mean verdicts on both.

    R1 is half the squared gradient of the log-odds, summed over the batch, by the real windows. With spectral norm in
    place of BatchNorm and without the batch's spread that is Mescheder et al. 2018's penalty of each window on its own;
    else a window's log-odds hang on the others in its batch too, and the gradient mixes them.
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
    """Cross-entropy of generated windows being taken for real, and the two L2 terms of feature matching.

    The terms are squared L2 norms of differences of batch means, as in MidiNet (Yang et al. 2017). The first layer's
    outputs are those after its PReLU: before it they are linear in the windows, and would repeat the other term.
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
    """What one step draws; `instance_noise` is None where it is off.

    Attributes: `z` `(n, latent_dim)` that windows are made of; `labels` `(2, n)` of real and of generated windows;
    `instance_noise` `(2, n, track, steps, pitches)` on real and on generated windows.
    """

    z: torch.Tensor
    labels: torch.Tensor
    instance_noise: torch.Tensor | None


class Adversaries:
    """Both networks with their optimisers, and the average of the generators where there is one."""

    def __init__(self, config: GANConfig, block: Block, cells_on: dict[str, float], device: torch.device) -> None:
        self.config = config
        with block.global_torch("init", "gan", "generator"):
            generator = Generator(config, cells_on)
        with block.global_torch("init", "gan", "discriminator"):
            discriminator = Discriminator(config)
        self.modules = {"generator": generator, "discriminator": discriminator}
        if config.ema:
            self.modules["average"] = copy.deepcopy(generator).requires_grad_(False)
        for module in self.modules.values():
            module.to(device, memory_format=torch.channels_last)
        rates = {"generator": config.g_lr, "discriminator": config.g_lr * config.ttur}
        self.optimizers = {
            name: torch.optim.Adam(
                self.modules[name].parameters(), lr=rate, betas=(config.beta1, config.beta2), fused=True
            )
            for name, rate in rates.items()
        }

    @property
    def sampled(self) -> Generator:
        """The generator that windows are made with."""
        return self.modules.get("average", self.modules["generator"])

    def step(self, real: torch.Tensor, draws: Draws) -> dict[str, torch.Tensor]:
        """One step of the discriminator, then one of the generator against it, on the same generated windows."""
        config, generator, discriminator = self.config, self.modules["generator"], self.modules["discriminator"]
        fake = generator(draws.z)
        if draws.instance_noise is not None:
            real, fake = real + draws.instance_noise[0], fake + draws.instance_noise[1]
        d_loss, on_real, on_fake = discriminator_loss(config, discriminator, real, fake, draws.labels)
        self._descend("discriminator", d_loss)
        # The generator's loss has no business with the discriminator's weights.
        discriminator.requires_grad_(False)
        g_loss = generator_loss(config, discriminator, real, fake)
        self._descend("generator", g_loss)
        discriminator.requires_grad_(True)
        if config.ema:
            for mean, now in zip(self.sampled.parameters(), generator.parameters(), strict=True):
                mean.lerp_(now.detach(), 1 - config.ema)
        return {"d_loss": d_loss, "g_loss": g_loss, "d_real": on_real, "d_fake": on_fake}

    def _descend(self, name: str, loss: torch.Tensor) -> None:
        self.optimizers[name].zero_grad()
        loss.backward()
        self.optimizers[name].step()


class GanLearner(Learner):
    """Both networks, trained in turn; after each epoch collapse is measured on the same `PROBES` noise vectors."""

    def __init__(self, run: StageRun) -> None:
        self.run = run
        self.cells_on = shares_on(run.windows, run.device, _known(run.config))
        self.pair = Adversaries(run.config, run.block, self.cells_on, run.device)
        self.modules, self.optimizers = self.pair.modules, self.pair.optimizers
        self.probes = torch.randn(
            PROBES, run.config.latent_dim, generator=run.block.torch("sampling", "gan", "probes")
        ).to(run.device)
        self.real = unpack_bits(run.windows.packed(run.windows.validation[:PROBES]))

    def epoch(self, number: int) -> dict[str, float]:
        run, config, sums = self.run, self.run.config, Sums()
        streams = {
            name: run.block.torch("sampling", "gan", name, number) for name in ("noise", "labels", "instance noise")
        }
        full = min(config.batch, len(run.windows.train))
        for batch in shuffled(len(run.windows.train), config.batch, run.block.torch("data", "gan", number)):
            if len(batch) < full:
                continue  # BatchNorm and batch means say little about a rest of a few windows
            windows = unpack(run.windows.packed(run.windows.train[batch.numpy()]), run.device)
            draws = draw(config, len(batch), streams, run.device)
            values = self.pair.step(windows[..., _known(config)], draws)
            sums.add(len(batch), {f"train/{name}": value for name, value in values.items()})
        return sums.means() | self._collapse()

    def finished(self) -> tuple[Generator, list[float]]:
        """The generator as it makes windows, and the log-odds at which each track is as dense as in training."""
        generator = _with_statistics(self.pair.sampled, self.probes)
        return generator, _cuts(_logits(generator, self.probes), self.cells_on)

    def _collapse(self) -> dict[str, float]:
        generator, cuts = self.finished()
        rolls = _rolls(_logits(generator, self.probes), cuts, self.run.config)
        values = {"diversity_ratio": diversity_ratio(rolls, self.real), "duplicate_rate": duplicate_rate(rolls)}
        # Real windows that are all equal make the ratio NaN, which is no divergence: that shows in the losses.
        return {f"train/{name}": value for name, value in values.items() if math.isfinite(value)}


def draw(config: GANConfig, n: int, streams: dict[str, torch.Generator], device: torch.device) -> Draws:
    """A step's draws, each kind from its own stream, so that what is off shifts no other's."""
    z = torch.randn(n, config.latent_dim, generator=streams["noise"])
    labels = torch.tensor([[1.0], [0.0]]).repeat(1, n)
    if config.label_smoothing:
        labels += _WIDEST * torch.tensor([[-1.0], [1.0]]) * torch.rand(2, n, generator=streams["labels"])
    instance = None
    if config.instance_noise:
        shape = (2, n, len(TRACKS), config.steps, config.pitches)
        instance = config.instance_noise * torch.randn(shape, generator=streams["instance noise"]).to(device)
    return Draws(z.to(device), labels.to(device), instance)


class GAN(System):
    """GAN; see the module's docstring."""

    name = "gan"
    config = GANConfig
    stages: ClassVar = {"train": 1, GENERATE: 1, MEASURE: 1}
    conditions = ("noise",)
    presets: ClassVar = {
        # The same layers, narrower; rates and betas for a few hundred steps instead of a hundred thousand.
        "demo": {
            "width": 8, "batch": 32, "epochs": 8, "g_lr": 3e-3, "beta1": 0.5, "beta2": 0.9,
            "max_train": 1024, "max_eval": 384,
        },
        # As coded where the text gives no detail (rates, betas, init, batch), as written where it does. Neither gives
        # a threshold: 0.5 is where the discriminator's binary windows have their middle.
        "article": {"output_start": "even", "threshold_rule": "absolute"},
    }  # fmt: skip

    def train(self, stage: str, run: StageRun) -> None:
        learner = GanLearner(run)
        fit(learner, run.config.epochs, run.files, run.after_epoch)
        generator, cuts = learner.finished()
        if not all(map(math.isfinite, cuts)):
            # Finite weights can still overflow on the way, and then there is no threshold.
            raise Diverged("diverged: the log-odds of generated windows are not finite")
        run.files.write(WEIGHTS, tensors.to_bytes(generator.state_dict(), {"cells_on": learner.cells_on}))
        run.files.write(THRESHOLDS, json.dumps(cuts).encode())

    @torch.no_grad()
    def continuations(self, run: StageRun, starts: np.ndarray) -> np.ndarray:
        """Independent samples, as many as windows are wanted; of the starts only the number counts."""
        config, files = run.config, run.files.product("train")
        state, meta = tensors.from_bytes(files.read(WEIGHTS))
        generator = Generator(config, meta["cells_on"])
        generator.load_state_dict(state)
        generator = generator.to(run.device, memory_format=torch.channels_last).eval()
        cuts = [torch.tensor(config.threshold).logit().item()] * len(TRACKS)
        if config.threshold_rule == "calibrated":
            cuts = json.loads(files.read(THRESHOLDS))
        noise = run.block.torch("sampling", "generate")
        z_NL = torch.randn(len(starts) * config.continuation, config.latent_dim, generator=noise)
        made = [pack(_rolls(_logits(generator, part.to(run.device)), cuts, config)) for part in z_NL.split(EVAL_BATCH)]
        return np.concatenate(made).reshape(len(starts), config.continuation, *starts.shape[1:])

    def own_measures(self, run: StageRun) -> dict[str, float]:
        """None: what tells collapse, variety and duplicates, is measured of every system."""
        return {}

    def estimated_seconds(self, config: GANConfig, windows: int) -> float:
        """Training time, from a few steps of both networks on noise."""
        block, cpu = Block(0, 0), torch.device("cpu")
        pair = Adversaries(config, block, dict.fromkeys(TRACKS, 0.02), cpu)
        streams = {name: block.torch(name) for name in ("noise", "labels", "instance noise")}
        real = (torch.rand(config.batch, len(TRACKS), config.steps, config.pitches) < 0.01).float()
        step = seconds_a_step(lambda: pair.step(real, draw(config, config.batch, streams, cpu)))
        return step * config.epochs * max(1, windows // config.batch)


def _with_statistics(generator: Generator, z_NL: torch.Tensor) -> Generator:
    """A copy whose BatchNorms hold the statistics of the batch `z_NL`.

    Running averages of training would lag behind the weights, and those of the average of generators exist nowhere.
    """
    made = copy.deepcopy(generator).train()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean of all batches since: of this one
    with torch.no_grad():
        made(z_NL)
    return made.eval()


@torch.no_grad()
def _logits(generator: Generator, z_NL: torch.Tensor) -> torch.Tensor:
    return generator.logits(z_NL).cpu()


def _cuts(logits_NRTP: torch.Tensor, cells_on: dict[str, float]) -> list[float]:
    """Log-odds that as large a share of each track's cells lies above as is on in the training windows."""
    cuts = []
    for track, share in enumerate(cells_on.values()):
        cells = logits_NRTP[:, track].flatten()
        # The cut is the first cell that is off; -inf, a silent track's cells, is no JSON.
        rank = min(round(share * len(cells)), len(cells) - 1)
        cuts.append(cells.topk(rank + 1).values[-1].item() if share else 0.0)
    return cuts


def _rolls(logits_NRTP: torch.Tensor, cuts: list[float], config: GANConfig) -> np.ndarray:
    """The cells above each track's cut `(n, track, steps, 128)` bool."""
    on = (logits_NRTP > torch.tensor(cuts)[:, None, None]).numpy()
    known = _known(config)
    return np.pad(on, ((0, 0), (0, 0), (0, 0), (known.start, 128 - known.stop)))


def _known(config: GANConfig) -> slice:
    """The pitches that the networks know."""
    below = _LOWEST[config.pitches]
    return slice(below, below + config.pitches)
