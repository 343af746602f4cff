"""multitrack_rnn against the article's facts: how many notes, drawn from which outputs, learnt from which step."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from musiclab.data.songs import TRACKS
from musiclab.data.store import WindowStore
from musiclab.data.windows import pack, unpack
from musiclab.errors import UserError
from musiclab.systems import multitrack_rnn
from musiclab.systems.base import StageRun, read_generated
from musiclab.systems.multitrack_rnn import (
    MOST_DRAWN,
    MultitrackRNN,
    MultitrackRNNConfig,
    NextStep,
    StepLearner,
    drawn,
    masked_loss,
    nats,
    vectors,
)
from musiclab.training.epoch import Epoch
from musiclab.training.schedule import warm_cosine
from musiclab.training.streams import Block
from tests.support.made_trials import Interrupted, MemoryFiles, made_store, run_stages, stage_run

STRINGS = TRACKS.index("Strings")
BLOCK = Block(0, 0)
TINY = MultitrackRNNConfig(
    hidden=16, layers=1, epochs=3, batch=8, lr=1e-2, max_train=48, max_eval=16, starts=4, continuation=2
)


# What the mended form changes, except layers and temperature.
ENTROPY = {"loss": "cross_entropy", "counts": "drawn", "schedule": "cosine", "clip": 1.0}


def _run(store: WindowStore, files: MemoryFiles | None = None, **fields: Any) -> StageRun:
    return stage_run(store, BLOCK, TINY.with_values(fields), MemoryFiles(dict(files.trial) if files else {}, "train"))


def _generate(store: WindowStore, files: MemoryFiles, **fields: Any) -> np.ndarray:
    return unpack(
        read_generated(run_stages(MultitrackRNN(), _run(store, files, **fields), ("generate",)).product("generate"))
    )


@pytest.fixture(scope="module")
def trained(store: WindowStore) -> MemoryFiles:
    return run_stages(MultitrackRNN(), _run(store), ("train",))


@pytest.fixture(scope="module")
def trained_by_entropy(store: WindowStore) -> MemoryFiles:
    return run_stages(MultitrackRNN(), _run(store, **ENTROPY), ("train",))


def _noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


ALL = torch.ones(5, dtype=torch.bool)


@pytest.mark.parametrize(("counts", "size"), [("written", 640), ("three", 640), ("predicted", 645)])
def test_the_network_has_the_article_s_sizes(counts: str, size: int) -> None:
    article = MultitrackRNNConfig().with_values(
        MultitrackRNN.scales["article"] | MultitrackRNN.forms["written"] | {"counts": counts}
    )
    assert (article.hidden, article.layers, article.sequence, article.ahead) == (512, 3, 32, 1)
    network = NextStep(article)
    gru = 3 * (size * 512 + 512 * 512 + 2 * 512) + 2 * 3 * (2 * 512 * 512 + 2 * 512)
    assert sum(p.numel() for p in network.parameters()) == gru + 513 * size
    assert network(torch.zeros(2, 7, size))[0].shape == (2, 7, size)


def test_drawn_counts_have_seven_outputs_an_instrument_and_no_input() -> None:
    network = NextStep(TINY.with_values(ENTROPY))
    assert network(torch.zeros(2, 7, 640))[0].shape == (2, 7, 640 + 5 * 7)


@pytest.mark.parametrize(("counts", "notes"), [("written", [2, 2, 3, 1, 3]), ("three", [3] * 5)])
def test_a_fixed_number_of_notes_sounds_at_every_step(
    store: WindowStore, trained: MemoryFiles, counts: str, notes: list[int]
) -> None:
    generated = _generate(store, trained, counts=counts)
    assert (generated.sum(axis=-1) == np.array([*notes[:STRINGS], 0])[:, None]).all()


@pytest.mark.parametrize("fields", [{}, ENTROPY])
def test_an_instrument_silent_in_training_songs_stays_silent(
    store: WindowStore, trained: MemoryFiles, trained_by_entropy: MemoryFiles, fields: dict[str, Any]
) -> None:
    # Even where others play it: strings are given in the start windows.
    starts = np.array(store.windows[:3])
    starts[:, STRINGS] = starts[:, 1]
    run = dataclasses.replace(_run(store, trained_by_entropy if fields else trained, **fields), windows=None)
    made = MultitrackRNN().continuations(run, starts)
    assert not made[:, :, STRINGS].any()
    assert made[:, :, 1].any()


def test_an_instrument_may_rest_if_counts_are_drawn(
    store: WindowStore, trained: MemoryFiles, trained_by_entropy: MemoryFiles
) -> None:
    fixed, drawn_ones = (
        _generate(store, files, **fields)[:, :, :STRINGS].any(axis=-1)
        for files, fields in ((trained, {}), (trained_by_entropy, ENTROPY))
    )
    assert fixed.all()
    for track in range(STRINGS):
        assert 0 < drawn_ones[:, :, track].mean() < 1


def test_notes_are_drawn_by_the_softmax_of_each_instrument() -> None:
    output = torch.zeros(1, 5, 128)
    output[0, 1, 60], output[0, 3, 40] = math.log(127), math.log(127 * 3)
    output = output.flatten(1).expand(4_000, -1)
    cells = drawn(output, "written", ALL, _noise())
    assert cells[:, 3, 40].float().mean() == pytest.approx(3 / 4, abs=0.03)
    # Two without replacement: the first draw is right half of the time, the second one in 127 of 253 of the others.
    assert cells[:, 1, 60].float().mean() == pytest.approx(1 / 2 + 1 / 2 * 127 / 253, abs=0.03)
    assert cells[:, 2].float().mean(dim=0).max() < 0.05
    assert (cells.sum(dim=-1) == torch.tensor([2, 2, 3, 1, 3])).all()
    assert not torch.equal(cells, drawn(output, "written", ALL, _noise(1)))
    assert torch.equal(cells, drawn(output, "written", ALL, _noise()))


def test_predicted_counts_are_drawn_from_the_likeliest_pitches() -> None:
    output = torch.rand(200, 645, generator=_noise(3)) * 0.1
    output[:, 640:] = torch.tensor([0.4, 2.4, 2.6, -1.0, 70.0])
    cells = drawn(output, "predicted", ALL, _noise())
    assert (cells.sum(dim=-1) == torch.tensor([0, 2, 3, 0, 70])).all()
    for track, count in ((1, 2), (2, 3)):
        likeliest = output[:, track * 128 : (track + 1) * 128].topk(2 * count).indices
        inside = torch.zeros(200, 128, dtype=torch.bool).scatter(1, likeliest, True)
        assert not (cells[:, track] & ~inside).any()
        # All of the 2n come up, not the n likeliest alone.
        assert (cells[:, track].gather(1, likeliest).float().mean(dim=0) > 0.3).all()
    assert not drawn(output, "predicted", ALL & False, _noise()).any()


def test_the_number_of_notes_is_drawn_by_its_own_softmax() -> None:
    odds = torch.randn(5, MOST_DRAWN + 1, generator=_noise(2))
    output = torch.cat([torch.zeros(640), odds.flatten()]).expand(4_000, -1)
    for temperature in (1.0, 0.5):
        cells = drawn(output, "drawn", ALL, _noise(), temperature)
        shares = torch.nn.functional.one_hot(cells.sum(dim=-1), MOST_DRAWN + 1).float().mean(dim=0)
        torch.testing.assert_close(shares, (odds / temperature).softmax(dim=-1), atol=0.03, rtol=0)
    assert not drawn(output, "drawn", ALL & False, _noise()).any()


def test_drawn_notes_come_from_all_pitches() -> None:
    """Two notes at equal odds: no pitch is left out, as it is where counts are predicted."""
    output = torch.zeros(4_000, 675)
    output[:, 640:].unflatten(1, (5, 7))[..., 2] = 100.0
    cells = drawn(output, "drawn", ALL, _noise())
    assert (cells.sum(dim=-1) == 2).all()
    assert (cells.float().mean(dim=0) > 1 / 128).all()


def test_the_cross_entropy_is_the_sum_of_logarithms_of_what_is_there() -> None:
    output = torch.randn(2, 3, 675, generator=_noise(5), dtype=torch.float64)
    cells = torch.zeros(2, 3, 5, 128, dtype=torch.float64)
    cells[0, 0, 1, [60, 64]] = 1
    cells[0, 1, 3, 40] = 1
    cells[1, 2, 4, 30:38] = 1  # eight notes: more than can be drawn
    for outputs in (640, 675):
        expected = np.zeros((2, 3))
        for n, t, track in np.ndindex(2, 3, 5):
            scores = output[n, t, 128 * track : 128 * (track + 1)].numpy()
            sounding = np.flatnonzero(cells[n, t, track].numpy())
            expected[n, t] -= np.log(np.exp(scores[sounding]) / np.exp(scores).sum()).sum()
            if outputs == 675:
                odds = output[n, t, 640 + 7 * track : 640 + 7 * (track + 1)].numpy()
                expected[n, t] -= np.log(np.exp(odds[min(len(sounding), 6)]) / np.exp(odds).sum())
        np.testing.assert_allclose(nats(output[..., :outputs], cells.flatten(-2)).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("loss", "counts", "sentence"),
    [
        ("mse", "drawn", "counts must be written, three or predicted if loss is mse; got drawn."),
        (
            "cross_entropy",
            "predicted",
            "counts must be written, three or drawn if loss is cross_entropy; got predicted.",
        ),
    ],
)
def test_a_loss_that_learns_no_such_counts_is_refused(loss: str, counts: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        TINY.with_values({"loss": loss, "counts": counts})
    assert str(error.value) == sentence


@pytest.mark.parametrize("late", [False, True])
def test_the_target_is_the_next_step_or_one_too_late(late: bool) -> None:
    config = TINY.with_values({"late_target": late})
    length = 3 + config.ahead
    x = torch.rand(2, length, 640, generator=_noise())

    class Known(torch.nn.Module):
        def forward(self, given: torch.Tensor) -> tuple[torch.Tensor, None]:
            assert torch.equal(given, x[:, :3])
            return x[:, 2:5] if late else x[:, 1:4], None

    assert masked_loss(Known(), x, torch.tensor([length, length]), config) == 0


@pytest.mark.parametrize("fields", [{}, ENTROPY])
def test_padded_steps_leave_no_trace(fields: dict[str, Any]) -> None:
    torch.manual_seed(0)
    config = TINY.with_values(fields)
    network, x = NextStep(config), (torch.rand(2, 9, 640, generator=_noise()) < 0.02).float()
    lengths = torch.tensor([9, 4])
    padded = x.clone()
    padded[1, 4:] = 0
    loss = (lambda given, wanted: nats(given, wanted).mean()) if fields else torch.nn.functional.mse_loss
    long, short = (loss(network(part[:, :-1])[0], part[:, 1:]) for part in (x[:1], x[1:, :4]))
    expected = (8 * long + 3 * short) / 11  # 8 and 3 steps have a target
    torch.testing.assert_close(masked_loss(network, padded, lengths, config), expected)


def test_vectors_are_the_cells_of_all_instruments_and_their_counts() -> None:
    roll = torch.zeros(1, 1, 5, 128)
    roll[0, 0, 1, [60, 64]] = 1
    cells = vectors(roll, TINY)
    assert cells.shape == (1, 1, 640)
    assert cells[0, 0].nonzero().flatten().tolist() == [128 + 60, 128 + 64]
    more = vectors(roll, TINY.with_values({"counts": "predicted"}))
    assert more[0, 0, 640:].tolist() == [0, 2, 0, 0, 0]
    assert torch.equal(more[..., :640], cells)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "mse"),
        ({"sequence": 100}, "mse"),
        ({"sequence": 400, "late_target": True}, "mse"),
        ({"counts": "predicted"}, "mse"),
        ({"loss": "cross_entropy"}, "nats_a_step"),
        ({**ENTROPY, "epochs": 4}, "nats_a_step"),
    ],
)
def test_training_lowers_the_loss(store: WindowStore, fields: dict[str, Any], name: str) -> None:
    learner = StepLearner(_run(store, **fields))
    curves = [learner.epoch(Epoch(number)) for number in range(4)]
    assert curves[0].keys() == {f"train/{name}", f"val/{name}"}
    assert curves[-1][f"train/{name}"] < curves[0][f"train/{name}"]
    assert curves[-1][f"val/{name}"] < curves[0][f"val/{name}"]


def test_the_rate_rises_and_falls_once_over_all_epochs(store: WindowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = StepLearner(_run(store, schedule="cosine"))
    adam, rates = learner.optimizers["network"], []
    step = adam.step
    monkeypatch.setattr(adam, "step", lambda: rates.append(adam.param_groups[0]["lr"]) or step())
    epochs = []
    for number in range(TINY.epochs):
        learner.epoch(Epoch(number))
        epochs.append(len(rates) - sum(epochs))
    expected = [
        warm_cosine(TINY.lr, number * steps + place, TINY.epochs * steps)
        for number, steps in enumerate(epochs)
        for place in range(steps)
    ]
    assert rates == expected
    assert max(rates) == TINY.lr and rates[-1] < 0.02 * TINY.lr


def test_a_long_gradient_is_cut(store: WindowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def norms(clip: float) -> list[float]:
        learner = StepLearner(_run(store, clip=clip))
        adam, found = learner.optimizers["network"], []
        monkeypatch.setattr(
            adam,
            "step",
            lambda: found.append(torch.cat([p.grad.flatten() for p in learner.network.parameters()]).norm()),
        )
        learner.epoch(Epoch(0))
        return [norm.item() for norm in found]

    free, cut = norms(0.0), norms(1e-3)
    assert min(free) > 1e-3
    assert cut == pytest.approx([1e-3] * len(free), rel=1e-2)


def test_a_resume_with_a_schedule_equals_going_straight_through(
    store: WindowStore, trained_by_entropy: MemoryFiles
) -> None:
    files = MemoryFiles({}, "train", checkpoints=1)
    with pytest.raises(Interrupted):
        MultitrackRNN().run_stage("train", stage_run(store, BLOCK, TINY.with_values(ENTROPY), files))
    resumed = run_stages(MultitrackRNN(), _run(store, files, **ENTROPY), ("train",))
    assert resumed.product("train").read(multitrack_rnn.WEIGHTS) == trained_by_entropy.product("train").read(
        multitrack_rnn.WEIGHTS
    )


def test_sequences_are_cut_from_whole_songs(store: WindowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        multitrack_rnn, "masked_loss", lambda network, x, lengths, config: seen.append((x, lengths)) or x.mean()
    )
    StepLearner(_run(store, sequence=100, batch=3))._validation()
    run = _run(store)
    rows = [x[:length] for batch, lengths in seen for x, length in zip(batch, lengths.tolist(), strict=True)]
    # Songs here are 192 steps: 100 inputs with their targets, then 91 more.
    assert [len(row) for row in rows] == [101, 92] * len(run.windows.songs["validation"])
    song = unpack(run.windows.song(run.windows.songs["validation"][0])).swapaxes(0, 1).reshape(192, 640)
    np.testing.assert_array_equal(rows[0].numpy(), song[:101])
    np.testing.assert_array_equal(rows[1].numpy(), song[100:])


def test_it_goes_on_from_the_start_window_step_by_step(
    store: WindowStore, trained: MemoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed, forward = [], NextStep.forward
    monkeypatch.setattr(
        NextStep, "forward", lambda self, x, before=None: fed.append((x, before)) or forward(self, x, before)
    )
    given = []
    monkeypatch.setattr(multitrack_rnn, "drawn", lambda output, *rest: given.append(output) or drawn(output, *rest))
    run = _run(store, trained)
    generated = _generate(store, trained)
    (start, none), *later = fed
    assert none is None
    real = unpack(run.windows.packed(run.windows.starts[:, 0])).swapaxes(1, 2).reshape(4, 32, 640)
    np.testing.assert_array_equal(start.numpy(), real)
    # What is drawn from first is the prediction after the last step of the start window.
    network = NextStep(TINY)
    weights, _ = multitrack_rnn.tensors.from_bytes(trained.product("train").read(multitrack_rnn.WEIGHTS))
    network.load_state_dict(multitrack_rnn.tensors.under("network", weights))
    torch.testing.assert_close(given[0], forward(network, start)[0][:, -1])
    made = np.concatenate(list(generated.transpose(1, 3, 0, 2, 4)))  # (time, n, track, pitch)
    assert len(later) == len(made) == 64
    for (x, state), cells in zip(later, made, strict=True):
        assert state is not None
        np.testing.assert_array_equal(x[:, 0].numpy(), cells.reshape(4, 640))


def test_the_network_learns_even_if_what_is_sampled_is_next_to_random() -> None:
    """A song of one note a track, always: the output is sure of it, and sampling finds it once in 48 draws."""
    windows = np.zeros((60, 5, 32, 128), bool)
    windows[:, 3, :, 40] = True
    store = made_store(pack(windows), [3] * 20)
    files = run_stages(MultitrackRNN(), _run(store, epochs=25), ("train",))
    state, meta = multitrack_rnn.tensors.from_bytes(files.product("train").read(multitrack_rnn.WEIGHTS))
    assert meta["sounding"] == ["Bass"]
    network = NextStep(TINY)
    network.load_state_dict(multitrack_rnn.tensors.under("network", state))
    output = network(torch.from_numpy(windows[:1].transpose(0, 2, 1, 3).reshape(1, 32, 640)).float())[0][0, -1]
    assert output[3 * 128 + 40] > 0.9
    assert output.abs().sum() - output[3 * 128 + 40] < 10
    generated = _generate(store, files, variations=20)
    assert 0.01 < generated[:, :, 3, :, 40].mean() < 0.035


def test_a_song_shorter_than_a_sequence_is_learnt_from(store: WindowStore) -> None:
    assert StepLearner(_run(store, sequence=4096)).epoch(Epoch(0))["train/mse"] > 0


def test_all_tracks_silent_is_no_crash(store: WindowStore) -> None:
    silent = made_store(np.zeros_like(store.windows), [song.count for song in store.songs])
    for fields in ({}, {"counts": "predicted"}, ENTROPY):
        files = run_stages(MultitrackRNN(), _run(silent, **fields))
        assert not read_generated(files.product("generate")).any()


def test_at_a_low_temperature_what_is_likely_is_heard() -> None:
    output = torch.zeros(500, 640)
    output[:, [128 * track + 60 for track in range(5)]] = 1.0
    warm, cold = (drawn(output, "written", ALL, _noise(), temperature)[..., 60] for temperature in (1.0, 0.05))
    assert cold.all()
    assert warm.float().mean() < 0.1
