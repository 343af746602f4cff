"""What is measured of trained VAEs: against integrals, against the loss that trained them, and under known noise."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from musiclab.data.songs import TRACKS
from musiclab.data.store import WindowStore
from musiclab.data.windows import unpack
from musiclab.measures.ranking import ranking
from musiclab.systems.base import StageRun
from musiclab.systems.vae_nn import measures as vae_measures
from musiclab.systems.vae_nn.config import VaeNNConfig
from musiclab.systems.vae_nn.measures import latent_measures
from musiclab.systems.vae_nn.networks import ConvVAE, VaeStack
from musiclab.systems.vae_nn.system import VaeNN
from musiclab.systems.vae_nn.vae import Vaes
from musiclab.training.patch_order import to_patches
from musiclab.training.streams import Block
from tests.support.made_trials import MemoryFiles, run_stages, stage_run

TINY = VaeNNConfig(
    width=8, latent_dim=1, beta=0.5, vae_epochs=10, vae_batch=8, vae_lr=1e-2, max_train=48, max_eval=12, starts=2
)  # fmt: skip
SOUNDING = [name for name in TRACKS if name != "Strings"]
PIANO, GUITAR = TRACKS.index("Piano"), TRACKS.index("Guitar")


def _trained(store: WindowStore, **fields: Any) -> StageRun:
    run = stage_run(store, Block(0, 0), TINY.with_values(fields), MemoryFiles())
    files = run_stages(VaeNN(), run, ("vae",))
    return dataclasses.replace(run, files=files.product("measure"))


@pytest.fixture(scope="module")
def bernoulli(store: WindowStore) -> StageRun:
    return _trained(store, likelihood="bernoulli")


@pytest.fixture(scope="module")
def gaussian(store: WindowStore) -> StageRun:
    return _trained(store, latent_dim=4, beta=0.01, vae_epochs=15)


def _vaes(run: StageRun, *names: str) -> Vaes:
    """The trained VAEs, those of some instruments alone where any are named."""
    vaes = Vaes(run, run.files.product("vae"))
    for name in set(SOUNDING) - set(names or SOUNDING):
        del vaes.modules[TRACKS.index(name)]
    vaes.stack = VaeStack(list(vaes.modules.values()))
    return vaes


def _windows(run: StageRun, track: int) -> torch.Tensor:
    return torch.from_numpy(unpack(run.windows.packed(run.windows.reference))[:, [track]]).float()


@torch.no_grad()
def _log_likelihood(vae: ConvVAE, x: torch.Tensor) -> float:
    """log p(x), the mean over windows, by integrating over the one latent dimension."""
    grid = torch.linspace(-8, 8, 1601)
    logits = vae.decoder(grid[:, None]).flatten(1).double()
    cells = x.flatten(1).double()
    log_p = cells @ logits.T - torch.nn.functional.softplus(logits).sum(dim=1)
    prior = torch.distributions.Normal(0, 1).log_prob(grid.double())
    return (log_p + prior + math.log(0.01)).logsumexp(dim=1).mean().item()


def test_the_bounds_lie_in_order_below_the_likelihood(bernoulli: StageRun, monkeypatch: pytest.MonkeyPatch) -> None:
    vaes = _vaes(bernoulli, "Drums", "Piano")

    def with_draws(count: int) -> dict[str, float]:
        monkeypatch.setattr(vae_measures, "ELBO_DRAWS", 200)
        monkeypatch.setattr(vae_measures, "BOUND_DRAWS", count)
        return latent_measures(bernoulli, vaes)

    few, measures, many = with_draws(4), with_draws(128), with_draws(1000)
    for track, vae in vaes.modules.items():
        elbo, bound = f"latent/elbo.{TRACKS[track]}", f"latent/iw_bound.{TRACKS[track]}"
        truth = _log_likelihood(vae, _windows(bernoulli, track))
        assert measures[elbo] + 2 < few[bound] < measures[bound] - 1
        assert many[bound] == pytest.approx(truth, abs=0.6)
    assert measures["latent/elbo"] == pytest.approx((measures["latent/elbo.Drums"] + measures["latent/elbo.Piano"]) / 2)


@torch.no_grad()
def test_the_weights_are_those_of_torch_s_distributions() -> None:
    torch.manual_seed(1)
    vae = ConvVAE(VaeNNConfig(width=4, latent_dim=3, steps=16, hop=16, likelihood="bernoulli"))
    x, mean, log_sigma, noise = (torch.rand(5, 2048) < 0.3).float(), *torch.randn(2, 5, 3), torch.randn(5, 200, 3)
    z = mean[:, None] + log_sigma.exp()[:, None] * noise
    posterior = torch.distributions.Normal(mean[:, None], log_sigma.exp()[:, None])
    ratio = (torch.distributions.Normal(0, 1).log_prob(z) - posterior.log_prob(z)).sum(dim=2)
    decoded = torch.distributions.Bernoulli(vae.decode(z.flatten(0, 1)).reshape(5, 200, 2048))
    log_p, prior_ratio = vae_measures._log_terms(vae, x, mean, log_sigma, noise)
    np.testing.assert_allclose(log_p, decoded.log_prob(x[:, None]).sum(dim=2), rtol=1e-5)
    np.testing.assert_allclose(prior_ratio, ratio, atol=1e-3, rtol=1e-4)


@torch.no_grad()
def test_the_elbo_is_the_loss_that_trained_it_whatever_beta(
    bernoulli: StageRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    vaes, x = _vaes(bernoulli, "Piano"), _windows(bernoulli, PIANO)
    monkeypatch.setattr(vae_measures, "ELBO_DRAWS", 200)
    measures = latent_measures(bernoulli, vaes)
    noise = torch.Generator().manual_seed(5)
    terms = [
        vaes.stack.terms(to_patches(x), torch.randn(1, len(x), 1, generator=noise), sampled_kl=False)
        for _ in range(200)
    ]
    losses = [-(nll + kl).item() for nll, kl in terms]
    assert measures["latent/elbo.Piano"] == pytest.approx(np.mean(losses), abs=6 * np.std(losses) / math.sqrt(200))
    assert measures["latent/kl.Piano"] == pytest.approx(terms[0][1].item(), rel=1e-4)
    other = dataclasses.replace(bernoulli, config=bernoulli.config.with_values({"beta": 50.0}))
    np.testing.assert_equal(latent_measures(other, vaes), measures)


def test_few_windows_tell_the_gain_and_all_the_elbo(bernoulli: StageRun, monkeypatch: pytest.MonkeyPatch) -> None:
    vaes, shapes = _vaes(bernoulli, "Bass"), []
    gain = vae_measures.importance_gain
    monkeypatch.setattr(vae_measures, "importance_gain", lambda weights: shapes.append(weights.shape) or gain(weights))
    measures = latent_measures(bernoulli, vaes)
    monkeypatch.setattr(vae_measures, "BOUND_WINDOWS", 5)
    fewer = latent_measures(bernoulli, vaes)
    assert set(shapes) == {(12, 128), (5, 128)}
    assert fewer["latent/elbo"] == measures["latent/elbo"]
    assert fewer["latent/iw_bound"] != measures["latent/iw_bound"]


def test_a_gaussian_has_a_sigma_and_no_bounds(gaussian: StageRun, bernoulli: StageRun) -> None:
    vaes = _vaes(gaussian)
    measures = latent_measures(gaussian, vaes)
    vae, x = vaes.modules[GUITAR], _windows(gaussian, GUITAR)
    with torch.no_grad():
        nll, _ = VaeStack([vae]).terms(to_patches(x), torch.zeros(1, len(x), 4), sampled_kl=False)
        error = (x - vae.decode(vae.encode(x)[0])).square().mean().item()
    sigma = measures["latent/sigma.Guitar"]
    cells = 32 * 128
    expected = cells * (error / (2 * sigma**2) + math.log(sigma) + math.log(2 * math.pi) / 2)
    assert nll.item() == pytest.approx(expected, rel=1e-4)
    assert measures["latent/mse.Guitar"] == pytest.approx(error, rel=1e-5)
    for name in ("elbo", "iw_bound", "elbo.Piano", "iw_bound.Piano"):
        assert math.isnan(measures[f"latent/{name}"])
    assert math.isnan(latent_measures(bernoulli, _vaes(bernoulli))["latent/sigma"])


def test_a_track_without_a_vae_has_no_posterior_and_finds_nothing(gaussian: StageRun) -> None:
    vaes = _vaes(gaussian)
    whole = latent_measures(gaussian, vaes)
    assert not {name for name in whole if name.endswith(".Strings")} & {
        f"latent/{name}.Strings" for name in ("kl", "collapsed", "prior_gap", "posterior_sd", "sigma", "elbo")
    }
    assert math.isnan(whole["latent/frame_auprc.Strings"])  # for it is silent
    without = latent_measures(gaussian, _vaes(gaussian, "Drums", "Bass"))
    assert without["latent/frame_f1.Piano"] == without["latent/frame_auprc.Piano"] == 0
    assert without["latent/best_frame_f1.Piano"] == without["latent/density_ratio.Piano"] == 0
    assert math.isnan(without["latent/mse.Piano"]) and "latent/sigma.Piano" not in without


def test_no_instrument_shifts_another_s_draws(bernoulli: StageRun) -> None:
    vaes = _vaes(bernoulli)
    whole = latent_measures(bernoulli, vaes)
    np.testing.assert_equal(latent_measures(bernoulli, vaes), whole)
    without = latent_measures(bernoulli, _vaes(bernoulli, "Piano", "Bass"))
    kept = [name for name in without if name.endswith((".Piano", ".Bass"))]
    assert len(kept) > 30
    np.testing.assert_equal({name: without[name] for name in kept}, {name: whole[name] for name in kept})
    other = latent_measures(dataclasses.replace(bernoulli, block=Block(0, 1)), vaes)
    assert other["latent/elbo.Piano"] != without["latent/elbo.Piano"]
    assert other["latent/noise_response"] != whole["latent/noise_response"]
    assert other["latent/kl.Piano"] == without["latent/kl.Piano"]


@torch.no_grad()
def test_activations_at_the_means_are_ranked_against_test_songs(gaussian: StageRun) -> None:
    vaes = _vaes(gaussian)
    measures = latent_measures(gaussian, vaes)
    for name in SOUNDING:
        x, vae = _windows(gaussian, TRACKS.index(name)), vaes.modules[TRACKS.index(name)]
        found = ranking(vae.decode(vae.encode(x)[0]).numpy(), x.bool().numpy())
        assert measures[f"latent/frame_auprc.{name}"] == pytest.approx(found.average_precision, rel=1e-4)
        assert measures[f"latent/best_frame_f1.{name}"] == pytest.approx(found.best_f1, rel=1e-4)
        assert measures[f"latent/frame_f1.{name}"] <= measures[f"latent/best_frame_f1.{name}"]


def test_more_noise_changes_more_and_none_changes_nothing(gaussian: StageRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vae_measures, "NOISE_SDS", (0.0, *vae_measures.NOISE_SDS))
    measures = latent_measures(gaussian, _vaes(gaussian))
    at = [measures[f"latent/noise_response.at_{sd}"] for sd in ("0", "0.25", "0.5", "1", "1.5", "2", "3")]
    assert at[0] == 0 < at[1]
    assert at == sorted(at)


@torch.no_grad()
def test_the_plain_noise_response_is_that_to_noise_of_the_posterior_s_own_sd(gaussian: StageRun) -> None:
    vaes = _vaes(gaussian)
    for vae in vaes.modules.values():
        last = vae.encoder[-1]
        last.weight[4:], last.bias[4:] = 0, math.log(1.5)
    measures = latent_measures(gaussian, vaes)
    assert measures["latent/posterior_sd"] == pytest.approx(1.5)
    assert measures["latent/noise_response"] == pytest.approx(measures["latent/noise_response.at_1.5"], abs=1e-3)
    assert measures["latent/noise_response"] > measures["latent/noise_response.at_1"] + 0.01
