"""All measures of the group `latent`: how well latents hold the music, and how they are used."""

from collections.abc import Iterable, Sequence

import numpy as np

from musiclab.data.songs import TRACKS
from musiclab.measures.latent import active_units, collapsed, kl_per_dimension, prior_gap
from musiclab.measures.pairs import mean_distance
from musiclab.measures.ranking import ranking
from musiclab.measures.reconstruction import frame_scores, onset_scores
from musiclab.measures.rolls import nan_mean, ratio
from musiclab.measures.suite import by_part
from musiclab.measures.variety import noise_distances


def reconstruction_measures(predicted: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Frame and onset precision, recall and F1, and the ratio of densities, by track and as the mean over tracks.

    `latent/density_ratio` = cells predicted / cells in `actual`. Best at 1, which does not tell whether the cells are
    the right ones. NaN for a track that is silent in `actual`.

    Args:
        predicted: bool `(n, track, time, pitch)`, the decoded windows.
        actual: bool, the same shape, the windows that were encoded.

    Returns:
        Keys such as `latent/frame_f1`, `latent/onset_recall.Bass`; see `reconstruction.Scores` for when they are NaN.
    """
    density = ratio(predicted.sum(axis=(0, 2, 3)), actual.sum(axis=(0, 2, 3)))
    result = by_part("latent/density_ratio", density, TRACKS)
    for kind, scores in (("frame", frame_scores(predicted, actual)), ("onset", onset_scores(predicted, actual))):
        result |= by_part(f"latent/{kind}_f1", scores.f1, TRACKS)
        result |= by_part(f"latent/{kind}_precision", scores.precision, TRACKS)
        result |= by_part(f"latent/{kind}_recall", scores.recall, TRACKS)
    return result


def activation_measures(activations: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Measures of a decoder's output before any threshold, by track and as the mean over tracks.

    `latent/frame_auprc` and `latent/best_frame_f1` are `Ranking.average_precision` and `Ranking.best_f1` of all cells
    of a track. The second uses the threshold that is best on these very windows, so it is an upper bound of
    `latent/frame_f1`.

    `latent/mse` is the mean of (activation - cell)^2; lower is better. With a Gaussian likelihood, read it beside its
    sigma; with a Bernoulli likelihood, it is the Brier score. Rolls are so sparse that silence has a small error too:
    the share of cells that are on. NaN if an activation is infinite.

    Args:
        activations: float `(n, track, time, pitch)`; -inf for a track that has no decoder and never sounds.
        actual: bool, the same shape, the windows that were encoded.
    """
    tracks = [(activations[:, track], actual[:, track]) for track in range(len(TRACKS))]
    rankings = [ranking(decoded, real) for decoded, real in tracks]
    # One track at a time, so that temporary arrays are a fifth as large.
    mse = np.array(
        [float(ratio(np.square(decoded - real).sum(dtype=np.float64), real.size)) for decoded, real in tracks]
    )
    return (
        by_part("latent/frame_auprc", np.array([track.average_precision for track in rankings]), TRACKS)
        | by_part("latent/best_frame_f1", np.array([track.best_f1 for track in rankings]), TRACKS)
        | by_part("latent/mse", np.where(np.isinf(mse), np.nan, mse), TRACKS)
    )


def posterior_measures(posteriors: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """The measures of `latent.py` for posteriors, by track and as the mean over tracks.

    `latent/active_units`, `latent/collapsed` and `latent/prior_gap`; `latent/kl`, summed over dimensions; and
    `latent/posterior_sd`, the mean of sigma over windows and dimensions, in latent units, to compare noise with.

    Args:
        posteriors: by track, means `(n, K)` and log-sigmas `(n, K)`, `(n, 1)` or `(n,)`. Tracks without a VAE are left
            out.
    """
    kl_by_track = [kl_per_dimension(means, log_sigma) for means, log_sigma in posteriors.values()]
    values: dict[str, Sequence[float]] = {
        "active_units": [active_units(means) for means, _ in posteriors.values()],
        "kl": [kl.sum() for kl in kl_by_track],
        "collapsed": [collapsed(kl) for kl in kl_by_track],
        "prior_gap": [prior_gap(means, log_sigma) for means, log_sigma in posteriors.values()],
        "posterior_sd": [nan_mean(np.exp(log_sigma)) for _, log_sigma in posteriors.values()],
    }
    return _latent(values, posteriors)


def likelihood_measures(likelihoods: dict[str, tuple[float, float, float]]) -> dict[str, float]:
    """`latent/sigma`, `latent/elbo` and `latent/iw_bound`, by track and as the mean over tracks.

    Args:
        likelihoods: by track, the sigma of a Gaussian likelihood, and the two bounds of log p(x) in nats per window. A
            number that the likelihood does not have is NaN: a Gaussian density of cells that are on or off is not
            their probability, so it has no bounds. Tracks without a VAE are left out.
    """
    columns = np.array(list(likelihoods.values())).reshape(-1, 3).T
    return _latent(dict(zip(("sigma", "elbo", "iw_bound"), columns, strict=True)), likelihoods)


def noise_response_measures(
    decoded: np.ndarray, own: np.ndarray, noisy: Iterable[tuple[float, np.ndarray]], real: np.ndarray
) -> dict[str, float]:
    """How much decoded windows change with noise on their codes: 0 not at all, 1 as much as real windows differ.

    Mean Jaccard distance between a window decoded from its code and the window decoded from the code with noise / mean
    distance of real windows, of all tracks together. The distance of two silent windows is 0. It describes, so no
    direction is better. The decoder was trained to ignore noise of the posterior's own sd, so the code does not
    determine what such noise changes.

    Args:
        decoded: bool `(n, track, time, pitch)`, decoded from the posterior means.
        own: bool, the same shape, decoded with noise of each posterior's own sd: draws from the posteriors.
        noisy: for each sd, which is the same for all dimensions, what was decoded with noise of it; read one at a time.
        real: bool `(m, track, time, pitch)`, real windows of as many steps.

    Returns:
        `latent/noise_response` of `own`, and for each sd of `noisy` a key such as `latent/noise_response.at_0.5`; each
        at least 0. NaN if there are fewer than two real windows or only equal ones, and if nothing sounds with or
        without noise.
    """
    real_distance = mean_distance(real)

    def response(changed: np.ndarray) -> float:
        return float(ratio(noise_distances(np.stack([decoded, changed], axis=1)[:, :, None])[0], real_distance))

    at_sds = {f"latent/noise_response.at_{sd:g}": response(changed) for sd, changed in noisy}
    return {"latent/noise_response": response(own)} | at_sds


def _latent(values: dict[str, Sequence[float]], tracks: Iterable[str]) -> dict[str, float]:
    """Each measure of the group `latent` by track and as the mean over the tracks given."""
    names = list(tracks)
    result: dict[str, float] = {}
    for measure, by_track in values.items():
        result |= by_part(f"latent/{measure}", np.array(by_track), names)
    return result
