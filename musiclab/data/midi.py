"""MIDI files, read by a reader of our own that checks every byte, and merged to the five tracks by LPD-5's rule.

The fast readers at hand are not made for files from anywhere: symusic 0.5.8 indexes its tables with data bytes that it
has not checked, so a damaged file corrupts the memory of the process or ends it. This one raises
BadSong, reads the same notes from whole files, and takes milliseconds a song.
"""

import os
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from musiclab.data.archives import read_file
from musiclab.data.songs import BEAT_TICKS, MAX_BEATS, BadSong, Song, first_tempo, to_ticks, track_of
from musiclab.data.source import Source
from musiclab.data.windows import WindowSpec, cut
from musiclab.errors import UserError

_DRUM_CHANNEL = 9
_FOUR_FOUR = (4, 4)
_MAX_METER = 64  # of both numbers of a time signature; what lies above is damage

# Data bytes of system messages 0xF1 to 0xF6, which should not stand in a file but are harmless.
_SYSTEM_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}


class Midi(Source):
    """Standard MIDI files of any folder or archive; `<artist>/<title>.mid` names the song."""

    kind = "midi"
    suffixes = (".mid", ".midi")
    max_bytes = 4 << 20

    @classmethod
    def read(cls, name: str, data: bytes) -> Song:
        events = read_events(data)
        notes = _notes(events)
        if not len(notes):
            raise BadSong("no notes")
        path = PurePosixPath(name)
        bars = _bars(events, int(notes[:, 3].max()))
        return Song(
            id=str(path.with_suffix("")),
            artist=path.parent.name,
            title=path.stem,
            notes=notes,
            bars=bars[:-1],
            length=int(bars[-1]),
            tempo=first_tempo(np.array([60e6 / micros for _, micros in sorted(events.tempos) if micros])),
        )


def file_windows(name: str, spec: WindowSpec, option: str) -> np.ndarray:
    """The windows (n, 5, steps, 16) of one MIDI file, n at least 1, packed over pitch.

    UserError, which names the option that the file was given with, where there are none to be had.
    """
    path = Path(name)
    if not os.path.isfile(path):  # noqa: PTH113 - Path's own raises where a name is too long
        raise UserError(f"{option}: there is no file {name}; give a MIDI file.")
    try:
        windows = cut(Midi.parse(path.name, read_file(path, Midi.max_bytes)), spec)
    except BadSong as error:
        raise UserError(f"{option}: {name} cannot be used: {error}.") from error
    if not len(windows):
        beats = spec.steps / spec.resolution
        raise UserError(f"{option}: {name} is shorter than one window of {beats:g} beats; give a longer song.")
    return windows


@dataclass
class Events:
    """What the tracks of a MIDI file say; times in 1/resolution beat.

    `notes` are (program, is drum, pitch, start, end); `tempos` (time, microseconds a beat); `meters`
    (time, numerator, denominator).
    """

    resolution: int
    notes: list[tuple[int, bool, int, int, int]] = field(default_factory=list)
    tempos: list[tuple[int, int]] = field(default_factory=list)
    meters: list[tuple[int, int, int]] = field(default_factory=list)


def read_events(data: bytes) -> Events:
    """The events of a standard MIDI file of format 0 or 1; BadSong, or IndexError where it ends early."""
    if data[:4] != b"MThd" or len(data) < 14:
        raise BadSong("not a MIDI file: no MThd header")
    kind, resolution = int.from_bytes(data[8:10]), int.from_bytes(data[12:14])
    if kind > 1:
        raise BadSong(f"MIDI format {kind}, not 0 or 1")
    if not 0 < resolution < 0x8000:
        raise BadSong("time not counted in beats")
    events = Events(resolution)
    missing = int.from_bytes(data[10:12])
    position = 8 + int.from_bytes(data[4:8])
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8])
        body = data[position + 8 : position + 8 + size]
        if data[position : position + 4] == b"MTrk":
            if len(body) < size:
                raise BadSong("a track ends early")
            _read_track(body, events)
            missing -= 1
        position += 8 + size
    if missing > 0:
        raise BadSong(f"ends early: {missing} tracks are missing")
    return events


def _read_track(data: bytes, events: Events) -> None:
    """Adds a track's events. Programs are the track's own, and a note that never ends is dropped, as LPD does."""
    time = position = status = 0
    programs = [0] * 16
    sounding: dict[int, deque[tuple[int, int]]] = defaultdict(deque)
    limit = MAX_BEATS * events.resolution
    while position < len(data):
        byte = data[position]
        position += 1
        if byte >= 0x80:
            byte, position = _varying(data, position - 1)
        time += byte
        if time > limit:
            raise BadSong(f"longer than {MAX_BEATS:,} beats")
        if data[position] >= 0x80:
            status = data[position]
            position += 1
        kind, channel = status >> 4, status & 15
        if kind == 0x8 or kind == 0x9 or kind == 0xA or kind == 0xB or kind == 0xE:
            first, second = data[position], data[position + 1]
            position += 2
            if first >= 0x80 or second >= 0x80:
                raise BadSong("a message has a broken data byte")
            if kind == 0x9 and second:
                sounding[channel << 7 | first].append((time, programs[channel]))
            elif kind < 0xA and (queue := sounding[channel << 7 | first]):
                start, program = queue.popleft()
                events.notes.append((program, channel == _DRUM_CHANNEL, first, start, time))
        elif kind == 0xC or kind == 0xD:
            if data[position] >= 0x80:
                raise BadSong("a message has a broken data byte")
            if kind == 0xC:
                programs[channel] = data[position]
            position += 1
        elif status == 0xFF or status == 0xF0 or status == 0xF7:
            meta = data[position] if status == 0xFF else -1
            size, position = _varying(data, position + (status == 0xFF))
            body = data[position : position + size]
            position += size
            if len(body) < size:
                raise BadSong("a message ends early")
            if meta == 0x2F:
                return
            _read_meta(meta, body, time, events)
            status = 0
        elif status >= 0xF1:
            position += _SYSTEM_BYTES.get(status, 0)
            status = 0
        else:
            raise BadSong("a data byte where a message should begin")


def _varying(data: bytes, position: int) -> tuple[int, int]:
    """A number of one to four bytes of seven bits each, and the position after it."""
    value = 0
    for count in range(4):
        byte = data[position + count]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, position + count + 1
    raise BadSong("a number of more than four bytes")


def _read_meta(meta: int, body: bytes, time: int, events: Events) -> None:
    if meta == 0x51 and len(body) == 3:
        events.tempos.append((time, int.from_bytes(body)))
    elif meta == 0x58 and len(body) >= 2 and 0 < body[0] <= _MAX_METER and 1 << min(body[1], 8) <= _MAX_METER:
        events.meters.append((time, body[0], 1 << body[1]))


def _notes(events: Events) -> np.ndarray:
    """Notes (n, 4) int32 in ticks, merged to the five tracks, sorted; drum hits last one tick."""
    merged = ((track_of(program, drum), pitch, start, end) for program, drum, pitch, start, end in events.notes)
    table = np.array([note for note in merged if note[0] is not None], np.int64).reshape(-1, 4)
    start = to_ticks(table[:, 2], events.resolution)
    end = np.maximum(to_ticks(table[:, 3], events.resolution), start + 1)
    end = np.where(table[:, 0] == 0, start + 1, end)
    notes = np.stack([table[:, 0], table[:, 1], start, end], axis=1)
    return notes[np.lexsort(notes.T[[1, 0, 3, 2]])].astype(np.int32)


def _bars(events: Events, end: int) -> np.ndarray:
    """Bar lines in ticks from the time signatures (4/4 where there is none), up to the one at or after `end`."""
    meters = {0: _FOUR_FOUR} | {time: (over, under) for time, over, under in sorted(events.meters, key=lambda m: m[0])}
    times = sorted(time for time in meters if to_ticks(time, events.resolution) < end)
    lines = []
    for time, until in zip(times, [*times[1:], None], strict=True):
        over, under = meters[time]
        first, size = time * BEAT_TICKS / events.resolution, 4 * BEAT_TICKS * over / under
        stop = until * BEAT_TICKS / events.resolution if until is not None else end + size
        lines.append(np.arange(first, stop, size))
    bars = np.unique(np.floor(np.concatenate(lines) + 0.5).astype(np.int32))
    return bars[: np.searchsorted(bars, end) + 1]
