"""A song: notes on five tracks, bar lines and names, in one form for all kinds of files."""

import unicodedata
from dataclasses import dataclass

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
            object.__setattr__(self, field, clean_text(getattr(self, field)))

    @property
    def bar_ticks(self) -> int:
        """The most frequent distance between two bar lines; if there is one bar only, its length."""
        if len(self.bars) < 2:
            return self.length - int(self.bars[0]) if len(self.bars) else self.length
        return int(np.bincount(np.diff(self.bars)).argmax())


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
