"""How the network of `transformer_xl` learns: streams of songs, read segment by segment, and its nats."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from musiclab.errors import UserError
from musiclab.systems.base import StageRun
from musiclab.systems.progress import song_windows
from musiclab.systems.transformer_xl.config import TransformerXLConfig
from musiclab.systems.transformer_xl.network import NO_SONG, Memory, Network
from musiclab.training.adam import Adam
from musiclab.training.epoch import Epoch
from musiclab.training.fit import Learner
from musiclab.training.schedule import warm_cosine

_CLIP = 0.25
_EVAL_SONGS = 16


class TokenLearner(Learner):
    """The network, trained on streams of token sequences, one sequence a song."""

    def __init__(
        self, run: StageRun[TransformerXLConfig], songs: list[np.ndarray], validation: list[np.ndarray], vocabulary: int
    ) -> None:
        self.run, self.songs, self.validation = run, songs, validation
        with run.block.global_torch("init", "train"):
            network = made_network(run.config, vocabulary)
        self.network = network.to(run.device)
        self.modules = {"network": self.network}
        self.optimizers = {"network": Adam(self.network.parameters(), lr=run.config.lr)}
        # The length of streams does not depend on the order of songs, so all epochs have equally many steps.
        size = sum(map(len, songs))
        self.streams = max(1, min(run.config.batch, size // (run.config.segment + 1)))
        self.steps = max(1, math.ceil((-(-size // self.streams) - 1) / run.config.segment))

    def epoch(self, epoch: Epoch) -> dict[str, float]:
        """Every stream is read from its beginning, without memory before it."""
        run, config = self.run, self.run.config
        order = torch.randperm(len(self.songs), generator=run.block.torch("data", "train", epoch.number)).tolist()
        tokens, songs = streams([self.songs[place] for place in order], self.streams)
        memory = _restored(epoch.carried, run.device)
        self.network.train()
        with run.block.global_torch("dropout", "train", epoch.number) as dropout:
            epoch.drawn_from(*dropout)
            for step, segment in epoch.steps(segments(tokens, songs, config.segment, run.device), self.steps):
                rate = warm_cosine(config.lr, step, self.steps * config.epochs)
                self.optimizers["network"].param_groups[0]["lr"] = rate
                loss, count, memory = segment_loss(self.network, segment, memory, config.memory)
                self.optimizers["network"].zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
                self.optimizers["network"].step()
                epoch.sums.add(1, {"loss": loss * count, "count": count})
                epoch.carried = _carried(memory)
        means = epoch.sums.means()
        if not means.get("count"):
            raise UserError("The training songs have no token after another to learn from; take more songs or bars.")
        mean = means["loss"] / means["count"]
        return {"train/loss": mean, "val/loss": nats_a_token(self.network, self.validation, config, run.device)}

    def progress(self) -> float:
        """Nats a validation window."""
        tokens = sum(len(song) - 1 for song in self.validation)
        nats = nats_a_token(self.network, self.validation, self.run.config, self.run.device)
        return nats * tokens / song_windows(self.run)


def _carried(memory: Memory) -> dict[str, torch.Tensor]:
    return {str(layer): inputs for layer, inputs in enumerate(memory.inputs)} | {"songs": memory.songs}


def _restored(carried: dict[str, torch.Tensor], device: torch.device) -> Memory | None:
    """The memory of which `_carried` returned this; None if it is empty."""
    if not carried:
        return None
    inputs = [carried[str(layer)].to(device) for layer in range(len(carried) - 1)]
    return Memory(inputs, carried["songs"].to(device))


def streams(songs: list[np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray]:
    """The songs end to end, cut into `count` equal streams `(count, time)`: tokens uint16, song numbers int32.

    The last stream is filled up with tokens of no song.
    """
    time = -(-sum(map(len, songs)) // count)
    tokens, numbers = np.zeros(count * time, np.uint16), np.full(count * time, NO_SONG, np.int32)
    at = 0
    for number, song in enumerate(songs):
        tokens[at : at + len(song)], numbers[at : at + len(song)] = song, number
        at += len(song)
    return tokens.reshape(count, time), numbers.reshape(count, time)


class Segment(NamedTuple):
    """A segment of streams, all `(streams, time)`.

    Attributes:
        tokens: int64.
        songs: int64, the songs of the tokens.
        following: int64, the tokens to predict.
        same_song: bool, whether a token to predict is of the same song as the token before it.
    """

    tokens: torch.Tensor
    songs: torch.Tensor
    following: torch.Tensor
    same_song: torch.Tensor


def segments(tokens: np.ndarray, songs: np.ndarray, length: int, device: torch.device) -> Iterator[Segment]:
    """Consecutive segments of `streams`. Only one segment at a time is int64 and on the device."""
    for at in range(0, tokens.shape[1] - 1, length):
        words, numbers = (
            torch.from_numpy(stream[:, at : at + length + 1].astype(np.int64)).to(device) for stream in (tokens, songs)
        )
        same_song = (numbers[:, :-1] == numbers[:, 1:]) & (numbers[:, :-1] != NO_SONG)
        yield Segment(words[:, :-1], numbers[:, :-1], words[:, 1:], same_song)


def segment_loss(
    network: Network, segment: Segment, memory: Memory | None, keep: int, reach: int | None = None
) -> tuple[torch.Tensor, torch.Tensor, Memory]:
    """Mean nats over the tokens with `same_song`, the number of these tokens, and the memory after the segment."""
    logits, after = network(segment.tokens, segment.songs, memory, keep, reach)
    nats = F.cross_entropy(logits.flatten(0, 1), segment.following.flatten(), reduction="none")
    count = segment.same_song.sum()
    return (nats * segment.same_song.flatten()).sum() / count.clamp(min=1), count, after


@torch.no_grad()
def nats_a_token(network: Network, songs: list[np.ndarray], config: TransformerXLConfig, device: torch.device) -> float:
    """Mean nats of every token except a song's first, given the `reach` tokens before it; NaN without tokens."""
    total, token_count = 0.0, 0
    network.eval()
    by_length = sorted(songs, key=len, reverse=True)
    for first in range(0, len(songs), _EVAL_SONGS):
        batch = by_length[first : first + _EVAL_SONGS]
        tokens = np.zeros((len(batch), len(batch[0])), np.uint16)
        numbers = np.full(tokens.shape, NO_SONG, np.int32)
        memory: Memory | None = None
        for row, song in enumerate(batch):
            tokens[row, : len(song)], numbers[row, : len(song)] = song, row
        for segment in segments(tokens, numbers, config.segment, device):
            loss, count, memory = segment_loss(network, segment, memory, config.reach, config.reach)
            total, token_count = total + float(loss) * int(count), token_count + int(count)
    return total / token_count if token_count else math.nan


def made_network(config: TransformerXLConfig, vocabulary: int) -> Network:
    """The network of a config, as it is at first."""
    return Network(vocabulary, config.d_model, config.layers, config.heads, config.dropout)
