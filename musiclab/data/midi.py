"""MIDI files, merged to the five tracks by LPD-5's rule. The reader is our own and checks every byte.

Fast readers are not made for untrusted files: symusic 0.5.8 indexes tables with data bytes that it has not checked, so
a damaged file corrupts the memory of the process or kills it. This reader raises BadSong instead. It reads the same
notes from undamaged files, in milliseconds a song.
"""

import os
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from musiclab.data.folders import read_file
from musiclab.data.kinds import MIDI
from musiclab.data.songs import BEAT_TICKS, DRUMS, MAX_BEATS, BadSong, Song, first_tempo, to_ticks, track_of
from musiclab.data.source import Source
from musiclab.data.windows import WindowSpec, cut
from musiclab.errors import UserError

_DRUM_CHANNEL = 9
_MAX_METER = 64  # of both numbers of a time signature; larger ones are damage

# How many data bytes follow system messages 0xF1 to 0xF6. They should not be in a file but are harmless.
_SYSTEM_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}


class Midi(Source):
    """Standard MIDI files of any folder or archive; `<artist>/<title>.mid` names the song."""

    kind = "midi"
    suffixes = (".mid", ".midi", ".kar", ".rmi")
    file_kind = MIDI
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
            tempo=first_tempo(
                np.array([60e6 / tempo.microseconds for tempo in sorted(events.tempos) if tempo.microseconds])
            ),
        )


def file_windows(name: str, spec: WindowSpec, option: str) -> npt.NDArray[np.uint8]:
    """The windows (n, 5, steps, 16) of one MIDI file, packed over pitch; n is at least 1.

    Raises:
        UserError: the file cannot be used. The message names `option`, with which the file was given.
    """
    path = Path(name)
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises if a name is too long
        raise UserError(f"{option}: there is no file {name}; give a MIDI file.")
    try:
        windows = cut(Midi.parse(path.name, read_file(path, Midi.max_bytes)), spec)
    except BadSong as error:
        raise UserError(f"{option}: {name} cannot be used: {error}.") from error
    if not len(windows):
        beats = spec.steps / spec.resolution
        raise UserError(f"{option}: {name} is shorter than one window of {beats:g} beats; give a longer song.")
    return windows


class Note(NamedTuple):
    """A note of a MIDI file."""

    program: int
    is_drum: bool
    pitch: int
    start: int
    end: int


class Tempo(NamedTuple):
    """A change of tempo, to so many microseconds a beat."""

    time: int
    microseconds: int


class Meter(NamedTuple):
    """A time signature."""

    time: int
    numerator: int
    denominator: int


@dataclass
class Events:
    """The events of all tracks of a MIDI file; times are in 1/resolution beat."""

    resolution: int
    notes: list[Note] = field(default_factory=list)
    tempos: list[Tempo] = field(default_factory=list)
    meters: list[Meter] = field(default_factory=list)


def read_events(data: bytes) -> Events:
    """The events of a standard MIDI file of format 0 or 1.

    Raises:
        BadSong: the file is damaged or of another format.
        IndexError: the file ends early.
    """
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
    """Add the events of a track. As in LPD, programs hold for the track only, and a note without an end is dropped."""
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
                events.notes.append(Note(program, channel == _DRUM_CHANNEL, first, start, time))
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
    """A number of one to four bytes with seven bits each, and the position behind it."""
    value = 0
    for count in range(4):
        byte = data[position + count]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, position + count + 1
    raise BadSong("a number of more than four bytes")


def _read_meta(meta: int, body: bytes, time: int, events: Events) -> None:
    if meta == 0x51 and len(body) == 3:
        events.tempos.append(Tempo(time, int.from_bytes(body)))
    elif meta == 0x58 and len(body) >= 2 and 0 < body[0] <= _MAX_METER and 1 << min(body[1], 8) <= _MAX_METER:
        events.meters.append(Meter(time, body[0], 1 << body[1]))


def _notes(events: Events) -> npt.NDArray[np.int32]:
    """Notes (n, 4) int32 in ticks, merged to the five tracks, sorted; drum hits last one tick."""
    rows = [(track_of(note.program, note.is_drum), note.pitch, note.start, note.end) for note in events.notes]
    table = np.array([row for row in rows if row[0] is not None], np.int64).reshape(-1, 4)
    start = to_ticks(table[:, 2], events.resolution)
    end = np.maximum(to_ticks(table[:, 3], events.resolution), start + 1)
    end = np.where(table[:, 0] == DRUMS, start + 1, end)
    notes = np.stack([table[:, 0], table[:, 1], start, end], axis=1)
    return notes[np.lexsort(notes.T[[1, 0, 3, 2]])].astype(np.int32)


def _bars(events: Events, end: int) -> npt.NDArray[np.int32]:
    """Bar lines in ticks by the time signatures (4/4 before the first one), up to the one at or after `end`."""
    meters = {0: Meter(0, 4, 4)} | {meter.time: meter for meter in sorted(events.meters, key=lambda meter: meter.time)}
    times = sorted(time for time in meters if to_ticks(time, events.resolution) < end)
    lines = []
    for time, next_time in zip(times, [*times[1:], None], strict=True):
        first = time * BEAT_TICKS / events.resolution
        size = 4 * BEAT_TICKS * meters[time].numerator / meters[time].denominator
        stop = next_time * BEAT_TICKS / events.resolution if next_time is not None else end + size
        lines.append(np.arange(first, stop, size))
    bars = np.unique(np.floor(np.concatenate(lines) + 0.5).astype(np.int32))
    return bars[: np.searchsorted(bars, end) + 1]
