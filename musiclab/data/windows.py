"""Windows of a song: binary pianorolls of equal length that start on bar lines, stored as packed bits."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from musiclab.data.songs import BEAT_TICKS, DRUMS, TRACKS, Song
from musiclab.data.transposition import AS_WRITTEN, TRANSPOSE, moved_notes, semitones_to_c

PITCHES = 128
PITCH_BYTES = PITCHES // 8

# Windows are painted a few at a time, so that even a very long song needs little memory.
_STEPS_AT_ONCE = 4096


@dataclass(frozen=True)
class WindowSpec:
    """How songs are cut into windows. The defaults are the article's: 16 beats a window, no overlap.

    Attributes:
        resolution: steps a beat; a divisor of 24.
        steps: steps a window.
        hop: steps from the start of a window to the next one's.
        transpose: one of `TRANSPOSE`: songs as they are written, or each moved to C major or A minor.
    """

    resolution: int = 2
    steps: int = 32
    hop: int = 32
    transpose: str = AS_WRITTEN

    def __post_init__(self) -> None:
        if self.resolution < 1 or BEAT_TICKS % self.resolution:
            raise ValueError(f"resolution must be a divisor of {BEAT_TICKS}; got {self.resolution}")
        if self.steps < 1 or self.hop < 1:
            raise ValueError(f"steps and hop must be at least 1; got {self.steps} and {self.hop}")
        if self.transpose not in TRANSPOSE:
            raise ValueError(f"transpose must be one of {', '.join(TRANSPOSE)}; got {self.transpose!r}")

    def semitones(self, song: Song) -> int:
        """By how many semitones a song is moved before it is cut; its drums are not."""
        return 0 if self.transpose == AS_WRITTEN else semitones_to_c(song.notes)

    def to_json(self) -> dict[str, Any]:
        """The fields by name. Songs as they are written have no `transpose`, as before there was any."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("transpose", AS_WRITTEN)}


def pack(rolls: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Rolls (..., 128) bool as (..., 16) uint8, the lowest pitch in the highest bit of the first byte."""
    return np.packbits(rolls, axis=-1)


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """The inverse of `pack`: (..., 16) uint8 as (..., 128) bool."""
    return np.unpackbits(packed, axis=-1).view(np.bool_)


def cut(song: Song, spec: WindowSpec) -> npt.NDArray[np.uint8]:
    """The windows of a song, (n, 5, steps, 16) uint8 packed over pitch; n is 0 if the song is too short.

    Notes are moved by as many semitones as the spec says. They are quantised, not cells: starts and ends are rounded to
    the nearest step (a half goes up), a note lasts at least one step, and a drum hit lasts exactly one. The first
    window starts at the first bar line. Each next window starts at the first bar line that is at least `hop` steps
    after the start of the one before. What remains at the end and fills no window is left out.
    """
    starts = _window_starts(song, spec)
    notes = _quantised_notes(song, spec)
    windows = np.zeros((len(starts), len(TRACKS), spec.steps, PITCH_BYTES), np.uint8)
    at_once = max(1, _STEPS_AT_ONCE // spec.steps)
    for first in range(0, len(starts), at_once):
        _paint(windows[first : first + at_once], starts[first : first + at_once], notes)
    return windows


def _to_steps(ticks: npt.ArrayLike, resolution: int) -> npt.NDArray[np.int64]:
    return (np.asarray(ticks, np.int64) * resolution + BEAT_TICKS // 2) // BEAT_TICKS


def _window_starts(song: Song, spec: WindowSpec) -> npt.NDArray[np.int64]:
    bars = _to_steps(song.bars, spec.resolution)
    last = int(_to_steps(song.length, spec.resolution)) - spec.steps
    starts: list[int] = []
    bar = 0
    while bar < len(bars) and bars[bar] <= last:
        starts.append(int(bars[bar]))
        bar = int(np.searchsorted(bars, bars[bar] + spec.hop))
    return np.array(starts, np.int64)


class _Notes(NamedTuple):
    """Notes, `(n,)` each; `begin` and `end` are in steps."""

    track: npt.NDArray[np.int64]
    pitch: npt.NDArray[np.int64]
    begin: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]


def _quantised_notes(song: Song, spec: WindowSpec) -> _Notes:
    """The notes of a song; overlapping notes of one pitch are joined.

    So there are no more notes than cells in the song, however many notes a file claims.
    """
    track, pitch, start, stop = moved_notes(song.notes, spec.semitones(song)).T.astype(np.int64)
    begin = _to_steps(start, spec.resolution)
    end = np.maximum(begin + 1, _to_steps(stop, spec.resolution))
    end = np.where(track == DRUMS, begin + 1, end)
    # A line is one pitch of one track. All lines are put on one axis, one behind the other and never touching.
    stride = int(end.max(initial=0)) + 1
    offset = (track * PITCHES + pitch) * stride
    order = np.argsort(offset + begin)
    begin, reach = (offset + begin)[order], np.maximum.accumulate((offset + end)[order])
    opens = np.ones(len(begin), bool)
    opens[1:] = begin[1:] > reach[:-1]
    closes = np.roll(opens, -1)
    line = begin[opens] // stride
    return _Notes(line // PITCHES, line % PITCHES, begin[opens] - line * stride, reach[closes] - line * stride)


def _paint(windows: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], notes: _Notes) -> None:
    """Set the cells of the notes in windows that begin at `starts`."""
    steps = windows.shape[2]
    # One entry for each note in each window that it sounds in.
    note, window = _expand(
        np.searchsorted(starts + steps, notes.begin, "right"), np.searchsorted(starts, notes.end, "left")
    )
    # One entry for each of their cells.
    entry, step = _expand(
        np.maximum(notes.begin[note] - starts[window], 0), np.minimum(notes.end[note] - starts[window], steps)
    )
    note, window = note[entry], window[entry]
    row = (window * len(TRACKS) + notes.track[note]) * steps + step
    np.bitwise_or.at(
        windows.reshape(-1),
        row * PITCH_BYTES + notes.pitch[note] // 8,
        np.right_shift(128, notes.pitch[note] % 8).astype(np.uint8),
    )


def _expand(
    first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All whole numbers of the ranges [first, last): the index of each one's range, and the number itself."""
    counts = np.maximum(last - first, 0)
    owner = np.repeat(np.arange(len(counts)), counts)
    offset = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owner, first[owner] + offset
