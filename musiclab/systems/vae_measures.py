"""What is measured of `vae_nn`'s VAEs on test songs; apart from them, so that another measure trains nothing anew."""

import numpy as np
import torch

from musiclab.data.songs import TRACKS
from musiclab.measures import suite
from musiclab.measures.rolls import nan_mean
from musiclab.systems.base import StageRun
from musiclab.systems.vae import Vaes, thresholds


def latent_measures(run: StageRun, vaes: Vaes) -> dict[str, float]:
    """Held-out reconstruction, active units, KL and the posterior's sd, per track and over tracks."""
    cut = thresholds(run)
    actual, predicted, means, log_sigmas = [], [], [], []
    for real, mean, log_sigma, activation in vaes.reconstructions(run.windows.reference):
        actual.append(real)
        predicted.append((activation > cut).cpu().numpy())
        means.append(mean)
        log_sigmas.append(log_sigma)
    values = suite.reconstruction_measures(np.concatenate(predicted), np.concatenate(actual))
    means_NRK, log_sigmas_NRK = torch.cat(means).cpu().numpy(), torch.cat(log_sigmas).cpu().numpy()
    sds = {
        f"latent/posterior_sd.{TRACKS[track]}": float(np.exp(log_sigmas_NRK[:, track]).mean()) for track in vaes.modules
    }
    values |= sds | {"latent/posterior_sd": nan_mean(np.array(list(sds.values())))}
    return values | suite.posterior_measures(
        {TRACKS[track]: (means_NRK[:, track], log_sigmas_NRK[:, track]) for track in vaes.modules}
    )
