"""Sequences, for systems that learn from whole songs: excerpts of songs, stretches of packed songs, padding."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from musiclab.training.windows import BlockWindows


def excerpts(counts: Sequence[int], length: int, ahead: int, generator: torch.Generator | None = None) -> torch.Tensor:
    """Cut songs of `counts` items into excerpts: rows (song, begin, end), `(n, 3)` int64.

    An excerpt has `length` inputs and the `ahead` items that follow them, because the target of an input is the item
    `ahead` places later. Each input of a song is in exactly one excerpt; an item without a target is no input. The
    first and the last excerpt of a song may be shorter, down to one input, so a batch of excerpts must be padded and
    masked (`padded`).

    With a generator, for training, the first cut of each song and the order of excerpts are random. Without one, for
    validation, songs are cut from their beginning and excerpts are in order.
    """
    rows = [np.zeros((0, 3), np.int64)]
    # Drawn for all songs, even those that are too short, so that no song shifts the cuts of another.
    first = torch.randint(length, (len(counts),), generator=generator) if generator else torch.zeros(len(counts))
    for song, (count, cut) in enumerate(zip(counts, first.long().tolist(), strict=True)):
        begin = np.arange(cut - length, count - ahead, length)
        end = np.minimum(begin + length + ahead, count)
        begin = np.maximum(begin, 0)
        rows.append(np.stack([np.full(len(begin), song), begin, end], axis=1)[end - begin > ahead])
    cuts = torch.from_numpy(np.concatenate(rows))
    return cuts[torch.randperm(len(cuts), generator=generator)] if generator else cuts


def padded(sequences: Sequence[npt.NDArray[Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences `(length, ...)` of one type as a batch `(n, longest, ...)`, ends filled with zeros; lengths (n,)."""
    batch = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(each) for each in sequences], batch_first=True)
    return batch, torch.tensor([len(each) for each in sequences])


def stretch(windows: BlockWindows, song: int, begin: int, end: int) -> npt.NDArray[np.uint8]:
    """Steps `begin` to `end` of a song, packed `(track, end - begin, 16)`.

    It equals `windows.song(song)[:, begin:end]` but reads only the windows that are needed. Windows must lie end to
    end (hop equal to steps).
    """
    row, steps = windows.store.songs[song], windows.store.spec.steps
    first = begin // steps
    read = windows.store.windows[row.first + first : row.first + min(row.count, -(-end // steps))]
    joined = np.moveaxis(read, 0, 1).reshape(read.shape[1], -1, read.shape[3])
    return joined[:, begin - first * steps : end - first * steps]
