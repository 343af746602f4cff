"""Measures of the notes, against numbers worked out by hand."""

import muspy
import numpy as np
import pytest

from musiclab.measures.music import (
    PITCHED_PAIRS,
    empty_bars,
    harmony_gain,
    note_density,
    pair_name,
    tonal_distance,
    used_pitch_classes,
)

NAN = float("nan")
DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)
PIANO_GUITAR = PITCHED_PAIRS.index((PIANO, GUITAR))


def silence(n: int = 1, steps: int = 16) -> np.ndarray:
    return np.zeros((n, 5, steps, 128), dtype=bool)


def random_rolls(seed: int, density: float = 0.02, low: int = 24, high: int = 96) -> np.ndarray:
    rolls = silence(8, 32)
    rolls[..., low:high] = np.random.default_rng(seed).random((8, 5, 32, high - low)) < density
    return rolls


def test_empty_bars_are_counted_by_track() -> None:
    rolls = silence(2)  # two windows of two bars
    rolls[0, PIANO, 0, 60] = True
    rolls[1, PIANO, :, 60] = True
    rolls[:, BASS, 15, 40] = True
    np.testing.assert_array_equal(empty_bars(rolls, resolution=2), [1, 0.25, 1, 0.5, 1])


def test_no_bars_have_no_share() -> None:
    for rolls in (silence(0), silence(3, steps=7)):
        np.testing.assert_array_equal(empty_bars(rolls, resolution=2), [NAN] * 5)
        np.testing.assert_array_equal(used_pitch_classes(rolls, resolution=2), [NAN] * 5)
        np.testing.assert_array_equal(tonal_distance(rolls, resolution=2), [NAN] * 6)


def test_octaves_are_one_pitch_class_and_neighbours_are_two() -> None:
    rolls = silence()
    rolls[0, PIANO, 0, [36, 48, 60, 72]] = True  # one class; MuseGAN's bands of adjacent semitones see four
    rolls[0, GUITAR, 0, [60, 61, 62]] = True  # three classes; those bands see one or two
    rolls[0, GUITAR, 8, 60] = True  # and a second bar with one
    rolls[0, DRUMS, 0, 36] = True
    np.testing.assert_array_equal(used_pitch_classes(rolls, resolution=2), [NAN, 1, 2, NAN, NAN])


def test_pitch_classes_agree_with_muspy() -> None:
    rolls = random_rolls(0)
    for window in rolls:
        notes = [
            muspy.Note(time=int(step), pitch=int(pitch), duration=1) for step, pitch in np.argwhere(window[PIANO, :8])
        ]
        if notes:
            music = muspy.Music(resolution=2, tracks=[muspy.Track(program=0, is_drum=False, notes=notes)])
            expected = muspy.n_pitch_classes_used(music)
            assert used_pitch_classes(window[None, :, :8], resolution=2)[PIANO] == expected


def test_tonal_distance_of_two_notes_is_hartes() -> None:
    rolls = silence(steps=8)
    rolls[0, PIANO, 0, 60] = True  # C: (0, 1, 0, 1, 0, .5)
    rolls[0, GUITAR, 0, 67] = True  # G, k = 7
    k = 7
    g = [
        np.sin(7 * k * np.pi / 6),
        np.cos(7 * k * np.pi / 6),
        np.sin(3 * k * np.pi / 2),
        np.cos(3 * k * np.pi / 2),
        0.5 * np.sin(2 * k * np.pi / 3),
        0.5 * np.cos(2 * k * np.pi / 3),
    ]
    expected = np.linalg.norm(np.array([0, 1, 0, 1, 0, 0.5]) - g)
    np.testing.assert_allclose(tonal_distance(rolls, resolution=2)[PIANO_GUITAR], expected)
    # A fifth is one step of 30 degrees, then three of 90, then one of 120: by chords 2 sin(angle / 2).
    by_chords = np.sqrt((2 * np.sin(np.pi / 12)) ** 2 + 2 + 0.75)
    np.testing.assert_allclose(expected, by_chords)


def test_tonal_distance_is_zero_between_octaves_and_ignores_loudness_of_the_chroma() -> None:
    rolls = silence(steps=8)
    rolls[0, PIANO, :, 60] = True
    rolls[0, GUITAR, 0, [36, 84]] = True
    distances = tonal_distance(rolls, resolution=2)
    assert distances[PIANO_GUITAR] == pytest.approx(0)
    assert np.isnan(np.delete(distances, PIANO_GUITAR)).all()


def test_tonal_distance_needs_both_tracks_in_one_bar() -> None:
    rolls = silence()
    rolls[0, PIANO, :8, 60] = True
    rolls[0, GUITAR, 8:, 60] = True
    assert np.isnan(tonal_distance(rolls, resolution=2)).all()


def test_transposing_all_tracks_keeps_their_distance_and_transposing_one_does_not() -> None:
    rolls = random_rolls(1)
    rolls[..., [pitch for pitch in range(128) if pitch % 12 not in (0, 2, 4, 5, 7, 9, 11)]] = False  # C major
    distances = tonal_distance(rolls, resolution=2)
    np.testing.assert_allclose(tonal_distance(np.roll(rolls, 5, axis=3), resolution=2), distances)
    one = rolls.copy()
    one[:, PIANO] = np.roll(one[:, PIANO], 6, axis=2)
    assert tonal_distance(one, resolution=2)[PIANO_GUITAR] > distances[PIANO_GUITAR] + 0.1


def test_transposition_keeps_pitch_classes() -> None:
    rolls = random_rolls(2)
    np.testing.assert_array_equal(
        used_pitch_classes(np.roll(rolls, 7, axis=3), resolution=2), used_pitch_classes(rolls, resolution=2)
    )


def test_note_density_counts_onsets_a_beat() -> None:
    rolls = silence(2)  # 16 beats in all
    rolls[0, PIANO, :, 60] = True  # one long note
    rolls[1, STRINGS, ::2, 60] = True  # eight short ones
    np.testing.assert_array_equal(note_density(rolls, resolution=2), [0, 1 / 16, 0, 0, 0.5])
    np.testing.assert_array_equal(note_density(rolls, resolution=4), [0, 1 / 8, 0, 0, 1])
    np.testing.assert_array_equal(note_density(silence(0), resolution=2), [NAN] * 5)


def test_pairs_are_named_after_their_tracks_and_leave_drums_out() -> None:
    assert [pair_name(pair) for pair in PITCHED_PAIRS] == [
        "Piano-Guitar",
        "Piano-Bass",
        "Piano-Strings",
        "Guitar-Bass",
        "Guitar-Strings",
        "Bass-Strings",
    ]


def chords(roots: list[int], others: list[int]) -> np.ndarray:
    """A window of one bar for each pair of roots: a piano note and a guitar note."""
    rolls = silence(len(roots), steps=8)
    for window, (root, other) in enumerate(zip(roots, others, strict=True)):
        rolls[window, PIANO, 0, root] = True
        rolls[window, GUITAR, 0, other] = True
    return rolls


def test_harmony_gain_is_the_distance_that_exchange_adds() -> None:
    tritone = tonal_distance(chords([60], [66]), resolution=2)[PIANO_GUITAR]
    together = harmony_gain(chords([60, 66, 60, 66], [60, 66, 60, 66]), resolution=2)
    assert together[PIANO_GUITAR] == pytest.approx(0)  # two further on is the same again
    together = harmony_gain(chords([60, 60, 66, 66], [60, 60, 66, 66]), resolution=2)
    assert together[PIANO_GUITAR] == pytest.approx(tritone)
    apart = harmony_gain(chords([60, 60, 66, 66], [66, 66, 60, 60]), resolution=2)
    assert apart[PIANO_GUITAR] == pytest.approx(-tritone)
    assert np.isnan(np.delete(together, PIANO_GUITAR)).all()


def test_tracks_of_one_start_are_not_exchanged_among_each_other() -> None:
    # Two starts of three equal windows each: every exchanged pair is of both starts.
    together = harmony_gain(chords([60] * 3 + [66] * 3, [60] * 3 + [66] * 3), resolution=2)
    assert together[PIANO_GUITAR] == pytest.approx(tonal_distance(chords([60], [66]), resolution=2)[PIANO_GUITAR])


def test_harmony_gain_of_tracks_that_do_not_fit_is_about_zero() -> None:
    rng = np.random.default_rng(0)
    roots = rng.integers(40, 80, size=400)
    gain = harmony_gain(chords(list(roots), list(rng.integers(40, 80, size=400))), resolution=2)[PIANO_GUITAR]
    assert abs(gain) < 0.1 < 1 < harmony_gain(chords(list(roots), list(roots)), resolution=2)[PIANO_GUITAR]


def test_harmony_gain_takes_the_second_tracks_bars_where_they_are() -> None:
    rolls = silence(2)  # two bars each
    rolls[:, PIANO, 0, 60] = True
    rolls[0, GUITAR, 0, 60] = True
    rolls[1, GUITAR, 0, 66] = True
    rolls[1, GUITAR, 8, 60] = True  # its bar has no piano in either window
    assert harmony_gain(rolls, resolution=2)[PIANO_GUITAR] == pytest.approx(0)  # C-C and C-F# as they are and exchanged


def test_a_bar_counts_where_both_sound_once_exchanged() -> None:
    rolls = chords([60, 60], [60, 60])
    rolls[1, GUITAR] = False  # the guitar of the first window meets the piano of the second
    assert harmony_gain(rolls, resolution=2)[PIANO_GUITAR] == pytest.approx(0)


def test_harmony_gain_needs_two_windows_and_bars_in_common() -> None:
    assert np.isnan(harmony_gain(chords([60], [60]), resolution=2)).all()
    assert np.isnan(harmony_gain(silence(0), resolution=2)).all()
    rolls = chords([60, 66], [60, 66])
    rolls[0, PIANO] = rolls[1, GUITAR] = False  # the piano sounds where the guitar does not
    assert np.isnan(harmony_gain(rolls, resolution=2)).all()
