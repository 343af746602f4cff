"""How much of its latent space a VAE uses."""

import numpy as np

# Burda et al. found the variances bimodal around this value: a dimension is either well above or well below it.
ACTIVE_VARIANCE = 0.01


def active_units(means: np.ndarray) -> float:
    """Number of latent dimensions whose posterior mean varies with the input: Var_x(E_q[z | x]) > 0.01.

    Higher means that more of the space is used. The variance is the population's (divided by n).

    Args:
        means: posterior means, `(n, K)`.

    Returns:
        Dimensions, 0 to K; NaN for fewer than two windows, which cannot vary.

    Source: Burda, Grosse and Salakhutdinov 2016, "Importance weighted autoencoders".
    """
    if len(means) < 2:
        return float("nan")
    return float(np.count_nonzero(np.var(means, axis=0, dtype=np.float64) > ACTIVE_VARIANCE))


def kl_per_dimension(means: np.ndarray, log_sigma: np.ndarray) -> np.ndarray:
    """Mean KL divergence of the posterior N(mu, sigma^2) from the prior N(0, 1), for each latent dimension.

    KL = (mu^2 + sigma^2 - 1) / 2 - log sigma, in nats, averaged over windows. Lower costs fewer bits, but 0 is a
    collapsed dimension that carries nothing: read it beside the reconstruction.

    Args:
        means: posterior means, `(n, K)`.
        log_sigma: natural logarithm of the posterior's sd: `(n, K)`, or `(n, 1)` or `(n,)` where all dimensions of a
            window share one.

    Returns:
        `(K,)`, nats a window, at least 0; NaN for no windows.

    Source: Kingma and Welling 2014, "Auto-encoding variational Bayes", appendix B.
    """
    mu = np.asarray(means, dtype=np.float64)
    log_sd = np.asarray(log_sigma, dtype=np.float64)
    if log_sd.ndim == 1:
        log_sd = log_sd[:, None]
    if len(mu) != len(log_sd):
        raise ValueError(f"{len(mu)} windows of means but {len(log_sd)} of log_sigma")
    if len(mu) == 0:
        return np.full(mu.shape[1], np.nan)
    # expm1 keeps the difference of two near-equal numbers exact where the posterior is close to the prior.
    return ((mu**2 + np.expm1(2 * log_sd)) / 2 - log_sd).mean(axis=0)
