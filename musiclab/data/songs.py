"""A song: notes on five tracks, bar lines and names, whatever kind of file it came from."""

import unicodedata
from dataclasses import dataclass

import numpy as np

TRACKS = ("Drums", "Piano", "Guitar", "Bass", "Strings")
# General MIDI programs from 0, those of LPD-5. Drums are a matter of the channel (10), not of the program.
PROGRAMS = {"Drums": 0, "Piano": 0, "Guitar": 24, "Bass": 32, "Strings": 48}
BEAT_TICKS = 24

# Longer than any music; a few hostile bytes can claim years, and every array here grows with a song's length.
MAX_BEATS = 100_000
MAX_TICKS = MAX_BEATS * BEAT_TICKS

DEFAULT_TEMPO = 120.0
_TEXT_LENGTH = 200
_UNPRINTABLE = {"Cc", "Cf", "Cs"}  # control, format (such as writing direction), and bytes that were no UTF-8


class BadSong(Exception):
    """Why one song cannot be used, in a few words; the song is skipped and counted, the build goes on."""


@dataclass(frozen=True)
class Song:
    """One song in ticks of 1/24 beat (a beat is a quarter note).

    `notes` is int32 (n, 4): track (an index into `TRACKS`), pitch (0 to 127), start and end, end > start >= 0.
    `bars` is int32 (b,): ascending starts of whole bars; the first may be later than 0, after a pickup.
    `length` is in ticks, `tempo` in quarter notes a minute. The texts are cleaned here, since they come from data:
    one line, no control characters, at most 200 characters.
    """

    id: str
    artist: str
    title: str
    notes: np.ndarray
    bars: np.ndarray
    length: int
    tempo: float

    def __post_init__(self) -> None:
        for field in ("id", "artist", "title"):
            object.__setattr__(self, field, clean_text(getattr(self, field)))

    @property
    def bar_ticks(self) -> int:
        """The commonest distance between two bar lines; a song of one bar is as long as that bar."""
        if len(self.bars) < 2:
            return self.length - int(self.bars[0]) if len(self.bars) else self.length
        return int(np.bincount(np.diff(self.bars)).argmax())


def clean_text(text: str) -> str:
    """The text as one line of at most 200 printable characters, safe for a terminal, a table and UTF-8."""
    # Twice the cap leaves room for the spaces that go, and keeps a text of many megabytes cheap.
    head = text[: 2 * _TEXT_LENGTH]
    printable = "".join(" " if unicodedata.category(c) in _UNPRINTABLE else c for c in head)
    return " ".join(printable.split())[:_TEXT_LENGTH].rstrip()


def track_of(program: int, is_drum: bool) -> int | None:
    """The track that LPD-5 merges a General MIDI program (0 to 127) into; None for one that it drops.

    Source: Dong et al., "MuseGAN", AAAI 2018, section "Data"; the published 17-track files agree with it.
    """
    if is_drum:
        return TRACKS.index("Drums")
    for name, first in (("Piano", 0), ("Guitar", 24), ("Bass", 32)):
        if first <= program < first + 8:
            return TRACKS.index(name)
    return TRACKS.index("Strings") if 0 <= program < 96 or 104 <= program < 112 else None


def to_ticks(times: np.ndarray, resolution: int) -> np.ndarray:
    """Times counted in 1/resolution beat, as the nearest ticks (a half goes up)."""
    return (np.asarray(times, np.int64) * (2 * BEAT_TICKS) + resolution) // (2 * resolution)


def first_tempo(tempos: np.ndarray) -> float:
    """The first usable tempo (finite, above zero), else 120."""
    usable = tempos[np.isfinite(tempos) & (tempos > 0)]
    return float(usable[0]) if len(usable) else DEFAULT_TEMPO
