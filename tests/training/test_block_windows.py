"""What a block sees of a store: by song, paired between variants, and only extended by larger limits."""

from dataclasses import replace

import numpy as np
import pytest

from musiclab.data.store import WindowStore
from musiclab.data.workers import TOO_SHORT
from musiclab.errors import UserError
from musiclab.training.streams import Block
from musiclab.training.windows import BlockWindows, block_windows
from tests.support.made_trials import made_store

PARTS = ("train", "pairs", "validation", "reference", "starts")
BLOCKS = [Block(seed, index) for seed in (0, 1) for index in range(5)]


def _songs(windows: BlockWindows, part: str) -> set[str]:
    store = windows.store
    return {store.songs[number].id for number in store.song_numbers(getattr(windows, part).ravel())}


@pytest.mark.parametrize("block", BLOCKS)
def test_held_out_songs_are_never_trained_on(store: WindowStore, block: Block) -> None:
    windows = block_windows(store, block, 0, 0, 100)
    trained = _songs(windows, "train") | _songs(windows, "pairs")
    held_out = _songs(windows, "reference")
    tuned = _songs(windows, "validation")
    assert trained.isdisjoint(held_out | tuned)
    assert held_out.isdisjoint(tuned)
    # A system that plays its start back must not be measured against the song that the start is from.
    assert _songs(windows, "starts") <= tuned
    # No limit: all windows of all songs are there.
    assert len(trained | tuned | held_out) == len(store.songs) == 20
    assert sum(len(getattr(windows, part)) for part in ("train", "validation", "reference")) == len(store.windows)
    assert trained == set(windows.split.train)
    assert held_out == set(windows.split.test)


def test_pairs_are_consecutive_windows_of_one_song(store: WindowStore) -> None:
    windows = block_windows(store, BLOCKS[0], 0, 0, 100)
    for part in (windows.pairs, windows.starts):
        assert (part[:, 1] == part[:, 0] + 1).all()
        assert (store.song_numbers(part[:, 0]) == store.song_numbers(part[:, 1])).all()
    assert len(windows.pairs) == sum(song.count - 1 for song in store.songs if song.id in windows.split.train)


def test_no_window_is_drawn_twice(store: WindowStore) -> None:
    windows = block_windows(store, BLOCKS[0], 30, 10, 8)
    for part in PARTS:
        drawn = [tuple(np.atleast_1d(index)) for index in getattr(windows, part)]
        assert len(set(drawn)) == len(drawn)


def test_all_variants_of_a_block_see_the_same(store: WindowStore) -> None:
    one, other = (block_windows(store, Block(0, 3), 30, 10, 8) for _ in range(2))
    for part in PARTS:
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
    assert one.split == other.split


@pytest.mark.parametrize("block", [Block(0, 4), Block(1, 3)])
def test_another_block_sees_something_else(store: WindowStore, block: Block) -> None:
    one, other = (block_windows(store, b, 30, 10, 8) for b in (Block(0, 3), block))
    assert one.split != other.split
    for part in PARTS:
        assert not np.array_equal(getattr(one, part), getattr(other, part))


def test_a_larger_limit_only_extends(store: WindowStore) -> None:
    small, large, whole = (
        block_windows(store, Block(0, 0), *limits) for limits in ((20, 5, 4), (40, 8, 7), (0, 0, 1000))
    )
    assert [len(getattr(small, part)) for part in PARTS] == [20, 20, 5, 5, 4]
    assert [len(getattr(large, part)) for part in PARTS] == [40, 40, 8, 8, 7]
    for part in PARTS:
        a, b, c = (getattr(windows, part) for windows in (small, large, whole))
        np.testing.assert_array_equal(a, b[: len(a)])
        np.testing.assert_array_equal(b, c[: len(b)])
    assert small.split == large.split == whole.split


def test_a_limit_of_one_part_moves_no_other(store: WindowStore) -> None:
    few, many = (block_windows(store, Block(0, 0), limit, 8, 4) for limit in (20, 40))
    for part in ("validation", "reference", "starts"):
        np.testing.assert_array_equal(getattr(few, part), getattr(many, part))


def test_a_limited_draw_is_mixed_over_songs(store: WindowStore) -> None:
    assert len(_songs(block_windows(store, Block(0, 0), 30, 0, 4), "train")) > 10


def test_the_order_of_songs_in_the_store_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    windows = rng.integers(0, 256, (60, 5, 16, 16), np.uint8)
    store = made_store(windows, [3] * 20)
    turned = made_store(np.concatenate([windows[n : n + 3] for n in reversed(range(0, 60, 3))]), [3] * 20)
    turned.songs = [
        replace(song, id=f"song {19 - n:02}", work=f"song {19 - n:02}") for n, song in enumerate(turned.songs)
    ]
    turned._rows = {song.id: song for song in turned.songs}
    one, other = (block_windows(s, Block(0, 0), 20, 5, 4) for s in (store, turned))
    assert one.split == other.split
    for part in PARTS:
        np.testing.assert_array_equal(one.packed(getattr(one, part)), other.packed(getattr(other, part)))


def test_packed_gives_rows_in_the_order_asked_for(store: WindowStore) -> None:
    windows = block_windows(store, Block(0, 0), 0, 0, 4)
    indices = np.array([[7, 2], [2, 90], [33, 0]])
    packed = windows.packed(indices)
    assert packed.shape == (3, 2, 5, 32, 16)
    np.testing.assert_array_equal(packed, store.windows[indices])
    assert windows.packed(np.zeros((0, 2), int)).shape == (0, 2, 5, 32, 16)


def test_too_few_songs_or_windows_are_one_sentence() -> None:
    def seen(counts: list[int], skipped: tuple[str, ...] = ()) -> None:
        store = made_store(np.zeros((sum(counts), 5, 16, 16), np.uint8), counts)
        store.skipped = [(f"{number}.mid", reason) for number, reason in enumerate(skipped)]
        block_windows(store, Block(0, 5), 0, 0, 4)

    with pytest.raises(UserError, match=r"has 9 different songs, .* needs at least 10; give more songs\.$"):
        seen([5] * 9)
    with pytest.raises(
        UserError,
        match=r"give more songs\. Too short for windows of 8 beats \(steps 16, resolution 2\): 2 songs; fewer steps",
    ):
        seen([5] * 9, (TOO_SHORT, "damaged", TOO_SHORT))
    with pytest.raises(
        UserError,
        match=r"'made' is too little for windows of 8 beats .* 0 training pair windows and .* or set fewer steps",
    ):
        seen([1] * 20)
    with pytest.raises(UserError, match="block 5 has 1 test windows"):
        seen([1] * 5 + [2] * 5)
    seen([3] * 10)
