"""note_rnn against the article's facts, and against music whose next note is known."""

import dataclasses
import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from musiclab.data.songs import TRACKS
from musiclab.data.store import WindowStore
from musiclab.data.windows import pack, unpack
from musiclab.errors import UserError
from musiclab.systems.base import StageRun, read_generated
from musiclab.systems.note_rnn import learner as note_learner
from musiclab.systems.note_rnn import network as note_network
from musiclab.systems.note_rnn.config import NoteRNNConfig
from musiclab.systems.note_rnn.learner import Best, NoteLearner
from musiclab.systems.note_rnn.network import NextToken, nats_a_token
from musiclab.systems.note_rnn.system import VOCABULARY, NoteRNN
from musiclab.systems.note_rnn.vocabulary import UNKNOWN, Vocabulary, pitch_sets, reading_nats
from musiclab.training.epoch import Epoch
from musiclab.training.fit import Diverged, fit
from musiclab.training.streams import Block
from tests.support.made_trials import MemoryFiles, made_store, run_stages, stage_run

PIANO = TRACKS.index("Piano")
BLOCK = Block(0, 0)
TINY = NoteRNNConfig(
    hidden=16, sequence=16, epochs=4, batch=8, lr=2e-2, max_train=48, max_eval=16, starts=4, continuation=2
)
SCALE = [60, 62, 64, 65, 67, 69, 71, 72]


def _chord(*pitches: int) -> bytes:
    roll = np.zeros(128, bool)
    roll[list(pitches)] = True
    return pack(roll).tobytes()


def _run(store: WindowStore, files: MemoryFiles | None = None, **fields: Any) -> StageRun:
    return stage_run(store, BLOCK, TINY.with_values(fields), MemoryFiles(dict(files.trial) if files else {}, "train"))


def _scales() -> WindowStore:
    """Songs that go up the scale and start again, a note a step: after a few tokens the next one is certain."""
    windows = np.zeros((20, 5, 96, 128), bool)
    for song, window in enumerate(windows):
        for step in range(96):
            window[PIANO, step, SCALE[(song + step) % len(SCALE)]] = True
    return made_store(pack(windows.reshape(20, 5, 3, 32, 128).swapaxes(1, 2).reshape(60, 5, 32, 128)), [3] * 20)


@pytest.fixture(scope="module")
def scales() -> WindowStore:
    return _scales()


@pytest.fixture(scope="module")
def trained(scales: WindowStore) -> MemoryFiles:
    return run_stages(NoteRNN(), _run(scales, epochs=10), ("train",))


def _generate(store: WindowStore, trained: MemoryFiles, **fields: Any) -> np.ndarray:
    files = run_stages(NoteRNN(), _run(store, trained, **fields), ("generate",))
    return unpack(read_generated(files.product("generate")))


@pytest.mark.parametrize("layers", [1, 2])
def test_the_network_has_the_article_s_sizes(layers: int) -> None:
    article = NoteRNNConfig().with_values(NoteRNN.scales["article"] | NoteRNN.forms["written"] | {"layers": layers})
    assert (article.hidden, article.sequence, article.temperature, article.clip) == (96, 64, 1.2, 1.0)
    assert (article.lr, article.lr_decay) == (0.002, 0.99)
    network = NextToken(article, Vocabulary([_chord(60)] * 50, []))
    gru = 3 * (96 * 96 + 96 * 96 + 2 * 96)
    # 50 tokens, unknown, and the start of a song, which is never said; as coded the softmax reads all layers.
    assert sum(p.numel() for p in network.parameters()) == 52 * 96 + layers * gru + 51 * (96 * layers + 1)


def test_two_layers_are_those_of_torch() -> None:
    torch.manual_seed(0)
    network = NextToken(TINY.with_values({"layers": 2}), Vocabulary([_chord(60)] * 5, []))
    both = torch.nn.GRU(16, 16, 2, batch_first=True)
    for layer, gru in enumerate(network.layers):
        for name, value in gru.state_dict().items():
            both.state_dict()[name.replace("l0", f"l{layer}")].copy_(value)
    tokens = torch.randint(5, (3, 7))
    states = network.states(tokens)
    x, last = both(network.embedding(tokens))
    torch.testing.assert_close(states[:, :, 1], x)
    torch.testing.assert_close(states[:, -1], last.transpose(0, 1))
    # Going on from the states in the middle is going straight through.
    torch.testing.assert_close(network.states(tokens[:, 4:], network.states(tokens[:, :4])[:, -1]), states[:, 4:])


def test_a_token_is_what_starts_at_a_step() -> None:
    roll = np.zeros((6, 128), bool)
    roll[0:3, 60] = True  # held
    roll[1, [64, 67]] = True
    roll[4:6, [48, 60]] = True
    assert pitch_sets(pack(roll), "onsets") == [_chord(60), _chord(64, 67), _chord(48, 60)]


def test_a_token_a_step_is_what_sounds_at_it_and_nothing_too() -> None:
    roll = np.zeros((6, 128), bool)
    roll[0:3, 60] = True  # held
    roll[1, [64, 67]] = True
    roll[5, 48] = True
    rest = _chord()
    assert pitch_sets(pack(roll), "steps") == [_chord(60), _chord(60, 64, 67), _chord(60), rest, rest, _chord(48)]
    vocabulary = Vocabulary.of([pitch_sets(pack(roll), "steps")], 10)
    np.testing.assert_array_equal(vocabulary.rolls(vocabulary.read(pitch_sets(pack(roll), "steps"))[1:]), roll)


def test_rare_chords_are_read_as_their_highest_note() -> None:
    common, note, rare, other = _chord(60, 64), _chord(67), _chord(55, 60, 67), _chord(50, 51)
    vocabulary = Vocabulary.of([[common, common, note, common], [note, rare, other]], 2)
    assert vocabulary.chords == [common, note]
    assert vocabulary.read([common, rare, other, note]).tolist() == [vocabulary.start, 1, 2, UNKNOWN, 2]
    assert vocabulary.counts.tolist() == [1, 3, 3]
    again = Vocabulary.from_bytes(vocabulary.to_bytes())
    assert (again.chords, again.counts.tolist()) == (vocabulary.chords, [1, 3, 3])
    assert json.loads(vocabulary.to_bytes())["chords"] == [[60, 64], [67]]
    rolls = vocabulary.rolls(np.array([[1, UNKNOWN, 2]]))
    assert [np.flatnonzero(roll).tolist() for roll in rolls[0]] == [[60, 64], [], [67]]


def test_with_a_token_a_step_a_rare_chord_is_read_as_the_largest_token_in_it() -> None:
    rest, low, high, two, other = _chord(), _chord(60), _chord(67), _chord(60, 64), _chord(48, 72)
    songs = [[rest] * 4 + [high] * 3 + [low] * 3 + [two] * 2 + [other] * 2, [_chord(60, 64, 67), _chord(50)]]
    vocabulary = Vocabulary.of(songs, 5, "steps")
    assert set(vocabulary.chords) == {rest, low, high, two, other}
    number = {chord: place for place, chord in enumerate(vocabulary.chords, 1)}
    rare = [_chord(60, 64, 67), _chord(60, 67), _chord(59, 67), _chord(50), _chord(48, 71), rest]
    most_frequent = min(number[low], number[high])  # of two sets of one size
    assert vocabulary.read(rare).tolist()[1:] == [
        number[two], most_frequent, number[high], UNKNOWN, UNKNOWN, number[rest],
    ]  # fmt: skip
    assert vocabulary.counts.tolist() == [
        1,
        *(4 if c == rest else 3 if c in (two, low, high) else 2 for c in vocabulary.chords),
    ]
    assert Vocabulary.from_bytes(vocabulary.to_bytes(), "steps").read(rare).tolist() == vocabulary.read(rare).tolist()


def test_the_unigram_counts_one_more_of_each() -> None:
    vocabulary = Vocabulary([_chord(60), _chord(62)], [0, 3, 1])
    assert vocabulary.unigram_nats(np.array([1, 1, UNKNOWN])) == pytest.approx(-2 * math.log(4 / 7) - math.log(1 / 7))


def test_what_was_read_as_another_set_is_told_by_its_pitches() -> None:
    common, rare = _chord(60), _chord(60, 64)
    vocabulary = Vocabulary([common], [1, 3])
    training, songs = [[common] * 3, [rare]], [[common, rare], [_chord(67)]]
    # Of four sets one is rare, of 128 pitches two sound; all are counted plus one.
    which = -math.log(4 / 6) - 2 * math.log(2 / 6)
    each_of = {60: 5 / 6, 64: 2 / 6, 67: 1 / 6, 0: 1 / 6}
    first = -math.log(each_of[60]) - math.log(each_of[64]) - 126 * math.log(1 - each_of[0])
    second = -math.log(1 - each_of[60]) - math.log(1 - each_of[64]) - math.log(each_of[67]) - 125 * math.log(5 / 6)
    assert reading_nats(vocabulary, training, songs) == pytest.approx(which + first + second)
    assert reading_nats(vocabulary, training, [[]]) == 0


def test_a_vocabulary_that_tells_nothing_apart_makes_no_progress(scales: WindowStore) -> None:
    progress = {}
    for vocabulary in (1, 64):
        learner = NoteLearner(_run(scales, vocabulary=vocabulary))
        for number in range(4):
            learner.epoch(Epoch(number))
        progress[vocabulary] = learner.progress()
    assert progress[64] < progress[1]


def test_vocabulary_and_unigram_are_of_training_songs_alone(scales: WindowStore) -> None:
    run = _run(scales)
    held_out = np.array(scales.windows)
    for part in ("validation", "reference"):
        for number in run.windows.songs[part]:
            row = scales.songs[number]
            held_out[row.first : row.first + row.count, PIANO] = np.frombuffer(_chord(30), np.uint8)
    changed = made_store(held_out, [song.count for song in scales.songs])
    one, other = (NoteLearner(_run(store)).vocabulary for store in (scales, changed))
    assert one.to_bytes() == other.to_bytes()
    assert sorted(one.chords, reverse=True) == [_chord(pitch) for pitch in SCALE]


def test_nats_of_whole_songs_are_those_of_each_read_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(note_network, "_TOKENS_AT_ONCE", 4)
    monkeypatch.setattr(note_network, "EVAL_BATCH", 2)
    torch.manual_seed(0)
    network = NextToken(TINY, Vocabulary([_chord(60)] * 8, []))
    songs = [np.random.default_rng(n).integers(9, size=n) for n in (1, 13, 6, 2, 9)]
    nats = 0.0
    for song in songs:
        state = torch.zeros(1, 1, 16)
        for token, following in pairwise(song):
            x, state = network.layers[0](network.embedding(torch.tensor([[token]])), state)
            nats -= network.scores(x[0, 0]).log_softmax(0)[following].item()
    assert nats_a_token(network, songs, torch.device("cpu")) == pytest.approx(nats / 26, rel=1e-5)
    assert math.isnan(nats_a_token(network, songs[:1], torch.device("cpu")))


def test_whole_songs_are_read_in_bounded_memory_whatever_the_vocabulary() -> None:
    held, songs = [], [np.arange(70) % 50] * 6
    for size in (50, 100_000):  # the article preset's is 100,000
        network = NextToken(TINY.with_values({"hidden": 2}), Vocabulary([_chord(60)] * size, []))
        with torch.no_grad():
            network.scores.weight.zero_(), network.scores.bias.zero_()
        network.scores.register_forward_hook(lambda _, __, scores: held.append(scores.numel()))
        assert nats_a_token(network, songs, torch.device("cpu")) == pytest.approx(math.log(size + 1), rel=1e-5)
    assert held[:2] == [6 * 64 * 51, 6 * 5 * 51]  # a small one: all at once
    assert 2**22 < max(held) <= 2**24


def test_it_learns_what_comes_next_and_the_unigram_does_not(scales: WindowStore, trained: MemoryFiles) -> None:
    measures = NoteRNN().own_measures(dataclasses.replace(_run(scales), files=trained.product("measure")))
    assert measures["tokens/perplexity"] < 1.5
    assert measures["tokens/unigram_perplexity"] == pytest.approx(8, rel=0.05)
    assert measures["tokens/bits_over_unigram"] > 2.4


def test_continuations_go_on_from_the_start_window(scales: WindowStore, trained: MemoryFiles) -> None:
    generated = _generate(scales, trained, temperature=0.2)
    run = _run(scales)
    for start, windows in zip(run.windows.packed(run.windows.starts[:, 0]), generated, strict=True):
        at = SCALE.index(np.flatnonzero(unpack(start)[PIANO, -1])[0])
        steps = np.concatenate(list(windows[:, PIANO]))
        assert [np.flatnonzero(step).tolist() for step in steps] == [[SCALE[(at + n) % 8]] for n in range(1, 65)]
    assert not np.delete(generated, PIANO, axis=2).any()


def test_start_windows_of_few_and_many_tokens_go_on_from_their_own_last_ones(trained: MemoryFiles) -> None:
    starts = np.zeros((2, 5, 32, 128), bool)
    for start, tokens in zip(starts, (32, 9), strict=True):
        for step in range(tokens):
            start[PIANO, step, SCALE[step % 8]] = True
    run = StageRun(
        TINY.with_values({"temperature": 0.2}), BLOCK, None, trained.product("generate"), torch.device("cpu")
    )
    first = unpack(NoteRNN().continuations(run, pack(starts)))[:, 0, PIANO, 0]
    assert first.argmax(axis=1).tolist() == [SCALE[0], SCALE[1]]


def test_a_higher_temperature_is_more_varied(scales: WindowStore, trained: MemoryFiles) -> None:
    cold, hot = (_generate(scales, trained, temperature=t)[:, :, PIANO].reshape(-1, 128) for t in (0.2, 100))
    followers = [{(a.argmax(), b.argmax()) for a, b in pairwise(roll)} for roll in (cold, hot)]
    assert len(followers[0]) < 16 < len(followers[1])


def test_every_note_lasts_half_a_quarter_note(scales: WindowStore, trained: MemoryFiles) -> None:
    generated = _generate(scales, trained, temperature=0.2, continuation=3)
    # The same network at 6 steps a beat: each token lasts 3 steps, and windows end where they end.
    slow = _generate(scales, trained, temperature=0.2, continuation=3, resolution=6)
    fast, slow = (np.concatenate(list(roll[0, :, PIANO])) for roll in (generated, slow))
    assert len(slow) == 96
    np.testing.assert_array_equal(slow, np.repeat(fast, 3, axis=0)[:96])


RHYTHM = [60, 60, 60, None, 62, None, None, 64]  # a long note, rests of two lengths, short notes


@pytest.fixture(scope="module")
def rhythmic() -> WindowStore:
    """Songs of one bar's rhythm over and over, which begin anywhere in it."""
    windows = np.zeros((20, 5, 96, 128), bool)
    for song, window in enumerate(windows):
        for step in range(96):
            if (pitch := RHYTHM[(song + step) % 8]) is not None:
                window[PIANO, step, pitch] = True
    return made_store(pack(windows.reshape(20, 5, 3, 32, 128).swapaxes(1, 2).reshape(60, 5, 32, 128)), [3] * 20)


def test_with_a_token_a_step_lengths_and_rests_are_learnt(rhythmic: WindowStore) -> None:
    run = _run(rhythmic, tokens="steps", schedule="cosine", epochs=24, resolution=3, temperature=0.2)
    generated = unpack(read_generated(run_stages(NoteRNN(), run).product("generate")))
    for start, windows in zip(run.windows.packed(run.windows.starts[:, 0]), generated, strict=True):
        steps = np.concatenate([unpack(start)[PIANO], *windows[:, PIANO]])
        np.testing.assert_array_equal(steps[32:], np.resize(steps[24:32], (64, 128)))
        assert 0 < steps[32:40].any(axis=1).sum() < 8


def test_silence_is_continued_as_a_song_begins(scales: WindowStore, trained: MemoryFiles) -> None:
    run = _run(scales, trained)
    run = dataclasses.replace(run, windows=None)
    silence = np.zeros((50, 5, 32, 16), np.uint8)
    first = unpack(NoteRNN().continuations(run, silence))[:, 0, PIANO, 0]
    assert first.any(axis=1).all()
    assert len({int(step.argmax()) for step in first}) > 4  # songs here begin anywhere on the scale


def test_the_unknown_token_is_never_said(scales: WindowStore) -> None:
    # Of the scale one note is a token and all others are unknown, which is what nearly always comes next.
    files = run_stages(NoteRNN(), _run(scales, vocabulary=1), ("train",))
    vocabulary = Vocabulary.from_bytes(files.product("train").read(VOCABULARY))
    assert vocabulary.counts[UNKNOWN] > 6 * vocabulary.counts[1] > 0
    generated = _generate(scales, files)
    assert generated[:, :, PIANO].any(axis=-1).all()
    measures = NoteRNN().own_measures(dataclasses.replace(_run(scales, vocabulary=1), files=files.product("measure")))
    assert 1 < measures["tokens/perplexity"] < measures["tokens/unigram_perplexity"] < 2  # both count it


def test_another_instrument_can_be_learnt(store: WindowStore) -> None:
    run = _run(store, instrument="Bass")
    generated = unpack(read_generated(run_stages(NoteRNN(), run).product("generate")))
    assert generated[:, :, TRACKS.index("Bass")].any()
    assert not np.delete(generated, TRACKS.index("Bass"), axis=2).any()


def test_an_instrument_silent_in_training_gives_silence(store: WindowStore) -> None:
    run = _run(store, instrument="Strings")
    files = run_stages(NoteRNN(), run)
    assert not read_generated(files.product("generate")).any()
    measures = NoteRNN().own_measures(dataclasses.replace(run, files=files.product("measure")))
    assert len(measures) == 3
    assert all(math.isnan(value) for value in measures.values())


def test_an_instrument_silent_in_test_songs_has_no_perplexity(scales: WindowStore, trained: MemoryFiles) -> None:
    windows = np.array(scales.windows)
    windows[_run(scales).windows.reference] = 0
    silent = made_store(windows, [3] * 20)
    measures = NoteRNN().own_measures(dataclasses.replace(_run(silent), files=trained.product("measure")))
    assert all(math.isnan(value) for value in measures.values())


def test_the_best_epoch_s_weights_are_kept() -> None:
    network = NextToken(TINY, Vocabulary([_chord(60)] * 8, []))
    best, kept = Best(network), []
    for loss in (3.0, 2.0, 2.5, 1.9):
        with torch.no_grad():
            network.scores.bias.fill_(loss)
        best.offer(network, loss)
        kept.append(best.network.scores.bias[0].item())
    assert kept == pytest.approx([3.0, 2.0, 2.0, 1.9])


def test_no_loss_replaces_no_weights_but_those_without_one() -> None:
    network = NextToken(TINY, Vocabulary([_chord(60)] * 8, []))
    best, kept = Best(network), []
    for number, loss in enumerate((math.nan, math.nan, 2.0, math.nan, 2.5, 1.9)):
        with torch.no_grad():
            network.scores.bias.fill_(number)
        best.offer(network, loss)
        kept.append(best.network.scores.bias[0].item())
    assert kept == [0, 1, 2, 2, 2, 5]
    assert best.loss.item() == pytest.approx(1.9)


def test_a_validation_loss_that_is_not_finite_is_a_divergence_and_none_is_not(
    scales: WindowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(note_learner, "nats_a_token", lambda *_: math.nan)
    files = _run(scales).files
    with pytest.raises(Diverged, match="val/nats_a_token"):
        fit(NoteLearner(_run(scales)), 1, files)
    learner = NoteLearner(_run(scales))
    learner.validation = [song[:1] for song in learner.validation]
    assert [point["name"] for point in fit(learner, 1, files)] == ["train/nats_a_token"]


def test_trials_go_on_with_the_best_or_the_last_weights(scales: WindowStore) -> None:
    for keep in ("best", "last"):
        learner = NoteLearner(_run(scales, keep=keep))
        learner.epoch(Epoch(0))
        first = learner.modules["network"].scores.bias.clone()
        learner.modules["best"].loss.fill_(-1.0)  # no later epoch is better
        learner.epoch(Epoch(1))
        assert torch.equal(learner.kept()["scores.bias"], first) == (keep == "best")


def test_the_cosine_rises_and_falls_to_nothing_over_all_epochs(scales: WindowStore) -> None:
    learner, rates = NoteLearner(_run(scales, schedule="cosine", epochs=4)), []
    (optimizer,) = learner.optimizers.values()
    optimizer.register_step_pre_hook(lambda *_: rates.append(optimizer.param_groups[0]["lr"]))
    for number in range(4):
        learner.epoch(Epoch(number))
    highest = rates.index(max(rates))
    assert max(rates) == TINY.lr
    assert rates[: highest + 1] == sorted(rates[: highest + 1]) and 0 < highest < len(rates) / 5
    assert rates[-1] < 0.05 * TINY.lr


def test_the_gradient_is_clipped_and_the_learning_rate_decays(
    scales: WindowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms, clipped = [], torch.nn.utils.clip_grad_norm_

    def clip(parameters: Any, limit: float) -> None:
        parameters = list(parameters)
        clipped(parameters, limit)
        norms.append(float(torch.cat([p.grad.flatten() for p in parameters]).norm()))

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
    learner, rates = NoteLearner(_run(scales, clip=0.1)), []
    for number in (0, 1, 10):
        learner.epoch(Epoch(number))
        rates.append(learner.optimizers["network"].param_groups[0]["lr"])
    assert max(norms) == pytest.approx(0.1, rel=1e-3)
    assert rates == [2e-2 * 0.99**number for number in (0, 1, 10)]


def test_a_resolution_without_half_quarter_notes_is_refused() -> None:
    with pytest.raises(UserError, match="resolution must be even"):
        NoteRNNConfig(resolution=3)
