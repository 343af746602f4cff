"""Use of the latent space and its bounds, against closed forms."""

import numpy as np
import pytest

from musiclab.measures.latent import active_units, collapsed, importance_gain, kl_per_dimension, prior_gap
from musiclab.measures.latent_suite import (
    activation_measures,
    likelihood_measures,
    noise_response_measures,
    posterior_measures,
    reconstruction_measures,
)

DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)


def test_a_unit_is_active_above_a_variance_of_a_hundredth() -> None:
    spread = np.array([0.0, 0.099, 0.101, 2.0])  # sd of a value that is +spread or -spread
    means = np.stack([spread, -spread] * 10) + 7
    assert active_units(means) == 2
    assert active_units(means.astype(np.float32)) == 2


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_windows_have_no_active_units(n: int) -> None:
    assert np.isnan(active_units(np.ones((n, 4))))


def test_kl_is_the_closed_form() -> None:
    means = np.array([[0.0, 1.0], [0.0, 3.0]])
    log_sigma = np.log([[1.0, 1.0], [1.0, 2.0]])
    np.testing.assert_allclose(kl_per_dimension(means, log_sigma), [0, (0.5 + (9 + 4 - 1) / 2 - np.log(2)) / 2])


def test_kl_is_that_of_integration() -> None:
    grid = np.linspace(-12, 12, 200_001)
    mu, sigma = 0.7, 0.4
    posterior = np.exp(-((grid - mu) ** 2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
    prior = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)
    inside = posterior > 0
    expected = np.sum(posterior[inside] * np.log(posterior[inside] / prior[inside])) * (grid[1] - grid[0])
    assert kl_per_dimension(np.array([[mu]]), np.array([[np.log(sigma)]]))[0] == pytest.approx(expected, rel=1e-6)


def test_a_shared_sigma_may_be_a_column_or_flat() -> None:
    rng = np.random.default_rng(0)
    means, shared = rng.normal(size=(6, 3)), rng.normal(size=6)
    full = kl_per_dimension(means, np.repeat(shared[:, None], 3, axis=1))
    np.testing.assert_allclose(kl_per_dimension(means, shared), full)
    np.testing.assert_allclose(kl_per_dimension(means, shared[:, None]), full)


def test_no_windows_have_no_kl_and_unequal_ones_are_refused() -> None:
    np.testing.assert_array_equal(kl_per_dimension(np.zeros((0, 2)), np.zeros((0, 2))), [np.nan, np.nan])
    with pytest.raises(ValueError, match="3 windows"):
        kl_per_dimension(np.zeros((3, 2)), np.zeros((1, 2)))


def test_a_collapsed_posterior_uses_nothing() -> None:
    means, log_sigma = np.zeros((50, 8)), np.zeros((50, 8))
    assert active_units(means) == 0
    assert collapsed(kl_per_dimension(means, log_sigma)) == 1
    assert prior_gap(means, log_sigma) == 0


def test_dimensions_collapse_below_a_hundredth_of_a_nat() -> None:
    assert collapsed(np.array([0.0, 0.009, 0.01, 3.0])) == 0.5
    # A mean that is off by one and the same 0.1 costs 0.005 nats, by 0.2 costs 0.02.
    assert collapsed(kl_per_dimension(np.array([[0.1, 0.2]] * 3), np.zeros((3, 2)))) == 0.5
    assert np.isnan(collapsed(np.full(4, np.nan)))


def test_codes_with_the_prior_s_moments_have_no_gap() -> None:
    a = np.array([0.3, 0.8, 0.99])
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])  # uncorrelated
    log_sigma = np.log(np.sqrt(1 - a**2))
    assert prior_gap(a * signs, np.repeat(log_sigma[None], 4, axis=0)) == pytest.approx(0, abs=1e-12)
    shifted = prior_gap(a * signs + [0.5, 0, -2], np.repeat(log_sigma[None], 4, axis=0))
    assert shifted == pytest.approx((0.25 + 4) / 2)


def test_the_gap_is_the_divergence_of_the_moments_correlations_too() -> None:
    rng = np.random.default_rng(1)
    means, log_sigma = rng.normal(size=(30, 2)) @ [[0.9, 0.6], [0, 0.4]] + [0.2, 0], rng.normal(-1, 0.3, size=(30, 2))
    draws = means[:, None] + np.exp(log_sigma)[:, None] * rng.normal(size=(30, 40_000, 2))
    pooled = draws.reshape(-1, 2)
    ours = prior_gap(means, log_sigma)
    covariance = np.cov(pooled, rowvar=False)
    (a, b), (_, d) = covariance
    assert abs(b) > 0.3
    expected = (a + d + (pooled.mean(axis=0) ** 2).sum() - 2 - np.log(a * d - b * b)) / 2
    assert ours == pytest.approx(expected, abs=0.01)
    # All codes together cannot be further from the prior than they are one by one.
    assert 0 < ours < kl_per_dimension(means, log_sigma).sum()


def test_a_finite_set_has_the_gap_that_is_said() -> None:
    rng = np.random.default_rng(2)
    k, n = 16, 384
    gaps = [prior_gap(rng.normal(size=(n, k)), np.full(n, -10.0)) for _ in range(40)]
    assert np.mean(gaps) == pytest.approx(k * (k + 3) / (4 * n), rel=0.1)


def test_a_constant_offset_is_all_gap_and_tells_nothing() -> None:
    means, log_sigma = np.full((20, 1), 0.6), np.zeros((20, 1))
    assert prior_gap(means, log_sigma) == pytest.approx(0.18) == kl_per_dimension(means, log_sigma).sum()


def test_no_windows_have_no_gap_and_no_gain() -> None:
    assert np.isnan(prior_gap(np.zeros((0, 2)), np.zeros((0, 2))))
    assert np.isnan(importance_gain(np.zeros((0, 5))))


def test_the_importance_weighted_gain_by_hand() -> None:
    weights = np.log([[1.0, 3.0], [2.0, 2.0]])
    assert importance_gain(weights) == pytest.approx((np.log(2) - np.log(3) / 2) / 2)
    assert importance_gain(weights + 5000) == pytest.approx(importance_gain(weights))
    assert importance_gain(np.array([[0.0, 2000.0]])) == pytest.approx(1000 - np.log(2))
    assert importance_gain(weights[:, :1]) == 0


def test_the_bound_holds_and_rises_with_draws() -> None:
    # One cell that is on with probability s(3 z - 1) under z from N(0, 1), and a posterior that is off.
    grid = np.linspace(-10, 10, 20_001)
    p = 1 / (1 + np.exp(1 - 3 * grid))
    truth = np.log(np.sum(p * np.exp(-(grid**2) / 2)) / np.sqrt(2 * np.pi) * (grid[1] - grid[0]))
    noise = np.random.default_rng(3).normal(size=(4000, 256))
    z = 0.2 + 0.8 * noise
    log_weights = -np.log1p(np.exp(1 - 3 * z)) + np.log(0.8) + noise**2 / 2 - z**2 / 2
    elbo = log_weights.mean()
    bounds = [elbo + importance_gain(log_weights.reshape(-1, k)) for k in (1, 4, 16, 256)]
    assert bounds[0] == pytest.approx(elbo)
    assert bounds == sorted(bounds)
    assert bounds[0] < truth - 0.3 and bounds[1] - bounds[0] > 0.1
    assert bounds[-1] == pytest.approx(truth, abs=0.01)


def test_the_true_posterior_leaves_nothing_to_gain() -> None:
    # x is z plus noise, both of sd 1: the posterior of z is N(x / 2, 1 / 2) and x itself N(0, 2).
    rng = np.random.default_rng(4)
    x = rng.normal(size=(7, 1))
    noise = rng.normal(size=(7, 50))
    z = x / 2 + np.sqrt(0.5) * noise
    log_weights = -((x - z) ** 2) / 2 - np.log(2 * np.pi) / 2 + np.log(0.5) / 2 + noise**2 / 2 - z**2 / 2
    np.testing.assert_allclose(log_weights, np.broadcast_to(-(x**2) / 4 - np.log(4 * np.pi) / 2, (7, 50)))
    assert importance_gain(log_weights) == pytest.approx(0, abs=1e-12)


def windows_of(*cells: list[tuple[int, int, int]]) -> np.ndarray:
    """Windows of 8 steps with the given (track, step, pitch) on."""
    rolls = np.zeros((len(cells), 5, 8, 128), dtype=bool)
    for number, window in enumerate(cells):
        for track, step, pitch in window:
            rolls[number, track, step, pitch] = True
    return rolls


def test_the_ratio_of_densities_is_that_of_cells() -> None:
    actual = windows_of([(PIANO, 0, 60), (PIANO, 1, 60), (BASS, 0, 30)], [(PIANO, 0, 62), (PIANO, 0, 64)])
    predicted = windows_of([(PIANO, 5, 50)], [(GUITAR, 0, 60)])
    values = reconstruction_measures(predicted, actual)
    assert values["latent/density_ratio.Piano"] == 1 / 4 and values["latent/density_ratio.Bass"] == 0
    assert np.isnan(values["latent/density_ratio.Drums"]) and np.isnan(values["latent/density_ratio.Guitar"])
    assert values["latent/density_ratio"] == 1 / 8


def test_activations_are_measured_by_track() -> None:
    actual = windows_of([(PIANO, 0, 60), (PIANO, 1, 60), (BASS, 0, 30)])
    activations = np.zeros(actual.shape, np.float32)
    activations[0, PIANO, 0, 60], activations[0, PIANO, 7, 90], activations[0, PIANO, 1, 60] = 0.75, 0.5, 0.25
    activations[0, GUITAR, 0, 0] = 2
    activations[:, BASS] = activations[:, STRINGS] = -np.inf
    values = activation_measures(activations, actual)
    assert values["latent/frame_auprc.Piano"] == pytest.approx((1 + 2 / 3) / 2)
    assert values["latent/best_frame_f1.Piano"] == pytest.approx(2 * 2 / (3 + 2))
    assert values["latent/mse.Piano"] == pytest.approx((0.25**2 + 0.5**2 + 0.75**2) / 1024)
    # No decoder finds nothing, where there is something; and its output has no error.
    assert values["latent/frame_auprc.Bass"] == values["latent/best_frame_f1.Bass"] == 0
    assert np.isnan(values["latent/mse.Bass"]) and np.isnan(values["latent/mse.Strings"])
    # A silent track has an error, but nothing to find.
    assert values["latent/mse.Guitar"] == 4 / 1024 and values["latent/mse.Drums"] == 0
    assert all(np.isnan(values[f"latent/frame_auprc.{track}"]) for track in ("Drums", "Guitar", "Strings"))
    assert values["latent/frame_auprc"] == pytest.approx(5 / 12)


def test_the_best_f1_is_above_that_of_any_threshold() -> None:
    rng = np.random.default_rng(5)
    actual = rng.random((3, 5, 8, 128)) < 0.05
    activations = rng.normal(size=actual.shape) + actual
    best = activation_measures(activations, actual)
    for threshold in (-5, 0, 0.5, 1, 1.5, 2, 5):
        shipped = reconstruction_measures(activations > threshold, actual)
        for track in ("Drums", "Piano", "Guitar", "Bass", "Strings"):
            assert shipped[f"latent/frame_f1.{track}"] <= best[f"latent/best_frame_f1.{track}"]


def test_the_posterior_s_sd_is_that_of_all_dimensions() -> None:
    log_sigma = np.log([[1.0, 0.5], [0.25, 0.25]])
    values = posterior_measures({"Piano": (np.zeros((2, 2)), log_sigma), "Bass": (np.zeros((2, 2)), np.zeros((2, 1)))})
    assert values["latent/posterior_sd.Piano"] == 0.5
    assert values["latent/posterior_sd"] == 0.75
    assert values["latent/collapsed.Bass"] == 1 and values["latent/prior_gap.Bass"] == 0
    assert "latent/kl.Drums" not in values


def test_likelihoods_are_kept_apart_by_track() -> None:
    nan = np.nan
    values = likelihood_measures({"Piano": (nan, -30.0, -20.0), "Bass": (nan, -10.0, -8.0)})
    assert values["latent/elbo"] == -20 and values["latent/iw_bound"] == -14 and values["latent/elbo.Bass"] == -10
    assert np.isnan(values["latent/sigma"]) and np.isnan(values["latent/sigma.Piano"])
    assert all(np.isnan(value) for value in likelihood_measures({}).values())


def test_the_noise_response_is_a_distance_on_the_scale_of_real_windows() -> None:
    real = windows_of([(PIANO, 0, 60), (PIANO, 1, 60)], [(PIANO, 0, 60), (PIANO, 2, 60)])  # 2/3 apart
    decoded = windows_of([(PIANO, 0, 60), (BASS, 0, 30)], [(BASS, 0, 30)], [])
    own = windows_of([(PIANO, 0, 60)], [(BASS, 0, 31)], [])  # 1/2, 1 and 0 from those
    values = noise_response_measures(decoded, own, [(0.0, decoded), (0.5, own[::-1])], real)
    assert values == {
        "latent/noise_response": pytest.approx(0.5 / (2 / 3)),
        "latent/noise_response.at_0": 0,
        "latent/noise_response.at_0.5": pytest.approx(1 / (2 / 3)),
    }


def test_the_noise_response_of_silence_and_without_a_scale_is_nan() -> None:
    real = windows_of([(PIANO, 0, 60)], [(PIANO, 1, 60)])
    silent = windows_of([], [])
    assert np.isnan(noise_response_measures(silent, silent, [], real)["latent/noise_response"])
    assert noise_response_measures(silent, real, [], real)["latent/noise_response"] == 1
    assert np.isnan(noise_response_measures(real, silent, [], real[[0, 0]])["latent/noise_response"])
    assert np.isnan(noise_response_measures(real[:0], real[:0], [], real[:0])["latent/noise_response"])
