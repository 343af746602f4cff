"""Sequences, for those that learn from whole songs: songs cut into excerpts, stretches of packed songs, padding."""

from collections.abc import Sequence

import numpy as np
import torch

from musiclab.training.windows import BlockWindows


def excerpts(counts: Sequence[int], length: int, ahead: int, generator: torch.Generator | None = None) -> torch.Tensor:
    """Songs of `counts` items cut end to end: rows (song, begin, end), `(n, 3)` int64.

    An excerpt has `length` inputs and the `ahead` items after them, so that each input has the item `ahead` of it as
    its target; each input of a song is in exactly one excerpt. A song's first and last excerpts may be shorter, down to
    one input: whoever puts them into a batch pads and masks them (`padded`). What has no target is left out.

    With a generator the first cut of each song is anywhere and the order is shuffled, for training: another cut and
    order each epoch. Without one songs are cut from their beginnings and in order, for validation.
    """
    rows = [np.zeros((0, 3), np.int64)]
    # Drawn for all songs, short ones too, so that no song shifts another's cuts.
    first = torch.randint(length, (len(counts),), generator=generator) if generator else torch.zeros(len(counts))
    for song, (count, cut) in enumerate(zip(counts, first.long().tolist(), strict=True)):
        begin = np.arange(cut - length, count - ahead, length)
        end = np.minimum(begin + length + ahead, count)
        begin = np.maximum(begin, 0)
        rows.append(np.stack([np.full(len(begin), song), begin, end], axis=1)[end - begin > ahead])
    cuts = torch.from_numpy(np.concatenate(rows))
    return cuts[torch.randperm(len(cuts), generator=generator)] if generator else cuts


def padded(parts: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences `(length, ...)` of one type as a batch `(n, longest, ...)`, zeros behind, and their lengths (n,)."""
    batch = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(part) for part in parts], batch_first=True)
    return batch, torch.tensor([len(part) for part in parts])


def stretch(windows: BlockWindows, song: int, begin: int, end: int) -> np.ndarray:
    """Steps `begin` to `end` of a song, packed `(track, end - begin, 16)`; it reads the windows they lie in, no others.

    The same as `windows.song(song)[:, begin:end]`, and as that, for windows that lie end to end.
    """
    row, steps = windows.store.songs[song], windows.store.spec.steps
    first = begin // steps
    part = windows.store.windows[row.first + first : row.first + min(row.count, -(-end // steps))]
    joined = np.moveaxis(part, 0, 1).reshape(part.shape[1], -1, part.shape[3])
    return joined[:, begin - first * steps : end - first * steps]
