"""How the network of `note_rnn` learns: epoch by epoch, with the weights of the best epoch kept beside it."""

import copy
import math

import numpy as np
import torch
from torch import nn

from musiclab.data.songs import TRACKS
from musiclab.systems.base import StageRun
from musiclab.systems.note_rnn.config import NoteRNNConfig
from musiclab.systems.note_rnn.network import NextToken, nats_a_token, token_nats
from musiclab.systems.note_rnn.vocabulary import Vocabulary, pitch_sets, reading_nats
from musiclab.systems.progress import song_windows
from musiclab.training.adam import Adam
from musiclab.training.epoch import Epoch
from musiclab.training.fit import Learner
from musiclab.training.schedule import warm_cosine
from musiclab.training.sequences import excerpts, padded


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
    """The network of one instrument. If its training songs have no tokens, there is no network.

    As onsets, a silent instrument has none; as steps, its only token is the rest.
    """

    def __init__(self, run: StageRun[NoteRNNConfig]) -> None:
        self.run, config = run, run.config
        songs = _sets_of(run, "train")
        self.vocabulary = Vocabulary.of(songs, config.vocabulary, config.tokens)
        self.songs = [self.vocabulary.read(song) for song in songs]
        self.validation = tokens_of(run, self.vocabulary, "validation")
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

    def epoch(self, epoch: Epoch) -> dict[str, float]:
        if self.network is None or self.best is None:
            return {}
        config, device = self.run.config, self.run.device
        network, optimizer = self.network, self.optimizers["network"]
        order = self.run.block.torch("data", epoch.number)
        batches = excerpts([len(song) for song in self.songs], config.sequence, 1, order).split(config.batch)
        for step, rows in epoch.steps(batches, len(batches)):
            optimizer.param_groups[0]["lr"] = self._rate(epoch.number, step, len(batches))
            tokens_NT, lengths = padded([self.songs[song][begin:end] for song, begin, end in rows.tolist()])
            nats_NT, _ = token_nats(network, tokens_NT.to(device), lengths.to(device))
            optimizer.zero_grad()
            (nats_NT.sum() / len(rows)).backward()
            nn.utils.clip_grad_norm_(network.parameters(), config.clip)
            optimizer.step()
            targets = int(lengths.sum()) - len(rows)
            epoch.sums.add(targets, {"train/nats_a_token": nats_NT.sum() / targets})
        loss = nats_a_token(network, self.validation, device)
        self.best.offer(network, loss)
        # Without validation tokens the loss is NaN and left out. Any other NaN is a divergence, which `fit` must see.
        val = {"val/nats_a_token": loss} if any(len(song) > 1 for song in self.validation) else {}
        return epoch.sums.means() | val

    def _rate(self, epoch: int, step: int, steps: int) -> float:
        """The learning rate at a step of all epochs, of so many each. Other epochs may have a few more or fewer."""
        config = self.run.config
        if config.schedule == "cosine":
            return warm_cosine(config.lr, step, steps * config.epochs)
        return config.lr * config.lr_decay**epoch

    def progress(self) -> float:
        """Nats a validation window: of its tokens, and of telling the sets that were read as others.

        Without the second part a small vocabulary would look good, because it reads most of the music as the same
        tokens. Onsets say less than steps, so of configs that differ in `tokens` it compares apples and oranges.
        """
        if self.network is None:
            return math.nan
        tokens = sum(len(song) - 1 for song in self.validation)
        told = reading_nats(self.vocabulary, _sets_of(self.run, "train"), _sets_of(self.run, "validation"))
        return (nats_a_token(self.network, self.validation, self.run.device) * tokens + told) / song_windows(self.run)

    def kept(self) -> dict[str, torch.Tensor]:
        """The weights that the trial continues with; none if there is no network."""
        if self.network is None or self.best is None:
            return {}
        network = self.best.network if self.run.config.keep == "best" else self.network
        return network.state_dict()


def tokens_of(run: StageRun[NoteRNNConfig], vocabulary: Vocabulary, part: str) -> list[np.ndarray]:
    """The tokens of the block's songs of a part: `train`, `validation` or `reference`."""
    return [vocabulary.read(song) for song in _sets_of(run, part)]


def _sets_of(run: StageRun[NoteRNNConfig], part: str) -> list[list[bytes]]:
    track = TRACKS.index(run.config.instrument)
    return [pitch_sets(run.data.song(number)[track], run.config.tokens) for number in run.data.songs[part]]
