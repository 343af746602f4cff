"""note_rnn: a GRU that predicts the next note or chord of one instrument; the article's baseline.

Facts (Tham and Kim 2021; their code if the text is silent): a token is a note or a chord of one instrument. The network
is an embedding of 96, a GRU of 96 and a softmax over all tokens; the GRU has 1 layer as written and 2 as coded (there
the softmax reads the states of both). Training: windows of 64 tokens, Adam at 0.002 x 0.99^epoch, the gradient of a
window's summed loss clipped to norm 1; as coded one window a step and 40 epochs. Sampling is multinomial at temperature
1.2. Every note lasts half a quarter note. As the article itself says, the network learns neither lengths nor rests.

Here a token is the set of pitches that start at one step. The sets that are tokens are counted on the training songs.
(miditok has no tokens of this kind: its notes and chords come with positions, lengths and velocities of their own.) A
set that is not among the `vocabulary` most frequent ones is read as its highest note, which is most likely the
melody's. If that is no token either, it is read as "unknown", which the network may read but never writes. Perplexities
are of tokens read in this way. In a binary roll a token that follows an equal one prolongs its notes and does not
repeat them. If the bars of a song do not divide a window (3/4 at the defaults), the steps between windows are missing,
see `BlockWindows.song`.
"""

import copy
import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from musiclab.data.songs import TRACKS
from musiclab.data.windows import PITCH_BYTES, PITCHES, pack, unpack
from musiclab.errors import UserError
from musiclab.systems.base import StageRun, System
from musiclab.systems.config import GENERATE, MEASURE, Config, field
from musiclab.systems.timing import seconds_a_step
from musiclab.training import tensors
from musiclab.training.adam import Adam
from musiclab.training.batches import EVAL_BATCH
from musiclab.training.fit import Learner, fit
from musiclab.training.modules import module_list
from musiclab.training.running_means import RunningMeans
from musiclab.training.sequences import excerpts, padded

WEIGHTS, VOCABULARY = "weights.safetensors", "vocabulary.json"
UNKNOWN = 0
# Whole songs are read this many tokens at a time, and as many songs side by side as have this many scores in all
# (64 MiB), because with a large vocabulary it is the scores that need memory.
_TOKENS_AT_ONCE, _SCORES_AT_ONCE = 64, 2**24


@dataclasses.dataclass(frozen=True)
class NoteRNNConfig(Config):
    """Fields of `note_rnn` by stage; "as written" is the article's text, "as coded" its authors' code."""

    instrument: str = field(
        "Piano", "train", "whose notes are learnt; the others are silent",
        choices=tuple(name for name in TRACKS if name != "Drums"),
    )  # fmt: skip
    vocabulary: int = field(512, "train", "notes and chords that are tokens, at most", low=1, high=100_000)
    layers: int = field(1, "train", "GRU layers: 1 as written, 2 as coded", low=1, high=8)
    hidden: int = field(96, "train", "size of the embedding and of each GRU layer", low=1, high=4096)
    sequence: int = field(64, "train", "tokens a training window", low=2, high=4096)
    epochs: int = field(40, "train", "passes over the training songs", low=1, high=10_000)
    batch: int = field(32, "train", "windows a step; 1 as coded", low=1, high=4096)
    lr: float = field(2e-3, "train", "Adam's learning rate at the first epoch", low=1e-7, high=1)
    lr_decay: float = field(0.99, "train", "its factor an epoch", low=0.1, high=1)
    clip: float = field(1.0, "train", "largest norm of the gradient", low=1e-3, high=1e6)
    keep: str = field(
        "best", "train", "weights of the epoch with the least validation loss, or of the last epoch as coded",
        choices=("best", "last"),
    )  # fmt: skip

    temperature: float = field(1.2, "generate", "of the softmax that is sampled from", low=0.01, high=100)

    def check(self) -> None:
        if self.resolution % 2:
            raise UserError(
                f"resolution must be even, because some notes last half a quarter note; got {self.resolution}."
            )


class Vocabulary:
    """Which sets of pitches are tokens: UNKNOWN (0), then `chords` from the most frequent on, then `start`.

    A set is 16 packed bytes. `counts` says how often each token was read in the training songs; it has no `start`.
    """

    def __init__(self, chords: list[bytes], counts: list[int]) -> None:
        self.chords, self.counts = chords, np.array(counts)
        self.start = len(chords) + 1
        self._tokens = {chord: number for number, chord in enumerate(chords, 1)}

    @classmethod
    def of(cls, songs: list[list[bytes]], size: int) -> "Vocabulary":
        """The `size` most frequent sets of pitches in songs; a song is a list of sets."""
        frequent = sorted(
            Counter(chord for song in songs for chord in song).items(), key=lambda item: (-item[1], item[0])
        )
        uncounted = cls([chord for chord, _ in frequent[:size]], [])
        tokens = np.concatenate([np.zeros(0, np.int64), *(uncounted.read(song)[1:] for song in songs)])
        return cls(uncounted.chords, np.bincount(tokens, minlength=uncounted.start).tolist())

    def read(self, song: Iterable[bytes]) -> np.ndarray:
        """Sets of pitches as tokens `(1 + sets,)` int64; the first is `start`."""
        return np.array([self.start, *map(self._token, song)], np.int64)

    def _token(self, chord: bytes) -> int:
        known = self._tokens.get(chord)
        return self._tokens.get(_highest_note(chord), UNKNOWN) if known is None else known

    def rolls(self, tokens_NT: np.ndarray) -> np.ndarray:
        """Tokens as pitches `(n, tokens, 128)` bool."""
        silence = bytes(PITCH_BYTES)
        table = np.frombuffer(b"".join([silence, *self.chords, silence]), np.uint8).reshape(-1, PITCH_BYTES)
        rolls: np.ndarray = unpack(table)[tokens_NT]
        return rolls

    def unigram_nats(self, tokens: np.ndarray) -> float:
        """Sum of -log p of tokens, with p from their counts in training plus one (add-one smoothing)."""
        p = (self.counts + 1) / (self.counts + 1).sum()
        return float(-np.log(p)[tokens].sum())

    def to_bytes(self) -> bytes:
        """The vocabulary as JSON: the pitches of each chord, and counts."""
        pitches = [np.flatnonzero(roll).tolist() for roll in self.rolls(np.arange(1, self.start))]
        return json.dumps({"chords": pitches, "counts": self.counts.tolist()}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Vocabulary":
        """The vocabulary that `to_bytes` wrote."""
        content = json.loads(data)
        rolls = np.zeros((len(content["chords"]), PITCHES), bool)
        for roll, pitches in zip(rolls, content["chords"], strict=True):
            roll[pitches] = True
        return cls([row.tobytes() for row in pack(rolls)], content["counts"])


def chords_of(packed_T16: np.ndarray) -> list[bytes]:
    """The sets of pitches that start at the steps of one track, `(time, 16)` packed; none for steps without a start."""
    before = np.concatenate([np.zeros((1, PITCH_BYTES), np.uint8), packed_T16[:-1]])
    starting = packed_T16 & ~before
    return [row.tobytes() for row in starting[starting.any(axis=1)]]


def _highest_note(chord: bytes) -> bytes:
    bits = int.from_bytes(chord, "big")
    return (bits & -bits).to_bytes(PITCH_BYTES, "big")  # the highest pitch is in the lowest bit


class NextToken(nn.Module):
    """Tokens `(n, time)` to states `(n, time, layer, hidden)`, and states to scores of the next token."""

    def __init__(self, config: NoteRNNConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary.start + 1, config.hidden)
        # Layer by layer, because the softmax reads the states of all layers at all times.
        self.layers = module_list(nn.GRU(config.hidden, config.hidden, batch_first=True) for _ in range(config.layers))
        self.scores = nn.Linear(config.layers * config.hidden, vocabulary.start)  # `start` never comes next

    def states(self, tokens_NT: torch.Tensor, before_NLH: torch.Tensor | None = None) -> torch.Tensor:
        """States after each token; `before_NLH` are the states before the first token, by default zeros.

        To continue after token t, pass `[:, t]` of the result.
        """
        x = self.embedding(tokens_NT)
        states = []
        for layer, gru in enumerate(self.layers):
            x, _ = gru(x, None if before_NLH is None else before_NLH[None, :, layer].contiguous())
            states.append(x)
        return torch.stack(states, dim=-2)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Scores `(..., tokens)` of what comes next, from states `(..., layer, hidden)`."""
        logits: torch.Tensor = self.scores(states.flatten(-2))
        return logits


class Best(nn.Module):
    """A network's weights after the epoch with the least loss so far; a module, so that checkpoints hold it."""

    loss: torch.Tensor

    def __init__(self, network: NextToken) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        self.register_buffer("loss", torch.tensor(math.inf, dtype=torch.float64))

    def offer(self, network: NextToken, loss: float) -> None:
        """Keep the weights if their loss is the least so far, or if no loss so far was finite."""
        least = self.loss.item()
        if loss < least or not math.isfinite(least):
            self.network.load_state_dict(network.state_dict())
            self.loss.fill_(loss)


class NoteLearner(Learner):
    """The network of one instrument. If the instrument is silent in all training songs, there is no network."""

    def __init__(self, run: StageRun[NoteRNNConfig]) -> None:
        self.run, config = run, run.config
        songs = [_chords(run, number) for number in run.data.songs["train"]]
        self.vocabulary = Vocabulary.of(songs, config.vocabulary)
        self.songs = [self.vocabulary.read(song) for song in songs]
        self.validation = _tokens(run, self.vocabulary, "validation")
        self.network: NextToken | None = None
        self.best: Best | None = None
        self.modules, self.optimizers = {}, {}
        if self.vocabulary.chords:
            with run.block.global_torch("init"):
                self.network = NextToken(config, self.vocabulary)
            self.network.to(run.device)
            self.best = Best(self.network)
            self.modules = {"network": self.network, "best": self.best}
            self.optimizers = {"network": Adam(self.network.parameters(), lr=config.lr)}

    def epoch(self, number: int) -> dict[str, float]:
        if self.network is None or self.best is None:
            return {}
        config, sums, device = self.run.config, RunningMeans(), self.run.device
        network, optimizer = self.network, self.optimizers["network"]
        optimizer.param_groups[0]["lr"] = config.lr * config.lr_decay**number
        cuts = excerpts([len(song) for song in self.songs], config.sequence, 1, self.run.block.torch("data", number))
        for rows in cuts.split(config.batch):
            tokens_NT, lengths = padded([self.songs[song][begin:end] for song, begin, end in rows.tolist()])
            nats_NT, _ = _nats(network, tokens_NT.to(device), lengths.to(device))
            optimizer.zero_grad()
            (nats_NT.sum() / len(rows)).backward()
            nn.utils.clip_grad_norm_(network.parameters(), config.clip)
            optimizer.step()
            targets = int(lengths.sum()) - len(rows)
            sums.add(targets, {"train/nats_a_token": nats_NT.sum() / targets})
        loss = nats_a_token(network, self.validation, device)
        self.best.offer(network, loss)
        # Without validation tokens the loss is NaN and left out. Any other NaN is a divergence, which `fit` must see.
        return sums.means() | ({"val/nats_a_token": loss} if any(len(song) > 1 for song in self.validation) else {})

    def kept(self) -> dict[str, torch.Tensor]:
        """The weights that the trial continues with; none if there is no network."""
        if self.network is None or self.best is None:
            return {}
        network = self.best.network if self.run.config.keep == "best" else self.network
        return network.state_dict()


class NoteRNN(System[NoteRNNConfig]):
    """Next-note GRU; see the module's docstring."""

    name = "note_rnn"
    config = NoteRNNConfig
    stages: ClassVar[dict[str, int]] = {"train": 1, GENERATE: 1, MEASURE: 1}
    conditions = ("start", "noise")
    provides = ("tokens",)
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        # In fewer and larger steps, so that any data set takes minutes only.
        "demo": {
            "vocabulary": 256, "epochs": 12, "lr": 6e-3, "lr_decay": 0.85, "max_train": 1024, "max_eval": 384,
        },
        "article": {"vocabulary": 100_000, "hidden": 96, "sequence": 64, "epochs": 40, "batch": 1},
    }  # fmt: skip
    forms: ClassVar[dict[str, dict[str, Any]]] = {
        "mended": {},
        # As coded if the text gives no such detail.
        "written": {"layers": 1, "keep": "last", "temperature": 1.2},
        "coded": {"layers": 2, "keep": "last", "temperature": 1.2},
    }

    def train(self, stage: str, run: StageRun[NoteRNNConfig]) -> None:
        learner = NoteLearner(run)
        fit(learner, run.config.epochs, run.files, run.after_epoch)
        run.files.write(VOCABULARY, learner.vocabulary.to_bytes())
        run.files.write(WEIGHTS, tensors.to_bytes(learner.kept()))

    def continuations(self, run: StageRun[NoteRNNConfig], starts: np.ndarray) -> np.ndarray:
        """Prime with the tokens of the starts, then sample until the windows are full, all starts at once."""
        config, vocabulary = run.config, _vocabulary(run)
        time, lasting = config.continuation * config.steps, config.resolution // 2
        packed = np.zeros((len(starts), len(TRACKS), time, PITCH_BYTES), np.uint8)
        if vocabulary.chords:
            network, track = _network(run, vocabulary), TRACKS.index(config.instrument)
            noise = run.block.torch("sampling", "generate")
            for at in range(0, len(starts), EVAL_BATCH):
                prompts = [vocabulary.read(chords_of(start[track])) for start in starts[at : at + EVAL_BATCH]]
                # A start lies in the middle of a song, so the token `start` is used for silent starts only.
                prime = [tokens[1:] if len(tokens) > 1 else tokens for tokens in prompts]
                tokens_NT = _sampled(network, prime, math.ceil(time / lasting), config.temperature, noise, run.device)
                rolls_NTP = np.repeat(vocabulary.rolls(tokens_NT), lasting, axis=1)
                packed[at : at + EVAL_BATCH, track] = pack(rolls_NTP[:, :time])
        windows = packed.reshape(len(starts), len(TRACKS), config.continuation, config.steps, PITCH_BYTES)
        return windows.swapaxes(1, 2)

    def own_measures(self, run: StageRun[NoteRNNConfig]) -> dict[str, float]:
        """Perplexity of the test songs' tokens, each song read from its start, and that of the unigram model."""
        from musiclab.measures.suite import token_measures

        vocabulary = _vocabulary(run)
        songs = _tokens(run, vocabulary, "reference")
        tokens = np.concatenate([np.zeros(0, np.int64), *(song[1:] for song in songs)])
        if not vocabulary.chords or not len(tokens):
            return token_measures(math.nan, math.nan)
        nats = nats_a_token(_network(run, vocabulary), songs, run.device)
        return token_measures(nats, vocabulary.unigram_nats(tokens) / len(tokens))

    def estimated_seconds(self, config: NoteRNNConfig, windows: int) -> float:
        """From a few steps on noise with a full vocabulary, as if a token started at every beat (LPD-5 has fewer)."""
        tokens_NT = torch.randint(config.vocabulary, (config.batch, config.sequence + 1))
        lengths = torch.full((config.batch,), config.sequence + 1)
        network = NextToken(config, Vocabulary([bytes(PITCH_BYTES)] * config.vocabulary, []))
        optimizer = Adam(network.parameters())

        def step() -> None:
            optimizer.zero_grad()
            _nats(network, tokens_NT, lengths)[0].sum().backward()
            optimizer.step()

        tokens = windows * config.steps / config.resolution
        return seconds_a_step(step) * config.epochs * math.ceil(tokens / (config.sequence * config.batch))


def _nats(
    network: NextToken, tokens_NT: torch.Tensor, lengths_N: torch.Tensor, before_NLH: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """-log p of all tokens but the first, `(n, time - 1)`, 0 after a song's end; and the states to continue from."""
    states = network.states(tokens_NT[:, :-1], before_NLH)
    nats_NT = F.cross_entropy(network.logits(states).transpose(1, 2), tokens_NT[:, 1:], reduction="none")
    places = torch.arange(1, tokens_NT.shape[1], device=tokens_NT.device)
    return nats_NT * (places < lengths_N[:, None]), states[:, -1]


@torch.no_grad()
def nats_a_token(network: NextToken, songs: list[np.ndarray], device: torch.device) -> float:
    """Mean -log p of the tokens of whole songs, each read from its start; NaN if there are no tokens."""
    total, count = 0.0, sum(len(song) - 1 for song in songs)
    at_once = max(1, min(EVAL_BATCH, _SCORES_AT_ONCE // (_TOKENS_AT_ONCE * network.scores.out_features)))
    for at in range(0, len(songs), at_once):
        tokens_NT, lengths_N = (tensor.to(device) for tensor in padded(songs[at : at + at_once]))
        states = None
        for begin in range(0, tokens_NT.shape[1] - 1, _TOKENS_AT_ONCE):
            excerpt_NT = tokens_NT[:, begin : begin + _TOKENS_AT_ONCE + 1]
            nats_NT, states = _nats(network, excerpt_NT, lengths_N - begin, states)
            total += float(nats_NT.double().sum())
    return total / count if count else math.nan


@torch.no_grad()
def _sampled(
    network: NextToken,
    prime: list[np.ndarray],
    count: int,
    temperature: float,
    noise: torch.Generator,
    device: torch.device,
) -> np.ndarray:
    """`count` tokens after each sequence of `prime`: `(n, count)`."""
    tokens_NT, lengths_N = (tensor.to(device) for tensor in padded(prime))
    states = network.states(tokens_NT)[torch.arange(len(prime), device=device), lengths_N - 1]
    tokens: list[torch.Tensor] = []
    for _ in range(count):
        logits = network.logits(states) / temperature
        logits[:, UNKNOWN] = -math.inf
        # Drawn on the CPU, so that a trial on a GPU has the same draws.
        tokens.append(torch.multinomial(logits.softmax(dim=1).cpu(), 1, generator=noise))
        states = network.states(tokens[-1].to(device), states)[:, -1]
    return torch.cat(tokens, dim=1).numpy()


def _chords(run: StageRun[NoteRNNConfig], song: int) -> list[bytes]:
    return chords_of(run.data.song(song)[TRACKS.index(run.config.instrument)])


def _tokens(run: StageRun[NoteRNNConfig], vocabulary: Vocabulary, part: str) -> list[np.ndarray]:
    """The tokens of the block's songs of a part: `train`, `validation` or `reference`."""
    return [vocabulary.read(_chords(run, number)) for number in run.data.songs[part]]


def _vocabulary(run: StageRun[NoteRNNConfig]) -> Vocabulary:
    return Vocabulary.from_bytes(run.files.product("train").read(VOCABULARY))


def _network(run: StageRun[NoteRNNConfig], vocabulary: Vocabulary) -> NextToken:
    network = NextToken(run.config, vocabulary)
    network.load_state_dict(tensors.from_bytes(run.files.product("train").read(WEIGHTS))[0])
    return network.to(run.device)
