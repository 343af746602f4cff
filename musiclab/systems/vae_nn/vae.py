"""The VAEs of `vae_nn`: one instrument's network, the five trained side by side, and the trained ones as a coder.

Facts (Tham and Kim 2021, and their code where the text is silent): the encoder and decoder of `ConvVAE` at width 64,
one learned sigma of the likelihood, Adam at 1e-3 with weight decay 1e-6, batches of 32, 25 epochs.
"""

import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from musiclab.data.songs import TRACKS
from musiclab.measures.reconstruction import best_threshold
from musiclab.systems.base import StageRun
from musiclab.training import tensors
from musiclab.training.batches import EVAL_BATCH, in_order, shares_on, shuffled, unpack
from musiclab.training.files import Files
from musiclab.training.fit import Learner, fit
from musiclab.training.running_means import RunningMeans

if TYPE_CHECKING:
    from musiclab.systems.vae_nn.config import VaeNNConfig

WEIGHTS, THRESHOLDS = "weights.safetensors", "thresholds.json"
_CANDIDATES = [step / 50 for step in range(1, 50)]
# A decoder that explains its data perfectly would drive sigma to 0 and the likelihood to infinity; the floor of
# sigma-VAE (Rybkin et al. 2021), reached smoothly.
LOG_SIGMA_FLOOR = -6.0


class ConvVAE(nn.Module):
    """One instrument's VAE; windows `(n, 1, steps, 128)` to K means and log-sigmas and back."""

    def __init__(self, config: "VaeNNConfig", sigma: float = 1.0) -> None:
        super().__init__()
        w, last = config.width, (config.steps // 16, 8)
        self.latent_dim, self.bernoulli = config.latent_dim, config.likelihood == "bernoulli"
        sigmas = config.latent_dim if config.log_sigma == "per_dimension" else 1
        self.encoder = nn.Sequential(
            nn.Conv2d(1, w, 4, 4), nn.ReLU(),
            nn.Conv2d(w, 2 * w, 4, 4), nn.ReLU(),
            nn.Conv2d(2 * w, 4 * w, last, last), nn.ReLU(),
            nn.Flatten(), nn.Linear(4 * w, config.latent_dim + sigmas),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(config.latent_dim, 4 * w), nn.ReLU(), nn.Unflatten(1, (4 * w, 1, 1)),
            nn.ConvTranspose2d(4 * w, 2 * w, last, last), nn.ReLU(),
            nn.ConvTranspose2d(2 * w, w, 4, 4), nn.ReLU(),
            nn.ConvTranspose2d(w, 1, 4, 4),
        )  # fmt: skip
        # The likelihood's log-sigma, one for all cells; the Bernoulli likelihood has none and leaves it alone. Started
        # at 1, ten times what such sparse rolls deviate, it lets the KL term collapse the posterior before it falls.
        self.log_scale = nn.Parameter(torch.tensor(math.log(sigma)))

    def encode(self, x_N1TP: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Posterior means `(n, K)` and log-sigmas, `(n, K)` too (a shared one is repeated)."""
        out = self.encoder(x_N1TP)
        mean, log_sigma = out[:, : self.latent_dim], out[:, self.latent_dim :]
        return mean, log_sigma.clamp(-10, 10).expand_as(mean)

    def decode(self, z_NK: torch.Tensor) -> torch.Tensor:
        """Activations `(n, 1, steps, 128)`: probabilities, or the Gaussian's mean as it comes."""
        raw = self.decoder(z_NK)
        return raw.sigmoid() if self.bernoulli else raw

    def terms(self, x: torch.Tensor, noise_NK: torch.Tensor, sampled_kl: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Negative log-likelihood and KL to N(0, 1), in nats a window; `noise_NK` is the reparametrisation's draw.

        The Gaussian's is a density on near-binary data: good for training, not a number of bits.
        """
        mean, log_sigma = self.encode(x)
        z = mean + log_sigma.exp() * noise_NK
        raw = self.decoder(z)
        if self.bernoulli:
            nll = F.binary_cross_entropy_with_logits(raw, x, reduction="sum")
        else:
            log_scale = LOG_SIGMA_FLOOR + F.softplus(self.log_scale - LOG_SIGMA_FLOOR)
            squares = ((x - raw) ** 2).sum()
            nll = 0.5 * squares * torch.exp(-2 * log_scale) + x.numel() * (log_scale + 0.5 * math.log(2 * math.pi))
        if sampled_kl:
            kl = (-log_sigma - 0.5 * noise_NK**2 + 0.5 * z**2).sum()
        else:
            kl = 0.5 * (mean**2 + (2 * log_sigma).exp() - 1 - 2 * log_sigma).sum()
        return nll / len(x), kl / len(x)


class VaeLearner(Learner):
    """The VAEs of all instruments that sound, trained side by side on the same batches, each by its own optimiser.

    An instrument silent in all training windows has nothing to learn: it gets no VAE, and stays silent.
    """

    def __init__(self, run: StageRun) -> None:
        self.run, config = run, run.config
        shares = shares_on(run.windows, run.device)
        self.sounding = [name for name, share in shares.items() if share]
        self.modules, self.optimizers = {}, {}
        for name in self.sounding:
            # Of binary rolls the share of cells on is the mean square.
            sigma = math.sqrt(shares[name]) if config.sigma_start == "data" else 1.0
            with run.block.global_torch("init", "vae", name):
                vae = ConvVAE(config, sigma)
            # The layout that convolutions on CPUs and tensor cores are fastest in.
            self.modules[name] = vae.to(run.device, memory_format=torch.channels_last)
            self.optimizers[name] = torch.optim.Adam(
                vae.parameters(), lr=config.vae_lr, weight_decay=config.vae_weight_decay, fused=True
            )

    def epoch(self, number: int) -> dict[str, float]:
        run, config, sums = self.run, self.run.config, RunningMeans()
        noise = run.block.torch("sampling", "vae", number)
        for batch in shuffled(len(run.windows.train), config.vae_batch, run.block.torch("data", "vae", number)):
            x_NRTP = unpack(run.windows.packed(run.windows.train[batch.numpy()]), run.device)
            # Drawn for all instruments, silent ones too, so that no instrument shifts another's draws.
            noise_NRK = torch.randn(len(batch), len(TRACKS), config.latent_dim, generator=noise).to(run.device)
            for name, vae in self.modules.items():
                track = TRACKS.index(name)
                nll, kl = vae.terms(x_NRTP[:, track : track + 1], noise_NRK[:, track], config.kl == "sample")
                loss = nll + config.beta * kl
                self.optimizers[name].zero_grad()
                loss.backward()
                self.optimizers[name].step()
                sums.add(len(batch), {f"train/loss.{name}": loss, f"train/kl.{name}": kl})
        return sums.means() | self._validation()

    @torch.no_grad()
    def _validation(self) -> dict[str, float]:
        """The same loss on the validation windows at the posterior means, which needs no draws."""
        sums, config = RunningMeans(), self.run.config
        for x_NRTP in in_order(self.run.windows, self.run.windows.validation, self.run.device):
            for name, vae in self.modules.items():
                track = TRACKS.index(name)
                zeros = torch.zeros(len(x_NRTP), config.latent_dim, device=self.run.device)
                nll, kl = vae.terms(x_NRTP[:, track : track + 1], zeros, sampled_kl=False)
                sums.add(len(x_NRTP), {f"val/loss.{name}": nll + config.beta * kl, f"val/kl.{name}": kl})
        return sums.means()


class Vaes:
    """The five trained VAEs as one coder of windows; an instrument without one has latents of 0 and never sounds."""

    def __init__(self, run: StageRun, files: Files) -> None:
        state, meta = tensors.from_bytes(files.read(WEIGHTS))
        self.run, self.modules = run, {}
        for name in meta["sounding"]:
            vae = ConvVAE(run.config)
            vae.load_state_dict(tensors.under(name, state))
            self.modules[TRACKS.index(name)] = vae.to(run.device, memory_format=torch.channels_last).eval()

    @torch.no_grad()
    def posterior(self, x_NRTP: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Means and log-sigmas, each `(n, track, K)`."""
        mean = torch.zeros(len(x_NRTP), len(TRACKS), self.run.config.latent_dim, device=self.run.device)
        log_sigma = torch.zeros_like(mean)
        for track, vae in self.modules.items():
            mean[:, track], log_sigma[:, track] = vae.encode(x_NRTP[:, track : track + 1])
        return mean, log_sigma

    def means(self, indices: np.ndarray) -> torch.Tensor:
        """Posterior means `(n, track, K)` of the windows at `indices`."""
        return torch.cat([self.posterior(x_NRTP)[0] for x_NRTP in in_order(self.run.windows, indices, self.run.device)])

    def packed_means(self, packed_NRTB: np.ndarray) -> torch.Tensor:
        """Posterior means `(n, track, K)` of packed windows."""
        parts = torch.from_numpy(packed_NRTB).split(EVAL_BATCH)
        return torch.cat([self.posterior(unpack(part, self.run.device))[0] for part in parts])

    @torch.no_grad()
    def decode(self, z_NRK: torch.Tensor) -> torch.Tensor:
        """Activations `(n, track, steps, 128)` float32; -inf, under every threshold, where there is no VAE."""
        out = torch.full((len(z_NRK), len(TRACKS), self.run.config.steps, 128), -math.inf, device=self.run.device)
        for track, vae in self.modules.items():
            out[:, track] = vae.decode(z_NRK[:, track])[:, 0]
        return out

    def reconstructions(
        self, indices: np.ndarray
    ) -> Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Real windows, means, log-sigmas and activations at the means, in batches."""
        for x_NRTP in in_order(self.run.windows, indices, self.run.device):
            mean, log_sigma = self.posterior(x_NRTP)
            yield x_NRTP.bool().cpu().numpy(), mean, log_sigma, self.decode(mean)


def train_vaes(run: StageRun) -> None:
    """The stage that trains the VAEs: their weights, and each track's threshold."""
    learner = VaeLearner(run)
    fit(learner, run.config.vae_epochs, run.files, run.after_epoch)
    run.files.write(WEIGHTS, tensors.to_bytes(learner.weights(), {"sounding": learner.sounding}))
    run.files.write(THRESHOLDS, json.dumps(_calibrated(run, Vaes(run, run.files))).encode())


def thresholds(run: StageRun) -> torch.Tensor:
    """Each track's threshold `(track, 1, 1)`: the config's, or the calibrated one."""
    values = [run.config.threshold] * len(TRACKS)
    if run.config.threshold_rule == "calibrated":
        values = json.loads(run.files.product("vae").read(THRESHOLDS))
    return torch.tensor(values, dtype=torch.float32, device=run.device)[:, None, None]


def _calibrated(run: StageRun, vaes: Vaes) -> list[float]:
    """The threshold of each track that gives the best frame F1 on validation songs; 0.5 where it has no note there."""
    thresholds = [0.5] * len(TRACKS)
    parts = [(real, out.cpu().numpy()) for real, _, _, out in vaes.reconstructions(run.windows.validation)]
    for track in vaes.modules:
        activation = np.concatenate([out[:, track] for _, out in parts])
        actual = np.concatenate([real[:, track] for real, _ in parts])
        if actual.any():
            thresholds[track] = best_threshold(activation, actual, _CANDIDATES)
    return thresholds
