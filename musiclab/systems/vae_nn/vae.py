"""The VAEs of `vae_nn`: one instrument's network, the training of all five, and the trained five as a coder.

Facts (Tham and Kim 2021; their code if the text is silent): the encoder and decoder of `ConvVAE` at width 64, one
learned sigma of the likelihood, Adam at 1e-3 with weight decay 1e-6, batches of 32, 25 epochs.
"""

import json
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from musiclab.data.songs import TRACKS
from musiclab.measures.reconstruction import best_threshold
from musiclab.systems.base import StageRun
from musiclab.systems.vae_nn.config import VaeNNConfig
from musiclab.training import tensors
from musiclab.training.batches import EVAL_BATCH, float_rolls, in_order, shares_on, shuffled
from musiclab.training.files import Files
from musiclab.training.fit import Learner, fit
from musiclab.training.modules import channels_last
from musiclab.training.running_means import RunningMeans

WEIGHTS, THRESHOLDS = "weights.safetensors", "thresholds.json"
_CANDIDATES = [step / 50 for step in range(1, 50)]
# The smoothly reached floor of sigma-VAE (Rybkin et al. 2021). Without it, a decoder that explains its data perfectly
# would drive sigma to 0 and the likelihood to infinity.
LOG_SIGMA_FLOOR = -6.0


class ConvVAE(nn.Module):
    """One instrument's VAE: from windows `(n, 1, steps, 128)` to K means and log-sigmas, and back."""

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
        # The likelihood's log-sigma, one for all cells; the Bernoulli likelihood does not use it. If sigma starts at 1,
        # ten times the deviation of such sparse rolls, the KL term collapses the posterior before sigma falls.
        self.log_scale = nn.Parameter(torch.tensor(math.log(sigma)))

    def encode(self, x_N1TP: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Posterior means and log-sigmas, each `(n, K)`; a shared log-sigma is repeated."""
        code = self.encoder(x_N1TP)
        mean, log_sigma = code[:, : self.latent_dim], code[:, self.latent_dim :]
        return mean, log_sigma.clamp(-10, 10).expand_as(mean)

    def decode(self, z_NK: torch.Tensor) -> torch.Tensor:
        """Activations `(n, 1, steps, 128)`: probabilities, or the mean of the Gaussian, which has no limits."""
        raw: torch.Tensor = self.decoder(z_NK)
        return raw.sigmoid() if self.bernoulli else raw

    def terms(self, x: torch.Tensor, noise_NK: torch.Tensor, sampled_kl: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Negative log-likelihood and KL to N(0, 1), in nats a window; `noise_NK` is the draw of the reparametrisation.

        The Gaussian likelihood is a density on near-binary data. It is good for training, but is no number of bits.
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

    An instrument that is silent in all training windows gets no VAE and stays silent.
    """

    modules: dict[str, ConvVAE]
    optimizers: dict[str, torch.optim.Optimizer]

    def __init__(self, run: StageRun[VaeNNConfig]) -> None:
        self.run, config = run, run.config
        shares = shares_on(run.data, run.device)
        self.sounding = [name for name, share in shares.items() if share]
        self.modules, self.optimizers = {}, {}
        for name in self.sounding:
            # The share of cells that are on is the mean square, because rolls are binary.
            sigma = math.sqrt(shares[name]) if config.sigma_start == "data" else 1.0
            with run.block.global_torch("init", "vae", name):
                vae = ConvVAE(config, sigma)
            self.modules[name] = channels_last(vae, run.device)
            self.optimizers[name] = torch.optim.Adam(
                vae.parameters(), lr=config.vae_lr, weight_decay=config.vae_weight_decay, fused=True
            )

    def epoch(self, number: int) -> dict[str, float]:
        run, config, sums = self.run, self.run.config, RunningMeans()
        noise = run.block.torch("sampling", "vae", number)
        for batch in shuffled(len(run.data.train), config.vae_batch, run.block.torch("data", "vae", number)):
            x_NRTP = float_rolls(run.data.packed(run.data.train[batch.numpy()]), run.device)
            # Drawn for all instruments, even silent ones, so that no instrument shifts another's draws.
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
        for x_NRTP in in_order(self.run.data, self.run.data.validation, self.run.device):
            for name, vae in self.modules.items():
                track = TRACKS.index(name)
                zeros = torch.zeros(len(x_NRTP), config.latent_dim, device=self.run.device)
                nll, kl = vae.terms(x_NRTP[:, track : track + 1], zeros, sampled_kl=False)
                sums.add(len(x_NRTP), {f"val/loss.{name}": nll + config.beta * kl, f"val/kl.{name}": kl})
        return sums.means()


class Vaes:
    """The trained VAEs as one coder of windows. An instrument without a VAE has latents of 0 and never sounds."""

    def __init__(self, run: StageRun[VaeNNConfig], files: Files) -> None:
        state, meta = tensors.from_bytes(files.read(WEIGHTS))
        self.run = run
        self.modules: dict[int, ConvVAE] = {}
        for name in meta["sounding"]:
            vae = ConvVAE(run.config)
            vae.load_state_dict(tensors.under(name, state))
            self.modules[TRACKS.index(name)] = channels_last(vae, run.device).eval()

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
        return torch.cat([self.posterior(x_NRTP)[0] for x_NRTP in in_order(self.run.data, indices, self.run.device)])

    def packed_means(self, packed_NRTB: np.ndarray) -> torch.Tensor:
        """Posterior means `(n, track, K)` of packed windows."""
        batches = torch.from_numpy(packed_NRTB).split(EVAL_BATCH)
        return torch.cat([self.posterior(float_rolls(batch, self.run.device))[0] for batch in batches])

    @torch.no_grad()
    def decode(self, z_NRK: torch.Tensor) -> torch.Tensor:
        """Activations `(n, track, steps, 128)` float32; -inf, below every threshold, for instruments without a VAE."""
        activations = torch.full(
            (len(z_NRK), len(TRACKS), self.run.config.steps, 128), -math.inf, device=self.run.device
        )
        for track, vae in self.modules.items():
            activations[:, track] = vae.decode(z_NRK[:, track])[:, 0]
        return activations

    def reconstructions(
        self, indices: np.ndarray
    ) -> Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Real windows, means, log-sigmas and activations at the means, batch by batch."""
        for x_NRTP in in_order(self.run.data, indices, self.run.device):
            mean, log_sigma = self.posterior(x_NRTP)
            yield x_NRTP.bool().cpu().numpy(), mean, log_sigma, self.decode(mean)


def train_vaes(run: StageRun[VaeNNConfig]) -> None:
    """Train the VAEs; keep their weights and each track's calibrated threshold."""
    learner = VaeLearner(run)
    fit(learner, run.config.vae_epochs, run.files, run.after_epoch)
    run.files.write(WEIGHTS, tensors.to_bytes(learner.weights(), {"sounding": learner.sounding}))
    run.files.write(THRESHOLDS, json.dumps(_calibrated(run, Vaes(run, run.files))).encode())


def thresholds(run: StageRun[VaeNNConfig]) -> torch.Tensor:
    """Each track's threshold `(track, 1, 1)`: the config's, or the calibrated one."""
    values = [run.config.threshold] * len(TRACKS)
    if run.config.threshold_rule == "calibrated":
        values = json.loads(run.files.product("vae").read(THRESHOLDS))
    return torch.tensor(values, dtype=torch.float32, device=run.device)[:, None, None]


def _calibrated(run: StageRun[VaeNNConfig], vaes: Vaes) -> list[float]:
    """For each track the threshold of the best frame F1 on validation songs; 0.5 if the track has no note there."""
    thresholds = [0.5] * len(TRACKS)
    batches = [(real, decoded.cpu().numpy()) for real, _, _, decoded in vaes.reconstructions(run.data.validation)]
    for track in vaes.modules:
        activation = np.concatenate([decoded[:, track] for _, decoded in batches])
        actual = np.concatenate([real[:, track] for real, _ in batches])
        if actual.any():
            thresholds[track] = best_threshold(activation, actual, _CANDIDATES)
    return thresholds
