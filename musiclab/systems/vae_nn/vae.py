"""The VAEs of `vae_nn`: the training of all five, and the trained five as a coder.

Facts (Tham and Kim 2021; their code if the text is silent): Adam at 1e-3 with weight decay 1e-6, batches of 32, 25
epochs.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from musiclab.data.songs import TRACKS
from musiclab.measures.reconstruction import best_threshold
from musiclab.systems.activations import OWN, NoteRules, contrasted, density_thresholds, own_radii, radii_of
from musiclab.systems.base import StageRun
from musiclab.systems.progress import best_f1_measures
from musiclab.systems.vae_nn.config import VaeNNConfig
from musiclab.systems.vae_nn.networks import ConvVAE, VaeStack
from musiclab.training import tensors
from musiclab.training.adam import Adam
from musiclab.training.batches import EVAL_BATCH, float_rolls, in_order, shares_on, shuffled
from musiclab.training.epoch import Epoch
from musiclab.training.files import Files
from musiclab.training.fit import Learner, fit
from musiclab.training.patch_order import PatchWindows, from_patches, to_patches
from musiclab.training.running_means import RunningMeans
from musiclab.training.schedule import warm_cosine

WEIGHTS, NOTES = "weights.safetensors", "notes.safetensors"
# On how many validation windows thresholds by density are found, whenever music is generated.
PROBES = EVAL_BATCH
_CANDIDATES = [step / 50 for step in range(1, 50)]


class VaeLearner(Learner):
    """The VAEs of all instruments that sound, trained side by side on the same batches.

    An instrument that is silent in all training windows gets no VAE and stays silent.
    """

    modules: dict[str, ConvVAE]
    optimizers: dict[str, torch.optim.Optimizer]

    def __init__(self, run: StageRun[VaeNNConfig]) -> None:
        self.run, config = run, run.config
        shares = shares_on(run.data, run.data.train, run.device)
        self.sounding = [name for name, share in shares.items() if share]
        self.modules = {}
        for name in self.sounding:
            # The share of cells that are on is the mean square, because rolls are binary.
            sigma = math.sqrt(shares[name]) if config.sigma_start == "data" else 1.0
            with run.block.global_torch("init", "vae", name):
                self.modules[name] = ConvVAE(config, sigma).to(run.device)
        self.tracks = [TRACKS.index(name) for name in self.sounding]
        self.train, self.validation = (
            PatchWindows(run.data, part, self.tracks, run.device) for part in (run.data.train, run.data.validation)
        )
        self.stack, self.optimizers = VaeStack.of(list(self.modules.values())), {}
        if self.stack:
            # Adam works number by number, so that one for all is one for each.
            parameters = self.stack.parameters()
            self.optimizers["vaes"] = Adam(parameters, lr=config.vae_lr, weight_decay=config.vae_weight_decay)

    def epoch(self, epoch: Epoch) -> dict[str, float]:
        run, config = self.run, self.run.config
        if not self.stack:
            return {}
        noise, optimizer = run.block.torch("sampling", "vae", epoch.number), self.optimizers["vaes"]
        epoch.drawn_from(noise)
        steps = math.ceil(len(run.data.train) / config.vae_batch)
        batches = shuffled(len(run.data.train), config.vae_batch, run.block.torch("data", "vae", epoch.number))
        for step, batch in epoch.steps(batches, steps):
            if config.vae_schedule == "cosine":
                rate = warm_cosine(config.vae_lr, step, steps * config.vae_epochs)
                optimizer.param_groups[0]["lr"] = rate
            # Drawn for all instruments, even silent ones, so that no instrument shifts another's draws.
            noise_NRK = torch.randn(len(batch), len(TRACKS), config.latent_dim, generator=noise)
            noise_MNK = noise_NRK[:, self.tracks].transpose(0, 1).to(run.device)
            nll, kl = self.stack.terms(self.train.batch(batch), noise_MNK, config.kl == "sample")
            loss = nll + config.beta * kl
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
            epoch.sums.add(len(batch), self._named("train", loss, kl))
        return epoch.sums.means() | self._validation()

    @torch.no_grad()
    def progress(self) -> float:
        """Mean frame F1 of the decoded validation windows, each track's at its best threshold; NaN if none sounds.

        A threshold can be found for any likelihood, and what is decoded from the means does not depend on beta.
        """
        if not self.stack:
            return math.nan
        places = torch.arange(len(self.run.data.validation)).split(EVAL_BATCH)
        batches = [self.validation.batch(batch) for batch in places]
        decoded = [self.stack.decode(self.stack.encode(x_MNC)[0]).cpu().numpy() for x_MNC in batches]
        actual_MNC = np.concatenate([x_MNC.bool().cpu().numpy() for x_MNC in batches], axis=1)
        return best_f1_measures(np.concatenate(decoded, axis=1), actual_MNC)

    @torch.no_grad()
    def _validation(self) -> dict[str, float]:
        """The same loss on the validation windows at the posterior means, which needs no draws."""
        run, config, sums = self.run, self.run.config, RunningMeans()
        if not self.stack:
            return {}
        for batch in torch.arange(len(run.data.validation)).split(EVAL_BATCH):
            zeros = torch.zeros(len(self.tracks), len(batch), config.latent_dim, device=run.device)
            nll, kl = self.stack.terms(self.validation.batch(batch), zeros, sampled_kl=False)
            sums.add(len(batch), self._named("val", nll + config.beta * kl, kl))
        return sums.means()

    def _named(self, part: str, loss: torch.Tensor, kl: torch.Tensor) -> dict[str, torch.Tensor]:
        names = enumerate(self.sounding)
        return {
            f"{part}/{curve}.{name}": values[member]
            for member, name in names
            for curve, values in (("loss", loss), ("kl", kl))
        }


class Vaes:
    """The trained VAEs as one coder of windows. An instrument without a VAE has latents of 0 and never sounds."""

    def __init__(self, run: StageRun[VaeNNConfig], files: Files) -> None:
        state, meta = tensors.from_bytes(files.read(WEIGHTS))
        self.run = run
        self.modules: dict[int, ConvVAE] = {}
        for name in meta["sounding"]:
            vae = ConvVAE(run.config)
            vae.load_state_dict(tensors.under(name, state))
            self.modules[TRACKS.index(name)] = vae.to(run.device).eval()
        self.stack = VaeStack.of(list(self.modules.values()))

    @torch.no_grad()
    def posterior(self, x_NRTP: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Means and log-sigmas, each `(n, track, K)`."""
        mean = torch.zeros(len(x_NRTP), len(TRACKS), self.run.config.latent_dim, device=self.run.device)
        log_sigma = torch.zeros_like(mean)
        if self.stack:
            tracks = list(self.modules)
            mean_MNK, log_sigma_MNK = self.stack.encode(to_patches(x_NRTP[:, tracks]))
            mean[:, tracks], log_sigma[:, tracks] = mean_MNK.transpose(0, 1), log_sigma_MNK.transpose(0, 1)
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
        if self.stack:
            tracks = list(self.modules)
            decoded_MNC = self.stack.decode(z_NRK[:, tracks].transpose(0, 1))
            activations[:, tracks] = from_patches(decoded_MNC, self.run.config.steps)
        return activations

    def reconstructions(
        self, indices: np.ndarray
    ) -> Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Real windows, means, log-sigmas and activations at the means, batch by batch."""
        for x_NRTP in in_order(self.run.data, indices, self.run.device):
            mean, log_sigma = self.posterior(x_NRTP)
            yield x_NRTP.bool().cpu().numpy(), mean, log_sigma, self.decode(mean)


def train_vaes(run: StageRun[VaeNNConfig]) -> None:
    """Train the VAEs; keep their weights, and all that thresholds are found by."""
    learner = VaeLearner(run)
    fit(learner, run.config.vae_epochs, run.files, run.after_epoch, run.rungs, run.at_rung)
    run.files.write(WEIGHTS, tensors.to_bytes(learner.weights(), {"sounding": learner.sounding}))
    vaes = Vaes(run, run.files)
    found = {
        "best_f1": _best_thresholds(run, vaes),
        "shares": list(shares_on(run.data, run.data.validation, run.device).values()),
        "radii": own_radii(run.data),
    }
    run.files.write(NOTES, tensors.to_bytes({"probes": vaes.means(run.data.validation[:PROBES])}, found))


def note_rules(run: StageRun[VaeNNConfig], vaes: Vaes) -> NoteRules:
    """Which of the decoded cells sound, by the config's rules.

    Thresholds of the best F1 are those of cells as they are decoded, whatever `contrast` and `peaks` are.
    """
    config, device = run.config, run.device
    kept, found = _kept_for_notes(run.files.product("vae"))
    radii = radii_of(config.peaks, found["radii"] if config.peaks == OWN else ())
    match config.threshold_rule:
        case "density":
            thresholds = density_thresholds(
                contrasted(vaes.decode(kept["probes"].to(device)), config.contrast), found["shares"], radii
            )
        case "best_f1":
            thresholds = torch.tensor(found["best_f1"], dtype=torch.float32, device=device)[:, None, None]
        case _:
            thresholds = torch.full((len(TRACKS), 1, 1), config.threshold, device=device)
    return NoteRules(thresholds, radii, config.contrast)


def _kept_for_notes(files: Files) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What `train_vaes` kept to find thresholds by; version 0.1.0 kept those of the best F1 alone."""
    try:
        return tensors.from_bytes(files.read(NOTES))
    except FileNotFoundError:
        return {}, {"best_f1": json.loads(files.read("thresholds.json"))}


def _best_thresholds(run: StageRun[VaeNNConfig], vaes: Vaes) -> list[float]:
    """For each track the threshold of the best frame F1 on validation songs; 0.5 if the track has no note there."""
    thresholds = [0.5] * len(TRACKS)
    batches = [(real, decoded.cpu().numpy()) for real, _, _, decoded in vaes.reconstructions(run.data.validation)]
    for track in vaes.modules:
        activation = np.concatenate([decoded[:, track] for _, decoded in batches])
        actual = np.concatenate([real[:, track] for real, _ in batches])
        if actual.any():
            thresholds[track] = best_threshold(activation, actual, _CANDIDATES)
    return thresholds
