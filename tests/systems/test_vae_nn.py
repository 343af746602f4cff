"""vae_nn against the article's facts and against formulas that torch.distributions knows."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributions

from musiclab.data.songs import TRACKS
from musiclab.data.store import WindowStore
from musiclab.data.windows import pack, unpack
from musiclab.errors import UserError
from musiclab.measures import suite
from musiclab.measures.latent_suite import activation_measures
from musiclab.systems.base import StageRun, read_generated
from musiclab.systems.targets import Pull, Targets, block_targets
from musiclab.systems.vae_nn import latent
from musiclab.systems.vae_nn import system as vae_nn
from musiclab.systems.vae_nn.config import VaeNNConfig
from musiclab.systems.vae_nn.latent import LatentLearner, conditional_nn, melody_nn
from musiclab.systems.vae_nn.networks import ConvVAE, VaeStack
from musiclab.systems.vae_nn.system import VaeNN
from musiclab.systems.vae_nn.vae import VaeLearner, Vaes, note_rules
from musiclab.training.epoch import Epoch
from musiclab.training.files import CHECKPOINT
from musiclab.training.patch_order import to_patches
from musiclab.training.schedule import warm_cosine
from musiclab.training.streams import Block
from tests.support.made_trials import MemoryFiles, made_store, run_stages, stage_run

DRUMS, PIANO, STRINGS = (TRACKS.index(name) for name in ("Drums", "Piano", "Strings"))
BLOCK = Block(0, 0)
TINY = VaeNNConfig(
    width=8, latent_dim=4, beta=0.1, vae_epochs=10, vae_batch=8, vae_lr=1e-2, latent_epochs=6, latent_batch=8,
    latent_lr=1e-2, max_train=48, max_eval=16, starts=4, continuation=2,
)  # fmt: skip


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _vae(**fields: Any) -> ConvVAE:
    torch.manual_seed(0)
    return ConvVAE(VaeNNConfig(width=4, latent_dim=3, steps=16, hop=16).with_values(fields), 0.3)


def _x(n: int = 5, steps: int = 16) -> torch.Tensor:
    return (torch.rand(n, 1, steps, 128, generator=torch.Generator().manual_seed(1)) < 0.1).float()


def _noise(n: int = 5, seed: int = 2) -> torch.Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))


def _terms(vae: ConvVAE, x: torch.Tensor, noise: torch.Tensor, sampled_kl: bool = False) -> list[torch.Tensor]:
    """The two terms of the loss of one VAE."""
    return [term[0] for term in VaeStack([vae]).terms(to_patches(x), noise[None], sampled_kl)]


def test_the_article_s_vae_has_the_article_s_parameters() -> None:
    article = VaeNNConfig().with_values(VaeNN.scales["article"] | VaeNN.forms["written"])
    assert (article.latent_dim, article.width, article.steps) == (16, 64, 32)
    assert _parameters(ConvVAE(article)) == 1_322_131


@pytest.mark.parametrize("steps", [16, 32, 64])
@pytest.mark.parametrize("log_sigma", ["shared", "per_dimension"])
def test_shapes_of_the_vae(steps: int, log_sigma: str) -> None:
    vae = ConvVAE(VaeNNConfig(width=4, latent_dim=7, steps=steps, hop=steps, log_sigma=log_sigma))
    mean, log_sigmas = vae.encode(_x(3, steps))
    assert mean.shape == log_sigmas.shape == (3, 7)
    assert (log_sigmas.std(dim=1) > 0).all() == (log_sigma == "per_dimension")
    assert vae.decode(mean).shape == (3, 1, steps, 128)


def test_shapes_of_the_latent_networks() -> None:
    config = VaeNNConfig(latent_dim=7)
    melody, conditional = melody_nn(config), conditional_nn(config)
    assert [layer.weight.shape for layer in melody if isinstance(layer, torch.nn.Linear)] == [
        (128, 7),
        (128, 128),
        (7, 128),
    ]
    assert [layer.p for layer in melody if isinstance(layer, torch.nn.Dropout)] == [0.2, 0.2]
    assert [layer.weight.shape for layer in conditional if isinstance(layer, torch.nn.Linear)] == [(128, 14), (7, 128)]
    assert not [layer for layer in conditional if isinstance(layer, torch.nn.Dropout)]


def _posterior(vae: ConvVAE, x: torch.Tensor) -> distributions.Normal:
    mean, log_sigma = vae.encode(x)
    return distributions.Normal(mean, log_sigma.exp())


@pytest.mark.parametrize("log_sigma", ["shared", "per_dimension"])
def test_gaussian_likelihood_and_kl_are_those_of_torch(log_sigma: str) -> None:
    vae, x, noise = _vae(log_sigma=log_sigma), _x(), _noise()
    nll, kl = _terms(vae, x, noise, sampled_kl=False)
    q = _posterior(vae, x)
    sigma = math.exp(-6 + math.log1p(math.exp(math.log(0.3) + 6)))
    p = distributions.Normal(vae.decode(q.loc + q.scale * noise), sigma)
    torch.testing.assert_close(nll, -p.log_prob(x).sum() / 5, rtol=1e-4, atol=1e-3)
    prior = distributions.Normal(torch.zeros(5, 3), torch.ones(5, 3))
    torch.testing.assert_close(kl, distributions.kl_divergence(q, prior).sum() / 5)


def test_sigma_starts_where_it_is_told_and_never_reaches_zero() -> None:
    vae = _vae()
    assert vae.log_scale.item() == pytest.approx(math.log(0.3))
    with torch.no_grad():
        vae.log_scale.fill_(-1000.0)
    nll, _ = _terms(vae, _x(), _noise(), sampled_kl=False)
    assert nll.isfinite()


def test_bernoulli_likelihood_is_that_of_torch_and_decodes_to_probabilities() -> None:
    vae, x, noise = _vae(likelihood="bernoulli"), _x(), _noise()
    nll, _ = _terms(vae, x, noise, sampled_kl=False)
    q = _posterior(vae, x)
    p = vae.decode(q.loc + q.scale * noise)
    assert ((p > 0) & (p < 1)).all()
    torch.testing.assert_close(nll, -distributions.Bernoulli(p).log_prob(x).sum() / 5, rtol=1e-4, atol=1e-3)


def test_the_sampled_kl_is_one_draw_of_the_analytic_one() -> None:
    vae, x = _vae(), _x()
    with torch.no_grad():
        vae.encoder[-1].bias += torch.tensor([0.5, -1, 0, 0.3, -0.5, 0])
        noise = _noise()
        q = _posterior(vae, x)
        z = q.loc + q.scale * noise
        prior = distributions.Normal(torch.zeros(5, 3), torch.ones(5, 3))
        one_draw = (q.log_prob(z) - prior.log_prob(z)).sum() / 5
        torch.testing.assert_close(_terms(vae, x, noise, sampled_kl=True)[1], one_draw)
        analytic = _terms(vae, x, noise, sampled_kl=False)[1].item()
        draws = [_terms(vae, x, _noise(seed=seed), sampled_kl=True)[1].item() for seed in range(1500)]
    assert analytic > 0.5
    assert np.mean(draws) == pytest.approx(analytic, abs=4 * np.std(draws) / math.sqrt(len(draws)))
    assert np.std(draws) > 0


# One trial's VAEs and latent networks, used by all that follows.


@pytest.fixture(scope="module")
def trained(store: WindowStore) -> MemoryFiles:
    run = stage_run(store, BLOCK, TINY, MemoryFiles())
    return run_stages(VaeNN(), run, ("vae", "latent"))


def _run(store: WindowStore, files: MemoryFiles | None = None, **fields: Any) -> StageRun:
    return stage_run(store, BLOCK, TINY.with_values(fields), MemoryFiles(dict(files.trial) if files else {}, "vae"))


def _generate(store: WindowStore, trained: MemoryFiles, **fields: Any) -> np.ndarray:
    run = _run(store, trained, **fields)
    return unpack(read_generated(run_stages(VaeNN(), run, ("generate",)).product("generate")))


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_beta_weighs_the_kl_term(store: WindowStore, likelihood: str) -> None:
    def trained_with(**fields: Any) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
        learner = VaeLearner(_run(store, likelihood=likelihood, **fields))
        return learner.epoch(Epoch(0)), learner.weights()

    free, weights = trained_with(beta=0.0)
    # Without its weight the KL term leaves no trace: whichever it is, the same weights come out.
    other, other_weights = trained_with(beta=0.0, kl="sample")
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights)
    assert free["train/loss.Piano"] == other["train/loss.Piano"]
    assert free["train/kl.Piano"] != other["train/kl.Piano"]
    bound, _ = trained_with(beta=50.0)
    assert bound["train/kl.Piano"] < free["train/kl.Piano"]


def test_the_loss_is_the_likelihood_plus_beta_times_kl(store: WindowStore) -> None:
    learners = [VaeLearner(_run(store, beta=beta)) for beta in (0.0, 1.0, 50.0)]
    zero, one, more = (learner._validation() for learner in learners)  # of equal weights: nothing is trained yet
    kl = one["val/kl.Bass"]
    assert kl == zero["val/kl.Bass"] == more["val/kl.Bass"] > 0
    assert one["val/loss.Bass"] - zero["val/loss.Bass"] == pytest.approx(kl, abs=1e-3)
    assert more["val/loss.Bass"] - zero["val/loss.Bass"] == pytest.approx(50 * kl, abs=1e-3)


def test_sigma_starts_at_the_track_s_own_root_mean_square_or_at_one(store: WindowStore) -> None:
    run = _run(store)
    rolls = unpack(run.windows.packed(run.windows.train))
    own = VaeLearner(run).modules
    assert own["Piano"].log_scale.item() == pytest.approx(0.5 * math.log(rolls[:, PIANO].mean()), abs=1e-5)
    assert own["Bass"].log_scale.item() != own["Piano"].log_scale.item()
    assert VaeLearner(_run(store, sigma_start="one")).modules["Piano"].log_scale.item() == 0


def test_one_instrument_shifts_no_other_s_draws(store: WindowStore) -> None:
    windows = np.array(store.windows)
    windows[:, TRACKS.index("Bass")] = 0
    without = made_store(windows, [song.count for song in store.songs])
    without.songs, without._rows = store.songs, store._rows
    one, other = VaeLearner(_run(store)), VaeLearner(_run(without))
    assert set(one.modules) - set(other.modules) == {"Bass"}
    for learner in (one, other):
        learner.epoch(Epoch(0))
    for name, tensor in other.weights().items():
        assert torch.equal(one.weights()[name], tensor), name


def test_the_progress_is_the_f1_of_decoded_validation_windows_at_the_best_thresholds(
    store: WindowStore, trained: MemoryFiles
) -> None:
    run, files = _run(store, trained), trained.product("vae")
    learner, vaes = VaeLearner(run), Vaes(run, files)
    learner.restore(files.read(CHECKPOINT))
    batches = zip(*vaes.reconstructions(run.windows.validation), strict=True)
    actual, _, _, decoded = (np.concatenate(batch) for batch in batches)
    decoded[:, STRINGS] = 0  # silent, and so without a VAE
    measures = activation_measures(decoded, actual)
    assert learner.progress() == pytest.approx(measures["latent/best_frame_f1"], rel=1e-9)


def test_the_latent_networks_learning_rate_decays_with_the_epoch(store: WindowStore, trained: MemoryFiles) -> None:
    run = _run(store, trained, latent_lr=2e-3)
    learner = LatentLearner(run, Vaes(run, run.files.product("vae")))
    rates = []
    for number in (0, 1, 10):
        learner.epoch(Epoch(number))
        rates.append({optimizer.param_groups[0]["lr"] for optimizer in learner.optimizers.values()})
    assert rates == [{2e-3 * 0.95**number} for number in (0, 1, 10)]


def test_the_latent_networks_learn_from_posterior_means_and_the_current_piano(
    store: WindowStore, trained: MemoryFiles
) -> None:
    run = _run(store, trained)
    vaes = Vaes(run, run.files.product("vae"))
    learner = LatentLearner(run, vaes)
    last, current = run.windows.pairs[:, 0], run.windows.pairs[:, 1]
    torch.testing.assert_close(learner.latents[:, 0], vaes.means(last))
    torch.testing.assert_close(learner.latents[:, 1], vaes.means(current))
    # A conditional network sees its own last and the piano's current latent, MelodyNN the piano's last alone.
    seen = []
    for track in (PIANO, 3):
        latent.predict(lambda z: seen.append(z), track, learner.latents[:, 0], learner.latents[:, 1, PIANO])
    torch.testing.assert_close(seen[0], vaes.means(last)[:, PIANO])
    torch.testing.assert_close(seen[1], torch.cat([vaes.means(last)[:, 3], vaes.means(current)[:, PIANO]], dim=1))


class _Doubling(torch.nn.Module):
    """Stands for a network: twice the first K inputs plus, where there are 2K, the second K."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return 2 * z[:, :3] + (z[:, 3:] if z.shape[1] == 6 else 0)


def test_noise_is_added_before_melody_nn_as_written_or_after_each_network_as_coded() -> None:
    networks, last = [_Doubling() for _ in TRACKS], torch.randn(4, 5, 3)
    noise = torch.randn(4, 5, 3)
    before = vae_nn._next_latents(networks, last, noise, "before")
    piano = 2 * (last[:, PIANO] + noise[:, PIANO])
    torch.testing.assert_close(before[:, PIANO], piano)
    for track in {0, 2, 3, 4}:
        torch.testing.assert_close(before[:, track], 2 * last[:, track] + piano)
    after = vae_nn._next_latents(networks, last, noise, "after")
    piano = 2 * last[:, PIANO] + noise[:, PIANO]
    torch.testing.assert_close(after[:, PIANO], piano)
    for track in {0, 2, 3, 4}:
        torch.testing.assert_close(after[:, track], 2 * last[:, track] + piano + noise[:, track])


@pytest.mark.parametrize("place", ["before", "after"])
def test_targets_are_mixed_in_under_the_noise(place: str) -> None:
    networks, last, drawn, noise = [_Doubling() for _ in TRACKS], *(torch.randn(3, 4, 5, 3))
    before, after = (noise[:, PIANO], 0 * noise) if place == "before" else (0, noise)
    for mix in ("per_instrument", "last_window", "coded"):
        made = vae_nn._next_latents(networks, last, noise, place, Pull(drawn, 0.3, mix))
        mixed = 0.3 * drawn + 0.7 * last
        seen = {"per_instrument": last, "last_window": mixed, "coded": last}[mix]
        seen_piano = mixed[:, DRUMS] if mix == "coded" else seen[:, PIANO]
        own = mix == "per_instrument"
        piano = 2 * (seen_piano + before)
        piano = (0.3 * drawn[:, PIANO] + 0.7 * piano if own else piano) + after[:, PIANO]
        torch.testing.assert_close(made[:, PIANO], piano)
        for track in {0, 2, 3, 4}:
            next_one = 2 * seen[:, track] + piano  # given the piano as it will be played
            next_one = 0.3 * drawn[:, track] + 0.7 * next_one if own else next_one
            torch.testing.assert_close(made[:, track], next_one + after[:, track])


def _targets(store: WindowStore, *numbers: int) -> Targets:
    songs = [store.songs[number] for number in numbers]
    windows = tuple(store.windows[song.first : song.first + song.count] for song in songs)
    return Targets(tuple(song.id for song in songs), windows, np.full((1, len(songs)), 1 / len(songs)))


def test_alpha_0_is_no_target_bit_for_bit(store: WindowStore, trained: MemoryFiles) -> None:
    fields = {"noise_sd": 1.0, "continuation": 4}
    none = _generate(store, trained, **fields)
    for mix in ("per_instrument", "last_window"):
        for target in ("drawn", f"song:{store.songs[3].id}"):
            style = {"target": target, "alpha_mix": mix}
            np.testing.assert_array_equal(_generate(store, trained, alpha=0, **style, **fields), none)
            assert (_generate(store, trained, alpha=0.5, **style, **fields) != none).any()
    # As coded the drums' last latent is in the piano's place whatever alpha is.
    coded = _generate(store, trained, target="drawn", alpha=0, alpha_mix="coded", **fields)
    assert (coded[:, :, PIANO] != none[:, :, PIANO]).any()


def test_alpha_1_without_noise_plays_the_target_s_windows_as_decoded(store: WindowStore, trained: MemoryFiles) -> None:
    song = store.songs[7]
    generated = _generate(store, trained, target=f"song:{song.id}", alpha=1, noise_sd=0.0, continuation=6)
    run = _run(store, trained)
    vaes = Vaes(run, run.files.product("vae"))
    indices = np.arange(song.first, song.first + song.count)
    decoded = note_rules(run, vaes).cells(next(vaes.reconstructions(indices))[3])
    for track in range(5):
        played = {window.tobytes() for window in generated[:, :, track].reshape(-1, 32, 128)}
        assert played <= {window.numpy().tobytes() for window in decoded[:, track]}
        assert len(played) > 1 or track != PIANO


def test_targets_from_outside_need_no_windows(store: WindowStore, trained: MemoryFiles) -> None:
    run = _run(store, trained)
    starts = run.windows.packed(run.windows.starts[:, 0])
    named = _run(store, trained, target=f"song:{store.songs[2].id} + song:{store.songs[5].id}")
    expected = VaeNN().continuations(named, starts)
    given = dataclasses.replace(run, windows=None, targets=_targets(store, 2, 5))
    np.testing.assert_array_equal(VaeNN().continuations(given, starts), expected)
    # Those given come before those named.
    other = dataclasses.replace(named, windows=None, targets=_targets(store, 8))
    assert (VaeNN().continuations(other, starts) != expected).any()
    without = dataclasses.replace(run, windows=None)
    np.testing.assert_array_equal(VaeNN().continuations(without, starts), VaeNN().continuations(run, starts))
    with pytest.raises(UserError, match="windows of the trial's data are needed"):
        VaeNN().continuations(dataclasses.replace(named, windows=None), starts)


@pytest.mark.parametrize("wrong", ["nonsense", "", "None", "song:", "my.mid", "midi:x"])
def test_a_target_that_no_trial_can_follow_is_refused(wrong: str) -> None:
    with pytest.raises(UserError, match=r"^target must be song:TITLE, artist:NAME, drawn or none"):
        TINY.with_values({"target": wrong})


@pytest.mark.parametrize("place", ["before", "after"])
def test_without_noise_the_noise_stream_does_not_matter(
    place: str, store: WindowStore, trained: MemoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"noise_place": place, "threshold_rule": "absolute", "threshold": 0.1}
    still, loud = (_generate(store, trained, noise_sd=sd, **fields) for sd in (0.0, 3.0))
    monkeypatch.setattr(Block, "torch", lambda self, *purpose: torch.Generator().manual_seed(99))
    np.testing.assert_array_equal(_generate(store, trained, noise_sd=0.0, **fields), still)
    assert (_generate(store, trained, noise_sd=3.0, **fields) != loud).any()


def test_noise_differs_from_start_to_start_and_window_to_window(store: WindowStore, trained: MemoryFiles) -> None:
    run = _run(store, trained, noise_sd=3.0, starts=3, continuation=2)
    run.windows.starts[:] = run.windows.starts[0]
    run = dataclasses.replace(run, files=MemoryFiles(dict(trained.trial)))
    generated = read_generated(run_stages(VaeNN(), run, ("generate",)).product("generate"))
    assert len({window.tobytes() for start in generated for window in start}) == 6


def test_the_best_f1_on_validation_songs_decides_a_threshold(store: WindowStore, trained: MemoryFiles) -> None:
    run = _run(store, trained)
    vaes = Vaes(run, run.files.product("vae"))
    cuts = note_rules(run, vaes).thresholds.flatten().tolist()
    real, _, _, activation = next(vaes.reconstructions(run.windows.validation))

    def f1(threshold: float, track: int) -> float:
        predicted, actual = (activation[:, track] > threshold).numpy(), real[:, track]
        return 2 * (predicted & actual).sum() / (predicted.sum() + actual.sum())

    assert cuts[STRINGS] == 0.5  # silent: nothing to calibrate on
    for track in set(range(5)) - {STRINGS}:
        assert f1(cuts[track], track) == max(f1(step / 50, track) for step in range(1, 50))
    assert len(set(cuts)) > 1


def test_absolute_thresholds_are_as_given_and_a_higher_one_lets_less_through(
    store: WindowStore, trained: MemoryFiles
) -> None:
    run = _run(store, trained, threshold_rule="absolute", threshold=-0.25)
    assert note_rules(run, Vaes(run, run.files.product("vae"))).thresholds.tolist() == [[[-0.25]]] * 5
    counts = [
        _generate(store, trained, threshold_rule="absolute", threshold=threshold, continuation=1).sum()
        for threshold in (-10, 0.05, 0.15, 10)
    ]
    assert counts[0] == 4 * 4 * 32 * 128  # all cells of all tracks that have a VAE
    assert counts[0] > counts[1] > counts[2] > counts[3] == 0


@pytest.mark.parametrize("peaks", [0, 3, -1])
def test_by_density_reconstructions_are_as_dense_as_validation_songs(
    peaks: int, store: WindowStore, trained: MemoryFiles
) -> None:
    run = _run(store, trained, threshold_rule="density", peaks=peaks)
    vaes = Vaes(run, run.files.product("vae"))
    real, _, _, activations = next(vaes.reconstructions(run.windows.validation))
    cells = note_rules(run, vaes).cells(activations).numpy()
    for track in range(5):
        assert cells[:, track].sum() == pytest.approx(real[:, track].sum(), rel=0.01) or peaks
    # Fewer cells compete, so there may be too few that are the largest of their neighbours, but never too many.
    assert (cells.sum(axis=(0, 2, 3)) <= real.sum(axis=(0, 2, 3)) + 1).all()
    assert cells[:, PIANO].any()
    near = cells[:, PIANO, :, 1:] & cells[:, PIANO, :, :-1]
    assert near.any() == (peaks == 0)


def test_by_he_s_rule_signals_keep_their_size_and_the_decoder_begins_with_silence() -> None:
    torch.manual_seed(0)
    vae = ConvVAE(VaeNNConfig(vae_init="he"))
    assert (vae.decode(torch.randn(4, 16)) == 0).all()
    for network, x in ((vae.encoder, torch.randn(64, 1, 32, 128)), (vae.decoder, torch.randn(256, 16))):
        for layer in list(network)[:-1]:
            before = x.square().mean().item()
            x = layer(x)
            if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d | torch.nn.Linear):
                # Half of the squares is lost in the ReLU that follows.
                assert x.square().mean().item() == pytest.approx(2 * before, rel=0.15)
    assert all((layer.bias == 0).all() for layer in vae.modules() if getattr(layer, "bias", None) is not None)


def test_a_cosine_rate_is_that_of_each_step(store: WindowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = VaeLearner(_run(store, MemoryFiles(), vae_schedule="cosine", vae_epochs=4))
    rates: list[float] = []
    optimizer = learner.optimizers["vaes"]
    monkeypatch.setattr(optimizer, "step", lambda: rates.append(optimizer.param_groups[0]["lr"]))
    for number in range(4):
        learner.epoch(Epoch(number))
    assert rates == [warm_cosine(1e-2, step, 24) for step in range(24)]


def test_a_track_without_a_vae_never_sounds(store: WindowStore, trained: MemoryFiles) -> None:
    run = _run(store, trained)
    assert VaeLearner(run).sounding == [name for name in TRACKS if name != "Strings"]
    generated = _generate(store, trained, threshold_rule="absolute", threshold=-10.0)
    assert not generated[:, :, STRINGS].any()
    assert generated[:, :, PIANO].all()
    vaes = Vaes(run, run.files.product("vae"))
    assert (vaes.posterior(torch.ones(2, 5, 32, 128))[0][:, STRINGS] == 0).all()


@pytest.mark.parametrize(("feedback", "levels"), [("binary", [1.0] * 5), ("velocity", [0.8] * 4 + [0.6])])
def test_windows_are_fed_back_at_their_velocity(
    feedback: str, levels: list[float], store: WindowStore, trained: MemoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed, encoded = [], vae_nn._encoded
    monkeypatch.setattr(vae_nn, "_encoded", lambda vaes, window: fed.append(window.clone()) or encoded(vaes, window))
    decoded = torch.zeros(1, 5, 32, 128)
    decoded[:, :, :, 60] = 1
    monkeypatch.setattr(Vaes, "decode", lambda self, z: decoded.expand(len(z), -1, -1, -1))
    generated = _generate(store, trained, feedback=feedback, continuation=3, starts=4)
    assert len(fed) == 3
    assert set(fed[0].unique().tolist()) == {0.0, 1.0}  # a start window is real music
    for window in fed[1:]:
        assert window.shape == (4, 5, 32, 128)
        assert (window[..., :60] == 0).all()
        for track, level in enumerate(levels):
            assert window[:, track, :, 60].unique().tolist() == [pytest.approx(level)]
    assert generated[..., 60].all()


def test_the_start_window_goes_in_as_it_is(
    store: WindowStore, trained: MemoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed, encoded = [], vae_nn._encoded
    monkeypatch.setattr(vae_nn, "_encoded", lambda vaes, window: fed.append(window) or encoded(vaes, window))
    _generate(store, trained, continuation=1)
    run = _run(store)
    np.testing.assert_array_equal(pack(fed[0].bool().numpy()), run.windows.packed(run.windows.starts[:, 0]))


def test_reconstruction_is_measured_on_test_songs_at_the_shipped_threshold(
    store: WindowStore, trained: MemoryFiles
) -> None:
    windows = np.array(store.windows)
    windows[_run(store).windows.reference, PIANO, 16:] = 0  # so that test songs are known by their density
    thinned = made_store(windows, [song.count for song in store.songs])
    thinned.songs, thinned._rows = store.songs, store._rows
    run = _run(thinned, trained, threshold_rule="absolute", threshold=-10.0)
    files = run_stages(VaeNN(), dataclasses.replace(run, files=run.files.product("")), ("generate",))
    measures = VaeNN().own_measures(dataclasses.replace(run, files=files.product("measure")))
    # Everything passes that threshold, so precision is the share of cells that are on in the reference windows.
    real = unpack(run.windows.packed(run.windows.reference))
    assert measures["latent/frame_recall.Piano"] == 1
    assert measures["latent/frame_precision.Piano"] == pytest.approx(real[:, PIANO].mean())
    assert real[:, PIANO].mean() == pytest.approx(unpack(store.windows)[:, PIANO].mean() / 2, rel=0.05)
    assert math.isnan(measures["latent/frame_f1.Strings"])
    assert "latent/kl.Strings" not in measures
    assert measures["latent/active_units.Piano"] in range(5)


def _measured(store: WindowStore, trained: MemoryFiles, **fields: Any) -> tuple[dict[str, float], StageRun]:
    run = _run(store, trained, **fields)
    files = run_stages(VaeNN(), run, ("generate",))
    run = dataclasses.replace(run, files=files.product("measure"))
    return VaeNN().own_measures(run), run


def test_the_posterior_s_sd_is_the_mean_over_windows_and_dimensions(store: WindowStore, trained: MemoryFiles) -> None:
    measures, run = _measured(store, trained)
    vaes = Vaes(run, run.files.product("vae"))
    log_sigma = next(vaes.reconstructions(run.windows.reference))[2]
    sds = [log_sigma[:, track].exp().mean().item() for track in range(5) if track != STRINGS]
    assert measures["latent/posterior_sd.Drums"] == pytest.approx(sds[0])
    assert measures["latent/posterior_sd"] == pytest.approx(np.mean(sds))
    assert "latent/posterior_sd.Strings" not in measures
    assert len(set(sds)) == 4


def test_the_next_window_is_predicted_on_test_songs_without_noise_and_style(
    store: WindowStore, trained: MemoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, cut, cut_at_best = [], [], suite.cut_at_best
    monkeypatch.setattr(suite, "cut_at_best", lambda *given: cut.append(given) or cut_at_best(*given))
    monkeypatch.setattr(suite, "next_window_measures", lambda *rolls: seen.append(rolls) or {"next/next_f1": 1.0})
    measures, run = _measured(store, trained, noise_sd=3.0, target="drawn", alpha=1)
    assert measures["next/next_f1"] == 1
    predicted, last, mean_window, actual = seen[0]
    windows = run.windows
    np.testing.assert_array_equal(last, store.batch(windows.reference_pairs[:, 0]))
    np.testing.assert_array_equal(actual, store.batch(windows.reference_pairs[:, 1]))
    np.testing.assert_allclose(mean_window, store.batch(windows.train).mean(axis=0), atol=1e-6)
    activations, tuning, tuning_actual = cut[0]
    np.testing.assert_array_equal(predicted, suite.cut_at_best(*cut[0]))
    np.testing.assert_array_equal(tuning_actual, store.batch(windows.starts[:, 1]))
    # They are what is generated without noise, cell by cell.
    for threshold in (0.05, 0.2):
        still = _run(store, trained, noise_sd=0.0, continuation=1, threshold_rule="absolute", threshold=threshold)
        for pairs, found in ((windows.starts, tuning), (windows.reference_pairs, activations)):
            expected = unpack(VaeNN().continuations(still, windows.packed(pairs[:, 0])))[:, 0]
            assert (expected != (found > threshold)).mean() < 1e-5  # batches of another size round otherwise


def test_style_is_measured_against_each_start_s_target_among_other_songs(
    store: WindowStore, trained: MemoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(suite, "style_measures", lambda *given: seen.append(given) or {"style/similarity": 1.0})
    measures, run = _measured(store, trained, target="drawn", variations=2)
    assert measures["style/similarity"] == 1
    generated, weights, songs, resolution = seen[0]
    np.testing.assert_array_equal(generated, unpack(read_generated(run.files.product("generate"))))
    targets = block_targets("drawn", run.windows, BLOCK)
    np.testing.assert_array_equal(weights, np.repeat(targets.weights, 2, axis=0))
    assert [song.tobytes() for song in songs] == [unpack(song).tobytes() for song in targets.songs]
    assert resolution == 2
    named, _ = _measured(store, trained, target=f"song:{store.songs[0].id}")
    assert named["style/similarity"] == 1
    others = seen[1][2][1:]
    assert len(others) >= 1
    assert seen[1][1].tolist() == [[1.0] + [0.0] * len(others)] * 4
    assert not any(name.startswith("style/") for name in _measured(store, trained)[0])


def test_all_tracks_silent_is_no_crash(store: WindowStore) -> None:
    silent = made_store(np.zeros_like(store.windows), [song.count for song in store.songs])
    run = stage_run(silent, BLOCK, TINY, MemoryFiles())
    files = run_stages(VaeNN(), run)
    assert not read_generated(files.product("generate")).any()
    measures = VaeNN().own_measures(dataclasses.replace(run, files=files.product("measure")))
    assert all(math.isnan(value) for value in measures.values())


def test_training_lowers_the_loss(store: WindowStore) -> None:
    run = _run(store, vae_lr=5e-3)
    learner = VaeLearner(run)
    curves = [learner.epoch(Epoch(number)) for number in range(5)]
    assert curves[-1]["train/loss.Piano"] < curves[0]["train/loss.Piano"]
    assert curves[-1]["val/loss.Piano"] < curves[0]["val/loss.Piano"]
    assert curves[0].keys() == {
        f"{part}/{name}.{track}"
        for part in ("train", "val")
        for name in ("loss", "kl")
        for track in TRACKS
        if track != "Strings"
    }


def test_steps_that_the_convolutions_cannot_divide_are_refused() -> None:
    with pytest.raises(UserError, match="steps must be a multiple of 16"):
        VaeNNConfig(steps=24)
