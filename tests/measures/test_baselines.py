"""The ends of the scale: tracks of different songs put together, and random notes."""

import numpy as np

from musiclab.measures.baselines import random_notes, songs_exchanged, tracks_exchanged
from musiclab.measures.distributions import FEATURES, features

PIANO, GUITAR = 1, 2


def numbered(count: int) -> np.ndarray:
    """Windows that say which they are: the pitch of every track."""
    rolls = np.zeros((count, 5, 8, 128), bool)
    rolls[np.arange(count), :, 0, np.arange(count)] = True
    return rolls


def test_no_two_tracks_are_of_one_song() -> None:
    songs = np.random.default_rng(0).permutation(np.repeat(np.arange(5), 4))
    made = tracks_exchanged(numbered(20), songs)
    sources = made[:, :, 0].argmax(axis=2)  # (window, track)
    for of_window in songs[sources]:
        assert len(set(of_window)) == 5
    assert sources[:, 0].tolist() == list(range(20))
    for track in range(5):  # every window's track is used, once
        assert sorted(sources[:, track]) == list(range(20))
    assert tracks_exchanged(numbered(0), songs[:0]).shape == (0, 5, 8, 128)


def test_whole_songs_are_cut_to_the_shortest_that_meet() -> None:
    songs = [np.zeros((5, length, 128), bool) for length in (8, 16, 24, 32, 40, 48, 56, 64, 72, 80)]
    for number, song in enumerate(songs):
        song[:, :, number] = True
    made = songs_exchanged(songs)
    assert len(made) == 10
    assert made[0].argmax(axis=2).tolist() == [[0] * 8, [2] * 8, [4] * 8, [6] * 8, [8] * 8]
    assert made[1].shape == (5, 16, 128)
    assert made[3].shape == (5, 16, 128) and made[3][4].argmax(axis=1).tolist() == [1] * 16
    assert songs_exchanged([]) == []


def notes_of(rolls: np.ndarray) -> list[list[int]]:
    """Lengths of the notes of each track of each window."""
    lengths = []
    for line in rolls.transpose(0, 1, 3, 2).reshape(-1, 128, rolls.shape[2]):
        runs = "".join("x" if on else " " for row in line for on in [*row, False]).split()
        lengths.append(sorted(map(len, runs)))
    return lengths


def test_random_notes_are_as_many_as_long_and_elsewhere() -> None:
    rng = np.random.default_rng(0)
    rolls = np.zeros((60, 5, 32, 128), bool)
    for window in range(60):
        for track in range(4):
            for _ in range(2):
                start, length = rng.integers(26), rng.integers(1, 7)
                rolls[window, track, start : start + length, 40 + 10 * track + rng.integers(10)] = True
    made = random_notes(rolls, np.random.default_rng(1))
    assert made.shape == rolls.shape and made.dtype == bool
    same = [one == other for one, other in zip(notes_of(rolls), notes_of(made), strict=True)]
    assert np.mean(same) > 0.9  # but for those that meet at one pitch
    assert (made != rolls).any(axis=(1, 2, 3)).all()
    used = made.any(axis=(0, 2))
    for track in range(4):
        assert np.flatnonzero(used[track]).tolist() == list(range(40 + 10 * track, 50 + 10 * track))
    assert not used[4].any()
    # Anywhere: from the first step to the last.
    assert made[:, PIANO].any(axis=(0, 2)).all()


def test_a_note_as_long_as_the_window_stays_so() -> None:
    rolls = np.zeros((1, 5, 8, 128), bool)
    rolls[0, PIANO, :, 60] = True
    np.testing.assert_array_equal(random_notes(rolls, np.random.default_rng(0)), rolls)


def test_random_notes_follow_their_generator() -> None:
    rolls = np.random.default_rng(0).random((4, 5, 8, 128)) < 0.01
    one, again, other = (random_notes(rolls, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    assert not random_notes(np.zeros((3, 5, 8, 128), bool), np.random.default_rng(0)).any()
    assert random_notes(rolls[:0], np.random.default_rng(0)).shape == (0, 5, 8, 128)


def test_random_notes_have_the_density_of_the_real_ones() -> None:
    rolls = np.random.default_rng(0).random((100, 5, 32, 128)) < 0.003
    density = list(FEATURES).index("onsets")
    one, other = (features(of, 2)[:, density].mean() for of in (rolls, random_notes(rolls, np.random.default_rng(1))))
    assert 0.97 < other / one < 1
