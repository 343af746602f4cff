"""What one block sees of a window store: its split, its training windows and pairs, its start windows."""

from dataclasses import dataclass

import numpy as np

from musiclab.data.splits import Split, split_songs
from musiclab.data.store import WindowStore
from musiclab.errors import UserError
from musiclab.training.streams import Block


@dataclass(frozen=True)
class BlockWindows:
    """Indices into `store.windows` `(n, track, steps, 16)` uint8, all drawn from the block's own streams.

    `train` and `pairs` (m, 2) come from training songs, `validation` from validation songs, `reference` and
    `reference_pairs` from test songs. `starts` (windows that have a successor; `(n, 2)` with it) come from validation
    songs: started from the reference's own songs, a system that plays its start back would look good. Thresholds and
    best epochs are chosen on `validation`, so also on songs that are started from; only the reference, which nothing is
    fitted or calibrated on, is untouched. `songs` has, for those that learn from whole songs, the songs (by their place
    in `store.songs`) of `train`, `validation` and `reference`, as many as hold that part's maximum of windows.
    """

    store: WindowStore
    split: Split
    train: np.ndarray
    pairs: np.ndarray
    validation: np.ndarray
    reference: np.ndarray
    reference_pairs: np.ndarray
    starts: np.ndarray
    songs: dict[str, np.ndarray]

    def packed(self, indices: np.ndarray) -> np.ndarray:
        """The windows at `indices` (any shape), packed `(..., track, steps, 16)`; sorted access where it is mapped."""
        flat = np.asarray(indices).ravel()
        order = np.argsort(flat, kind="stable")
        rows = np.empty((len(flat), *self.store.windows.shape[1:]), np.uint8)
        rows[order] = self.store.windows[flat[order]]
        return rows.reshape(*np.shape(indices), *rows.shape[1:])

    def song(self, number: int) -> np.ndarray:
        """A whole song, packed `(track, time, 16)`; it takes windows that lie end to end (hop equal to steps).

        Where a song's bars do not divide a window, what lies between its windows is left out (a bar at most).
        """
        row = self.store.songs[number]
        windows = self.store.windows[row.first : row.first + row.count]
        return np.concatenate(list(windows), axis=1)


def block_windows(store: WindowStore, block: Block, max_train: int, max_eval: int, starts: int) -> BlockWindows:
    """Split `store` by song for `block` and draw what a trial needs; a maximum of 0 means all there is.

    UserError where the songs are too few to split, or a part has no window or pair of windows.
    """
    split = split_songs([song.id for song in store.songs], block.numpy("split"))
    parts = {
        "training": _drawn(store.indices(split.train), max_train, block, "train"),
        "training pair": _drawn(store.pairs(split.train), max_train, block, "pairs"),
        "validation": _drawn(store.indices(split.validation), max_eval, block, "validation"),
        "test": _drawn(store.indices(split.test), max_eval, block, "reference"),
        "test pair": _drawn(store.pairs(split.test), max_eval, block, "reference pairs"),
        "start": _drawn(store.pairs(split.validation), starts, block, "starts"),
    }
    for name, indices in parts.items():
        if len(indices) < 2:
            raise UserError(
                f"The data {store.source!r} is too little: block {block.index} has {len(indices)} {name} windows and "
                "needs at least 2; give more songs, or longer ones."
            )
    songs = {
        "train": _drawn_songs(store, split.train, max_train, block, "train"),
        "validation": _drawn_songs(store, split.validation, max_eval, block, "validation"),
        "reference": _drawn_songs(store, split.test, max_eval, block, "reference"),
    }
    return BlockWindows(store, split, *parts.values(), songs)


def _drawn(indices: np.ndarray, limit: int, block: Block, purpose: str) -> np.ndarray:
    """At most `limit` of `indices`, in a shuffled order that a larger limit only extends."""
    order = block.numpy("windows", purpose).permutation(len(indices))
    return indices[order[:limit] if limit else order]


def _drawn_songs(store: WindowStore, ids: tuple[str, ...], limit: int, block: Block, purpose: str) -> np.ndarray:
    """Songs in a shuffled order, up to the one with which they have `limit` windows."""
    numbers = np.flatnonzero(np.isin([song.id for song in store.songs], ids))
    order = numbers[block.numpy("windows", purpose, "songs").permutation(len(numbers))]
    counts = np.cumsum([store.songs[number].count for number in order])
    return order[: np.searchsorted(counts, limit) + 1] if limit else order
