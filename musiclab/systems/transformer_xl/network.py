"""Transformer-XL's network (Dai et al. 2019): attention by distance, memory of the tokens before a segment, states.

The feed-forward is four times as wide as the layers, with GELU, and input and output share their embedding, as in
MusicAutobot; layer norm comes before each block (after it in theirs), which needs no long warm-up.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

# The song of what is no token but fills a shorter row up.
NO_SONG = -1


@dataclass(frozen=True)
class Memory:
    """What the tokens before a segment left: each layer's inputs `(n, time, d)`, and their songs `(n, time)`."""

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
        return tuple(self._by_head(part) for part in self.key_value(x_NSD).chunk(2, dim=-1))

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
        """What each token of `x` `(n, time, d)` takes from the S keys it sees; `unseen` as of `unseen_keys`."""
        q_NHTE = self._by_head(self.query(x_NTD))
        scale = q_NHTE.shape[-1] ** -0.5
        content = (q_NHTE + self.u) * scale @ k_NHSE.transpose(-1, -2)
        place = by_distance((q_NHTE + self.v) * scale @ places_HSE.transpose(-1, -2))
        weights = self.drop((content + place + unseen).softmax(-1))
        return self.out((weights @ v_NHSE).transpose(1, 2).flatten(2))

    def _by_head(self, x_NTD: torch.Tensor) -> torch.Tensor:
        return x_NTD.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def by_distance(scores: torch.Tensor) -> torch.Tensor:
    """Scores `(n, head, T, S)` of places, the farthest first, moved so that column s of row t is of that distance.

    Row t's own key is column S - T + t. Columns after it hold other rows' scores and are not to be seen.
    """
    n, heads, rows, columns = scores.shape
    return F.pad(scores, (1, 0)).view(n, heads, columns + 1, rows)[:, :, 1:].reshape(n, heads, rows, columns)


def sinusoids(count: int, d_model: int, device: torch.device) -> torch.Tensor:
    """Sines and cosines of the distances count - 1 down to 0, `(count, d)`."""
    distance = torch.arange(count - 1, -1, -1, device=device, dtype=torch.float32)
    rates = 10_000 ** (-torch.arange(0, d_model, 2, device=device, dtype=torch.float32) / d_model)
    angles = distance[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Layer(nn.Module):
    """Attention and feed-forward, each after a layer norm and added to what came in."""

    def __init__(self, d: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(d), RelativeAttention(d, heads, dropout)
        self.drop = nn.Dropout(dropout)
        self.feed = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x_NTD: torch.Tensor, *attended: torch.Tensor) -> torch.Tensor:
        x_NTD = x_NTD + self.drop(self.attention(self.norm(x_NTD), *attended))
        return x_NTD + self.drop(self.feed(x_NTD))


class Network(nn.Module):
    """Transformer-XL: tokens to logits of the next, by segments with memory or one by one with states."""

    def __init__(self, vocabulary: int, d_model: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.d_model = d_model
        self.embedding, self.drop = nn.Embedding(vocabulary, d_model), nn.Dropout(dropout)
        self.layers = nn.ModuleList(Layer(d_model, heads, dropout) for _ in range(layers))
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

        A token sees those of its own song among the memory and the segment up to itself; with `reach`, no further back.
        """
        memory = memory or self._no_memory(tokens_NT)
        songs_NS = torch.cat([memory.songs, songs_NT], dim=1)
        unseen = unseen_keys(songs_NS, songs_NT, reach)
        r_SD = sinusoids(songs_NS.shape[1], self.d_model, tokens_NT.device)
        x_NTD, inputs = self._embedded(tokens_NT), []
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
        return self.drop(self.embedding(tokens_NT) * self.d_model**0.5)

    def _logits(self, x_NTD: torch.Tensor) -> torch.Tensor:
        return F.linear(self.norm(x_NTD), self.embedding.weight, self.bias)

    def _no_memory(self, tokens_NT: torch.Tensor) -> Memory:
        n, device = len(tokens_NT), tokens_NT.device
        return Memory(
            [torch.zeros(n, 0, self.d_model, device=device)] * len(self.layers),
            torch.zeros(n, 0, dtype=torch.int64, device=device),
        )


def unseen_keys(songs_NS: torch.Tensor, songs_NT: torch.Tensor, reach: int | None) -> torch.Tensor:
    """`(n, 1, T, S)`: 0 where the last T of S tokens see a key, of their own song and up to themselves; else -inf."""
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

    They lie in buffers somewhat longer than that; what has slid to a buffer's end goes back to its beginning, so that
    a step copies next to nothing.
    """

    def __init__(self, network: Network, memory: Memory, reach: int) -> None:
        self.reach, self.end = reach, memory.songs.shape[1]
        n, device, capacity = len(memory.songs), memory.songs.device, state_capacity(reach)
        self.valid = torch.zeros(n, capacity, dtype=torch.bool, device=device)
        self.valid[:, : self.end] = memory.songs != NO_SONG
        r_SD = sinusoids(reach + 1, network.d_model, device)
        self.places, self.buffers = [], []
        for layer, inputs in zip(network.layers, memory.inputs, strict=True):
            self.places.append(layer.attention.places(r_SD))
            heads, width = layer.attention.heads, network.d_model // layer.attention.heads
            pair = [torch.zeros(n, heads, capacity, width, device=device) for _ in range(2)]
            for buffer, part in zip(pair, layer.attention.keys_values(layer.norm(inputs)), strict=True):
                buffer[:, :, : self.end] = part
            self.buffers.append(pair)

    def opened(self) -> int:
        """Make room for one more token; how many tokens it will see, itself included."""
        if self.end == self.valid.shape[1]:
            for kept in (self.valid[:, None, :, None], *(buffer for pair in self.buffers for buffer in pair)):
                kept[:, :, : self.reach] = kept[:, :, self.end - self.reach :].clone()
            self.end = self.reach
        self.end += 1
        self.valid[:, self.end - 1] = True
        return self.end - self._first

    def put(self, layer: int, *keys_values: torch.Tensor) -> None:
        """The opened token's key and value at a layer, `(n, head, 1, d/heads)`."""
        for buffer, part in zip(self.buffers[layer], keys_values, strict=True):
            buffer[:, :, self.end - 1 : self.end] = part

    def seen(self, layer: int) -> list[torch.Tensor]:
        """A layer's keys and values that the opened token sees."""
        return [buffer[:, :, self._first : self.end] for buffer in self.buffers[layer]]

    @property
    def unseen(self) -> torch.Tensor:
        """-inf where one of them is not a token but what a shorter prompt was filled up with, `(n, 1, 1, S)`."""
        return _minus_infinity(self.valid[:, None, None, self._first : self.end])

    def keep(self, index: torch.Tensor) -> None:
        """Drop all rows but those at `index`."""
        self.valid = self.valid[index]
        self.buffers = [[buffer[index] for buffer in pair] for pair in self.buffers]

    @property
    def _first(self) -> int:
        return max(0, self.end - self.reach - 1)


def state_capacity(reach: int) -> int:
    """How many tokens the buffers of `States` hold."""
    return reach + 1 + max(64, reach // 4)
