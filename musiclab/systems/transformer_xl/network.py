"""Transformer-XL's network (Dai et al. 2019): attention by distance, memory of the tokens before a segment, states.

As in MusicAutobot, the feed-forward is four times as wide as the layers, with GELU, and input and output share their
embedding. Layer norm comes before each block (in MusicAutobot after it), which needs no long warm-up.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from musiclab.training.modules import module_list

# The number of no song: that of the tokens that fill up a shorter row.
NO_SONG = -1


@dataclass(frozen=True)
class Memory:
    """What is kept of the tokens before a segment: each layer's inputs `(n, time, d)`, and their songs `(n, time)`."""

    inputs: list[torch.Tensor]
    songs: torch.Tensor


class RelativeAttention(nn.Module):
    """Multi-head attention whose scores are (q + u) k + (q + v) R(distance), Dai et al.'s four terms."""

    def __init__(self, d_model: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.drop = heads, nn.Dropout(dropout)
        self.query, self.position, self.out = (nn.Linear(d_model, d_model, bias=False) for _ in range(3))
        self.key_value = nn.Linear(d_model, 2 * d_model, bias=False)
        self.u, self.v = (nn.Parameter(torch.empty(heads, 1, d_model // heads)) for _ in range(2))

    def keys_values(self, x_NSD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values, each `(n, head, time, d/heads)`."""
        keys, values = self.key_value(x_NSD).chunk(2, dim=-1)
        return self._by_head(keys), self._by_head(values)

    def places(self, r_SD: torch.Tensor) -> torch.Tensor:
        """Sinusoids of distances as this layer's keys `(head, distance, d/heads)`."""
        return self._by_head(self.position(r_SD)[None])[0]

    def forward(
        self,
        x_NTD: torch.Tensor,
        k_NHSE: torch.Tensor,
        v_NHSE: torch.Tensor,
        places_HSE: torch.Tensor,
        unseen: torch.Tensor,
    ) -> torch.Tensor:
        """What each token of `x` `(n, time, d)` takes from the S keys; `unseen` is that of `unseen_keys`."""
        q_NHTE = self._by_head(self.query(x_NTD))
        scale = q_NHTE.shape[-1] ** -0.5
        content = (q_NHTE + self.u) * scale @ k_NHSE.transpose(-1, -2)
        place = by_distance((q_NHTE + self.v) * scale @ places_HSE.transpose(-1, -2))
        weights = self.drop((content + place + unseen).softmax(-1))
        attended_NTD: torch.Tensor = self.out((weights @ v_NHSE).transpose(1, 2).flatten(2))
        return attended_NTD

    def _by_head(self, x_NTD: torch.Tensor) -> torch.Tensor:
        x_NTHE: torch.Tensor = x_NTD.unflatten(-1, (self.heads, -1))
        return x_NTHE.transpose(1, 2)


def by_distance(scores: torch.Tensor) -> torch.Tensor:
    """Scores `(n, head, T, S)` by distance, the farthest first, shifted so that column s of row t is of key s.

    Row t's own key is column S - T + t. Columns after it hold other rows' scores and must be masked.
    """
    n, heads, rows, columns = scores.shape
    return F.pad(scores, (1, 0)).view(n, heads, columns + 1, rows)[:, :, 1:].reshape(n, heads, rows, columns)


@functools.lru_cache(maxsize=8)  # nearly all segments of a training have the same
def sinusoids(count: int, d_model: int, device: torch.device) -> torch.Tensor:
    """Sines and cosines of the distances count - 1 down to 0, `(count, d)`."""
    distance = torch.arange(count - 1, -1, -1, device=device, dtype=torch.float32)
    rates = 10_000 ** (-torch.arange(0, d_model, 2, device=device, dtype=torch.float32) / d_model)
    angles = distance[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Layer(nn.Module):
    """Attention and feed-forward, each after a layer norm and added to its input."""

    def __init__(self, d: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(d), RelativeAttention(d, heads, dropout)
        self.drop = nn.Dropout(dropout)
        self.feed = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x_NTD: torch.Tensor, *attended: torch.Tensor) -> torch.Tensor:
        x_NTD = x_NTD + self.drop(self.attention(self.norm(x_NTD), *attended))
        result: torch.Tensor = x_NTD + self.drop(self.feed(x_NTD))
        return result


class Network(nn.Module):
    """Transformer-XL: from tokens to logits of the next, in segments with memory or one by one with states."""

    def __init__(self, vocabulary: int, d_model: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.d_model = d_model
        self.embedding, self.drop = nn.Embedding(vocabulary, d_model), nn.Dropout(dropout)
        self.layers = module_list(Layer(d_model, heads, dropout) for _ in range(layers))
        self.norm, self.bias = nn.LayerNorm(d_model), nn.Parameter(torch.zeros(vocabulary))
        for name, parameter in self.named_parameters():
            if "norm" not in name and parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(
        self,
        tokens_NT: torch.Tensor,
        songs_NT: torch.Tensor,
        memory: Memory | None = None,
        keep: int = 0,
        reach: int | None = None,
    ) -> tuple[torch.Tensor, Memory]:
        """Logits `(n, time, vocabulary)` of each next token, and the memory of the last `keep` tokens.

        A token sees the tokens of its own song in the memory and in the segment up to itself; with `reach`, only that
        far back.
        """
        memory = memory or self.no_memory(tokens_NT)
        songs_NS = torch.cat([memory.songs, songs_NT], dim=1)
        unseen = unseen_keys(songs_NS, songs_NT, reach)
        r_SD = sinusoids(songs_NS.shape[1], self.d_model, tokens_NT.device)
        x_NTD = self._embedded(tokens_NT)
        inputs: list[torch.Tensor] = []
        for layer, before in zip(self.layers, memory.inputs, strict=True):
            context = torch.cat([before, x_NTD], dim=1)
            inputs.append(_last(context, keep).detach())
            keys_values = layer.attention.keys_values(layer.norm(context))
            x_NTD = layer(x_NTD, *keys_values, layer.attention.places(r_SD), unseen)
        return self._logits(x_NTD), Memory(inputs, _last(songs_NS, keep))

    def step(self, token_N: torch.Tensor, states: "States") -> torch.Tensor:
        """Logits `(n, vocabulary)` after one more token each, whose keys and values join the states."""
        x_N1D, at = self._embedded(token_N[:, None]), states.opened()
        for number, layer in enumerate(self.layers):
            states.put(number, *layer.attention.keys_values(layer.norm(x_N1D)))
            x_N1D = layer(x_N1D, *states.seen(number), states.places[number][:, -at:], states.unseen)
        return self._logits(x_N1D)[:, 0]

    def _embedded(self, tokens_NT: torch.Tensor) -> torch.Tensor:
        x_NTD: torch.Tensor = self.drop(self.embedding(tokens_NT) * self.d_model**0.5)
        return x_NTD

    def _logits(self, x_NTD: torch.Tensor) -> torch.Tensor:
        return F.linear(self.norm(x_NTD), self.embedding.weight, self.bias)

    def no_memory(self, tokens_NT: torch.Tensor) -> Memory:
        """The memory at the beginning of `tokens_NT` `(n, time)`: that of no tokens."""
        n, device = len(tokens_NT), tokens_NT.device
        return Memory(
            [torch.zeros(n, 0, self.d_model, device=device)] * len(self.layers),
            torch.zeros(n, 0, dtype=torch.int64, device=device),
        )


def unseen_keys(songs_NS: torch.Tensor, songs_NT: torch.Tensor, reach: int | None) -> torch.Tensor:
    """`(n, 1, T, S)`: 0 if a token (of the last T of S) sees a key, else -inf.

    A token sees the keys of its own song up to itself; with `reach`, only that far back.
    """
    count = songs_NS.shape[1]
    place = torch.arange(count, device=songs_NS.device)
    distance_TS = place[count - songs_NT.shape[1] :, None] - place
    near = (distance_TS >= 0) & (distance_TS <= (count if reach is None else reach))
    return _minus_infinity((songs_NT[:, :, None] == songs_NS[:, None, :]) & near)[:, None]


def _minus_infinity(seen: torch.Tensor) -> torch.Tensor:
    return torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, -math.inf)


def _last(x: torch.Tensor, keep: int) -> torch.Tensor:
    return x[:, max(0, x.shape[1] - keep) :]


class States:
    """Each layer's keys and values of the last `reach` tokens, to which `Network.step` adds one at a time.

    The buffers are somewhat longer than that. When a buffer is full, the last `reach` tokens are moved to its
    beginning, so that a step hardly copies anything.
    """

    def __init__(self, network: Network, memory: Memory, reach: int) -> None:
        self.reach, self.end = reach, memory.songs.shape[1]
        n, device, capacity = len(memory.songs), memory.songs.device, state_capacity(reach)
        self.valid = torch.zeros(n, capacity, dtype=torch.bool, device=device)
        self.valid[:, : self.end] = memory.songs != NO_SONG
        r_SD = sinusoids(reach + 1, network.d_model, device)
        self.places: list[torch.Tensor] = []
        self.buffers: list[list[torch.Tensor]] = []
        for layer, inputs in zip(network.layers, memory.inputs, strict=True):
            self.places.append(layer.attention.places(r_SD))
            heads, width = layer.attention.heads, network.d_model // layer.attention.heads
            pair = [torch.zeros(n, heads, capacity, width, device=device) for _ in range(2)]
            for buffer, values in zip(pair, layer.attention.keys_values(layer.norm(inputs)), strict=True):
                buffer[:, :, : self.end] = values
            self.buffers.append(pair)

    def opened(self) -> int:
        """Make room for one more token. Returns how many tokens it will see, including itself."""
        if self.end == self.valid.shape[1]:
            for buffer in (self.valid[:, None, :, None], *(buffer for pair in self.buffers for buffer in pair)):
                buffer[:, :, : self.reach] = buffer[:, :, self.end - self.reach :].clone()
            self.end = self.reach
        self.end += 1
        self.valid[:, self.end - 1] = True
        return self.end - self._first

    def put(self, layer: int, *keys_values: torch.Tensor) -> None:
        """Store the opened token's key and value at a layer, `(n, head, 1, d/heads)` each."""
        for buffer, values in zip(self.buffers[layer], keys_values, strict=True):
            buffer[:, :, self.end - 1 : self.end] = values

    def seen(self, layer: int) -> list[torch.Tensor]:
        """A layer's keys and values that the opened token sees."""
        return [buffer[:, :, self._first : self.end] for buffer in self.buffers[layer]]

    @property
    def unseen(self) -> torch.Tensor:
        """`(n, 1, 1, S)`: 0 if the opened token sees a key, -inf if the key only fills up a shorter prompt."""
        return _minus_infinity(self.valid[:, None, None, self._first : self.end])

    def keep(self, index: torch.Tensor) -> None:
        """Keep only the rows at `index`."""
        self.valid = self.valid[index]
        self.buffers = [[buffer[index] for buffer in pair] for pair in self.buffers]

    @property
    def _first(self) -> int:
        return max(0, self.end - self.reach - 1)


def state_capacity(reach: int) -> int:
    """How many tokens the buffers of `States` hold."""
    return reach + 1 + max(64, reach // 4)
