"""How a VAE uses its latent space, and how tightly its bounds hold."""

import numpy as np

# Burda et al. found the variances bimodal around this value: a dimension is either well above or well below it.
ACTIVE_VARIANCE = 0.01
# Nats a window below which a dimension counts as collapsed.
COLLAPSED_KL = 0.01


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
    mu, log_sd = _posteriors(means, log_sigma)
    if len(mu) == 0:
        return np.full(mu.shape[1], np.nan)
    # expm1 keeps the difference of two near-equal numbers exact where the posterior is close to the prior.
    return ((mu**2 + np.expm1(2 * log_sd)) / 2 - log_sd).mean(axis=0)


def collapsed(kl: np.ndarray) -> float:
    """Share of latent dimensions whose mean KL divergence from the prior is below 0.01 nats: they carry nothing.

    Neither direction is better by itself: a large space that is used in part is no fault. 1 is a collapsed posterior.

    Args:
        kl: `kl_per_dimension`, `(K,)`.

    Returns:
        Between 0 and 1; NaN where the KL is.

    Source: after the collapse at a threshold of Lucas, Tucker, Grosse and Norouzi 2019, "Don't blame the ELBO!", who
    ask it of most windows, where this asks it of their mean.
    """
    return float("nan") if np.isnan(kl).any() else float(np.mean(kl < COLLAPSED_KL))


def prior_gap(means: np.ndarray, log_sigma: np.ndarray) -> float:
    """How far the codes of all windows together are from the prior that generation draws from or near.

    KL(N(m, S) || N(0, I)) = (tr S + m'm - K - log det S) / 2 in nats, with the mean m and covariance S of the aggregate
    posterior, the mixture of all windows' posteriors: S = Cov(mu) + diag(mean of sigma^2), divided by n. Lower is
    better, 0 where the first two moments match. The gap of the mixture itself is larger by just how far it is from that
    Gaussian, and the mean KL larger still, by what a code tells of its window (Hoffman and Johnson 2016): so the gap is
    at most `kl`.

    Finite sets are never at 0: n windows whose means alone make up the prior come out at about K (K + 3) / (4 n), which
    is 0.2 for K = 16 and 2.8 for K = 64 at 384 windows. Compare equal n, and different K with that in mind.

    Args:
        means: posterior means, `(n, K)`.
        log_sigma: as for `kl_per_dimension`.

    Returns:
        Nats, at least 0; NaN for no windows.

    Source: after the marginal KL of Hoffman and Johnson 2016, "ELBO surgery", of which this is the part that two
    moments show.
    """
    mu, log_sd = _posteriors(means, log_sigma)
    if len(mu) == 0:
        return float("nan")
    centre = mu.mean(axis=0)
    spread = (mu - centre).T @ (mu - centre) / len(mu) + np.diag(np.exp(2 * log_sd).mean(axis=0))
    gap = (np.trace(spread) + centre @ centre - len(centre) - np.linalg.slogdet(spread)[1]) / 2
    return float(np.maximum(gap, 0))  # rounding may take it below


def importance_gain(log_weights: np.ndarray) -> float:
    """How far the importance-weighted bound with k draws lies above the ELBO, averaged over windows.

    With weights w_j = p(x, z_j) / q(z_j | x) of draws z_j from the posterior, the bound is log(1/k sum_j w_j) and the
    ELBO the mean of log w_j; both are lower bounds of log p(x), and the first rises to it with k. Their difference
    varies far less from window to window than either does, so that few windows give it well.

    Args:
        log_weights: `(n, k)`, log w of each draw for each window, in nats.

    Returns:
        Nats a window, at least 0; 0 for one draw; NaN for no windows.

    Source: Burda, Grosse and Salakhutdinov 2016, "Importance weighted autoencoders".
    """
    if len(log_weights) == 0:
        return float("nan")
    weights = np.asarray(log_weights, dtype=np.float64)
    highest = weights.max(axis=1)  # taken out so that no exponential overflows
    bounds = highest + np.log(np.exp(weights - highest[:, None]).mean(axis=1))
    return float(bounds.mean() - weights.mean())


def _posteriors(means: np.ndarray, log_sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and log-sigmas, both `(n, K)` float64, a shared log-sigma repeated."""
    mu, log_sd = np.asarray(means, dtype=np.float64), np.asarray(log_sigma, dtype=np.float64)
    if log_sd.ndim == 1:
        log_sd = log_sd[:, None]
    if len(mu) != len(log_sd):
        raise ValueError(f"{len(mu)} windows of means but {len(log_sd)} of log_sigma")
    return mu, np.broadcast_to(log_sd, mu.shape)
