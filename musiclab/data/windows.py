"""Windows of a song: binary pianorolls of equal length that start on bar lines, kept as packed bits."""

from dataclasses import dataclass

import numpy as np

from musiclab.data.songs import BEAT_TICKS, TRACKS, Song

PITCHES = 128
PITCH_BYTES = PITCHES // 8

# Windows are painted a few at a time, so that a song of any length needs little memory.
_STEPS_AT_ONCE = 4096


@dataclass(frozen=True)
class WindowSpec:
    """How songs are cut: `resolution` steps a beat (a divisor of 24), `steps` in a window, `hop` steps between starts.

    The defaults are the article's: 2 steps a beat, 16 beats a window, no overlap.
    """

    resolution: int = 2
    steps: int = 32
    hop: int = 32

    def __post_init__(self) -> None:
        if self.resolution < 1 or BEAT_TICKS % self.resolution:
            raise ValueError(f"resolution must divide {BEAT_TICKS} steps a beat, got {self.resolution}")
        if self.steps < 1 or self.hop < 1:
            raise ValueError(f"steps and hop must be at least 1, got {self.steps} and {self.hop}")


def pack(rolls: np.ndarray) -> np.ndarray:
    """Rolls (..., 128) bool as (..., 16) uint8, the lowest pitch in the highest bit of the first byte."""
    return np.packbits(rolls, axis=-1)


def unpack(packed: np.ndarray) -> np.ndarray:
    """What `pack` packed: (..., 16) uint8 as (..., 128) bool."""
    return np.unpackbits(packed, axis=-1).view(bool)


def cut(song: Song, spec: WindowSpec) -> np.ndarray:
    """The windows of a song, (n, 5, steps, 16) uint8 packed over pitch; n is 0 where the song is too short.

    Notes are quantised, not cells: a start goes to the nearest step (a half goes up), an end likewise but at least
    one step later, and a drum hit lasts one step. The first window starts at the first bar line, each next one at the
    first bar line `hop` steps or more after the last; the tail that fills no window is left out.
    """
    starts = _window_starts(song, spec)
    track, pitch, begin, end = _quantised_notes(song, spec)
    windows = np.zeros((len(starts), len(TRACKS), spec.steps, PITCH_BYTES), np.uint8)
    at_once = max(1, _STEPS_AT_ONCE // spec.steps)
    for first in range(0, len(starts), at_once):
        _paint(windows[first : first + at_once], starts[first : first + at_once], track, pitch, begin, end)
    return windows


def _to_steps(ticks: np.ndarray | int, resolution: int) -> np.ndarray:
    return (np.asarray(ticks, np.int64) * resolution + BEAT_TICKS // 2) // BEAT_TICKS


def _window_starts(song: Song, spec: WindowSpec) -> np.ndarray:
    bars = _to_steps(song.bars, spec.resolution)
    last = int(_to_steps(song.length, spec.resolution)) - spec.steps
    starts, bar = [], 0
    while bar < len(bars) and bars[bar] <= last:
        starts.append(bars[bar])
        bar = np.searchsorted(bars, bars[bar] + spec.hop)
    return np.array(starts, np.int64)


def _quantised_notes(song: Song, spec: WindowSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Track, pitch, begin and end in steps, overlapping notes of one pitch joined.

    Joined notes never number more than the cells of the song, however many notes a file claims.
    """
    track, pitch, start, stop = song.notes.T.astype(np.int64)
    begin = _to_steps(start, spec.resolution)
    end = np.maximum(begin + 1, _to_steps(stop, spec.resolution))
    end = np.where(track == TRACKS.index("Drums"), begin + 1, end)
    # All lines (one a track and pitch) one behind the other on one axis, far enough apart never to touch.
    stride = int(end.max(initial=0)) + 1
    offset = (track * PITCHES + pitch) * stride
    order = np.argsort(offset + begin)
    begin, reach = (offset + begin)[order], np.maximum.accumulate((offset + end)[order])
    opens = np.ones(len(begin), bool)
    opens[1:] = begin[1:] > reach[:-1]
    closes = np.roll(opens, -1)
    line = begin[opens] // stride
    return line // PITCHES, line % PITCHES, begin[opens] - line * stride, reach[closes] - line * stride


def _paint(
    windows: np.ndarray, starts: np.ndarray, track: np.ndarray, pitch: np.ndarray, begin: np.ndarray, end: np.ndarray
) -> None:
    steps = windows.shape[2]
    note, window = _expand(np.searchsorted(starts + steps, begin, "right"), np.searchsorted(starts, end, "left"))
    inside, step = _expand(np.maximum(begin[note] - starts[window], 0), np.minimum(end[note] - starts[window], steps))
    note, window = note[inside], window[inside]
    row = (window * len(TRACKS) + track[note]) * steps + step
    np.bitwise_or.at(
        windows.reshape(-1),
        row * PITCH_BYTES + pitch[note] // 8,
        np.right_shift(128, pitch[note] % 8).astype(np.uint8),
    )


def _expand(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every whole number of each range [first, last), with the index of its range."""
    counts = np.maximum(last - first, 0)
    owner = np.repeat(np.arange(len(counts)), counts)
    offset = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owner, first[owner] + offset
