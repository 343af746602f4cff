"""Use of the latent space, against closed forms."""

import numpy as np
import pytest

from musiclab.measures.latent import active_units, kl_per_dimension


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
