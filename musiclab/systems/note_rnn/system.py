"""note_rnn: a GRU that predicts the next note or chord of one instrument; the article's baseline.

Facts (Tham and Kim 2021; their code if the text is silent): a token is a note or a chord of one instrument. The network
is an embedding of 96, a GRU of 96 and a softmax over all tokens; the GRU has 1 layer as written and 2 as coded (there
the softmax reads the states of both). Training: windows of 64 tokens, Adam at 0.002 x 0.99^epoch, the gradient of a
window's summed loss clipped to norm 1; as coded one window a step and 40 epochs. Sampling is multinomial at temperature
1.2. Every note lasts half a quarter note. As the article itself says, the network learns neither lengths nor rests.

Here a token is the set of pitches that start at one step. With `tokens=steps`, as in the mended form, it is the set of
pitches that sound at a step, also the empty set, and it lasts one step. So lengths and rests are learnt like notes. The
sets that are tokens are counted on the training songs. (miditok has no tokens of this kind: its notes and chords come
with positions, lengths and velocities of their own.) A set that is not among the `vocabulary` most frequent ones is
read as its highest note, which is most likely the melody's. With a token a step it is read as the largest token in it
instead, so that held notes go on. If there is none, it is read as "unknown", which the network may read but never
writes. Perplexities are of tokens read in this way, so those of onsets and of steps do not compare. In a binary roll a
token that follows an equal one prolongs its notes and does not repeat them. If the bars of a song do not divide a
window (3/4 at the defaults), the steps between windows are missing, see `BlockWindows.song`.
"""

import math
from typing import Any, ClassVar

import numpy as np
import torch

from musiclab.data.songs import TRACKS
from musiclab.data.windows import PITCH_BYTES, pack
from musiclab.systems.base import Progress, StageRun, System
from musiclab.systems.config import GENERATE, MEASURE
from musiclab.systems.note_rnn.config import STEPS, NoteRNNConfig
from musiclab.systems.note_rnn.learner import NoteLearner, tokens_of
from musiclab.systems.note_rnn.network import NextToken, nats_a_token, sampled, token_nats
from musiclab.systems.note_rnn.vocabulary import Vocabulary, pitch_sets
from musiclab.systems.timing import seconds_a_step
from musiclab.training import tensors
from musiclab.training.adam import Adam
from musiclab.training.batches import EVAL_BATCH
from musiclab.training.fit import fit

WEIGHTS, VOCABULARY = "weights.safetensors", "vocabulary.json"


class NoteRNN(System[NoteRNNConfig]):
    """Next-note GRU; see the module's docstring."""

    name = "note_rnn"
    config = NoteRNNConfig
    packed = True
    stages: ClassVar[dict[str, int]] = {"train": 2, GENERATE: 1, MEASURE: 2}
    conditions = ("start", "noise")
    provides = ("tokens",)
    progress = Progress("train", "nats a validation window", "lower", unlike=("tokens",))
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        # In fewer and larger steps, so that any data set takes minutes only.
        "demo": {
            "vocabulary": 192, "epochs": 12, "lr": 8e-3, "lr_decay": 0.85, "max_train": 1024, "max_eval": 384,
        },
        "article": {"vocabulary": 100_000, "hidden": 96, "sequence": 64, "epochs": 40, "batch": 1},
    }  # fmt: skip
    forms: ClassVar[dict[str, dict[str, Any]]] = {
        "mended": {"tokens": "steps", "schedule": "cosine", "keep": "best", "temperature": 1.0},
        # As coded if the text gives no such detail.
        "written": {"tokens": "onsets", "layers": 1, "schedule": "decay", "keep": "last", "temperature": 1.2},
        "coded": {"tokens": "onsets", "layers": 2, "schedule": "decay", "keep": "last", "temperature": 1.2},
    }

    def train(self, stage: str, run: StageRun[NoteRNNConfig]) -> None:
        learner = NoteLearner(run)
        fit(learner, run.config.epochs, run.files, run.after_epoch, run.rungs, run.at_rung)
        run.files.write(VOCABULARY, learner.vocabulary.to_bytes())
        run.files.write(WEIGHTS, tensors.to_bytes(learner.kept()))

    def continuations(self, run: StageRun[NoteRNNConfig], starts: np.ndarray) -> np.ndarray:
        """Prime with the tokens of the starts, then sample until the windows are full, all starts at once."""
        config, vocabulary = run.config, _vocabulary(run)
        time, lasting = config.continuation * config.steps, config.token_steps
        packed = np.zeros((len(starts), len(TRACKS), time, PITCH_BYTES), np.uint8)
        if vocabulary.chords:
            network, track = _network(run, vocabulary), TRACKS.index(config.instrument)
            noise = run.block.torch("sampling", "generate")
            for at in range(0, len(starts), EVAL_BATCH):
                prompt_sets = [pitch_sets(start[track], config.tokens) for start in starts[at : at + EVAL_BATCH]]
                prompts = [vocabulary.read(sets) for sets in prompt_sets]
                # A start lies in the middle of a song, so the token `start` is used for silent starts only.
                prime = [tokens[1:] if len(tokens) > 1 else tokens for tokens in prompts]
                tokens_NT = sampled(network, prime, math.ceil(time / lasting), config.temperature, noise, run.device)
                rolls_NTP = np.repeat(vocabulary.rolls(tokens_NT), lasting, axis=1)
                packed[at : at + EVAL_BATCH, track] = pack(rolls_NTP[:, :time])
        windows = packed.reshape(len(starts), len(TRACKS), config.continuation, config.steps, PITCH_BYTES)
        return windows.swapaxes(1, 2)

    def own_measures(self, run: StageRun[NoteRNNConfig]) -> dict[str, float]:
        """Perplexity of the test songs' tokens, each song read from its start, and that of the unigram model."""
        from musiclab.measures.suite import token_measures

        vocabulary = _vocabulary(run)
        songs = tokens_of(run, vocabulary, "reference")
        tokens = np.concatenate([np.zeros(0, np.int64), *(song[1:] for song in songs)])
        if not vocabulary.chords or not len(tokens):
            return token_measures(math.nan, math.nan)
        nats = nats_a_token(_network(run, vocabulary), songs, run.device)
        return token_measures(nats, vocabulary.unigram_nats(tokens) / len(tokens))

    def estimated_seconds(self, config: NoteRNNConfig, windows: int) -> float:
        """From a few steps on noise with a full vocabulary, and a token a step or, if tokens are onsets, a beat."""
        tokens_NT = torch.randint(config.vocabulary, (config.batch, config.sequence + 1))
        lengths = torch.full((config.batch,), config.sequence + 1)
        network = NextToken(config, Vocabulary([bytes(PITCH_BYTES)] * config.vocabulary, []))
        optimizer = Adam(network.parameters())

        def step() -> None:
            optimizer.zero_grad()
            token_nats(network, tokens_NT, lengths)[0].sum().backward()
            optimizer.step()

        tokens = windows * config.steps / (1 if config.tokens == STEPS else config.resolution)
        return seconds_a_step(step) * config.epochs * math.ceil(tokens / (config.sequence * config.batch))


def _vocabulary(run: StageRun[NoteRNNConfig]) -> Vocabulary:
    return Vocabulary.from_bytes(run.files.product("train").read(VOCABULARY), run.config.tokens)


def _network(run: StageRun[NoteRNNConfig], vocabulary: Vocabulary) -> NextToken:
    network = NextToken(run.config, vocabulary)
    network.load_state_dict(tensors.from_bytes(run.files.product("train").read(WEIGHTS))[0])
    return network.to(run.device)
