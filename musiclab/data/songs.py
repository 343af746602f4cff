"""A song: notes on five tracks, bar lines and names, in one form for all kinds of files."""

import contextlib
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

TRACKS = ("Drums", "Piano", "Guitar", "Bass", "Strings")
DRUMS, PIANO, GUITAR, BASS, STRINGS = range(len(TRACKS))  # their places in every array with an axis of tracks
# General MIDI programs, counted from 0, as in LPD-5. Drums are told by their channel (10), not by a program.
PROGRAMS = {"Drums": 0, "Piano": 0, "Guitar": 24, "Bass": 32, "Strings": 48}
BEAT_TICKS = 24

# Longer than any music. Without a limit, a few hostile bytes could claim years, and arrays grow with the length.
MAX_BEATS = 100_000
MAX_TICKS = MAX_BEATS * BEAT_TICKS

DEFAULT_TEMPO = 120.0
_TEXT_LENGTH = 200
_SUFFIX = re.compile(r"\.[A-Za-z]\w{0,9}$")  # of a file's name; "No. 5" and "op.5" have none
_UNPRINTABLE = {"Cc", "Cf", "Cs"}  # control and format characters (writing direction), bytes that are no UTF-8


class BadSong(Exception):
    """Why one song cannot be used, in a few words. The song is skipped and counted, and the build continues."""


@dataclass(frozen=True)
class Song:
    """One song in ticks of 1/24 beat (a beat is a quarter note).

    The texts come from data, so they are cleaned here: one line, no control characters, at most 200 characters.

    Attributes:
        notes: int32 `(n, 4)`: track (an index into `TRACKS`), pitch (0 to 127), start and end, end > start >= 0.
        bars: int32 `(b,)`: ascending starts of whole bars; the first is later than 0 if there is a pickup.
        length: in ticks.
        tempo: in quarter notes a minute.
    """

    id: str
    artist: str
    title: str
    notes: npt.NDArray[np.int32]
    bars: npt.NDArray[np.int32]
    length: int
    tempo: float

    def __post_init__(self) -> None:
        for field in ("id", "artist", "title"):
            value = getattr(self, field)
            if not isinstance(value, str):
                raise BadSong(f"a song's {field} must be a text; got {clean_text(repr(value))}")
            object.__setattr__(self, field, clean_text(value))

    @classmethod
    def of(
        cls,
        name: str,
        notes: Iterable[Sequence[Any]],
        *,
        title: str = "",
        artist: str = "",
        beats: float | None = None,
        bars: float | Sequence[float] = 4,
        tempo: float = DEFAULT_TEMPO,
        tracks: Mapping[Any, Any] | None = None,
    ) -> "Song":
        """The song of notes whose times are in beats; a beat is a quarter note.

        Args:
            name: the song's id, such as the name of its file. Songs of the same name are taken for the same work.
            notes: `(track, pitch, start, length)` each. The track is a name of `TRACKS` or its place there, or a key of
                `tracks`; the pitch is from 0 to 127; times are rounded to 1/24 beat, which a note lasts at least.
            title: by default the name without its folders and suffix.
            artist: "" if unknown.
            beats: the length of the song, or up to the end of its last note if that is later. By default up to the end
                of the last bar.
            bars: how many beats a bar has, or the beats at which whole bars begin. Windows begin where bars do.
            tempo: in quarter notes a minute.
            tracks: which of `TRACKS` the tracks of other names are; None leaves the notes of a track out.

        Raises:
            BadSong: there are no notes, or something is not as said above.
        """
        if not isinstance(name, str):
            raise BadSong(f"a song's name must be a text; got {clean_text(repr(name))}")
        table = _note_table(notes, tracks or {})
        length = int(table[:, 3].max())
        if beats is not None:
            length = max(length, int(_ticks(np.array([_beats("beats", beats)]))[0]))
        if not isinstance(bars, Iterable):
            bar = _beats("bars", bars) * BEAT_TICKS
            if bar < 1:
                raise BadSong(f"a bar must have at least 1/{BEAT_TICKS} beat; got {bars!r}")
            if beats is None:
                length = math.floor(math.ceil(length / bar) * bar + 0.5)
            starts = np.floor(np.arange(0, length, bar) + 0.5).astype(np.int64)
        else:
            starts = np.unique(_ticks(np.array([_beats("bars", beat) for beat in bars], np.float64)))
            starts = starts[starts < length]
        return cls(
            id=name,
            artist=artist,
            title=title or _SUFFIX.sub("", name.rpartition("/")[2]),
            notes=table,
            bars=starts.astype(np.int32),
            length=length,
            tempo=_positive(tempo),
        )

    @property
    def bar_ticks(self) -> int:
        """The most frequent distance between two bar lines; if there is one bar only, its length."""
        if len(self.bars) < 2:
            return self.length - int(self.bars[0]) if len(self.bars) else self.length
        return int(np.bincount(np.diff(self.bars)).argmax())


def checked_song(song: object) -> Song:
    """The song that a user's reader has made, of Python's own numbers and plain arrays.

    Raises:
        BadSong: it is anything but a song as `Song` says.
    """
    if not isinstance(song, Song):
        raise BadSong(f"a {clean_text(type(song).__name__)} instead of a Song")
    if not all(isinstance(array, np.ndarray) and array.dtype == np.int32 for array in (song.notes, song.bars)):
        raise BadSong("notes and bars must be arrays of int32, as Song.of makes them")
    notes, bars = np.asarray(song.notes), np.asarray(song.bars)
    length, tempo = _whole(song.length), _positive(song.tempo)
    if notes.ndim != 2 or notes.shape[1] != 4 or bars.ndim != 1:
        raise BadSong(f"notes must have the shape (n, 4) and bars (b,); got {notes.shape} and {bars.shape}")
    if not len(notes):
        raise BadSong("no notes")
    track, pitch, start, end = notes.T
    if track.min() < 0 or track.max() >= len(TRACKS) or pitch.min() < 0 or pitch.max() > 127:
        raise BadSong(f"tracks must be from 0 to {len(TRACKS) - 1} and pitches from 0 to 127")
    if start.min() < 0 or (end <= start).any() or not end.max() <= length <= MAX_TICKS:
        raise BadSong(f"notes must end after they start, within the song's length of at most {MAX_TICKS:,} ticks")
    if (bars[1:] <= bars[:-1]).any() or (len(bars) and not 0 <= bars[0] <= bars[-1] < length):
        raise BadSong("bars must ascend from 0 or later, and begin before the song ends")
    return Song(song.id, song.artist, song.title, notes, bars, length, tempo)


def _whole(length: Any) -> int:
    if not isinstance(length, Integral):
        raise BadSong(f"length must be a whole number of ticks; got {clean_text(repr(length))}")
    return int(length)


def _positive(tempo: Any) -> float:
    with contextlib.suppress(OverflowError):  # a whole number may be larger than any float
        if isinstance(tempo, Real) and 0 < float(tempo) < math.inf:
            return float(tempo)
    raise BadSong(f"tempo must be a number above 0; got {clean_text(repr(tempo))}")


def _note_table(notes: Iterable[Sequence[Any]], tracks: Mapping[Any, Any]) -> npt.NDArray[np.int32]:
    """The notes (n, 4) int32 in ticks, sorted, of notes in beats as for `Song.of`; BadSong if one cannot be right."""
    places: list[int] = []
    values: list[tuple[float, float, float]] = []
    for note in notes:
        try:
            track, pitch, start, length = note
            value = float(pitch), float(start), float(length)
        except (TypeError, ValueError):
            raise BadSong(f"a note must be (track, pitch, start, length); got {clean_text(repr(note))}") from None
        if value[0] not in range(128) or not 0 <= value[1] <= value[1] + value[2] <= MAX_BEATS or value[2] < 0:
            raise BadSong(
                f"a note must have a pitch from 0 to 127, a start and a length of 0 or more, and end before beat "
                f"{MAX_BEATS:,}; got {clean_text(repr(note))}"
            )
        place = _place(track, tracks)
        if place is not None:
            places.append(place)
            values.append(value)
    if not values:
        raise BadSong("no notes")
    track, (pitch, start, length) = np.array(places, np.int64), np.array(values, np.float64).T
    begin = _ticks(start)
    end = np.maximum(_ticks(start + length), begin + 1)
    end = np.where(track == DRUMS, begin + 1, end)  # as in MIDI files: a drum is hit and not held
    table = np.stack([track, pitch.astype(np.int64), begin, end], axis=1)
    return table[np.lexsort(table.T[[1, 0, 3, 2]])].astype(np.int32)


def _place(track: Any, tracks: Mapping[Any, Any]) -> int | None:
    """The place in `TRACKS` of a note's track; None if its notes are left out."""
    named = tracks.get(track, track) if tracks else track
    if named is None and track is not None:
        return None
    if isinstance(named, str) and named in TRACKS:
        return TRACKS.index(named)
    if not isinstance(named, str) and named in range(len(TRACKS)):
        return int(named)
    raise BadSong(
        f"a note's track must be {', '.join(TRACKS[:-1])} or {TRACKS[-1]}, or 0 to {len(TRACKS) - 1}; got "
        f"{clean_text(repr(named))}"
    )


def _beats(name: str, value: Any) -> float:
    if not (isinstance(value, Real) and 0 <= float(value) <= MAX_BEATS):
        raise BadSong(f"{name} must be from 0 to {MAX_BEATS:,} beats; got {clean_text(repr(value))}")
    return float(value)


def _ticks(beats: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Times in beats as ticks, rounded to the nearest (a half goes up)."""
    return np.floor(beats * BEAT_TICKS + 0.5).astype(np.int64)


def clean_text(text: str) -> str:
    """The text as one line of at most 200 printable characters, safe for a terminal, a table and UTF-8."""
    # Twice the limit leaves room for the spaces that are dropped; a text of many megabytes is not read whole.
    head = text[: 2 * _TEXT_LENGTH]
    printable = "".join(" " if unicodedata.category(c) in _UNPRINTABLE else c for c in head)
    return " ".join(printable.split())[:_TEXT_LENGTH].rstrip()


def track_of(program: int, is_drum: bool) -> int | None:
    """The track that LPD-5 merges a General MIDI program (0 to 127) into; None if it drops the program.

    Source: Dong et al., "MuseGAN", AAAI 2018, section "Data"; the published 17-track files agree with it.
    """
    if is_drum:
        return DRUMS
    for track, first in ((PIANO, 0), (GUITAR, 24), (BASS, 32)):
        if first <= program < first + 8:
            return track
    return STRINGS if 0 <= program < 96 or 104 <= program < 112 else None


def to_ticks(times: npt.ArrayLike, resolution: int) -> npt.NDArray[np.int64]:
    """Times in 1/resolution beat, rounded to the nearest tick (a half goes up)."""
    return (np.asarray(times, np.int64) * (2 * BEAT_TICKS) + resolution) // (2 * resolution)


def first_tempo(tempos: npt.NDArray[np.float64]) -> float:
    """The first tempo that is finite and above zero; 120 if there is none."""
    usable = tempos[np.isfinite(tempos) & (tempos > 0)]
    return float(usable[0]) if len(usable) else DEFAULT_TEMPO
