"""The networks of `vae_nn`'s VAEs: one instrument's, as the article has it, and those of all instruments at once.

Facts (Tham and Kim 2021; their code if the text is silent): the encoder and decoder of `ConvVAE` at width 64, one
learned sigma of the likelihood.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from musiclab.systems.vae_nn.config import VaeNNConfig
from musiclab.training.patches import LAYERS, bias_of, squared_distance, stacked

# The smoothly reached floor of sigma-VAE (Rybkin et al. 2021). Without it, a decoder that explains its data perfectly
# would drive sigma to 0 and the likelihood to infinity.
LOG_SIGMA_FLOOR = -6.0


class ConvVAE(nn.Module):
    """One instrument's VAE: from windows `(n, 1, steps, 128)` to K means and log-sigmas, and back.

    This is the network as the article has it, with its parameters, their first values and their names. `VaeStack` works
    the same numbers out faster.
    """

    def __init__(self, config: VaeNNConfig, sigma: float = 1.0) -> None:
        super().__init__()
        width, last = config.width, (config.steps // 16, 8)
        self.latent_dim, self.bernoulli = config.latent_dim, config.likelihood == "bernoulli"
        sigmas = config.latent_dim if config.log_sigma == "per_dimension" else 1
        self.encoder = nn.Sequential(
            nn.Conv2d(1, width, 4, 4), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4, 4), nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, last, last), nn.ReLU(),
            nn.Flatten(), nn.Linear(4 * width, config.latent_dim + sigmas),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(config.latent_dim, 4 * width), nn.ReLU(), nn.Unflatten(1, (4 * width, 1, 1)),
            nn.ConvTranspose2d(4 * width, 2 * width, last, last), nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, 4), nn.ReLU(),
            nn.ConvTranspose2d(width, 1, 4, 4),
        )  # fmt: skip
        if config.vae_init == "he":
            _initialise_as_he(self.encoder, self.decoder)
        # The likelihood's log-sigma, one for all cells; the Bernoulli likelihood does not use it. If sigma starts at 1,
        # ten times the deviation of such sparse rolls, the KL term collapses the posterior before sigma falls.
        self.log_scale = nn.Parameter(torch.tensor(math.log(sigma)))

    def encode(self, x_N1TP: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Posterior means and log-sigmas, each `(n, K)`; a shared log-sigma is repeated."""
        code = self.encoder(x_N1TP)
        return split_code(code, self.latent_dim)

    def decode(self, z_NK: torch.Tensor) -> torch.Tensor:
        """Activations `(n, 1, steps, 128)`: probabilities, or the mean of the Gaussian, which has no limits."""
        raw: torch.Tensor = self.decoder(z_NK)
        return raw.sigmoid() if self.bernoulli else raw


def _initialise_as_he(encoder: nn.Sequential, decoder: nn.Sequential) -> None:
    """Weights that keep the size of what goes through them (He et al. 2015), and a last layer of zeros.

    With the Gaussian likelihood zeros say silence, with a Bernoulli's even odds.

    PyTorch's own make signals and gradients vanish here, above all in transposed convolutions, whose inputs they count
    by the kernel although no two places overlap. The posterior then collapses at first, and half of the training goes
    by until it has recovered.
    """
    for network in (encoder, decoder):
        layers = [layer for layer in network if isinstance(layer, LAYERS)]
        for layer in layers:
            inputs = layer.weight.shape[0] if isinstance(layer, nn.ConvTranspose2d) else layer.weight[0].numel()
            nn.init.normal_(layer.weight, 0.0, math.sqrt((1 if layer is layers[-1] else 2) / inputs))
            nn.init.zeros_(bias_of(layer))
    nn.init.zeros_(layer.weight)


class VaeStack(nn.Module):
    """The VAEs of some instruments as one network, whose convolutions are products on patches; see `training.patches`.

    It takes over the parameters of the VAEs that it is made of: theirs are views of its own from then on.
    """

    def __init__(self, vaes: Sequence[ConvVAE]) -> None:
        super().__init__()
        self.latent_dim, self.bernoulli = vaes[0].latent_dim, vaes[0].bernoulli
        self.encoder = stacked([vae.encoder for vae in vaes])
        self.decoder = stacked([vae.decoder for vae in vaes])
        self.log_scale = nn.Parameter(torch.stack([vae.log_scale.detach() for vae in vaes]))
        for member, vae in enumerate(vaes):
            vae.log_scale = nn.Parameter(self.log_scale.detach()[member])

    @classmethod
    def of(cls, vaes: Sequence[ConvVAE]) -> "VaeStack | None":
        """The stack of `vaes`; None if there are none, because no instrument sounds."""
        return cls(vaes) if vaes else None

    def encode(self, x_MNC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Posterior means and log-sigmas, each `(member, n, K)`, of windows in patch order."""
        return split_code(self.encoder(x_MNC), self.latent_dim)

    def decode(self, z_MNK: torch.Tensor) -> torch.Tensor:
        """Activations `(member, n, steps x 128)` in patch order, as those of `ConvVAE.decode`."""
        raw: torch.Tensor = self.decoder(z_MNK).view(*z_MNK.shape[:2], -1)
        return raw.sigmoid() if self.bernoulli else raw

    def terms(
        self, x_MNC: torch.Tensor, noise_MNK: torch.Tensor, sampled_kl: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Negative log-likelihood and KL to N(0, 1), each `(member,)`, in nats a window.

        `noise_MNK` is the draw of the reparametrisation. The Gaussian likelihood is a density on near-binary data. It
        is good for training, but is no number of bits.
        """
        members, n, cells = x_MNC.shape
        mean, log_sigma = self.encode(x_MNC)
        z = mean + log_sigma.exp() * noise_MNK
        raw = self.decoder(z).view(members, n, cells)
        if self.bernoulli:
            nll = F.binary_cross_entropy_with_logits(raw, x_MNC, reduction="none").sum(dim=(1, 2))
        else:
            log_scale = LOG_SIGMA_FLOOR + F.softplus(self.log_scale - LOG_SIGMA_FLOOR)
            squares = 0.5 * squared_distance(raw, x_MNC) * torch.exp(-2 * log_scale)
            nll = squares + n * cells * (log_scale + 0.5 * math.log(2 * math.pi))
        if sampled_kl:
            kl = (-log_sigma - 0.5 * noise_MNK**2 + 0.5 * z**2).sum(dim=(1, 2))
        else:
            kl = 0.5 * (mean**2 + (2 * log_sigma).exp() - 1 - 2 * log_sigma).sum(dim=(1, 2))
        return nll / n, kl / n


def split_code(code: torch.Tensor, latent_dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Means and log-sigmas `(..., K)` in what an encoder gives; a shared log-sigma is repeated."""
    mean, log_sigma = code[..., :latent_dim], code[..., latent_dim:]
    return mean, log_sigma.clamp(-10, 10).expand_as(mean)
