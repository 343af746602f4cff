"""Measures of pitch, against numbers worked out by hand and against MusPy's on the same windows."""

import muspy
import numpy as np
import pytest

from musiclab.data.notes import notes
from musiclab.measures.tonality import pitch_class_entropy, pitch_range, polyphony, scale_consistency

NAN = float("nan")
DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)
ALL = (pitch_class_entropy, scale_consistency, pitch_range, polyphony)
TOGETHER = 0


def silence(n: int = 1, steps: int = 16) -> np.ndarray:
    return np.zeros((n, 5, steps, 128), dtype=bool)


def random_rolls(seed: int, n: int = 8) -> np.ndarray:
    """Notes of all lengths in a middle register, some tracks silent in some windows."""
    rng = np.random.default_rng(seed)
    rolls = silence(n, 32)
    rolls[..., 30:90] = rng.random((n, 5, 32, 60)) < 0.02
    rolls[:, :, 1:] |= rolls[:, :, :-1] & (rng.random((n, 5, 31, 128)) < 0.5)
    rolls[rng.random((n, 5)) < 0.3] = False
    return rolls


def as_muspy(tracks: dict[int, np.ndarray]) -> muspy.Music:
    """Rolls `(time, pitch)` by track as a piece of MusPy's."""
    return muspy.Music(
        resolution=2,
        tracks=[
            muspy.Track(
                is_drum=number == DRUMS,
                notes=[muspy.Note(int(start), int(pitch), int(length)) for start, length, pitch in notes(roll)],
            )
            for number, roll in tracks.items()
        ],
    )


@pytest.mark.parametrize("measure", ALL)
def test_muspy_gives_the_same_for_a_window(measure) -> None:
    rolls = random_rolls(0, 30)
    compared = 0
    for window in rolls:
        ours = measure(window[None])
        sets = [dict(enumerate(window)), *({track: window[track]} for track in range(1, 5))]
        for value, tracks in zip(ours[[0, 2, 3, 4, 5]], sets, strict=True):
            if any(roll.any() for track, roll in tracks.items() if track != DRUMS):
                assert value == pytest.approx(getattr(muspy, measure.__name__)(as_muspy(tracks)), abs=1e-12)
                compared += 1
            else:
                assert np.isnan(value)
    assert compared > 100


@pytest.mark.parametrize("measure", ALL)
def test_nothing_has_no_value(measure) -> None:
    for rolls in (silence(0), silence(3)):
        np.testing.assert_array_equal(measure(rolls), [NAN] * 6)
    rolls = silence()
    rolls[0, DRUMS, 0, [36, 42]] = True
    assert np.isnan(np.delete(measure(rolls), 1 + DRUMS)).all()


@pytest.mark.parametrize("measure", (pitch_class_entropy, scale_consistency, pitch_range))
def test_pitches_of_drums_mean_nothing(measure) -> None:
    rolls = random_rolls(1)
    with_other_drums = rolls.copy()
    with_other_drums[:, DRUMS] = random_rolls(2)[:, DRUMS]
    np.testing.assert_array_equal(measure(rolls), measure(with_other_drums))
    assert np.isnan(measure(rolls)[1 + DRUMS])


@pytest.mark.parametrize("measure", ALL)
def test_transposition_changes_nothing(measure) -> None:
    rolls = random_rolls(3)
    np.testing.assert_allclose(measure(np.roll(rolls, 7, axis=3)), measure(rolls), atol=1e-12)


@pytest.mark.parametrize("measure", (pitch_class_entropy, scale_consistency, pitch_range))
def test_windows_weigh_the_same_and_silent_ones_nothing(measure) -> None:
    rolls = random_rolls(4, 3)
    rolls[:, PIANO] = False
    rolls[0, PIANO, 0, [60, 64, 67]] = True
    rolls[1, PIANO, ::2, [60, 61, 62, 80]] = True
    single = [measure(window[None])[1 + PIANO] for window in rolls]
    assert np.isnan(single[2]) and single[0] != single[1]
    assert measure(rolls)[1 + PIANO] == pytest.approx((single[0] + single[1]) / 2)


def test_windows_in_many_blocks_count_like_few() -> None:
    rolls = np.tile(random_rolls(5, 3), (200, 1, 1, 1))  # 600 windows, more than are unpacked at once
    np.testing.assert_allclose(pitch_class_entropy(rolls), pitch_class_entropy(rolls[:3]), atol=1e-12)


def test_entropy_counts_notes_and_not_their_length_or_octave() -> None:
    rolls = silence()
    rolls[0, PIANO, :8, 60] = True  # C, long
    rolls[0, PIANO, 0, 67] = True  # G, short
    assert pitch_class_entropy(rolls)[1 + PIANO] == 1
    rolls[0, PIANO, 10, 72] = True  # another C: 2/3 and 1/3
    assert pitch_class_entropy(rolls)[1 + PIANO] == pytest.approx(np.log2(3) - 2 / 3)
    rolls[0, BASS, [0, 2, 4], [36, 48, 24]] = True
    assert str(pitch_class_entropy(rolls)[1 + BASS]) == "0.0"  # and not -0.0
    rolls[0, GUITAR, 0, 60:72] = True
    assert pitch_class_entropy(rolls)[1 + GUITAR] == pytest.approx(np.log2(12))


def test_tracks_together_are_one_piece() -> None:
    rolls = silence()
    rolls[0, PIANO, 0, [60, 62, 64, 65, 67, 69, 71]] = True  # C major
    rolls[0, GUITAR, 0, [66, 68, 70, 71, 73, 75, 77]] = True  # F sharp major: B and F (E sharp) in common
    consistency = scale_consistency(rolls)
    assert consistency[1 + PIANO] == consistency[1 + GUITAR] == 1
    # Twelve classes, two of them twice: C major and F sharp major hold 9 of the 14 notes.
    assert consistency[TOGETHER] == pytest.approx(9 / 14)
    assert pitch_range(rolls)[TOGETHER] == 17
    assert polyphony(rolls)[TOGETHER] == 13  # both play B4


def test_one_strange_note_in_eight() -> None:
    rolls = silence()
    rolls[0, PIANO, 0, [60, 62, 64, 65, 67, 69, 71]] = True
    rolls[0, PIANO, :, 66] = True  # long, but one note; G major has it and lacks F
    assert scale_consistency(rolls)[1 + PIANO] == 7 / 8
    rolls[0, STRINGS, 0, 60:72] = True
    assert scale_consistency(rolls)[1 + STRINGS] == 7 / 12


def test_range_is_from_the_lowest_to_the_highest() -> None:
    rolls = silence(2)
    rolls[0, PIANO, [0, 9], [0, 127]] = True
    rolls[:, BASS, 3, 40] = True
    rolls[1, BASS, 3, 52] = True
    np.testing.assert_array_equal(pitch_range(rolls), [(127 + 12) / 2, NAN, 127, NAN, 6, NAN])


def test_polyphony_looks_at_steps_that_sound() -> None:
    rolls = silence(2)
    rolls[0, PIANO, :4, [60, 64, 67]] = True  # four steps of three
    rolls[1, PIANO, :2, 60] = True  # two of one
    rolls[1, GUITAR, 5, 60] = True
    rolls[1, DRUMS, 7, [36, 42]] = True
    np.testing.assert_array_equal(polyphony(rolls), [15 / 7, 2, 14 / 6, 1, NAN, NAN])
