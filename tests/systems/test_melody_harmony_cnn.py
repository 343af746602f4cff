"""melody_harmony_cnn against the article: layers, who hears which piano, the threshold, and who stays silent."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from musiclab.data.songs import TRACKS
from musiclab.data.store import WindowStore
from musiclab.data.windows import unpack
from musiclab.errors import UserError
from musiclab.measures.reconstruction import frame_scores
from musiclab.measures.suite import cut_at_best
from musiclab.systems.base import StageRun, read_generated
from musiclab.systems.melody_harmony_cnn import next_window
from musiclab.systems.melody_harmony_cnn.config import HARMONY, MELODY, MelodyHarmonyCNNConfig
from musiclab.systems.melody_harmony_cnn.networks import PLACES, NextWindowCNN, NextWindowStack
from musiclab.systems.melody_harmony_cnn.next_window import Networks, NextWindowLearner, configured_threshold
from musiclab.systems.melody_harmony_cnn.system import MelodyHarmonyCNN
from musiclab.training import tensors
from musiclab.training.adam import Adam
from musiclab.training.epoch import Epoch
from musiclab.training.patch_order import from_patches, to_patches
from musiclab.training.patches import squared_distance
from musiclab.training.runtime import Runtime
from musiclab.training.schedule import warm_cosine
from musiclab.training.streams import Block
from tests.support.made_trials import MemoryFiles, made_store, products, run_stages, stage_run

PIANO, BASS, STRINGS = (TRACKS.index(name) for name in ("Piano", "Bass", "Strings"))
BLOCK = Block(0, 0)
SYSTEM = MelodyHarmonyCNN()
TINY = MelodyHarmonyCNNConfig(
    width=4, hidden=32, epochs=4, batch=8, lr=1e-2, max_train=48, max_eval=16, starts=4, continuation=2
)


def _layers(module: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [layer for layer in module.modules() if isinstance(layer, kind)]


def _x(seed: int, n: int = 3, steps: int = 32) -> torch.Tensor:
    return (torch.rand(n, 1, steps, 128, generator=torch.Generator().manual_seed(seed)) < 0.1).float()


@pytest.fixture(scope="module")
def trained(store: WindowStore) -> MemoryFiles:
    return run_stages(SYSTEM, stage_run(store, BLOCK, TINY, MemoryFiles()), (MELODY, HARMONY))


def _run(store: WindowStore, files: MemoryFiles | None = None, **fields: Any) -> StageRun:
    return stage_run(store, BLOCK, TINY.with_values(fields), MemoryFiles(dict(files.trial) if files else {}, "x"))


def _without(store: WindowStore, track: int) -> WindowStore:
    """The same songs with one track silent."""
    windows = np.array(store.windows)
    windows[:, track] = 0
    made = made_store(windows, [song.count for song in store.songs])
    made.songs, made._rows = store.songs, store._rows
    return made


def test_the_article_preset_is_as_written() -> None:
    article = MelodyHarmonyCNNConfig().with_values(SYSTEM.scales["article"] | SYSTEM.forms["written"])
    assert (article.dense_layers, article.encoder) == (3, "separate")
    assert (article.dropout, article.lr, article.lr_decay, article.epochs, article.batch) == (0.4, 5e-4, 0.98, 50, 32)
    assert (article.threshold_rule, article.threshold) == ("relative", 0.4)


@pytest.mark.parametrize("dense_layers", [2, 3])
@pytest.mark.parametrize("with_piano", [False, True])
def test_three_convolutions_two_or_three_dense_layers_three_transposed_convolutions(
    dense_layers: int, with_piano: bool
) -> None:
    network = NextWindowCNN(TINY.with_values({"dense_layers": dense_layers, "dropout": 0.3}), with_piano)
    assert len(_layers(network.own, nn.Conv2d)) == len(_layers(network.own, nn.BatchNorm2d)) == 3
    assert len(_layers(network, nn.Linear)) == dense_layers
    assert [layer.p for layer in _layers(network, nn.Dropout)] == [0.3] * (dense_layers - 1)
    assert len(_layers(network, nn.ConvTranspose2d)) == 3
    assert len(_layers(network, nn.Conv2d)) == (6 if with_piano else 3)


def test_a_shared_encoder_has_one_set_of_convolutions_for_both_inputs() -> None:
    shared, separate = (
        NextWindowCNN(TINY.with_values({"encoder": encoder}), True).eval() for encoder in ("shared", "separate")
    )
    assert len(_layers(shared, nn.Conv2d)) == 3
    for network, equal in ((shared, True), (separate, False)):
        codes: list[torch.Tensor] = []
        network.dense.register_forward_pre_hook(lambda _, code, codes=codes: codes.append(code[0]))
        for last, piano in ((_x(0), _x(1)), (_x(1), _x(0))):
            network(last, piano)
        one, swapped = codes[0], torch.cat(codes[1].chunk(2, dim=1)[::-1], dim=1)
        assert torch.allclose(one, swapped, atol=1e-6) == equal


@pytest.mark.parametrize("steps", [16, 32, 64])
def test_windows_of_other_lengths_even_one_alone(steps: int) -> None:
    network = NextWindowCNN(TINY.with_values({"steps": steps, "hop": steps}), True).train()
    out = network(_x(0, 1, steps), _x(1, 1, steps))
    assert out.shape == (1, 1, steps, 128)


def test_steps_that_the_convolutions_cannot_divide_are_refused() -> None:
    with pytest.raises(
        UserError, match="steps must be a multiple of 16, because the convolutions divide by it; got 24"
    ):
        MelodyHarmonyCNNConfig(steps=24)


def test_a_network_starts_near_silence_as_its_targets_are() -> None:
    torch.manual_seed(0)
    out = NextWindowCNN(MelodyHarmonyCNNConfig(width=16), False).train()(_x(0, 32))
    assert 0 < out.square().mean() < 0.01  # the mean square of rolls in which one cell of a hundred sounds


# The threshold.


def sounding(activations: torch.Tensor, rule: str, threshold: float) -> torch.Tensor:
    return activations > configured_threshold(activations, rule, threshold)


def test_the_relative_threshold_is_a_share_of_each_window_s_own_maximum() -> None:
    out = torch.zeros(2, 1, 16, 128)
    out[0, 0, 0, :3] = torch.tensor([10.0, 4.1, 3.9])
    out[1, 0, 0, :3] = torch.tensor([0.1, 0.041, 0.039])
    assert sounding(out, "relative", 0.4)[:, 0, 0, :3].tolist() == [[True, True, False]] * 2
    assert sounding(out, "relative", 0.4).sum() == 4
    assert sounding(out, "absolute", 0.4)[:, 0, 0, :3].tolist() == [[True] * 3, [False] * 3]
    assert sounding(out, "absolute", 4.0).sum() == 2


@pytest.mark.parametrize("highest", [0.0, -0.1])
def test_a_window_whose_maximum_is_not_above_zero_is_silent(highest: float) -> None:
    out = torch.full((2, 1, 16, 128), highest - 1)
    out[:, 0, 3, 60] = highest
    out[1, 0, 3, 61] = 0.5
    # Divided by its maximum, all the first window but its maximum would be above the threshold, or not a number.
    assert sounding(out, "relative", 0.4).sum(dim=(1, 2, 3)).tolist() == [0, 1]


@pytest.mark.parametrize("peaks", [0, -1])
def test_by_density_each_track_plays_as_many_cells_as_in_validation_songs(
    store: WindowStore, trained: MemoryFiles, peaks: int
) -> None:
    """On the windows that thresholds are found on, by someone who has no data."""
    run = _run(store, trained, threshold_rule="density", peaks=peaks)
    validation = unpack(run.windows.packed(run.windows.validation))
    last = torch.from_numpy(validation).float()
    made = Networks(dataclasses.replace(run, windows=None)).following(last)[0].numpy()
    wanted, played = (rolls.sum(axis=(0, 2, 3)) for rolls in (validation, made))
    # The windows of the bass are of two kinds only, so its activations are too, and equal ones sound together.
    assert 0 < played[BASS] <= wanted[BASS]
    np.testing.assert_allclose(np.delete(played, BASS), np.delete(wanted, BASS), rtol=0.01)


def test_with_peaks_no_two_notes_of_a_step_are_close_except_for_drums(store: WindowStore, trained: MemoryFiles) -> None:
    run = _run(store, trained, threshold_rule="absolute", threshold=0.02, peaks=3)
    made = _continued(run, run.windows.packed(run.windows.starts[:, 0]))
    for track, close in ((PIANO, False), (TRACKS.index("Drums"), True)):
        step, pitch = np.nonzero(made[:, :, track].reshape(-1, 128))
        distances = np.diff(pitch)[np.diff(step) == 0]
        assert len(distances)
        assert (distances <= 3).any() == close


def test_the_others_thresholds_are_found_with_the_piano_that_will_be_heard(
    store: WindowStore, trained: MemoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _run(store, trained, threshold_rule="density")
    calls = _heard(monkeypatch)
    networks = Networks(run)
    found, calls[:] = list(calls), []
    networks.following(torch.from_numpy(unpack(run.windows.packed(run.windows.validation))).float())
    for one, other in zip(found, calls, strict=True):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1]) and torch.equal(one[2], other[2])


def test_contrast_is_taken_off_before_the_threshold(store: WindowStore, trained: MemoryFiles) -> None:
    run = _run(store, trained, threshold_rule="absolute", threshold=0.0, contrast=1.0)
    made = _continued(run, run.windows.packed(run.windows.starts[:, 0]))
    # What is left of a pitch has the mean 0 over a window, so it sounds in some steps and not in others.
    assert made[:, :, BASS].any()
    assert not made.all(axis=3).any()


# Training.


def _heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, torch.Tensor, torch.Tensor]]:
    """What every network is called with from here on: whether it has a piano, its last window, the piano."""
    calls, forward = [], NextWindowCNN.forward

    def recorded(self: NextWindowCNN, last: torch.Tensor, piano: torch.Tensor) -> torch.Tensor:
        calls.append((self.with_piano, last.clone(), piano.clone()))
        return forward(self, last, piano)

    monkeypatch.setattr(NextWindowCNN, "forward", recorded)
    return calls


def test_harmony_learns_from_its_last_window_and_the_real_current_piano(
    store: WindowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, targets = _trained_on(monkeypatch)
    run = _run(store, batch=48)
    NextWindowLearner(run, [PIANO, BASS]).epoch(Epoch(0))
    order = torch.randperm(len(run.windows.pairs), generator=BLOCK.torch("data", "next", 0)).numpy()
    last, current = unpack(run.windows.packed(run.windows.pairs[order].T))
    for (with_piano, heard, piano), target, track in zip(calls, targets, (PIANO, BASS), strict=True):
        assert with_piano == (track == BASS)
        np.testing.assert_array_equal(_rolls(heard)[:, 0], last[:, track])
        np.testing.assert_array_equal(_rolls(piano[None])[:, 0], current[:, PIANO])
        np.testing.assert_array_equal(_rolls(target)[:, 0], current[:, track])


def _rolls(patches: torch.Tensor) -> np.ndarray:
    return from_patches(patches, 32, PLACES).bool().numpy()


def _trained_on(
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[list[tuple[bool, torch.Tensor, torch.Tensor]], list[torch.Tensor]]:
    """What stacks are called with from here on (whether with a piano, last windows, the piano), and their targets."""
    calls, targets, forward = [], [], NextWindowStack.forward

    def recorded(self: NextWindowStack, last: torch.Tensor, piano: torch.Tensor, dropped: Any) -> torch.Tensor:
        calls.append((self.with_piano, last.clone(), piano.clone()))
        return forward(self, last, piano, dropped)

    def distance(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        targets.append(target.clone())
        return squared_distance(predicted, target)

    monkeypatch.setattr(NextWindowStack, "forward", recorded)
    monkeypatch.setattr(next_window, "squared_distance", distance)
    return calls, targets


@pytest.mark.parametrize("fields", [{}, {"encoder": "shared", "width": 16}, {"dense_layers": 2, "width": 16}])
@pytest.mark.parametrize("with_piano", [False, True])
def test_a_step_of_the_stack_is_a_step_of_each_network(with_piano: bool, fields: dict[str, Any]) -> None:
    """In float64, with the dropout that the networks draw: losses, and all that the step changes."""
    config = TINY.with_values({"dropout": 0.5, **fields})  # whose factor of 2 is exact
    networks, copies = ([NextWindowCNN(config, with_piano).double() for _ in range(3)] for _ in range(2))
    for network, copy in zip(networks, copies, strict=True):
        copy.load_state_dict(network.state_dict())
    stack = NextWindowStack(copies)
    x, y = (torch.cat([_x(seed, 6) for seed in seeds], dim=1).double() for seeds in ((0, 1, 2), (3, 4, 5)))
    piano = _x(6, 6).double()
    streams = [torch.Generator().manual_seed(member) for member in range(3)]
    dropped = [factors.double() for factors in next_window._dropped(config, 6, streams, torch.device("cpu"))]
    predicted = stack(to_patches(x, PLACES), to_patches(piano, PLACES)[0], dropped)
    losses = squared_distance(predicted, to_patches(y, PLACES)) / y[:, 0].numel()
    losses.sum().backward()
    torch.optim.SGD(stack.parameters(), lr=0.1).step()
    for member, (network, copy) in enumerate(zip(networks, copies, strict=True)):
        torch.manual_seed(member)
        loss = torch.nn.functional.mse_loss(network(x[:, [member]], piano), y[:, [member]])
        torch.testing.assert_close(losses[member], loss, rtol=1e-10, atol=0)
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        loss.backward()
        torch.optim.SGD(network.parameters(), lr=0.1).step()
        for name, tensor in network.state_dict().items():
            torch.testing.assert_close(copy.state_dict()[name], tensor, rtol=1e-10, atol=1e-12, msg=name)
        assert not torch.equal(before["own.0.weight"], network.own[0].weight)


def test_the_learning_rate_decays_with_the_epoch_and_the_loss_falls(store: WindowStore) -> None:
    learner = NextWindowLearner(_run(store, lr=5e-3, lr_decay=0.9), [PIANO, BASS])
    rates, losses = [], []
    for number in (0, 1, 5):
        losses.append(learner.epoch(Epoch(number)))
        rates.append({optimizer.param_groups[0]["lr"] for optimizer in learner.optimizers.values()})
    assert rates == [{5e-3 * 0.9**number} for number in (0, 1, 5)]
    assert losses[0].keys() == {"train/next_mse.Piano", "train/next_mse.Bass"}
    assert all(losses[-1][name] < losses[0][name] for name in losses[0])


def test_the_rate_may_rise_and_fall_step_by_step(store: WindowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = Adam.step

    def recorded(self: Adam, *given: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *given)

    monkeypatch.setattr(Adam, "step", recorded)
    learner = NextWindowLearner(_run(store, schedule="cosine", batch=10), [PIANO])
    for number in range(TINY.epochs):
        learner.epoch(Epoch(number))
    assert len(rates) == 5 * TINY.epochs  # 48 pairs
    assert rates == [warm_cosine(TINY.lr, number, len(rates)) for number in range(len(rates))]


def test_one_instrument_shifts_no_other_s_training(store: WindowStore, trained: MemoryFiles) -> None:
    other = run_stages(SYSTEM, _run(_without(store, TRACKS.index("Drums"))), (MELODY, HARMONY))
    one, without = (
        tensors.from_bytes(files.product(HARMONY).read("weights.safetensors")) for files in (trained, other)
    )
    assert set(one[1]["tracks"]) - set(without[1]["tracks"]) == {0}
    assert len(without[0]) > 0
    for name, tensor in without[0].items():
        assert torch.equal(one[0][name], tensor), name


def test_variants_of_the_encoder_share_the_melody_s_training(store: WindowStore, trained: MemoryFiles) -> None:
    keys, others = (
        SYSTEM.stage_keys(TINY.with_values({"encoder": e}), BLOCK, "d", Runtime.here()) for e in ("separate", "shared")
    )
    assert [keys[stage] == others[stage] for stage in SYSTEM.stages] == [True, False, False, False]
    shared = products(run_stages(SYSTEM, _run(store, encoder="shared"), (MELODY, HARMONY)))
    for (stage, name), data in products(trained).items():
        assert (shared[stage, name] == data) == (stage == MELODY), (stage, name)


def test_a_last_batch_of_one_pair_can_be_learned_from(store: WindowStore) -> None:
    run = _run(store, max_train=9, batch=8)
    assert len(run.windows.pairs) == 9
    assert math.isfinite(NextWindowLearner(run, [PIANO]).epoch(Epoch(0))["train/next_mse.Piano"])


def test_the_mean_window_is_that_of_the_training_windows(store: WindowStore, trained: MemoryFiles) -> None:
    state, _ = tensors.from_bytes(trained.product(MELODY).read("mean_window.safetensors"))
    windows = _run(store).windows
    np.testing.assert_allclose(state["mean"], unpack(windows.packed(windows.train)).mean(axis=0), atol=1e-6)


# Playing.


def _continued(run: StageRun, starts: np.ndarray) -> np.ndarray:
    """Continuations `(n, continuation, track, steps, 128)` bool by someone who has no data."""
    return unpack(SYSTEM.continuations(dataclasses.replace(run, windows=None), starts))


def test_harmony_plays_with_the_piano_that_was_generated(
    store: WindowStore, trained: MemoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _run(store, trained)
    starts = np.unique(run.windows.packed(run.windows.starts[:, 0]), axis=0)
    calls = _heard(monkeypatch)
    made = _continued(run, starts)
    real = unpack(starts)
    assert made[:, :, PIANO].any()
    assert not (made[:, 0, PIANO] == real[:, PIANO]).all()
    sounding_tracks = [track for track in range(len(TRACKS)) if track != STRINGS]
    expected = [(number, track) for number in (0, 1) for track in sorted(sounding_tracks, key=lambda t: t != PIANO)]
    for (number, track), (with_piano, last, piano) in zip(expected, calls, strict=True):
        assert with_piano == (track != PIANO)
        np.testing.assert_array_equal(last[:, 0].bool(), (real if number == 0 else made[:, 0])[:, track])
        if with_piano:
            np.testing.assert_array_equal(piano[:, 0].bool(), made[:, number, PIANO])


def test_a_start_is_continued_alike_alone_and_among_others_and_variations_are_equal(
    store: WindowStore, trained: MemoryFiles
) -> None:
    run = _run(store, trained, variations=2)
    starts = run.windows.packed(run.windows.starts[:, 0])
    together = _continued(run, starts)
    assert len({made.tobytes() for made in together}) > 1
    for number in range(len(starts)):
        np.testing.assert_array_equal(_continued(run, starts[number : number + 1])[0], together[number])
    generated = unpack(read_generated(run_stages(SYSTEM, run, ("generate",)).product("generate")))
    np.testing.assert_array_equal(generated, np.repeat(together, 2, axis=0))


def test_instruments_silent_in_training_never_sound(store: WindowStore, trained: MemoryFiles) -> None:
    run = _run(store, trained, threshold_rule="absolute", threshold=0.0)
    starts = np.full_like(run.windows.packed(run.windows.starts[:, 0]), 255)
    assert list(Networks(run).modules) == [PIANO, 0, 2, BASS]
    made = _continued(run, starts)
    assert made.any(axis=(0, 1, 3, 4)).tolist() == [True, True, True, True, False]


def test_without_a_piano_the_others_still_play(store: WindowStore) -> None:
    run = _run(_without(store, PIANO))
    files = run_stages(SYSTEM, run, (MELODY, HARMONY))
    made = _continued(dataclasses.replace(run, files=files), run.windows.packed(run.windows.starts[:, 0]))
    assert made.any(axis=(0, 1, 3, 4)).tolist() == [True, False, True, True, False]


def test_all_tracks_silent_is_no_crash(store: WindowStore) -> None:
    silent = made_store(np.zeros_like(store.windows), [song.count for song in store.songs])
    run = _run(silent)
    files = run_stages(SYSTEM, run)
    assert not read_generated(files.product("generate")).any()
    measures = SYSTEM.own_measures(dataclasses.replace(run, files=files.product("measure")))
    assert all(math.isnan(value) for value in measures.values())


# Its own measures.


def test_the_next_window_of_test_songs_is_predicted_and_cut_where_validation_pairs_are_best(
    store: WindowStore, trained: MemoryFiles
) -> None:
    run = _run(store, trained)
    measures = SYSTEM.own_measures(run)
    (last, actual), (start, following) = (
        unpack(run.windows.packed(pairs.T)) for pairs in (run.windows.reference_pairs, run.windows.starts)
    )
    networks = Networks(run)
    activations, tuning = (networks.following(torch.from_numpy(rolls).float())[1].numpy() for rolls in (last, start))
    predicted = cut_at_best(activations, tuning, following)
    scores, repeats = frame_scores(predicted, actual).f1, frame_scores(last, actual).f1
    for track, name in enumerate(TRACKS):
        if track != STRINGS:
            assert measures[f"next/next_f1.{name}"] == pytest.approx(scores[track])
            assert measures[f"next/gain_over_repeat.{name}"] == pytest.approx(scores[track] - repeats[track])
            assert math.isfinite(measures[f"next/gain_over_average.{name}"])
    assert measures["next/next_f1"] == pytest.approx(np.nanmean(scores))
    assert math.isnan(measures["next/next_f1.Strings"])
