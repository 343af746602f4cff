"""Songs moved to one key: which key is found, what is moved, and that all comes back."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musiclab.data.chorales import Chorales
from musiclab.data.songs import BadSong
from musiclab.data.transposition import AS_WRITTEN, TO_C, moved_notes, moved_pitches, moved_rolls, semitones_to_c
from musiclab.data.windows import WindowSpec, cut, unpack
from tests.support.made_songs import song

MAJOR, HARMONIC_MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 11)


def tune(tonic: int, scale: tuple[int, ...], drums: int = 36) -> list[tuple[int, int, int, int]]:
    """A cadence on a tonic: I IV V I on the guitar over a bass, a scale on the piano, and a drum."""
    notes = [(0, drums, 24 * beat, 24 * beat + 1) for beat in range(16)]
    notes += [(1, 60 + tonic + degree, 24 * beat, 24 * beat + 24) for beat, degree in enumerate((*scale, 12))]
    for bar, root in enumerate((0, 3, 4, 0)):
        chord = [scale[(root + third) % 7] for third in (0, 2, 4)]
        notes += [(2, 48 + tonic + degree, 96 * bar, 96 * bar + 96) for degree in chord]
        notes.append((3, 36 + tonic + scale[root], 96 * bar, 96 * bar + 96))
    return notes


def semitones(notes: list[tuple[int, int, int, int]]) -> int:
    return semitones_to_c(np.array(notes, np.int32).reshape(-1, 4))


@pytest.mark.parametrize(("scale", "moved_to"), [(MAJOR, 0), (HARMONIC_MINOR, 9)], ids=["major", "minor"])
def test_every_key_is_moved_by_the_least_interval(scale: tuple[int, ...], moved_to: int) -> None:
    moved = [semitones(tune(tonic, scale)) for tonic in range(12)]
    assert [(tonic + interval) % 12 for tonic, interval in enumerate(moved)] == [moved_to] * 12
    assert sorted(moved) == list(range(-5, 7))  # a tritone goes up, so that no bass falls below its lowest string


def test_the_longer_notes_decide() -> None:
    in_d = [(1, 62 + degree, 0, 96) for degree in MAJOR]
    in_a_flat = [(1, 56 + degree, 0, 1) for degree in MAJOR]
    assert semitones(in_d + in_a_flat * 9) == -2


def test_drums_have_no_key_and_stay() -> None:
    for drum in (35, 36, 61):
        assert semitones(tune(2, MAJOR, drum)) == -2
    made = song(tune(2, MAJOR), [0], 384)
    written, moved = (unpack(cut(made, WindowSpec(transpose=choice))) for choice in (AS_WRITTEN, TO_C))
    assert np.array_equal(written[:, 0], moved[:, 0])
    assert np.array_equal(np.roll(written[:, 1:], -2, axis=-1), moved[:, 1:])


@pytest.mark.parametrize("notes", [[], [(0, 36, 0, 1)], [(1, pitch, 0, 24) for pitch in range(61, 73)]])
def test_a_song_in_no_key_stays(notes: list[tuple[int, int, int, int]]) -> None:
    assert semitones(notes) == 0


def test_of_keys_that_fit_equally_well_the_nearest_counts_and_then_the_one_above() -> None:
    """Chords that divide the octave evenly fit several keys equally well: those a step of the chord apart."""
    for steps, intervals in ((2, [-1, 0]), (3, [-1, 0, 1]), (4, [-2, -1, 0, 1])):
        chords = [[(1, pitch, 0, 24) for pitch in range(60 + first, 72, steps)] for first in range(steps)]
        assert sorted(map(semitones, chords)) == intervals


def test_a_note_that_would_leave_the_range_stays_an_octave_inside() -> None:
    assert moved_pitches(6)[[0, 121, 122, 127]].tolist() == [6, 127, 116, 121]
    assert moved_pitches(-5)[[127, 5, 4, 0]].tolist() == [122, 0, 11, 7]
    notes = np.array([(1, 127, 0, 24), (0, 127, 0, 1), (3, 2, 0, 24)], np.int32)
    assert moved_notes(notes, 5)[:, 1].tolist() == [120, 127, 7]
    rolls = np.zeros((5, 1, 128), bool)
    rolls[1, 0, [116, 122]] = rolls[0, 0, 122] = True
    moved = moved_rolls(rolls, 6)
    assert np.argwhere(moved).tolist() == [[0, 0, 122], [1, 0, 116], [1, 0, 122]]


LINES = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 127), st.integers(0, 400), st.integers(1, 200)), max_size=30
)


@given(LINES)
def test_moved_and_moved_back_a_song_is_as_it_was(lines: list[tuple[int, int, int, int]]) -> None:
    notes = [(track, pitch, start, start + length) for track, pitch, start, length in lines]
    made = song(notes, [0, 96, 192, 288, 384], 600)
    spec = WindowSpec(transpose=TO_C)
    moved, written = (unpack(cut(made, one)) for one in (spec, WindowSpec()))
    back = moved_rolls(moved, -spec.semitones(made))
    inside = all(track == 0 or 0 <= pitch + spec.semitones(made) < 128 for track, pitch, *_ in notes)
    if inside:
        assert np.array_equal(back, written)
    # Outside, it has its pitch classes at least.
    by_octave = [np.pad(rolls[:, 1:], [(0, 0)] * 3 + [(0, 4)]).reshape(-1, 11, 12) for rolls in (back, written)]
    assert np.array_equal(*(rolls.any(axis=1) for rolls in by_octave))
    # Moved once more, it stays: what was moved is in the one key.
    again = song([tuple(note) for note in moved_notes(made.notes, spec.semitones(made)).tolist()], [0], 600)
    if inside:
        assert spec.semitones(again) == 0


@pytest.mark.slow
def test_the_key_of_chorales_is_that_of_music21() -> None:
    """Every sixth chorale. Of all 364, 358 are moved as music21's analysis (by Aarden and Essen's profiles) has it."""
    from music21 import converter

    same = []
    chorales = Chorales()
    for name, data in islice(chorales.items(), 0, None, 6):
        try:
            ours = semitones_to_c(chorales.parse(name, data).notes)
        except BadSong:
            continue
        key = converter.parse(chorales.path / name).analyze("key")
        tonic = (key.tonic.pitchClass + ours) % 12
        same.append(tonic == (9 if key.mode == "minor" else 0))
    assert len(same) >= 55
    assert np.mean(same) >= 0.93
