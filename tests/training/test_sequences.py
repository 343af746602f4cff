"""Excerpts of whole songs: every input once, cut elsewhere each epoch, read as the song has it."""

import numpy as np
import pytest
import torch

from musiclab.data.store import WindowStore
from musiclab.training.sequences import excerpts, padded, stretch
from musiclab.training.streams import Block
from musiclab.training.windows import block_windows

COUNTS = [50, 1, 7, 0, 2, 10, 11]


def _stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", [None, 0, 1, 2, 3])
@pytest.mark.parametrize("ahead", [1, 2])
def test_each_input_is_in_one_excerpt_with_its_target(seed: int | None, ahead: int) -> None:
    rows = excerpts(COUNTS, 5, ahead, None if seed is None else _stream(seed)).tolist()
    inputs = [(song, place) for song, begin, end in rows for place in range(begin, end - ahead)]
    assert sorted(inputs) == [(song, place) for song, count in enumerate(COUNTS) for place in range(count - ahead)]
    for song, begin, end in rows:
        assert 0 <= begin < end - ahead
        assert end <= COUNTS[song]
        assert end - begin <= 5 + ahead


def test_songs_are_cut_elsewhere_and_shuffled_in_another_epoch_only() -> None:
    one, same, other = (excerpts(COUNTS, 5, 1, _stream(seed)).tolist() for seed in (0, 0, 1))
    assert one == same
    assert sorted(one) != sorted(other)
    assert one != sorted(one)
    assert excerpts([12], 5, 1).tolist() == [[0, 0, 6], [0, 5, 11], [0, 10, 12]]


def test_every_place_of_a_song_is_cut_at_some_time() -> None:
    begins = {begin for seed in range(60) for _, begin, _ in excerpts([20], 5, 1, _stream(seed)).tolist()}
    assert begins == set(range(19))


def test_a_song_shifts_no_other_song_s_cuts() -> None:
    one, other = (excerpts([counts, 40], 8, 1, _stream(4)) for counts in (1, 30))
    assert sorted(row for row in one.tolist() if row[0] == 1) == sorted(row for row in other.tolist() if row[0] == 1)


def test_nothing_to_cut_is_no_excerpt() -> None:
    assert excerpts([], 5, 1, _stream(0)).shape == excerpts([1, 0], 5, 1).shape == (0, 3)


def test_short_sequences_have_zeros_behind() -> None:
    batch, lengths = padded([np.array([1, 2, 3]), np.array([4])])
    assert batch.tolist() == [[1, 2, 3], [4, 0, 0]]
    assert lengths.tolist() == [3, 1]


@pytest.mark.parametrize(("begin", "end"), [(0, 192), (0, 1), (31, 33), (32, 64), (40, 150), (191, 192), (180, 192)])
def test_a_stretch_is_that_part_of_the_song(store: WindowStore, begin: int, end: int) -> None:
    windows = block_windows(store, Block(0, 0), 0, 0, 10)
    for song in windows.songs["train"][:3]:
        np.testing.assert_array_equal(stretch(windows, song, begin, end), windows.song(song)[:, begin:end])
