"""The windows of one block: its split, its training windows and pairs, its start windows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from musiclab.data.splits import Split, split_songs
from musiclab.data.store import WindowStore
from musiclab.data.windows import WindowSpec
from musiclab.data.workers import TOO_SHORT
from musiclab.errors import UserError
from musiclab.training.streams import Block
from musiclab.wording import counted


@dataclass(frozen=True)
class BlockWindows:
    """Indices into `store.windows` `(n, track, steps, 16)` uint8, all drawn from the block's own streams.

    Start windows come from validation songs: if they came from the reference's songs, a system that plays its start
    back would look good. Thresholds and best epochs are chosen on `validation`, so on songs that are started from, too.
    Nothing is fitted or calibrated on the reference.

    Attributes:
        train: training windows `(n,)`, from training songs.
        pairs: training windows and their successors `(m, 2)`.
        validation: windows `(n,)` of validation songs.
        reference: windows `(n,)` of test songs.
        reference_pairs: windows of test songs and their successors `(m, 2)`.
        starts: start windows and their successors `(n, 2)`, from validation songs.
        songs: for systems that learn from whole songs, the songs of `train`, `validation` and `reference` as places in
            `store.songs`; as many as it takes to reach the maximum number of windows.
    """

    store: WindowStore
    split: Split
    train: npt.NDArray[np.int64]
    pairs: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    reference: npt.NDArray[np.int64]
    reference_pairs: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    songs: dict[str, npt.NDArray[np.int64]]

    def packed(self, indices: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """The windows at `indices` (any shape), packed `(..., track, steps, 16)`."""
        # Read in sorted order, which is fast on a mapped file.
        flat = np.asarray(indices).ravel()
        order = np.argsort(flat, kind="stable")
        rows = np.empty((len(flat), *self.store.windows.shape[1:]), np.uint8)
        rows[order] = self.store.windows[flat[order]]
        return rows.reshape(*np.shape(indices), *rows.shape[1:])

    def song(self, number: int) -> npt.NDArray[np.uint8]:
        """A whole song, packed `(track, time, 16)`; its windows must lie end to end (hop equal to steps).

        If the song's bars do not divide a window, what lies between windows is missing (at most a bar each time).
        """
        row = self.store.songs[number]
        windows = self.store.windows[row.first : row.first + row.count]
        return np.concatenate(list(windows), axis=1)


def block_windows(
    store: WindowStore, block: Block, max_train: int, max_eval: int, starts: int, split: Split | None = None
) -> BlockWindows:
    """Draw the windows of a trial from `split`, which by default is drawn for `block` too.

    Args:
        store: all windows.
        block: whose streams the split and the windows are drawn from.
        max_train: how many training windows, and how many pairs of them, at most; 0 is all.
        max_eval: how many validation and test windows at most; 0 is all.
        starts: how many start windows at most; 0 is all.
        split: the songs of each part.

    Raises:
        UserError: there are too few songs to split, or fewer than two windows or pairs of one kind.
    """
    try:
        split = split or split_songs(store.works, block.numpy("split"))
    except UserError as error:
        if short := sum(reason == TOO_SHORT for _, reason in store.skipped):
            raise UserError(
                f"{error} Too short for {_length(store.spec)}: {counted(short, 'song')}; fewer steps would keep them."
            ) from error
        raise
    windows = BlockWindows(
        store,
        split,
        train=_drawn(store.indices(split.train), max_train, block, "train"),
        pairs=_drawn(store.pairs(split.train), max_train, block, "pairs"),
        validation=_drawn(store.indices(split.validation), max_eval, block, "validation"),
        reference=_drawn(store.indices(split.test), max_eval, block, "reference"),
        reference_pairs=_drawn(store.pairs(split.test), max_eval, block, "reference pairs"),
        starts=_drawn(store.pairs(split.validation), starts, block, "starts"),
        songs={
            "train": _drawn_songs(store, split.train, max_train, block, "train"),
            "validation": _drawn_songs(store, split.validation, max_eval, block, "validation"),
            "reference": _drawn_songs(store, split.test, max_eval, block, "reference"),
        },
    )
    _check_counts(windows, block)
    return windows


def _check_counts(windows: BlockWindows, block: Block) -> None:
    indices_by_kind = {
        "training": windows.train,
        "training pair": windows.pairs,
        "validation": windows.validation,
        "test": windows.reference,
        "test pair": windows.reference_pairs,
        "start": windows.starts,
    }
    for kind, indices in indices_by_kind.items():
        if len(indices) < 2:
            raise UserError(
                f"The data {windows.store.source!r} is too little for {_length(windows.store.spec)}: block "
                f"{block.index} has {len(indices)} {kind} windows and needs at least 2; give more songs, or longer "
                "ones, or set fewer steps."
            )


def _length(spec: WindowSpec) -> str:
    """How long windows are: the fields that say so, and beats."""
    return f"windows of {spec.steps / spec.resolution:g} beats (steps {spec.steps}, resolution {spec.resolution})"


def _drawn(indices: npt.NDArray[np.int64], limit: int, block: Block, purpose: str) -> npt.NDArray[np.int64]:
    """At most `limit` of `indices` in random order (all if it is 0); a larger limit only appends to the result."""
    order = block.numpy("windows", purpose).permutation(len(indices))
    return indices[order[:limit] if limit else order]


def _drawn_songs(
    store: WindowStore, ids: tuple[str, ...], limit: int, block: Block, purpose: str
) -> npt.NDArray[np.int64]:
    """Songs in random order, as many as it takes to have `limit` windows (all if it is 0), as places in the store."""
    numbers = np.flatnonzero(np.isin([song.id for song in store.songs], ids))
    order = numbers[block.numpy("windows", purpose, "songs").permutation(len(numbers))]
    counts = np.cumsum([store.songs[number].count for number in order])
    return order[: np.searchsorted(counts, limit) + 1] if limit else order
