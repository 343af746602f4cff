"""How a VAE uses its latent space, and how tightly its bounds hold."""

import numpy as np

# Burda et al. found the variances bimodal around this value: a dimension is either well above or well below it.
ACTIVE_VARIANCE = 0.01
# A dimension counts as collapsed below this many nats per window.
COLLAPSED_KL = 0.01


def active_units(means: np.ndarray) -> float:
    """Number of latent dimensions whose posterior mean varies with the input: Var_x(E_q[z | x]) > 0.01.

    A higher number means that more of the space is used. The variance is the population's (divided by n).

    Args:
        means: posterior means, `(n, K)`.

    Returns:
        Dimensions, 0 to K; NaN for fewer than two windows, because one window cannot vary.

    Source: Burda, Grosse and Salakhutdinov 2016, "Importance weighted autoencoders".
    """
    if len(means) < 2:
        return float("nan")
    return float(np.count_nonzero(np.var(means, axis=0, dtype=np.float64) > ACTIVE_VARIANCE))


def kl_per_dimension(means: np.ndarray, log_sigma: np.ndarray) -> np.ndarray:
    """Mean KL divergence of the posterior N(mu, sigma^2) from the prior N(0, 1), for each latent dimension.

    KL = (mu^2 + sigma^2 - 1) / 2 - log sigma, in nats, averaged over windows. A lower KL costs fewer bits, but a
    dimension at 0 is collapsed and carries nothing. So read it beside the reconstruction.

    Args:
        means: posterior means, `(n, K)`.
        log_sigma: natural logarithm of the posterior's sd: `(n, K)`, or `(n, 1)` or `(n,)` if all dimensions of a
            window share one.

    Returns:
        `(K,)`, nats per window, at least 0; NaN if there are no windows.

    Raises:
        ValueError: `means` and `log_sigma` have different numbers of windows.

    Source: Kingma and Welling 2014, "Auto-encoding variational Bayes", appendix B.
    """
    mu, log_sd = _posteriors(means, log_sigma)
    if len(mu) == 0:
        return np.full(mu.shape[1], np.nan)
    # If the posterior is close to the prior, expm1 keeps the difference of two nearly equal numbers exact.
    kl: np.ndarray = ((mu**2 + np.expm1(2 * log_sd)) / 2 - log_sd).mean(axis=0)
    return kl


def collapsed(kl: np.ndarray) -> float:
    """Share of latent dimensions that carry nothing: their mean KL divergence from the prior is below 0.01 nats.

    Neither direction is better, because a large space may be used only in part. 1 is a collapsed posterior.

    Args:
        kl: `kl_per_dimension`, `(K,)`.

    Returns:
        Between 0 and 1; NaN if any KL is NaN.

    Source: after the threshold of Lucas, Tucker, Grosse and Norouzi 2019, "Don't blame the ELBO!". They require the KL
    of most windows to be below a threshold; here it is the mean KL over windows.
    """
    return float("nan") if np.isnan(kl).any() else float(np.mean(kl < COLLAPSED_KL))


def prior_gap(means: np.ndarray, log_sigma: np.ndarray) -> float:
    """How far the codes of all windows together are from the prior, from which or near which generation draws.

    KL(N(m, S) || N(0, I)) = (tr S + m'm - K - log det S) / 2 in nats. m and S are the mean and the covariance of the
    aggregate posterior, which is the mixture of the posteriors of all windows: S = Cov(mu) + diag(mean of sigma^2),
    with Cov divided by n. Lower is better; it is 0 if the first two moments match those of the prior. The KL of the
    mixture itself is larger by the mixture's KL from that Gaussian. The mean KL over windows is larger still, by the
    information that a code has about its window (Hoffman and Johnson 2016). So the gap is at most `kl`.

    Finite sets never reach 0. If the means alone follow the prior, n windows have a gap of about K (K + 3) / (4 n),
    which at 384 windows is 0.2 for K = 16 and 2.8 for K = 64. So compare equal n, and take this into account if K
    differs.

    Args:
        means: posterior means, `(n, K)`.
        log_sigma: as for `kl_per_dimension`.

    Returns:
        Nats, at least 0; NaN if there are no windows.

    Raises:
        ValueError: `means` and `log_sigma` have different numbers of windows.

    Source: after the marginal KL of Hoffman and Johnson 2016, "ELBO surgery"; this is the part of it that the first two
    moments show.
    """
    mu, log_sd = _posteriors(means, log_sigma)
    if len(mu) == 0:
        return float("nan")
    centre = mu.mean(axis=0)
    spread = (mu - centre).T @ (mu - centre) / len(mu) + np.diag(np.exp(2 * log_sd).mean(axis=0))
    gap = (np.trace(spread) + centre @ centre - len(centre) - np.linalg.slogdet(spread)[1]) / 2
    return float(np.maximum(gap, 0))  # rounding may make it slightly negative


def importance_gain(log_weights: np.ndarray) -> float:
    """How far the importance-weighted bound with k draws lies above the ELBO, averaged over windows.

    With weights w_j = p(x, z_j) / q(z_j | x) of draws z_j from the posterior, the bound is log(1/k sum_j w_j) and the
    ELBO is the mean of log w_j. Both are lower bounds of log p(x), and the first approaches it as k grows. Their
    difference varies far less between windows than either bound, so a few windows are enough to estimate it.

    Args:
        log_weights: `(n, k)`, log w of each draw for each window, in nats.

    Returns:
        Nats per window, at least 0; 0 for one draw; NaN if there are no windows.

    Source: Burda, Grosse and Salakhutdinov 2016, "Importance weighted autoencoders".
    """
    if len(log_weights) == 0:
        return float("nan")
    weights = np.asarray(log_weights, dtype=np.float64)
    highest = weights.max(axis=1)  # subtracted so that no exponential overflows
    bounds = highest + np.log(np.exp(weights - highest[:, None]).mean(axis=1))
    return float(bounds.mean() - weights.mean())


def _posteriors(means: np.ndarray, log_sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and log-sigmas, both `(n, K)` float64; a shared log-sigma is repeated over dimensions."""
    mu, log_sd = np.asarray(means, dtype=np.float64), np.asarray(log_sigma, dtype=np.float64)
    if log_sd.ndim == 1:
        log_sd = log_sd[:, None]
    if len(mu) != len(log_sd):
        raise ValueError(
            f"means and log_sigma must have equally many windows; got {len(mu)} windows and {len(log_sd)}."
        )
    return mu, np.broadcast_to(log_sd, mu.shape)
