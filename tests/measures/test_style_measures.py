"""Likeness to a song, against cosines worked out by hand."""

import numpy as np
import pytest

from musiclab.measures.style import retrieval, similarity, song_likeness, specificity

DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)


def windows(*cells: tuple[int, int, int], n: int = 1) -> np.ndarray:
    """n equal windows of two bars with the given (track, step, pitch) on."""
    rolls = np.zeros((n, 5, 16, 128), dtype=bool)
    for track, step, pitch in cells:
        rolls[:, track, step, pitch] = True
    return rolls


def likeness(ours: np.ndarray, song: np.ndarray) -> float:
    return song_likeness([ours], [song], resolution=2)[0, 0]


def test_equal_music_has_likeness_one_however_long() -> None:
    ours = windows((PIANO, 0, 60), (DRUMS, 4, 36))
    assert likeness(ours, windows((PIANO, 0, 60), (DRUMS, 4, 36), n=7)) == pytest.approx(1)


def test_harmony_is_sounding_time_and_rhythm_is_onsets() -> None:
    ours = windows((PIANO, 0, 60), (PIANO, 1, 60), (GUITAR, 2, 64))  # C for two steps, E for one; onsets at 0 and 2
    song = windows((BASS, 8, 36))  # C in another octave, track and bar; onset at 0
    assert likeness(ours, song) == pytest.approx((2 / np.sqrt(5) + 1 / np.sqrt(2)) / 2)


def test_the_key_counts_and_the_pitch_of_drums_does_not() -> None:
    assert likeness(windows((PIANO, 0, 60)), windows((PIANO, 0, 61))) == pytest.approx(1 / 2)
    assert likeness(windows((DRUMS, 0, 36)), windows((DRUMS, 0, 42))) == pytest.approx(1 / 2)  # no harmony at all
    assert likeness(windows((DRUMS, 0, 36)), windows((PIANO, 0, 36))) == 0


def test_positions_are_eighths_at_every_resolution() -> None:
    coarse, fine = windows((PIANO, 3, 60)), np.repeat(windows((PIANO, 3, 60)), 2, axis=2)
    assert song_likeness([fine], [fine], resolution=4)[0, 0] == pytest.approx(1)
    wrong = windows((PIANO, 2, 60), (PIANO, 3, 60))
    assert likeness(coarse, wrong) == pytest.approx(1 / 2)  # the same pitch, a note that starts an eighth earlier


def test_silence_is_like_nothing_and_a_silent_window_adds_nothing() -> None:
    note = windows((PIANO, 0, 60))
    assert likeness(windows(), note) == likeness(note, windows()) == likeness(windows(), windows()) == 0
    assert likeness(np.concatenate([note, windows()]), note) == pytest.approx(1)


def test_a_hybrid_is_the_weighted_mean_of_its_songs_and_the_others_stay_apart() -> None:
    alike = np.array([[0.8, 0.4, 0.1, 0.3]])
    targets = np.array([[0.75, 0.25, 0.0, 0.0]])
    assert similarity(alike, targets) == pytest.approx([0.7])
    assert specificity(alike, targets) == pytest.approx([0.7 - 0.2])


def test_specificity_of_music_like_every_song_is_zero() -> None:
    assert specificity(np.full((1, 3), 0.9), np.array([[0.0, 1.0, 0.0]])) == pytest.approx([0])


def test_retrieval_finds_any_song_of_the_target_and_shares_ties() -> None:
    targets = np.array([[1.0, 0, 0], [0.5, 0.5, 0], [1, 0, 0], [1, 0, 0], [0.5, 0.5, 0]])
    alike = np.array([[0.9, 0.1, 0.2], [0.1, 0.9, 0.2], [0.1, 0.9, 0.2], [0.9, 0.9, 0.2], [0.0, 0.0, 0.0]])
    assert retrieval(alike, targets) == pytest.approx([1, 1, 0, 1 / 2, 2 / 3])


def test_without_other_songs_only_similarity_is_a_number() -> None:
    alike, targets = np.array([[0.9, 0.7]]), np.array([[0.5, 0.5]])
    assert similarity(alike, targets) == pytest.approx([0.8])
    assert np.isnan(specificity(alike, targets)).all() and np.isnan(retrieval(alike, targets)).all()


def test_none_against_songs_is_an_empty_table() -> None:
    assert song_likeness([], [windows((PIANO, 0, 60))], resolution=2).shape == (0, 1)
