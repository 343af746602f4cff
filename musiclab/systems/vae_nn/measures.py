"""Measures of the VAEs of `vae_nn` on test songs. They are kept apart, so that a new measure retrains nothing."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from musiclab.data.songs import TRACKS
from musiclab.measures import latent_suite
from musiclab.measures.latent import importance_gain, kl_per_dimension
from musiclab.systems.activations import NoteRules
from musiclab.systems.base import StageRun
from musiclab.systems.vae_nn.config import VaeNNConfig
from musiclab.systems.vae_nn.networks import LOG_SIGMA_FLOOR, ConvVAE
from musiclab.systems.vae_nn.vae import Vaes, note_rules
from musiclab.training.batches import EVAL_BATCH

# The noise that decoding is tried with, besides noise of the posterior's own sd: around the article's 0.5 to 1.
NOISE_SDS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
# Draws a window: for the likelihood term of the ELBO, and for the importance-weighted bound.
ELBO_DRAWS, BOUND_DRAWS = 2, 128
# How many windows tell how far the bound lies above the ELBO. All of them would take ten times as long as all the rest.
BOUND_WINDOWS = 32


@dataclass(frozen=True)
class _Coded:
    """The test windows coded and decoded.

    Attributes:
        actual: the windows `(n, track, steps, 128)` bool.
        activations: what is decoded from the means, of the same shape.
        means: of the posteriors, `(n, track, K)`.
        log_sigmas: of the posteriors, `(n, track, K)`.
    """

    actual: np.ndarray
    activations: np.ndarray
    means: torch.Tensor
    log_sigmas: torch.Tensor

    @classmethod
    def by(cls, vaes: Vaes, indices: np.ndarray) -> "_Coded":
        actual, means, log_sigmas, decoded = zip(*vaes.reconstructions(indices), strict=True)
        activations = np.concatenate([batch.cpu().numpy() for batch in decoded])
        return cls(np.concatenate(actual), activations, torch.cat(means), torch.cat(log_sigmas))


@torch.no_grad()
def latent_measures(run: StageRun[VaeNNConfig], vaes: Vaes) -> dict[str, float]:
    """Every measure of the group `latent`, on test windows: reconstruction, posteriors, likelihood, noise."""
    coded, rules = _Coded.by(vaes, run.data.reference), note_rules(run, vaes)
    decoded = _cells(rules, coded.activations)
    return (
        latent_suite.reconstruction_measures(decoded, coded.actual)
        | latent_suite.activation_measures(coded.activations, coded.actual)
        | latent_suite.posterior_measures({TRACKS[track]: _posterior(coded, track) for track in vaes.modules})
        | latent_suite.likelihood_measures(
            {TRACKS[track]: _likelihood(run, vaes, coded, track) for track in vaes.modules}
        )
        | _noise_response(run, vaes, coded, decoded, rules)
    )


def _cells(rules: NoteRules, activations_NRTP: np.ndarray) -> np.ndarray:
    batches = torch.from_numpy(activations_NRTP).to(rules.thresholds.device).split(EVAL_BATCH)
    return np.concatenate([rules.cells(batch).cpu().numpy() for batch in batches])


def _posterior(coded: _Coded, track: int) -> tuple[np.ndarray, np.ndarray]:
    return coded.means[:, track].cpu().numpy(), coded.log_sigmas[:, track].cpu().numpy()


def _likelihood(run: StageRun[VaeNNConfig], vaes: Vaes, coded: _Coded, track: int) -> tuple[float, float, float]:
    """A Gaussian's sigma; a Bernoulli's ELBO and importance-weighted bound; NaN for what the likelihood does not have.

    The ELBO is the likelihood of draws from the posteriors minus the KL, which has weight 1 whatever beta was. The
    other bound is the ELBO plus a gain, which is estimated on the first windows. These are in random order.
    """
    vae, nan = vaes.modules[track], float("nan")
    if not vae.bernoulli:
        return _sigma(vae), nan, nan
    x = torch.from_numpy(coded.actual[:, track]).to(run.device).flatten(1)
    mean, log_sigma = coded.means[:, track], coded.log_sigmas[:, track]

    def draws(windows: int, each: int, purpose: str) -> torch.Tensor:
        generator = run.block.torch("measure", purpose, TRACKS[track])
        return torch.randn(windows, each, mean.shape[1], generator=generator).to(run.device)

    log_p, _ = _log_terms(vae, x, mean, log_sigma, draws(len(x), ELBO_DRAWS, "elbo"))
    elbo = log_p.mean() - kl_per_dimension(*_posterior(coded, track)).sum()
    few = slice(BOUND_WINDOWS)
    noise = draws(len(x[few]), BOUND_DRAWS, "importance-weighted bound")
    log_p, log_prior_ratio = _log_terms(vae, x[few], mean[few], log_sigma[few], noise)
    return nan, float(elbo), float(elbo + importance_gain(log_p + log_prior_ratio))


def _sigma(vae: ConvVAE) -> float:
    """The sd of the Gaussian likelihood, as `VaeStack.terms` computes it."""
    return math.exp(LOG_SIGMA_FLOOR + F.softplus(vae.log_scale - LOG_SIGMA_FLOOR))


def _log_terms(
    vae: ConvVAE, x_NC: torch.Tensor, mean_NK: torch.Tensor, log_sigma_NK: torch.Tensor, noise_NDK: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """log p(x | z) and log p(z) - log q(z | x) of a Bernoulli, each `(n, draw)`, for z = mean + sigma noise."""
    sigma_N1K = log_sigma_NK.exp()[:, None]
    z_NDK = mean_NK[:, None] + sigma_N1K * noise_NDK
    prior_ratio_ND = (log_sigma_NK[:, None] + 0.5 * noise_NDK**2 - 0.5 * z_NDK**2).sum(dim=2)
    log_p = []
    at_once = max(1, EVAL_BATCH // noise_NDK.shape[1])
    for z, x in zip(z_NDK.split(at_once), x_NC.split(at_once), strict=True):
        logits = vae.decoder(z.flatten(0, 1)).reshape(*z.shape[:2], -1)
        # The sum of x log s(l) + (1 - x) log(1 - s(l)) over cells, without taking the logarithm of a rounded number.
        log_p.append((logits @ x.float()[:, :, None])[..., 0] - F.softplus(logits).sum(dim=2))
    return torch.cat(log_p).cpu().numpy().astype(np.float64), prior_ratio_ND.cpu().numpy()


def _noise_response(
    run: StageRun[VaeNNConfig], vaes: Vaes, coded: _Coded, decoded: np.ndarray, rules: NoteRules
) -> dict[str, float]:
    """The measures of decoding with noise on the latents."""
    # All sds scale the same draws, so that the response to more noise does not depend on other draws.
    noise = torch.randn(coded.means.shape, generator=run.block.torch("measure", "noise response")).to(run.device)

    def with_noise(sd: float | torch.Tensor) -> np.ndarray:
        z_NRK = coded.means + sd * noise
        return np.concatenate([rules.cells(vaes.decode(batch)).cpu().numpy() for batch in z_NRK.split(EVAL_BATCH)])

    own, noisy = with_noise(coded.log_sigmas.exp()), ((sd, with_noise(sd)) for sd in NOISE_SDS)
    return latent_suite.noise_response_measures(decoded, own, noisy, coded.actual)
