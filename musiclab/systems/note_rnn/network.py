"""The network of `note_rnn`: from tokens to scores of the next, read from songs or sampled one by one."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from musiclab.systems.note_rnn.config import NoteRNNConfig
from musiclab.systems.note_rnn.vocabulary import UNKNOWN, Vocabulary
from musiclab.training.batches import EVAL_BATCH
from musiclab.training.modules import module_list
from musiclab.training.sequences import padded

# Whole songs are read this many tokens at a time, and as many songs side by side as have this many scores in all
# (64 MiB), because with a large vocabulary it is the scores that need memory.
_TOKENS_AT_ONCE, _SCORES_AT_ONCE = 64, 2**24


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


def token_nats(
    network: NextToken, tokens_NT: torch.Tensor, lengths_N: torch.Tensor, before_NLH: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """-log p of all tokens but the first, `(n, time - 1)`, 0 after a song's end; and the states to continue from."""
    states = network.states(tokens_NT[:, :-1], before_NLH)
    targets_NT = tokens_NT[:, 1:]
    # As rows: with the scores of a token side by side in memory this takes a third of the time.
    nats = F.cross_entropy(network.logits(states).flatten(0, 1), targets_NT.flatten(), reduction="none")
    places = torch.arange(1, tokens_NT.shape[1], device=tokens_NT.device)
    return nats.view(targets_NT.shape) * (places < lengths_N[:, None]), states[:, -1]


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
            nats_NT, states = token_nats(network, excerpt_NT, lengths_N - begin, states)
            total += float(nats_NT.double().sum())
    return total / count if count else math.nan


@torch.no_grad()
def sampled(
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
