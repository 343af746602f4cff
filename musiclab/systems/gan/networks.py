"""The networks of the GAN: generator and discriminator."""

import math

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from musiclab.data.songs import TRACKS
from musiclab.systems.gan.config import GANConfig


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
