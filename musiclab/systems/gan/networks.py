"""The networks of the GAN: generator and discriminator."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from musiclab.data.songs import TRACKS
from musiclab.data.windows import PITCHES
from musiclab.systems.gan.config import GANConfig
from musiclab.training.modules import module_list

# A softmax starts with at least this share of rests, so that no track's logits start far from 0.
_FEWEST_RESTS = 0.01


class Between(nn.Module):
    """What lies between convolutions: BatchNorm (if the layer is `normed`) and PReLU, separate or shared by all."""

    def __init__(self, channels: tuple[int, ...], normed: list[bool], reused: bool) -> None:
        super().__init__()
        self.norms = module_list(
            nn.BatchNorm2d(count, affine=not reused) if on else nn.Identity()
            for count, on in zip(channels, normed, strict=True)
        )
        self.slopes = module_list(nn.PReLU() for _ in (channels[:1] if reused else channels))
        if reused and any(normed):
            self.scale, self.shift = nn.Parameter(torch.ones(channels[0])), nn.Parameter(torch.zeros(channels[0]))

    def forward(self, x_NCTP: torch.Tensor, place: int) -> torch.Tensor:
        norm = self.norms[place]
        x_NCTP = norm(x_NCTP)
        if isinstance(norm, nn.BatchNorm2d) and not norm.affine:
            x_NCTP = x_NCTP * self.scale[:, None, None] + self.shift[:, None, None]
        activations: torch.Tensor = self.slopes[min(place, len(self.slopes) - 1)](x_NCTP)
        return activations


@dataclass(frozen=True)
class TrackStatistics:
    """What is known of each track from the training windows.

    Attributes:
        cells_on: the share of its cells that are on.
        radii: within how many semitones of a note no other one sounds, see `own_radii`.
    """

    cells_on: dict[str, float]
    radii: list[int]


class Generator(nn.Module):
    """From noise `(n, latent_dim)` to windows `(n, track, steps, pitches)`.

    A track that does not sound in the training windows stays silent.
    """

    sounds: torch.Tensor
    one_note: torch.Tensor

    def __init__(self, config: GANConfig, tracks: TrackStatistics) -> None:
        super().__init__()
        channels = config.channels[::-1]
        convs = [nn.ConvTranspose2d(config.latent_dim, channels[0], config.smallest_map)]
        for count, following, stride in zip(channels, (*channels[1:], len(TRACKS)), config.strides[::-1], strict=True):
            convs.append(nn.ConvTranspose2d(count, following, _kernel(stride), stride, padding=1))
        self.convs = module_list(convs)
        self.between = Between(channels, [True] * len(channels), config.norm == "reused")
        _initialise(self.convs, config.init)
        shares = torch.tensor([tracks.cells_on[name] for name in TRACKS])
        self.register_buffer("sounds", (shares > 0)[:, None, None], persistent=False)
        one_note = torch.tensor(tracks.radii) == PITCHES - 1
        self.register_buffer("one_note", one_note[:, None, None], persistent=False)
        self.softmax = config.output == "softmax" and bool(one_note.any())
        if config.output_start == "data":
            # From even odds a generator first has to switch off 60 of 64 cells; by then the discriminator is far ahead.
            odds = shares.logit(eps=1e-6)
            if self.softmax:
                rests = (1 - config.pitches * shares).clamp(min=_FEWEST_RESTS)
                odds = torch.where(one_note & (shares > 0), (shares / rests).log(), odds)
            with torch.no_grad():
                _bias(self.convs[-1]).copy_(odds)

    def logits(self, z_NL: torch.Tensor) -> torch.Tensor:
        """Log-odds that a cell is on, or with a softmax that its pitch is played rather than none; -inf if silent."""
        x = z_NL[:, :, None, None]
        for place, conv in enumerate(self.convs[:-1]):
            x = self.between(conv(x), place)
        logits: torch.Tensor = self.convs[-1](x)
        return logits.masked_fill(~self.sounds, -math.inf)

    def forward(self, z_NL: torch.Tensor) -> torch.Tensor:
        """Probabilities that a cell is on."""
        logits = self.logits(z_NL)
        if not self.softmax:
            return logits.sigmoid()
        # The rest of a step is one more pitch, whose logit is 0.
        choices = F.pad(logits, (0, 1)).softmax(dim=-1)[..., :-1]
        return torch.where(self.one_note, choices, logits.sigmoid())


class Discriminator(nn.Module):
    """From windows `(n, track, steps, pitches)` to log-odds of being real `(n,)`, and the first layer's outputs."""

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        channels, normed = config.channels, [False] + [not config.spectral_norm] * 4
        # All have a bias, even if BatchNorm cancels it. With spectral norm instead of BatchNorm it matters, and the
        # draws must be the same with and without.
        convs = [
            nn.Conv2d(count, following, _kernel(stride), stride, padding=1)
            for count, following, stride in zip((len(TRACKS), *channels[:-1]), channels, config.strides, strict=True)
        ]
        self.convs = module_list([*convs, nn.Conv2d(channels[-1], 1, config.smallest_map)])
        self.between = Between(channels, normed, config.norm == "reused")
        _initialise(self.convs, config.init)
        # Made after all others, so that it does not shift their draws.
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
    """How much a batch's windows differ, one number `(1,)` for the whole batch (Karras et al. 2018).

    It is measured before any BatchNorm, which would even it out. Karras et al. add it as a constant map to the input of
    a convolution. If that convolution covers the whole map, as here, this is one number times one weight.
    """
    variance = x_NCTP.var(dim=0, unbiased=False)
    return (variance + 1e-8).sqrt().mean().reshape(1)


def _kernel(stride: tuple[int, int]) -> tuple[int, int]:
    return stride[0] + 2, stride[1] + 2


def _initialise(convs: Sequence[nn.Conv2d] | Sequence[nn.ConvTranspose2d], init: str) -> None:
    if init == "normal":
        for conv in convs:
            nn.init.normal_(conv.weight, 0.0, 0.02)
            nn.init.zeros_(_bias(conv))


def _bias(conv: nn.Conv2d | nn.ConvTranspose2d) -> torch.Tensor:
    if conv.bias is None:
        raise ValueError("every convolution of the GAN has a bias")
    return conv.bias
