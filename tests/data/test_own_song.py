"""What `Song.of` makes of notes in beats, and what it refuses."""

import math
from typing import Any

import numpy as np
import pytest

from musiclab.data import TRACKS, BadSong, Song
from musiclab.data.songs import MAX_BEATS, checked_song

NOTES = [("Piano", 60, 0, 1), ("Bass", 36, 4, 2.5)]


def test_notes_in_beats_become_ticks_sorted_by_their_start() -> None:
    song = Song.of("folk/12.json", [*reversed(NOTES), (0, 38, 1 / 3, 2), (4.0, 72.0, 0.49 / 24, 0)])
    assert song.notes.dtype == np.int32
    # A drum is hit and not held, and a note without length lasts one tick.
    assert song.notes.tolist() == [[4, 72, 0, 1], [1, 60, 0, 24], [0, 38, 8, 9], [3, 36, 96, 156]]
    assert (song.id, song.title, song.artist, song.tempo) == ("folk/12.json", "12", "", 120.0)
    assert song.length == 2 * 96
    assert song.bars.tolist() == [0, 96]
    checked_song(song)


@pytest.mark.parametrize("name", ["No. 5", "op.5", "A.B.C", "10.000 years"])
def test_a_title_is_no_file_s_name(name: str) -> None:
    assert Song.of(name, NOTES).title == {"A.B.C": "A.B"}.get(name, name)


@pytest.mark.parametrize(
    ("fields", "bars", "length"),
    [
        ({"bars": 3}, [0, 72, 144], 3 * 72),
        ({"bars": 1.5}, [0, 36, 72, 108, 144], 180),
        ({"beats": 16}, [0, 96, 192, 288], 16 * 24),
        ({"beats": 5}, [0, 96], 156),
        ({"bars": [1, 5.0, 9]}, [24, 120], 156),
        ({"bars": []}, [], 156),
        ({"bars": np.array([5.0, 1.0])}, [24, 120], 156),
    ],
)
def test_bars_and_length(fields: dict[str, Any], bars: list[int], length: int) -> None:
    song = Song.of("x", NOTES, **fields)
    assert song.bars.tolist() == bars
    assert song.length == length


def test_tracks_of_other_names_are_mapped_or_left_out() -> None:
    notes = [("melody", 72, 0, 1), ("chords", 60, 0, 1), ("lyrics", 0, 0, 1), ("Drums", 36, 0, 1)]
    song = Song.of("x", notes, tracks={"melody": "Piano", "chords": TRACKS.index("Strings"), "lyrics": None})
    assert song.notes[:, :2].tolist() == [[0, 36], [1, 72], [4, 60]]


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        (("Piano", 60, 0), r"a note must be \(track, pitch, start, length\); got \('Piano', 60, 0\)"),
        (("Piano", "C4", 0, 1), r"a note must be \(track, pitch, start, length\)"),
        (("Piano", 128, 0, 1), "a pitch from 0 to 127, a start and a length of 0 or more, and end before beat 100,000"),
        (("Piano", 60.5, 0, 1), "a pitch from 0 to 127"),
        (("Piano", 60, -1, 2), "a pitch from 0 to 127"),
        (("Piano", 60, 0, -1), "a pitch from 0 to 127"),
        (("Piano", 60, 0, math.nan), "a pitch from 0 to 127"),
        (("Piano", 60, 0, math.inf), "a pitch from 0 to 127"),
        (("Piano", 60, MAX_BEATS, 1), "a pitch from 0 to 127"),
        (("Organ", 60, 0, 1), "a note's track must be Drums, Piano, Guitar, Bass or Strings, or 0 to 4; got 'Organ'"),
        ((5, 60, 0, 1), "a note's track must be Drums"),
        ((None, 60, 0, 1), "a note's track must be Drums"),
    ],
)
def test_a_note_that_cannot_be_right_is_a_bad_song(note: Any, reason: str) -> None:
    with pytest.raises(BadSong, match=reason):
        Song.of("x", [*NOTES, note])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"bars": 0}, "a bar must have at least 1/24 beat; got 0"),
        ({"bars": math.nan}, "bars must be from 0 to 100,000 beats; got nan"),
        ({"bars": ["one"]}, "bars must be from 0 to 100,000 beats; got 'one'"),
        ({"bars": [-1]}, "bars must be from 0 to 100,000 beats; got -1"),
        ({"beats": math.inf}, "beats must be from 0 to 100,000 beats; got inf"),
        ({"tempo": 0}, "tempo must be a number above 0; got 0"),
        ({"tempo": None}, "tempo must be a number above 0; got None"),
    ],
)
def test_bars_lengths_and_tempos_that_cannot_be_right(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadSong, match=reason):
        Song.of("x", NOTES, **fields)


def test_a_song_without_notes_is_a_bad_song() -> None:
    for notes in ([], [("x", 60, 0, 1)]):
        with pytest.raises(BadSong, match="no notes"):
            Song.of("x", notes, tracks={"x": None})


def _changed(**fields: Any) -> Song:
    song = Song.of("x", NOTES)
    for name, value in fields.items():
        object.__setattr__(song, name, value)
    return song


@pytest.mark.parametrize(
    ("song", "reason"),
    [
        (None, "a NoneType instead of a Song"),
        ({"notes": []}, "a dict instead of a Song"),
        (_changed(notes=[[1, 60, 0, 24]]), "must be arrays of int32"),
        (_changed(notes=np.zeros((2, 4))), "must be arrays of int32"),
        (_changed(notes=np.zeros((2, 3), np.int32)), r"must have the shape \(n, 4\)"),
        (_changed(notes=np.zeros((0, 4), np.int32)), "no notes"),
        (_changed(notes=np.array([[5, 60, 0, 1]], np.int32)), "tracks must be from 0 to 4"),
        (_changed(notes=np.array([[1, 128, 0, 1]], np.int32)), "pitches from 0 to 127"),
        (_changed(notes=np.array([[1, 60, 5, 5]], np.int32)), "notes must end after they start"),
        (_changed(length=10), "within the song's length"),
        (_changed(length=1 << 40), "within the song's length"),
        (_changed(bars=np.array([4, 4], np.int32)), "bars must ascend"),
        (_changed(bars=np.array([-1, 4], np.int32)), "bars must ascend from 0 or later"),
        (_changed(bars=np.array([0, 2_000_000_000], np.int32)), "begin before the song ends"),
        (_changed(length=768.0), r"length must be a whole number of ticks; got 768\.0"),
        (_changed(length=None), "length must be a whole number of ticks; got None"),
        (_changed(tempo=math.inf), "tempo must be a number above 0; got inf"),
        (_changed(tempo="x"), "tempo must be a number above 0; got 'x'"),
        (_changed(tempo=10**400), "tempo must be a number above 0; got 1000"),
    ],
)
def test_a_song_made_otherwise_is_checked(song: object, reason: str) -> None:
    with pytest.raises(BadSong, match=reason):
        checked_song(song)


def test_a_checked_song_has_pythons_own_numbers_and_plain_arrays() -> None:
    notes = np.ma.masked_array(Song.of("x", NOTES).notes, mask=True)
    song = checked_song(_changed(notes=notes, length=np.int64(192), tempo=np.float32(99.5)))
    assert (type(song.length), type(song.tempo), type(song.notes)) == (int, float, np.ndarray)
    assert (song.length, song.tempo, song.notes.tolist()) == (192, 99.5, Song.of("x", NOTES).notes.tolist())
