"""transformer_xl: Transformer-XL over multitrack tokens; the article's second baseline, "relatively good" by ear.

Facts (Dai et al. 2019; Tham and Kim 2021 ran MusicAutobot's default): a decoder of self-attention layers reads a song
segment by segment. Each layer also attends to its own inputs of the tokens before the segment (the memory, kept without
gradients), so the context grows with depth beyond a segment. Positions enter attention as sinusoids of the distance
between two tokens, with two learned biases u and v, so it does not matter where in a song they are. The article's
sizes: d_model 512, 16 layers, 8 heads, memory 512, batch 4, segments (bptt) of 128, 5 epochs.

If the article is silent, values are MusicAutobot's: a learning rate of 1e-3 that first rises and then falls, and top-k
30 and top-p 0.6 at generation. Gradients are clipped to 0.25 as by Dai et al. MusicAutobot also embeds the beat and
trains on transposed copies; this system does neither. Tokens are those of a published tokeniser
(`musiclab.systems.transformer_xl.tokens`) instead of MusicAutobot's own. The mended form has no dropout, because the
demo's models are small, and top-p 0.7.

A token attends only to its own song: memory is reset at song boundaries. In training a token sees the memory and the
part of its segment before it. In measuring and generation it sees `memory` + `segment` - 1 tokens back, the farthest
that it may have seen in training, so that nothing depends on where segments begin. If the bars of a song do not divide
a window (3/4 at the defaults), the steps between windows are missing, see `BlockWindows.song`.

Encoding takes 30 to 40 ms a song of LPD-5, so ten minutes for all songs, and a resume encodes them again. That is
little compared with one epoch, while keeping the tokens of all songs would add hundreds of megabytes to the product.
"""

import math
from typing import Any, ClassVar

import numpy as np
import torch

from musiclab.data.windows import pack, unpack
from musiclab.systems.base import Progress, StageRun, System
from musiclab.systems.config import GENERATE, MEASURE
from musiclab.systems.timing import seconds_a_step
from musiclab.systems.transformer_xl.config import TransformerXLConfig
from musiclab.systems.transformer_xl.learner import TokenLearner, made_network, nats_a_token, segment_loss, segments
from musiclab.systems.transformer_xl.network import NO_SONG, Memory, Network, States, state_capacity
from musiclab.systems.transformer_xl.tokens import Grammar, RollTokens
from musiclab.training import tensors
from musiclab.training.adam import Adam
from musiclab.training.fit import fit
from musiclab.training.streams import Block

WEIGHTS = "weights.safetensors"
# As many rows are generated at a time as have states of this many bytes, and at most _ROWS.
_STATE_BYTES = {"cpu": 2**28, "cuda": 2**32}
_ROWS = 256
_DRAWS = 256
# For forecasts; at the article's resolution the chorales have 13, LPD-5 has 24.
_TOKENS_A_BEAT = 18


class TransformerXL(System[TransformerXLConfig]):
    """Transformer-XL; see the module's docstring."""

    name = "transformer_xl"
    config = TransformerXLConfig
    packed = True
    stages: ClassVar[dict[str, int]] = {"train": 1, GENERATE: 1, MEASURE: 1}
    conditions = ("start", "noise")
    provides = ("tokens",)
    progress = Progress("train", "nats a validation window", "lower")
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        "demo": {
            "d_model": 64, "layers": 2, "heads": 2, "memory": 64, "segment": 32, "batch": 8, "epochs": 3,
            "lr": 6e-3, "max_train": 1024, "max_eval": 384,
        },
        "article": {
            "d_model": 512, "layers": 16, "heads": 8, "memory": 512, "segment": 128, "batch": 4, "epochs": 5,
        },
    }  # fmt: skip
    forms: ClassVar[dict[str, dict[str, Any]]] = {
        "mended": {"dropout": 0.0, "top_p": 0.7},
        # MusicAutobot's sampling; the article has no code of its own here.
        "written": {"dropout": 0.1, "top_k": 30, "top_p": 0.6},
        "coded": {"dropout": 0.1, "top_k": 30, "top_p": 0.6},
    }

    def train(self, stage: str, run: StageRun[TransformerXLConfig]) -> None:
        tokens = RollTokens(run.config.resolution, run.config.steps)
        songs, validation = (_songs(run, tokens, part) for part in ("train", "validation"))
        learner = TokenLearner(run, songs, validation, len(tokens))
        fit(learner, run.config.epochs, run.files, run.after_epoch, run.rungs, run.at_rung)
        counts = np.zeros(len(tokens), np.int64)
        for song in songs:
            counts += np.bincount(song, minlength=len(tokens))
        state = learner.weights() | {"counts": torch.from_numpy(counts)}
        sounding = sorted(
            value for (kind, value), n in zip(tokens.words, counts, strict=True) if kind == "Program" and n
        )
        meta = {"sounding": sounding, "longest": max(_longest_bar(tokens, song) for song in songs)}
        run.files.write(WEIGHTS, tensors.to_bytes(state, meta))

    @torch.no_grad()
    def continuations(self, run: StageRun[TransformerXLConfig], starts: np.ndarray) -> np.ndarray:
        """Token by token with cached states until all windows are full, as many starts at once as memory allows."""
        config, tokens = run.config, RollTokens(run.config.resolution, run.config.steps)
        state, meta = tensors.from_bytes(run.files.product("train").read(WEIGHTS))
        network = _trained(run, state, tokens)
        grammar = Grammar(tokens, meta["sounding"], meta["longest"], run.device)
        continued = []
        at_once = _rows_at_once(config, run.device)
        for first in range(0, len(starts), at_once):
            prompts = [_prompt(tokens, unpack(start)) for start in starts[first : first + at_once]]
            noise = Noise(run.block, first, len(prompts))
            sequences = _sampled(network, grammar, prompts, noise, config)
            continued += [_windows(tokens, sequence, config) for sequence in sequences]
        return np.stack(continued)

    def own_measures(self, run: StageRun[TransformerXLConfig]) -> dict[str, float]:
        """Perplexity of test songs' tokens, and that of guessing by their counts in training plus one."""
        from musiclab.measures.suite import token_measures

        tokens = RollTokens(run.config.resolution, run.config.steps)
        state, _ = tensors.from_bytes(run.files.product("train").read(WEIGHTS))
        songs = _songs(run, tokens, "reference")
        nats = nats_a_token(_trained(run, state, tokens), songs, run.config, run.device)
        smoothed = state["counts"].numpy() + 1.0
        targets = np.concatenate([song[1:] for song in songs])
        return token_measures(nats, float(-np.log(smoothed / smoothed.sum())[targets].mean()))

    def estimated_seconds(self, config: TransformerXLConfig, windows: int) -> float:
        """Training time from a few steps on random tokens, for as many tokens a beat as music has."""
        vocabulary = 303
        network = made_network(config, vocabulary)
        optimizer = Adam(network.parameters())
        tokens = torch.randint(vocabulary, (config.batch, config.segment + 1)).numpy()
        segment = next(segments(tokens, np.zeros_like(tokens), config.segment, torch.device("cpu")))
        memory = Memory(
            [torch.zeros(config.batch, config.memory, config.d_model)] * config.layers,
            torch.zeros(config.batch, config.memory, dtype=torch.int64),
        )

        def step() -> None:
            optimizer.zero_grad()
            segment_loss(network, segment, memory, config.memory)[0].backward()
            optimizer.step()

        count = windows * config.steps / config.resolution * _TOKENS_A_BEAT
        return seconds_a_step(step) * config.epochs * math.ceil(count / (config.batch * config.segment))


class Noise:
    """Uniform draws of each start from its own stream, so that they do not depend on the number of starts."""

    def __init__(self, block: Block, first: int, count: int) -> None:
        self.generators = [block.torch("sampling", "generate", first + row) for row in range(count)]
        self.drawn, self.used = torch.empty(count, 0), 0

    def next(self) -> torch.Tensor:
        """One draw in [0, 1) for each start, `(count,)`."""
        if self.used == self.drawn.shape[1]:
            self.drawn = torch.stack([torch.rand(_DRAWS, generator=generator) for generator in self.generators])
            self.used = 0
        self.used += 1
        return self.drawn[:, self.used - 1]


def sampled(logits_NV: torch.Tensor, uniform_N: torch.Tensor, config: TransformerXLConfig) -> torch.Tensor:
    """A token a row `(n,)`, drawn from the `top_k` most likely, and of these from the fewest that sum to `top_p`."""
    count = logits_NV.shape[1]
    best, tokens = (logits_NV / config.temperature).topk(min(config.top_k or count, count))
    chance = best.softmax(-1)
    before = chance.cumsum(-1) - chance
    # The most likely token stays whatever `top_p` is, and a token of probability 0 is never drawn.
    chance = chance * ((before < config.top_p) & (chance > 0))
    upto = chance.cumsum(-1)
    place = (upto <= uniform_N[:, None] * upto[:, -1:]).sum(-1)
    last = (chance > 0).sum(-1) - 1  # parallel sums need not ascend, so `place` may point past it
    return tokens.gather(1, torch.minimum(place, last)[:, None])[:, 0]


def _sampled(
    network: Network, grammar: Grammar, prompts: list[np.ndarray], noise: Noise, config: TransformerXLConfig
) -> list[list[int]]:
    """The tokens that continue each prompt until `continuation` windows are full, one token a step for all prompts."""
    device = grammar.kind_V.device
    end = config.steps * (1 + config.continuation)
    logits, states = _primed(network, prompts, config, device)
    at = grammar.after(prompts, config.steps)
    rows = torch.arange(len(prompts))
    sequences: list[list[int]] = [[] for _ in prompts]
    while len(rows):
        token = sampled(logits.masked_fill(~grammar.allowed(at), -math.inf), noise.next()[rows].to(device), config)
        at = grammar.written(at, token)
        for row, number in zip(rows.tolist(), token.tolist(), strict=True):
            sequences[row].append(number)
        going = (grammar.time(at) < end).nonzero()[:, 0]
        if len(going) < len(rows):
            rows, token, at = rows[going.cpu()], token[going], at.rows(going)
            states.keep(going)
        if len(rows):
            logits = network.step(token, states)
    return sequences


def _primed(
    network: Network, prompts: list[np.ndarray], config: TransformerXLConfig, device: torch.device
) -> tuple[torch.Tensor, States]:
    """Logits after the prompts, and the states at their ends. Shorter prompts are filled up on the left."""
    length = max(map(len, prompts))
    tokens = torch.zeros(len(prompts), length, dtype=torch.int64)
    songs = torch.full_like(tokens, NO_SONG)
    for row, prompt in enumerate(prompts):
        tokens[row, length - len(prompt) :], songs[row, length - len(prompt) :] = torch.from_numpy(prompt), 0
    memory = network.no_memory(tokens.to(device))
    for words, numbers in zip(tokens.split(config.segment, 1), songs.split(config.segment, 1), strict=True):
        logits, memory = network(words.to(device), numbers.to(device), memory, config.reach, config.reach)
    return logits[:, -1], States(network, memory, config.reach)


def _prompt(tokens: RollTokens, roll: np.ndarray) -> np.ndarray:
    """The tokens of a start window, with the bar line at its end if there is one."""
    ids = tokens.encode(roll)
    at_bar_line = roll.shape[1] % tokens.bar == 0
    return np.append(ids, tokens.bar_line) if at_bar_line else ids


def _windows(tokens: RollTokens, sequence: list[int], config: TransformerXLConfig) -> np.ndarray:
    """The tokens sampled after a start window as packed windows `(continuation, track, steps, 16)`."""
    silent = [tokens.bar_line] * (config.steps // tokens.bar + 1)
    roll = tokens.decode(np.array(silent + sequence), config.steps * (1 + config.continuation))
    windows = roll.reshape(len(roll), 1 + config.continuation, config.steps, -1).swapaxes(0, 1)
    return pack(windows[1:])


def _rows_at_once(config: TransformerXLConfig, device: torch.device) -> int:
    """How many starts can be continued side by side in the memory allowed for them."""
    states = 2 * config.layers * config.d_model * state_capacity(config.reach)
    scores = 4 * config.heads * config.segment * (config.reach + config.segment)
    return max(1, min(_ROWS, _STATE_BYTES[device.type] // (4 * (states + scores))))


def _songs(run: StageRun[TransformerXLConfig], tokens: RollTokens, part: str) -> list[np.ndarray]:
    """The token sequences of the block's songs of a part; uint16, because all of them are in memory at once."""
    return [tokens.encode(unpack(run.data.song(number))).astype(np.uint16) for number in run.data.songs[part]]


def _longest_bar(tokens: RollTokens, song: np.ndarray) -> int:
    """The most tokens between two bar lines of a song."""
    lines = np.flatnonzero(song == tokens.bar_line)
    return int(np.diff(np.append(lines, len(song))).max()) - 1


def _trained(run: StageRun[TransformerXLConfig], state: dict[str, torch.Tensor], tokens: RollTokens) -> Network:
    network = made_network(run.config, len(tokens))
    network.load_state_dict(tensors.under("network", state))
    return network.to(run.device).eval()
