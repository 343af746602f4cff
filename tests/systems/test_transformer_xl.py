"""transformer_xl: attention by distance, memory that crosses segments, states equal to one pass, lossless tokens."""

import dataclasses
import json
import math
import socket
from typing import Any

import numpy as np
import pytest
import torch

from musiclab.data.songs import DRUMS
from musiclab.data.store import WindowStore
from musiclab.data.windows import unpack
from musiclab.errors import UserError
from musiclab.systems.base import GENERATE, read_generated
from musiclab.systems.transformer_xl import network as transformer_network
from musiclab.systems.transformer_xl import system as transformer_xl
from musiclab.systems.transformer_xl.config import TransformerXLConfig
from musiclab.systems.transformer_xl.learner import TokenLearner, made_network, nats_a_token, segments, streams
from musiclab.systems.transformer_xl.network import Network, RelativeAttention, States, by_distance, sinusoids
from musiclab.systems.transformer_xl.system import Noise, TransformerXL, sampled
from musiclab.systems.transformer_xl.tokens import Grammar, RollTokens
from musiclab.training.epoch import Epoch
from musiclab.training.files import CURVES
from musiclab.training.streams import Block
from tests.support.made_trials import MemoryFiles, made_store, run_stages, stage_run

BLOCK = Block(0, 0)
CPU = torch.device("cpu")
VOCABULARY = 11
TINY = TransformerXLConfig(
    d_model=16, layers=2, heads=2, memory=16, segment=16, batch=2, epochs=2, lr=1e-2, dropout=0.0,
    max_train=24, max_eval=12, starts=3, continuation=2,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    """As in trials; such small steps are slower on more of them."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tokens() -> RollTokens:
    return RollTokens(2, 32)


@pytest.fixture(scope="module")
def trained(store: WindowStore) -> MemoryFiles:
    return run_stages(TransformerXL(), stage_run(store, BLOCK, TINY, MemoryFiles()))


def _network(**fields: Any) -> Network:
    torch.manual_seed(0)
    network = made_network(TINY.with_values(fields), VOCABULARY).eval()
    for parameter in network.parameters():  # large enough that what a token sees changes its logits
        torch.nn.init.normal_(parameter, std=0.3)
    return network


def _tokens(n: int, time: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(VOCABULARY, (n, time), generator=torch.Generator().manual_seed(seed))


def _roll(steps: int, density: float = 0.05, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((5, steps, 128)) < density


# Tokens


@pytest.mark.parametrize("resolution", [1, 2, 3, 4, 6, 8, 12, 24])
@pytest.mark.parametrize("steps", [16, 20])
def test_rolls_come_back_from_tokens_as_they_were(resolution: int, steps: int) -> None:
    tokens = RollTokens(resolution, steps)
    for roll in (_roll(3 * steps), _roll(3 * steps, 0.9, 1), _roll(3 * steps, 0.001, 2)):
        np.testing.assert_array_equal(tokens.decode(tokens.encode(roll), roll.shape[1]), roll)


def test_held_notes_longer_than_any_duration_come_back(tokens: RollTokens) -> None:
    roll = np.zeros((5, 100, 128), bool)
    roll[1, 3:97, 60] = roll[3, :, 0] = roll[4, 10:43, 127] = roll[4, 10:12, 3] = True
    roll[0, 4:9, 36] = True  # drums that are held are hits in each step
    ids = tokens.encode(roll)
    assert max(value for kind, value in (tokens.words[i] for i in ids) if kind == "Duration") == 32
    np.testing.assert_array_equal(tokens.decode(ids, 100), roll)


def test_silence_is_bars(tokens: RollTokens) -> None:
    assert [tokens.words[i] for i in tokens.encode(np.zeros((5, 20, 128), bool))] == [("Bar", 0)] * 3
    roll = np.zeros((5, 64, 128), bool)
    roll[2, 16, 50] = True
    kinds = [tokens.words[i][0] for i in tokens.encode(roll)]
    assert kinds == ["Bar"] * 3 + ["Position", "Program", "Pitch", "Duration"] + ["Bar"] * 5


def test_a_note_is_three_tokens_and_a_hit_two(tokens: RollTokens) -> None:
    roll = np.zeros((5, 8, 128), bool)
    roll[0, 2, 36] = roll[1, 2:5, [64, 60]] = roll[3, 7, 40] = True
    assert [tokens.words[i] for i in tokens.encode(roll)] == [
        ("Bar", 0),
        ("Position", 2),
        ("Program", 0),
        ("PitchDrum", 36),
        ("Program", 1),
        ("Pitch", 60),
        ("Duration", 3),
        ("Program", 1),
        ("Pitch", 64),
        ("Duration", 3),
        ("Position", 7),
        ("Program", 3),
        ("Pitch", 40),
        ("Duration", 1),
    ]


def test_a_tokeniser_asks_nobody_on_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was opened"))
    tokens = RollTokens(4, 64)
    assert len(tokens.encode(_roll(64))) > 100


# What is sampled reads as if it had been encoded


def _grammar(tokens: RollTokens, sounding: list[int] | None = None, longest: int = 10_000) -> Grammar:
    return Grammar(tokens, list(range(5)) if sounding is None else sounding, longest, CPU)


@pytest.mark.parametrize("density", [0.0005, 0.005])
def test_the_grammar_allows_whatever_is_encoded(tokens: RollTokens, density: float) -> None:
    grammar, roll = _grammar(tokens), _roll(96, density)
    roll[:, 50] = True  # every pitch of every track at once
    at = grammar.after([transformer_xl._prompt(tokens, roll[:, :32])], 32)
    # The same notes again, written from the second window on.
    rest = tokens.encode(roll[:, 32:])
    assert rest[0] == tokens.bar_line
    for number in rest[1:]:
        assert grammar.allowed(at)[0, number], tokens.words[number]
        at = grammar.written(at, torch.tensor([number]))
    assert grammar.time(at) < 96 <= grammar.time(grammar.written(at, torch.tensor([tokens.bar_line])))


@pytest.mark.parametrize(("steps", "sounding"), [(32, [0, 1, 4]), (20, [3]), (32, [])])
def test_whatever_the_grammar_allows_is_a_roll_that_encodes_to_the_same(
    tokens: RollTokens, steps: int, sounding: list[int]
) -> None:
    grammar, rng = _grammar(tokens, sounding, longest=40), np.random.default_rng(3)
    prompt = transformer_xl._prompt(tokens, _roll(steps, 0.01))
    at, made, end = grammar.after([prompt], steps), [], steps + 64
    while grammar.time(at) < end:
        allowed = grammar.allowed(at)[0].nonzero()[:, 0].numpy()
        number = int(rng.choice(allowed))
        made.append(number)
        at = grammar.written(at, torch.tensor([number]))
    assert len(made) <= 9 * 44
    silent = np.full(steps // 8 + 1, tokens.bar_line)
    roll = tokens.decode(np.append(silent, made), end)
    assert not roll[:, :steps].any()
    assert set(np.flatnonzero(roll.any(axis=(1, 2)))) == set(sounding)
    # Time goes forward, and no hit is written twice.
    words = [tokens.words[number] for number in made]
    positions = [time for (kind, _), time in zip(words, _times(words, steps), strict=True) if kind == "Position"]
    assert positions == sorted(set(positions))
    inside = [kind for (kind, _), (bar, step) in zip(words, _times(words, steps), strict=True) if 8 * bar + step < end]
    assert inside.count("PitchDrum") == roll[DRUMS].sum()


def _times(words: list[tuple[str, int]], steps: int) -> list[tuple[int, int]]:
    """Bar and position of each token after a start window."""
    bar, position, found = steps // 8, 0, []
    for kind, value in words:
        bar, position = (bar + 1, 0) if kind == "Bar" else (bar, value if kind == "Position" else position)
        found.append((bar, position))
    return found


def _next(tokens: RollTokens, grammar: Grammar, steps: int, *words: tuple[str, int]) -> set[tuple[str, int]]:
    """What may follow an empty start window of `steps` and then `words`."""
    at = grammar.after([transformer_xl._prompt(tokens, np.zeros((5, steps, 128), bool))], steps)
    for word in words:
        at = grammar.written(at, torch.tensor([tokens.words.index(word)]))
    return {tokens.words[number] for number in grammar.allowed(at)[0].nonzero()[:, 0]}


def test_positions_tracks_and_pitches_ascend(tokens: RollTokens) -> None:
    grammar = _grammar(tokens, [0, 1, 2])
    note = (("Position", 3), ("Program", 1), ("Pitch", 60), ("Duration", 2))
    bar, later = ("Bar", 0), {("Position", step) for step in range(4, 8)}
    assert _next(tokens, grammar, 32, *note[:1]) == {("Program", track) for track in range(3)}
    assert _next(tokens, grammar, 32, *note[:2]) == {("Pitch", pitch) for pitch in range(128)}
    assert _next(tokens, grammar, 32, *note[:3]) == {("Duration", length) for length in range(1, 33)}
    assert _next(tokens, grammar, 32, *note) == {bar, *later, ("Program", 1), ("Program", 2)}
    assert _next(tokens, grammar, 32, *note, ("Program", 1)) == {("Pitch", pitch) for pitch in range(61, 128)}
    assert _next(tokens, grammar, 32, *note, ("Program", 2)) == {("Pitch", pitch) for pitch in range(128)}
    highest = (*note[:2], ("Pitch", 127), ("Duration", 1))
    assert _next(tokens, grammar, 32, *highest) == {bar, *later, ("Program", 2)}
    hit = (("Position", 7), ("Program", 0), ("PitchDrum", 36))
    assert _next(tokens, grammar, 32, *hit, ("Program", 0)) == {("PitchDrum", pitch) for pitch in range(37, 128)}
    assert _next(tokens, grammar, 32, *hit) == {bar, *(("Program", track) for track in range(3))}


def test_nothing_is_added_to_the_start_window(tokens: RollTokens) -> None:
    """It ends 4 steps into its last bar, in the middle of a chord's position as far as the tokens go."""
    roll = np.zeros((5, 20, 128), bool)
    roll[1, 17, 60] = True
    grammar = _grammar(tokens)
    at = grammar.after([transformer_xl._prompt(tokens, roll)], 20)
    allowed = {tokens.words[number] for number in grammar.allowed(at)[0].nonzero()[:, 0]}
    assert allowed == {("Bar", 0), *(("Position", step) for step in range(4, 8))}


def test_a_bar_ends_however_much_is_to_be_written_in_it(tokens: RollTokens) -> None:
    grammar = _grammar(tokens, longest=10)
    at, lengths = grammar.after([np.array([tokens.bar_line])], 0), [0]
    for _ in range(100):  # a bar line only where nothing else is allowed
        allowed = grammar.allowed(at)[0].nonzero()[:, 0]
        number = next((n for n in allowed.tolist() if n != tokens.bar_line), tokens.bar_line)
        at = grammar.written(at, torch.tensor([number]))
        lengths = [*lengths, 0] if number == tokens.bar_line else [*lengths[:-1], lengths[-1] + 1]
    assert 10 <= max(lengths) <= 13


# The network


def test_relative_shift_puts_each_score_at_its_distance() -> None:
    rows, columns = 3, 5
    scores = torch.arange(columns).expand(1, 1, rows, columns).contiguous()  # place p is of distance columns - 1 - p
    moved = by_distance(scores)[0, 0]
    for row in range(rows):
        for column in range(columns - rows + row + 1):
            assert columns - 1 - moved[row, column] == columns - rows + row - column


def test_sinusoids_are_computed_once_and_those_of_their_distances() -> None:
    computed = sinusoids(5, 8, CPU)
    assert sinusoids(5, 8, CPU) is computed
    torch.testing.assert_close(computed[:, :4].asin()[-2:, 0], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(sinusoids(9, 8, CPU)[4:], computed)  # the last row is that of distance 0


def test_attention_is_the_papers_four_terms() -> None:
    torch.manual_seed(0)
    attention = RelativeAttention(8, 2, 0.0)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    x, time = torch.randn(1, 5, 8), 5
    r = sinusoids(time, 8, CPU)
    unseen = torch.full((time, time), -math.inf).triu(1)[None, None]
    out = attention(x, *attention.keys_values(x), attention.places(r), unseen)
    q, r = attention.query(x)[0], attention.position(r).flip(0)  # by distance now
    k, values = attention.key_value(x)[0].chunk(2, dim=-1)
    heads = []
    for head in range(2):
        of = slice(4 * head, 4 * head + 4)
        u, v = attention.u[head, 0], attention.v[head, 0]
        scores = torch.full((time, time), -math.inf)
        for i in range(time):
            for j in range(i + 1):
                scores[i, j] = q[i, of] @ k[j, of] + q[i, of] @ r[i - j, of] + u @ k[j, of] + v @ r[i - j, of]
        heads.append((scores / 2).softmax(-1) @ values[:, of])
    torch.testing.assert_close(out[0], attention.out(torch.cat(heads, dim=1)))


def test_a_token_sees_none_that_comes_later() -> None:
    network, tokens = _network(), _tokens(1, 12)
    changed = tokens.clone()
    changed[0, 7] = (changed[0, 7] + 1) % VOCABULARY
    one, other = (network(x, torch.zeros_like(x))[0] for x in (tokens, changed))
    torch.testing.assert_close(one[:, :7], other[:, :7])
    assert ((one - other)[:, 7:].abs().amax(-1) > 1e-3).all()


def test_positions_are_relative() -> None:
    """The same tokens give the same logits wherever in a stream their song begins."""
    network, tokens = _network(), _tokens(1, 10)
    shifted = torch.cat([_tokens(1, 7, seed=5), tokens], dim=1)
    songs = torch.tensor([[0] * 7 + [1] * 10])
    here, there = network(tokens, torch.zeros_like(tokens))[0], network(shifted, songs)[0][:, 7:]
    torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-5)


def test_order_matters_all_the_same() -> None:
    network, tokens = _network(), torch.tensor([[1, 2, 3, 4, 5]])
    swapped = torch.tensor([[2, 1, 3, 4, 5]])
    one, other = (network(x, torch.zeros_like(x))[0][:, -1] for x in (tokens, swapped))
    assert (one - other).abs().max() > 1e-3


@pytest.mark.parametrize("length", [1, 4, 7, 24])
def test_segments_with_memory_equal_one_pass(length: int) -> None:
    network, tokens = _network(), _tokens(2, 24)
    songs = torch.tensor([[0] * 24, [0] * 10 + [1] * 14])
    whole, _ = network(tokens, songs)
    memory, parts = None, []
    for part, own in zip(tokens.split(length, 1), songs.split(length, 1), strict=True):
        logits, memory = network(part, own, memory, keep=24)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-5)


def test_memory_is_as_long_as_told_and_holds_no_gradients() -> None:
    network, tokens = _network(), _tokens(2, 10)
    _, memory = network(tokens, torch.zeros_like(tokens), None, keep=4)
    _, memory = network(tokens[:, :3], torch.zeros_like(tokens[:, :3]), memory, keep=4)
    assert [part.shape for part in memory.inputs] == [(2, 4, 16)] * 2
    assert not any(part.requires_grad for part in memory.inputs)
    _, none = network(tokens, torch.zeros_like(tokens))
    assert none.songs.shape == (2, 0)


@pytest.mark.parametrize("reach", [5, 40])
def test_states_give_the_logits_of_one_pass(reach: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformer_network, "state_capacity", lambda reach: reach + 4)  # buffers slide many times
    network, tokens = _network(), _tokens(3, 30)
    songs = torch.zeros_like(tokens)
    songs[1, :6] = -1  # the second prompt is shorter
    whole, _ = network(tokens, songs, reach=reach)
    with torch.no_grad():
        _, memory = network(tokens[:, :9], songs[:, :9], None, keep=reach, reach=reach)
        states = States(network, memory, reach)
        for at in range(9, 30):
            torch.testing.assert_close(network.step(tokens[:, at], states), whole[:, at], rtol=1e-4, atol=1e-5)
            if at == 20:  # the first is finished
                states.keep(torch.tensor([1, 2]))
                tokens, whole = tokens[1:], whole[1:]


def test_prompts_of_other_lengths_change_nothing() -> None:
    network, config = _network(), TINY.with_values({"segment": 4, "memory": 6})
    prompts = [_tokens(1, length, seed=length)[0].numpy() for length in (3, 14, 9)]
    with torch.no_grad():
        together, states = transformer_xl._primed(network, prompts, config, CPU)
        after = network.step(torch.tensor([1, 2, 3]), states)
        for row, prompt in enumerate(prompts):
            alone, states = transformer_xl._primed(network, [prompt], config, CPU)
            torch.testing.assert_close(together[row], alone[0], rtol=1e-4, atol=1e-5)
            step = network.step(torch.tensor([row + 1]), states)
            torch.testing.assert_close(after[row], step[0], rtol=1e-4, atol=1e-5)


def test_the_articles_sizes() -> None:
    config = TransformerXLConfig().with_values(TransformerXL.scales["article"] | TransformerXL.forms["written"])
    assert (config.d_model, config.layers, config.heads, config.memory) == (512, 16, 8, 512)
    assert (config.batch, config.segment, config.epochs) == (4, 128, 5)
    with torch.device("meta"):
        network = made_network(config, 303)
    # A layer: five projections (keys and values are two) and the output's, u and v, feed-forward, two norms.
    layer = 6 * 512 * 512 - 512 * 512 + 2 * 512 + (2 * 512 * 2048 + 2048 + 512) + 2 * 1024
    assert sum(parameter.numel() for parameter in network.parameters()) == 16 * layer + 303 * 513 + 1024


# Training


def _learner(songs: list[np.ndarray], store: WindowStore, **fields: Any) -> TokenLearner:
    return TokenLearner(stage_run(store, BLOCK, TINY.with_values(fields), MemoryFiles()), songs, songs[:4], VOCABULARY)


@pytest.mark.parametrize(("memory", "learned"), [(16, True), (0, False)])
def test_what_lies_further_back_than_a_segment_is_learned_by_memory_alone(
    memory: int, learned: bool, store: WindowStore
) -> None:
    """Each token is that of 12 before, and segments are 8 long: chance is ln 8 without what the memory holds."""
    rng = np.random.default_rng(0)
    songs = [np.tile(rng.integers(8, size=12), 8) for _ in range(40)]
    learner = _learner(songs, store, memory=memory, segment=8, batch=8, d_model=32, layers=1, lr=2e-2, epochs=12)
    for number in range(12):
        loss = learner.epoch(Epoch(number))["train/loss"]
    # The first 12 tokens of 96 are nobody's to know.
    assert loss < 0.8 if learned else loss > 1.8


def test_the_progress_is_the_validation_loss_of_all_tokens_of_a_window(store: WindowStore) -> None:
    system, told = TransformerXL(), []
    run = stage_run(store, BLOCK, TINY, MemoryFiles())
    system.train("train", dataclasses.replace(run, rungs=(0.5,), at_rung=lambda rung, value: told.append(value)))
    loss = next(p["value"] for p in json.loads(run.files.read(CURVES)) if p["name"] == "val/loss")
    songs = [store.songs[number] for number in run.windows.songs["validation"]]
    tokens = RollTokens(2, 32)
    count = sum(len(tokens.encode(unpack(run.windows.song(number)))) - 1 for number in run.windows.songs["validation"])
    assert told == [pytest.approx(loss * count / sum(song.count for song in songs))]


def test_streams_hold_each_song_once_in_order() -> None:
    songs = [np.arange(5), np.arange(5, 12), np.arange(12, 20)]
    tokens, numbers = streams(songs, 3)
    assert tokens.shape == (3, 7)
    assert tokens.nbytes == 3 * 7 * 2
    np.testing.assert_array_equal(tokens.flatten()[:20], np.arange(20))
    assert tokens.flatten()[20:].tolist() == [0]
    assert numbers.dtype == np.int32
    assert numbers.flatten().tolist() == [0] * 5 + [1] * 7 + [2] * 8 + [-1]


def test_segments_ask_for_the_next_token_of_the_same_song() -> None:
    tokens, songs = np.arange(10, dtype=np.uint16)[None], np.array([[0] * 4 + [1] * 5 + [-1]], np.int32)
    parts = list(segments(tokens, songs, 4, CPU))
    assert all(values.dtype == torch.int64 for part in parts for values in part[:3])
    following = torch.cat([part[2][part[3]] for part in parts])
    assert following.tolist() == [1, 2, 3, 5, 6, 7, 8]
    assert [part[0].shape[1] for part in parts] == [4, 4, 1]


def test_all_epochs_have_as_many_steps_as_the_learning_rate_counts(store: WindowStore) -> None:
    rng = np.random.default_rng(0)
    learner = _learner([rng.integers(8, size=size) for size in (50, 31, 40)], store, segment=8, batch=2)
    assert learner.steps == len(list(segments(*streams(learner.songs, 2), 8, CPU))) == 8


@pytest.mark.parametrize(("batch", "count"), [(2, 2), (6, 6), (7, 6), (4096, 6)])
def test_of_few_tokens_there_are_fewer_streams(batch: int, count: int, store: WindowStore) -> None:
    learner = _learner([np.arange(8)] * 7, store, segment=8, batch=batch)  # 56 tokens: six times 8 and what follows
    assert learner.streams == count
    assert learner.steps == len(list(segments(*streams(learner.songs, count), 8, CPU)))
    assert learner.epoch(Epoch(0))["train/loss"] > 0


def test_less_than_a_segment_of_tokens_can_be_learned(store: WindowStore) -> None:
    assert _learner([np.arange(3), np.arange(2)], store, batch=8).epoch(Epoch(0))["train/loss"] > 0
    with pytest.raises(UserError, match="no token after another"):
        _learner([np.arange(1)] * 40, store, segment=8).epoch(Epoch(0))
    with pytest.raises(UserError, match="no token after another"):
        _learner([np.arange(1)], store).epoch(Epoch(0))


def test_the_largest_vocabulary_fits_the_type_in_which_songs_are_kept(store: WindowStore) -> None:
    assert len(RollTokens(24, 512)) <= np.iinfo(np.uint16).max + 1
    run = stage_run(store, BLOCK, TINY, MemoryFiles())
    songs = transformer_xl._songs(run, RollTokens(2, 32), "train")
    assert {song.dtype for song in songs} == {np.dtype(np.uint16)}


def test_measured_nats_hang_neither_on_segments_nor_on_company() -> None:
    network = _network(memory=9)
    songs = [_tokens(1, length, seed=length)[0].numpy() for length in (40, 17, 3, 28)]
    # 9 + 8 - 1 is 12 + 5 - 1.
    one = nats_a_token(network, songs, TINY.with_values({"memory": 9, "segment": 8}), CPU)
    other = nats_a_token(network, songs[::-1], TINY.with_values({"memory": 12, "segment": 5}), CPU)
    assert one == pytest.approx(other, rel=1e-5)
    each = [nats_a_token(network, [song], TINY.with_values({"memory": 9, "segment": 8}), CPU) for song in songs]
    sizes = np.array([len(song) - 1 for song in songs])
    assert one == pytest.approx(float(np.dot(each, sizes) / sizes.sum()), rel=1e-5)
    assert math.isnan(nats_a_token(network, [np.array([3])], TINY, CPU))


# Sampling


def _drawn(logits: list[float], count: int = 4000, **fields: Any) -> np.ndarray:
    config = TINY.with_values({"top_k": 0, "top_p": 1.0} | fields)
    uniform = torch.rand(count, generator=torch.Generator().manual_seed(0))
    numbers = sampled(torch.tensor(logits).expand(count, -1), uniform, config)
    return np.bincount(numbers, minlength=len(logits)) / count


def test_sampling_follows_the_softmax() -> None:
    logits = [0.0, 2.0, 1.0, -math.inf]
    expected = torch.tensor(logits).softmax(0).numpy()
    np.testing.assert_allclose(_drawn(logits), expected, atol=0.03)
    np.testing.assert_allclose(
        _drawn(logits, temperature=2.0), (torch.tensor(logits) / 2).softmax(0).numpy(), atol=0.03
    )


def test_top_k_and_top_p_leave_the_most_likely() -> None:
    logits = np.log([0.1, 0.5, 0.15, 0.25]).tolist()
    np.testing.assert_allclose(_drawn(logits, top_k=2), [0, 2 / 3, 0, 1 / 3], atol=0.03)
    np.testing.assert_allclose(_drawn(logits, top_p=0.6), [0, 2 / 3, 0, 1 / 3], atol=0.03)
    np.testing.assert_allclose(_drawn(logits, top_p=0.8), [0, 5 / 9, 1.5 / 9, 2.5 / 9], atol=0.03)
    np.testing.assert_allclose(_drawn(logits, top_p=0.01), [0, 1, 0, 0])
    np.testing.assert_allclose(_drawn(logits, top_k=3, top_p=0.5), [0, 1, 0, 0])


def test_what_is_not_allowed_is_never_drawn() -> None:
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, -30.0]]).expand(3, -1)
    edges = torch.tensor([0.0, 0.5, 1 - 2**-24])
    assert set(sampled(logits, edges, TINY.with_values({"top_k": 0, "top_p": 1.0})).tolist()) <= {1, 3}


def test_a_starts_noise_hangs_on_no_other_start() -> None:
    many, few = Noise(BLOCK, 0, 5), Noise(BLOCK, 2, 2)
    for _ in range(600):
        of_many, of_few = many.next(), few.next()
        assert torch.equal(of_many[2:4], of_few)
    assert len(set(of_many.tolist())) == 5


# The system


def test_continuations_hang_neither_on_how_many_there_are_nor_on_chunks(
    trained: MemoryFiles, store: WindowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stage_run(store, BLOCK, TINY, trained.product(GENERATE))
    starts = run.windows.packed(run.windows.starts[:, 0])
    together = read_generated(trained.product(GENERATE))
    monkeypatch.setattr(transformer_xl, "_ROWS", 2)
    np.testing.assert_array_equal(TransformerXL().continuations(run, starts), together)
    np.testing.assert_array_equal(TransformerXL().continuations(run, starts[:1]), together[:1])


@pytest.mark.parametrize(("steps", "bars"), [(32, 5), (20, 3)])
def test_a_prompt_ends_in_the_bar_that_is_to_be_continued(steps: int, bars: int) -> None:
    tokens, roll = RollTokens(2, steps), _roll(steps, 0.01)
    for start in (roll, np.zeros_like(roll)):
        prompt = transformer_xl._prompt(tokens, start)
        assert (prompt == tokens.bar_line).sum() == bars
        np.testing.assert_array_equal(tokens.decode(prompt, steps), start)


@pytest.mark.parametrize("steps", [32, 20])
def test_windows_are_continued_at_their_end(steps: int) -> None:
    """Tokens after a start window, whether or not it ends at a bar line, come out in the windows after it."""
    config, tokens = TINY.with_values({"steps": steps, "hop": steps}), RollTokens(2, steps)
    roll = _roll(3 * steps, 0.02)
    roll[DRUMS, 2 * steps, 40] = True
    silenced = roll.copy()
    silenced[:, :steps] = False
    ids = tokens.encode(silenced)[steps // 8 + 1 :].tolist()
    windows = unpack(transformer_xl._windows(tokens, ids, config))
    np.testing.assert_array_equal(windows, roll[:, steps:].reshape(5, 2, steps, 128).swapaxes(0, 1))


def test_training_beats_the_unigram(trained: MemoryFiles, store: WindowStore) -> None:
    measures = TransformerXL().own_measures(stage_run(store, BLOCK, TINY, trained.product("measure")))
    assert measures["tokens/perplexity"] < measures["tokens/unigram_perplexity"] / 2
    assert 10 < measures["tokens/unigram_perplexity"] < 60
    assert measures["tokens/bits_over_unigram"] == pytest.approx(
        math.log2(measures["tokens/unigram_perplexity"] / measures["tokens/perplexity"])
    )


def test_nothing_but_silence_can_be_learned(store: WindowStore) -> None:
    silent = made_store(np.zeros_like(store.windows), [song.count for song in store.songs])
    config = TINY.with_values({"epochs": 1})
    files = run_stages(TransformerXL(), stage_run(silent, BLOCK, config, MemoryFiles()))
    assert not read_generated(files.product(GENERATE)).any()


def test_heads_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match=r"d_model must be an even multiple of heads \(3\)"):
        TransformerXLConfig(heads=3)
