"""gan against the article's facts: shapes, which gradient each switch reaches, draws, collapse curves, divergence."""

import copy
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from musiclab.data.songs import TRACKS
from musiclab.data.store import WindowStore
from musiclab.data.windows import unpack
from musiclab.errors import UserError
from musiclab.measures.pairs import pairs
from musiclab.measures.variety import diversity_ratio
from musiclab.systems.activations import NoteRules, density_thresholds, own_radii
from musiclab.systems.base import StageRun, read_generated
from musiclab.systems.gan import system as gan
from musiclab.systems.gan.config import GANConfig
from musiclab.systems.gan.learner import (
    Adversaries,
    Draws,
    GanLearner,
    _known,
    cell_logits,
    discriminator_loss,
    draw,
    generator_loss,
    sounding,
)
from musiclab.systems.gan.networks import Discriminator, Generator, TrackStatistics, _spread
from musiclab.systems.gan.system import GAN
from musiclab.training import tensors
from musiclab.training.epoch import Epoch
from musiclab.training.files import CHECKPOINT, CURVES
from musiclab.training.fit import Diverged
from musiclab.training.schedule import warm_cosine
from musiclab.training.streams import Block
from tests.support.made_trials import Interrupted, MemoryFiles, made_store, products, run_stages, stage_run

BLOCK, CPU = Block(0, 0), torch.device("cpu")
# Bass and strings play one note at a time.
STATISTICS = TrackStatistics(dict.fromkeys(TRACKS, 0.005), [0, 3, 2, 127, 127])
STRINGS = TRACKS.index("Strings")
STREAMS = ("noise", "labels", "instance noise")
TINY = GANConfig(
    width=2, latent_dim=8, epochs=3, batch=16, g_lr=3e-3, max_train=64, max_eval=24, starts=4, continuation=2,
)  # fmt: skip
PLAIN = TINY.with_values({"label_smoothing": False, "feature_matching": False, "ttur": 1.0})
# Each switch alone, and the networks whose gradient it reaches.
SWITCHES: dict[str, tuple[Any, set[str]]] = {
    "label_smoothing": (True, {"discriminator"}),
    "feature_matching": (True, {"generator"}),
    "r1": (10.0, {"discriminator"}),
    "instance_noise": (0.5, {"discriminator", "generator"}),
    "spectral_norm": (True, {"discriminator", "generator"}),
    "minibatch_sd": (True, {"discriminator", "generator"}),
    "ttur": (4.0, set()),
    "ema": (0.9, set()),
}


def _pair(config: GANConfig) -> Adversaries:
    return Adversaries(config, BLOCK, STATISTICS, CPU)


def _real(config: GANConfig = TINY, n: int = 6) -> torch.Tensor:
    shape = (n, 5, config.steps, config.pitches)
    return (torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.05).float()


def _draws(config: GANConfig, n: int = 6) -> Draws:
    """Those of a second step, which a first one's draws from the wrong stream would have shifted."""
    streams = {name: BLOCK.torch(name) for name in STREAMS}
    draw(config, n, streams, CPU)
    return draw(config, n, streams, CPU)


def _run(store: WindowStore, files: MemoryFiles | None = None, **fields: Any) -> StageRun:
    return stage_run(store, BLOCK, TINY.with_values(fields), MemoryFiles(dict(files.trial) if files else {}, "train"))


@pytest.fixture(scope="module")
def trained(store: WindowStore) -> MemoryFiles:
    return run_stages(GAN(), stage_run(store, BLOCK, TINY, MemoryFiles()), ("train",))


def _generate(store: WindowStore, trained: MemoryFiles, **fields: Any) -> np.ndarray:
    run = stage_run(store, BLOCK, TINY.with_values(fields), MemoryFiles(dict(trained.trial)))
    return unpack(read_generated(run_stages(GAN(), run, ("generate",)).product("generate")))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


# The networks.


@pytest.mark.parametrize("norm", ["separate", "reused"])
@pytest.mark.parametrize(("steps", "pitches"), [(32, 128), (64, 72), (64, 128), (32, 72)])
def test_six_convolutions_each_make_and_judge_a_window(steps: int, pitches: int, norm: str) -> None:
    config = TINY.with_values({"steps": steps, "hop": steps, "pitches": pitches, "norm": norm})
    generator, discriminator = Generator(config, STATISTICS), Discriminator(config)
    assert len([m for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]) == 6
    assert len([m for m in discriminator.modules() if isinstance(m, nn.Conv2d)]) == 6
    window = generator(torch.randn(3, 8))
    assert window.shape == (3, 5, steps, pitches)
    assert ((window > 0) & (window < 1)).all()
    verdict, first = discriminator(window)
    assert verdict.shape == (3,)
    assert first.shape[:2] == (3, config.channels[0])
    # Mirrored: what the generator widens, the discriminator has narrowed by.
    shapes = [[conv.stride for conv in network.convs] for network in (generator, discriminator)]
    assert shapes[0][1:] == shapes[1][:5][::-1]


def test_the_article_s_sizes_and_rates() -> None:
    article = GANConfig().with_values(GAN.scales["article"] | GAN.forms["written"])
    assert (article.latent_dim, article.steps, article.pitches, article.batch) == (100, 32, 128, 64)
    assert article.channels == (64, 128, 256, 512, 1024)
    narrow = article.with_values({"width": 1})
    rates = {name: optimizer.param_groups[0] for name, optimizer in _pair(narrow).optimizers.items()}
    assert rates["generator"]["lr"] == 3e-4
    assert rates["discriminator"]["lr"] == 6e-4
    assert rates["generator"]["betas"] == rates["discriminator"]["betas"] == (0.0, 0.99)
    assert article.label_smoothing and article.feature_matching
    assert (article.output_start, article.threshold_rule, article.threshold) == ("even", "absolute", 0.5)


def test_a_reused_batchnorm_and_prelu_is_one_for_all_layers() -> None:
    for config, norms, slopes in (
        (PLAIN, {"generator": 5, "discriminator": 4}, 5),
        (PLAIN.with_values({"norm": "reused"}), {"generator": 1, "discriminator": 1}, 1),
    ):
        for name, module in _pair(config).modules.items():
            parameters = [key for key, _ in module.named_parameters() if "between" in key]
            assert len([key for key in parameters if "slopes" in key]) == slopes
            assert len([key for key in parameters if "slopes" not in key]) == 2 * norms[name]
    # Its scale stands in every layer that has it: no hidden layer is heard without it.
    network = _pair(PLAIN.with_values({"norm": "reused"})).modules["generator"]
    with torch.no_grad():
        network.between.scale.zero_()
        network.between.shift.fill_(2.0)
    for place in range(5):
        assert (network.between(torch.randn(4, 8, 2, 2), place) == 2).all()


def test_weights_start_from_the_coded_distribution_or_pytorch_s() -> None:
    coded, default = (_pair(TINY.with_values({"width": 16, "init": init})).modules for init in ("normal", "default"))
    for network in coded.values():
        for conv in network.convs:
            assert conv.weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert default["discriminator"].convs[0].weight.std() > 0.03


def test_steps_and_pitches_that_the_convolutions_cannot_make_are_refused() -> None:
    with pytest.raises(UserError, match="steps must be a multiple of 32"):
        GANConfig(steps=48)
    with pytest.raises(UserError, match="pitches must be 128 or 72"):
        GANConfig(pitches=100)


def test_an_average_that_would_never_leave_the_untrained_generator_is_refused() -> None:
    with pytest.raises(UserError, match=r"ema must be a number from 0 to 0\.99999; got 1"):
        GANConfig(ema=1.0)


# The switches: what each reaches, and what it leaves alone.


def _gradients(config: GANConfig) -> dict[str, dict[str, torch.Tensor]]:
    """Of each network by its own loss, both at the weights of the start."""
    pair, draws = _pair(config), _draws(config)
    generator, discriminator = pair.modules["generator"], pair.modules["discriminator"]
    real, fake = _real(), generator(draws.z)
    if draws.instance_noise is not None:
        real, fake = real + draws.instance_noise[0], fake + draws.instance_noise[1]
    losses = {
        "discriminator": discriminator_loss(config, discriminator, real, fake, draws.labels)[0],
        "generator": generator_loss(config, discriminator, real, fake),
    }
    gradients = {}
    for name, loss in losses.items():
        named = dict(pair.modules[name].named_parameters())
        found = torch.autograd.grad(loss, list(named.values()), retain_graph=True, allow_unused=True)
        gradients[name] = dict(zip(named, found, strict=True))
    return gradients


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_changes_the_gradient_of_the_networks_it_is_for_and_of_no_other(name: str) -> None:
    value, reached = SWITCHES[name]
    off, on = _gradients(PLAIN), _gradients(PLAIN.with_values({name: value}))
    for network in ("generator", "discriminator"):
        same = [key for key in off[network] if key in on[network]]
        changed = [key for key in same if not torch.equal(off[network][key], on[network][key])]
        if network in reached:
            assert len(changed) > len(same) / 2
        else:
            assert not changed
            assert len(same) == len(on[network])


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_shifts_no_other_s_draws(name: str) -> None:
    value, _ = SWITCHES[name]
    on = PLAIN.with_values({name: value})
    for network in ("generator", "discriminator"):
        there = _pair(on).modules[network].state_dict()
        for key, tensor in _pair(PLAIN).modules[network].state_dict().items():
            if "norms" in key and name == "spectral_norm":
                continue  # in whose place it stands
            also = key if key in there else key.replace(".weight", ".parametrizations.weight.original")
            assert torch.equal(there[also], tensor), key
    every = on.with_values({"label_smoothing": True, "instance_noise": 0.1})
    assert torch.equal(_draws(every).z, _draws(PLAIN).z)
    alone = PLAIN.with_values({"instance_noise": 0.1})
    torch.testing.assert_close(_draws(every).instance_noise, _draws(alone).instance_noise, rtol=0, atol=0)
    alone = PLAIN.with_values({"label_smoothing": True})
    assert torch.equal(_draws(every).labels, _draws(alone).labels)


def test_each_switch_reaches_the_weights_of_an_epoch(store: WindowStore) -> None:
    def weights(**fields: Any) -> dict[str, torch.Tensor]:
        learner = GanLearner(stage_run(store, BLOCK, PLAIN.with_values(fields | {"max_train": 16}), MemoryFiles()))
        learner.epoch(Epoch(0))
        return learner.weights()

    plain = weights()
    for name, (value, _) in SWITCHES.items():
        changed = weights(**{name: value})
        last = "generator/convs.5.weight"
        # The average of generators watches and takes no part.
        assert torch.equal(changed[last], plain[last]) == (name == "ema"), name


def test_smoothed_labels_are_drawn_from_the_article_s_ranges() -> None:
    labels = _draws(PLAIN.with_values({"label_smoothing": True}), 4000).labels
    real, fake = labels
    assert 0.9 <= real.min() < 0.901 and 0.999 < real.max() <= 1.0
    assert 0.0 <= fake.min() < 0.001 and 0.099 < fake.max() <= 0.1
    assert real.mean().item() == pytest.approx(0.95, abs=0.003)
    assert _draws(PLAIN, 3).labels.tolist() == [[1, 1, 1], [0, 0, 0]]


def test_the_discriminator_s_loss_is_cross_entropy_with_its_labels_and_r1() -> None:
    config = TINY.with_values({"r1": 4.0})
    discriminator, real, fake = _pair(config).modules["discriminator"], _real(n=4), _real(n=8)[4:]
    labels = torch.tensor([[0.9, 0.95, 1.0, 0.92], [0.0, 0.1, 0.05, 0.02]])
    loss, on_real, on_fake = discriminator_loss(config, discriminator, real, fake, labels)
    p_real, p_fake = (discriminator(x)[0].sigmoid() for x in (real, fake))
    entropy = -sum(
        (label * p.log() + (1 - label) * (1 - p).log()).mean()
        for label, p in zip(labels, (p_real, p_fake), strict=True)
    )
    seen = real.clone().requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(seen)[0].sum(), seen)
    torch.testing.assert_close(loss, entropy + 4.0 / 2 * (slope**2).sum() / 4)
    torch.testing.assert_close(on_real, p_real.mean())
    torch.testing.assert_close(on_fake, p_fake.mean())


@pytest.mark.parametrize(
    ("fields", "alone"),
    [({"spectral_norm": True}, True), ({}, False), ({"spectral_norm": True, "minibatch_sd": True}, False)],
)
def test_r1_is_each_window_s_own_where_the_discriminator_sees_it_alone(fields: dict[str, Any], alone: bool) -> None:
    real = _real(n=4).requires_grad_()
    verdict, _ = _pair(TINY.with_values(fields)).modules["discriminator"](real)
    (slope,) = torch.autograd.grad(verdict[0], real)
    assert slope[0].any()
    assert slope[1:].any() != alone


def test_each_term_of_feature_matching_has_its_own_weight() -> None:
    real, fake = _real(n=4), _real(n=9)[4:]

    def loss(**fields: Any) -> torch.Tensor:
        config = TINY.with_values(fields)
        return generator_loss(config, _pair(config).modules["discriminator"], real, fake)

    none = loss(feature_matching=False)
    torch.testing.assert_close(loss(match_inputs=0.0, match_features=0.0), none)
    inputs = ((real.mean(0) - fake.mean(0)) ** 2).sum()
    torch.testing.assert_close(loss(match_inputs=3.0, match_features=0.0) - none, 3 * inputs)
    discriminator = _pair(TINY).modules["discriminator"]
    first = [F.prelu(discriminator.convs[0](x), discriminator.between.slopes[0].weight).mean(0) for x in (real, fake)]
    features = ((first[0] - first[1]) ** 2).sum()
    torch.testing.assert_close(loss(match_inputs=0.0, match_features=70.0) - none, 70 * features)
    verdict = discriminator(fake)[0].sigmoid()
    torch.testing.assert_close(none, -verdict.log().mean())


@pytest.mark.parametrize("term", ["match_inputs", "match_features"])
def test_each_term_of_feature_matching_reaches_the_generator_s_gradient(term: str) -> None:
    config = TINY.with_values({"match_inputs": 0.0, "match_features": 0.0, "label_smoothing": False})
    off, on = (_gradients(config.with_values({term: weight}))["generator"] for weight in (0.0, 1.0))
    assert not any(torch.equal(off[key], on[key]) for key in off if "slopes" in key)


def test_all_that_the_discriminator_sees_has_instance_noise_on_it() -> None:
    config, seen = PLAIN.with_values({"instance_noise": 0.5}), []
    pair, draws, real = _pair(config), _draws(config), _real()
    pair.modules["discriminator"].register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    with torch.no_grad():
        fake = copy.deepcopy(pair.modules["generator"])(draws.z)
    pair.step(real, draws)
    wanted = [real + draws.instance_noise[0], *[fake + draws.instance_noise[1]] * 2]
    for window, other in zip(seen, wanted, strict=True):
        torch.testing.assert_close(window, other)
    assert draws.instance_noise.std().item() == pytest.approx(0.5, rel=0.02)


def test_ttur_is_the_discriminator_s_rate_over_the_generator_s() -> None:
    for ratio in (1.0, 4.0):
        optimizers = _pair(TINY.with_values({"ttur": ratio})).optimizers
        assert optimizers["generator"].param_groups[0]["lr"] == 3e-3
        assert optimizers["discriminator"].param_groups[0]["lr"] == pytest.approx(3e-3 * ratio)


def test_spectral_norm_holds_the_discriminator_s_weights_at_norm_one() -> None:
    discriminator = _pair(TINY.with_values({"spectral_norm": True})).modules["discriminator"]
    for _ in range(30):
        discriminator(_real())
    for conv in discriminator.convs:
        assert torch.linalg.matrix_norm(conv.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)
    assert not [module for module in discriminator.modules() if isinstance(module, nn.BatchNorm2d)]


def test_the_discriminator_sees_how_much_a_batch_s_windows_differ() -> None:
    config = PLAIN.with_values({"minibatch_sd": True})
    discriminator = _pair(config).modules["discriminator"]
    with torch.no_grad():
        discriminator.weigh_spread.weight.fill_(1e4)
    varied = _real(n=6)
    equal = varied[:1].repeat(6, 1, 1, 1)
    _, first = discriminator(varied)
    torch.testing.assert_close(_spread(first), first.std(dim=0, unbiased=False).mean().reshape(1), rtol=0.1, atol=0)
    assert discriminator(varied)[0].mean() > discriminator(equal)[0].mean() + 1


def test_the_average_of_generators_follows_them_slowly_and_makes_the_windows(store: WindowStore) -> None:
    pair = _pair(PLAIN.with_values({"ema": 0.75}))
    start = [parameter.clone() for parameter in pair.modules["generator"].parameters()]
    pair.step(_real(), _draws(PLAIN))
    for began, now, mean in zip(
        start, pair.modules["generator"].parameters(), pair.modules["average"].parameters(), strict=True
    ):
        torch.testing.assert_close(mean, 0.75 * began + 0.25 * now.detach())
    learner = GanLearner(_run(store, ema=0.75))
    learner.epoch(Epoch(0))
    made = dict(learner.finished().named_parameters())
    for key, parameter in learner.modules["average"].named_parameters():
        assert torch.equal(made[key], parameter)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_both_rates_follow_the_schedule_over_all_epochs(
    store: WindowStore, schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates, step = [], Adversaries.step

    def watched(self: Adversaries, real: torch.Tensor, draws: Draws) -> dict[str, torch.Tensor]:
        rates.append([optimizer.param_groups[0]["lr"] for optimizer in self.optimizers.values()])
        return step(self, real, draws)

    monkeypatch.setattr(Adversaries, "step", watched)
    learner = GanLearner(_run(store, schedule=schedule, epochs=2, max_train=40, ttur=3.0))
    learner.epoch(Epoch(1))
    learner.epoch(Epoch(0))
    # Each epoch has two steps; the rest of eight windows is left out.
    wanted = [warm_cosine(3e-3, number, 4) if schedule == "cosine" else 3e-3 for number in (2, 3, 0, 1)]
    np.testing.assert_allclose(rates, [(rate, 3 * rate) for rate in wanted])


# Draws, checkpoints, divergence.


def test_collapse_is_measured_on_the_same_noise_after_every_epoch(store: WindowStore) -> None:
    learner = GanLearner(_run(store))
    curves = learner.epoch(Epoch(0))
    assert curves.keys() == {
        f"train/{name}" for name in ("d_loss", "g_loss", "d_real", "d_fake", "diversity_ratio", "duplicate_rate")
    }
    assert 0 < curves["train/d_real"] < 1 and 0 < curves["train/d_fake"] < 1
    assert learner._collapse().items() <= curves.items()
    assert len(learner.probes) == 100
    # A generator that has collapsed: whatever the noise, the same window.
    with torch.no_grad():
        learner.modules["generator"].convs[0].weight.zero_()
    collapsed = learner._collapse()
    assert collapsed == {"train/diversity_ratio": 0.0, "train/duplicate_rate": 1.0}


def test_the_collapse_curves_are_the_measures_of_what_is_made(store: WindowStore) -> None:
    learner = GanLearner(_run(store))
    odds = cell_logits(learner.finished(), learner.probes)
    cuts = density_thresholds(odds, [*learner.tracks.cells_on.values()], [0] * 5)
    rolls = (odds > cuts).numpy()
    real = unpack(learner.run.windows.packed(learner.run.windows.validation[:100]))
    curves = learner._collapse()
    assert curves["train/diversity_ratio"] == pytest.approx(diversity_ratio(pairs(rolls), pairs(real)), rel=0.02)
    assert curves["train/duplicate_rate"] == pytest.approx(pairs(rolls).duplicate_rate, abs=0.02)


@pytest.mark.parametrize("norm", ["separate", "reused"])
def test_resuming_with_every_switch_on_equals_going_straight_through(store: WindowStore, norm: str) -> None:
    fields = {name: value for name, (value, _) in SWITCHES.items()} | {"norm": norm, "epochs": 2, "max_train": 32}
    fields |= {"schedule": "cosine", "output": "softmax"}
    straight = MemoryFiles({}, "train")
    GAN().train("train", replace(_run(store, **fields), files=straight))
    files = MemoryFiles({}, "train", checkpoints=1)
    run = replace(_run(store, **fields), files=files)
    with pytest.raises(Interrupted):
        GAN().train("train", run)
    files.checkpoints = None
    GAN().train("train", run)
    assert products(files) == products(straight)
    assert len(products(files)) == 1
    (resumed, _), (wanted, _) = (tensors.from_bytes(of.trial["train", CHECKPOINT]) for of in (files, straight))
    assert resumed.keys() == wanted.keys()
    for key, tensor in wanted.items():
        assert torch.equal(resumed[key], tensor), key


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_training_that_leaves_the_finite_numbers_ends_as_diverged(
    store: WindowStore, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, steps = Adversaries.step, []

    def overflowing(self: Adversaries, real: torch.Tensor, draws: Draws) -> dict[str, torch.Tensor]:
        steps.append(len(real))
        if len(steps) == 6:  # in the second epoch
            with torch.no_grad():
                self.modules[network].convs[0].weight.fill_(math.inf)
        return step(self, real, draws)

    monkeypatch.setattr(Adversaries, "step", overflowing)
    files = MemoryFiles({}, "train")
    with pytest.raises(Diverged, match=r"diverged: train/[dg]_loss is not finite after epoch 2"):
        GAN().train("train", replace(_run(store), files=files))
    assert ("train", gan.WEIGHTS) not in files.trial
    kept = {(point["name"], point["step"]) for point in json.loads(files.read(CURVES))}
    assert {("train/d_loss", 1), ("train/g_loss", 1), ("train/diversity_ratio", 1)} <= kept
    assert ("train/g_loss", 2) not in kept


def test_thresholds_that_are_no_numbers_are_never_kept(store: WindowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "musiclab.systems.gan.system.cell_logits",
        lambda generator, z_NL: torch.full((len(z_NL), 5, 32, 128), math.nan),
    )
    files = MemoryFiles({}, "train")
    with pytest.raises(Diverged, match="the log-odds of generated windows are not finite"):
        GAN().train("train", replace(_run(store, epochs=1), files=files))
    assert {name for _, name in files.trial} == {CHECKPOINT, CURVES}


def test_a_rest_of_a_few_windows_is_left_out_unless_it_is_all_there_is(
    store: WindowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, step = [], Adversaries.step
    monkeypatch.setattr(Adversaries, "step", lambda self, real, of: seen.append(len(real)) or step(self, real, of))
    GanLearner(_run(store, max_train=40, batch=16)).epoch(Epoch(0))
    GanLearner(_run(store, max_train=10, batch=16)).epoch(Epoch(0))
    assert seen == [16, 16, 10]


# What is generated.


def test_windows_do_not_hang_on_those_made_beside_them(store: WindowStore, trained: MemoryFiles) -> None:
    few, many = _generate(store, trained, starts=2), _generate(store, trained, starts=4, variations=2)
    np.testing.assert_array_equal(few.reshape(-1, 5, 32, 128), many.reshape(-1, 5, 32, 128)[: 2 * 2])


@pytest.mark.parametrize("peaks", [0, 2, -1])
def test_windows_are_as_dense_as_training_windows(store: WindowStore, trained: MemoryFiles, peaks: int) -> None:
    learner = GanLearner(_run(store))
    train = unpack(learner.run.windows.packed(learner.run.windows.train))
    shares = learner.tracks.cells_on
    assert shares == pytest.approx(dict(zip(TRACKS, train.mean(axis=(0, 2, 3)), strict=True)))
    made = _generate(store, trained, starts=12, continuation=8, peaks=peaks)
    for track in range(4):
        assert made[:, :, track].mean() == pytest.approx(train[:, track].mean(), rel=0.25)
    assert not made[:, :, STRINGS].any()


def test_the_absolute_threshold_is_on_the_probability(store: WindowStore, trained: MemoryFiles) -> None:
    learner = GanLearner(_run(store))
    learner.restore(trained.product("train").read(CHECKPOINT))
    with torch.no_grad():
        probabilities = learner.finished()(learner.probes)[:, :STRINGS]
    some, most = np.quantile(probabilities.numpy(), [0.3, 0.9]).tolist()
    shares = []
    for threshold in (0.0, some, most, 1.0):
        fields = {"threshold_rule": "absolute", "threshold": threshold, "starts": 12, "continuation": 8}
        shares.append(_generate(store, trained, **fields)[:, :, :STRINGS].mean())
    assert shares == [1.0, pytest.approx(0.7, abs=0.1), pytest.approx(0.1, abs=0.05), 0.0]


def test_generated_windows_start_as_dense_as_each_track_or_at_even_odds(store: WindowStore) -> None:
    for start in ("data", "even"):
        learner = GanLearner(_run(store, output_start=start))
        with torch.no_grad():
            shares = learner.modules["generator"](learner.probes).mean(dim=(0, 2, 3)).tolist()
        for share, wanted in list(zip(shares, learner.tracks.cells_on.values(), strict=True))[:STRINGS]:
            assert share == pytest.approx(wanted if start == "data" else 0.5, rel=0.2)


def test_with_a_softmax_tracks_of_one_note_at_a_time_have_one_pitch_or_a_rest() -> None:
    generators = {
        output: Generator(TINY.with_values({"output": output}), STATISTICS) for output in ("sigmoid", "softmax")
    }
    generators["softmax"].load_state_dict(generators["sigmoid"].state_dict())
    z_NL = torch.randn(3, 8)
    with torch.no_grad():
        windows, logits = generators["softmax"](z_NL), generators["softmax"].logits(z_NL)
        torch.testing.assert_close(windows[:, :3], generators["sigmoid"](z_NL)[:, :3], rtol=0, atol=0)
    weights = logits[:, 3:].exp()
    torch.testing.assert_close(windows[:, 3:], weights / (1 + weights.sum(dim=-1, keepdim=True)))
    assert not Generator(TINY.with_values({"output": "softmax"}), replace(STATISTICS, radii=[0, 3, 2, 1, 1])).softmax


def test_windows_of_a_softmax_start_as_dense_as_each_track() -> None:
    config = TINY.with_values({"output": "softmax"})
    for shares in ([0.005] * 5, [0.02, 0.01, 0.0, 0.0001, 0.0077]):
        window = Generator(config, replace(STATISTICS, cells_on=dict(zip(TRACKS, shares, strict=True))))(
            torch.randn(20, 8)
        )
        assert window.mean(dim=(0, 2, 3)).tolist() == pytest.approx(shares, rel=0.2)


def test_a_silent_track_of_a_softmax_is_silent_and_has_finite_gradients() -> None:
    cells_on = STATISTICS.cells_on | {"Strings": 0.0}
    generator = Generator(TINY.with_values({"output": "softmax"}), replace(STATISTICS, cells_on=cells_on))
    window = generator(torch.randn(3, 8))
    assert (window[:, STRINGS] == 0).all() and (window[:, :STRINGS] > 0).all()
    window.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in generator.parameters())


@pytest.mark.parametrize("rule", ["density", "absolute"])
@pytest.mark.parametrize("pitches", [72, 128])
def test_with_peaks_no_two_notes_are_as_close_as_that(store: WindowStore, rule: str, pitches: int) -> None:
    fields = {"threshold_rule": rule, "threshold": 0.001, "pitches": pitches, "epochs": 1}
    trained = run_stages(GAN(), stage_run(store, BLOCK, TINY.with_values(fields), MemoryFiles()), ("train",))
    own = tensors.from_bytes(trained.product("train").read(gan.WEIGHTS))[1]["radii"]
    assert own == own_radii(stage_run(store, BLOCK, TINY, MemoryFiles()).data)
    for peaks, radii in ((0, [0] * 5), (4, [0, 4, 4, 4, 4]), (-1, own)):
        made = _generate(store, trained, **fields, peaks=peaks)
        for track, radius in enumerate(radii[:STRINGS]):
            step, pitch = np.nonzero(made[:, :, track].reshape(-1, 128))
            nearest = np.diff(pitch)[np.diff(step) == 0].min(initial=128)
            assert nearest > radius, track
            assert peaks or nearest == 1


def test_a_track_that_never_plays_is_silent_for_the_discriminator_too(store: WindowStore, trained: MemoryFiles) -> None:
    generator = GanLearner(_run(store)).modules["generator"]
    window = generator(torch.randn(3, 8))
    assert (window[:, STRINGS] == 0).all()
    assert (window[:, :STRINGS] > 0).all()
    window.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in generator.parameters())


def test_as_coded_no_pitch_outside_24_to_95_sounds(store: WindowStore) -> None:
    run = stage_run(store, BLOCK, TINY.with_values({"pitches": 72, "epochs": 1}), MemoryFiles())
    made = unpack(read_generated(run_stages(GAN(), run).product("generate")))
    assert not made[..., :24].any() and not made[..., 96:].any()
    train = unpack(run.windows.packed(run.windows.train))[..., 24:96]
    assert list(GanLearner(run).tracks.cells_on.values()) == pytest.approx(train.mean(axis=(0, 2, 3)))
    # Nothing is moved: pitch 24 of the window is the networks' first.
    window = torch.zeros(1, 5, 32, 128)
    window[..., 60] = 1
    kept = window[..., _known(run.config)]
    assert kept.shape[-1] == 72
    rules = NoteRules(torch.zeros(5, 1, 1), (0,) * 5)
    np.testing.assert_array_equal(sounding(kept - 0.5, rules, run.config), window.bool().numpy())


def test_all_tracks_silent_is_no_crash(store: WindowStore) -> None:
    silent = made_store(np.zeros_like(store.windows), [song.count for song in store.songs])
    run = stage_run(silent, BLOCK, TINY.with_values({"epochs": 1}), MemoryFiles())
    assert not read_generated(run_stages(GAN(), run).product("generate")).any()
