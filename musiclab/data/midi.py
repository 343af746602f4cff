"""MIDI files, merged to the five tracks by LPD-5's rule. The reader is our own and checks every byte.

Fast readers are not made for untrusted files: symusic 0.5.8 indexes tables with data bytes that it has not checked, so
a damaged file corrupts the memory of the process or kills it. This reader raises BadSong instead. It reads the same
notes from undamaged files, in milliseconds a song.
"""

import os
import struct
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

# How many data bytes follow a system message. They should not be in a file but are harmless.
_SYSTEM_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0, 0xF8: 0, 0xFA: 0, 0xFB: 0, 0xFC: 0, 0xFE: 0}


class Midi(Source):
    """Standard MIDI files of any folder or archive; `<artist>/<title>.mid` names the song."""

    kind = "midi"
    suffixes = (".mid", ".midi", ".kar", ".rmi")
    file_kinds = (MIDI,)
    max_bytes = 4 << 20

    @classmethod
    def read(cls, name: str, data: bytes) -> Song:
        events = read_events(data)
        notes = _notes(events)
        if not len(notes):
            raise BadSong("no notes")
        path = PurePosixPath(name)
        end = int(notes[:, 3].max())
        bars = _bars(events, end)
        return Song(
            id=str(path.with_suffix("")),
            artist=path.parent.name,
            title=path.stem,
            notes=notes,
            bars=bars[:-1],
            length=int(bars[-1]),
            tempo=first_tempo(_tempos(events, end)),
        )


class FileWindows(NamedTuple):
    """The windows of one MIDI file, (n, 5, steps, 16) uint8, packed over pitch; n is at least 1.

    `transposed` is by how many semitones its pitched tracks were moved up.
    """

    windows: npt.NDArray[np.uint8]
    transposed: int


def file_windows(name: str, spec: WindowSpec, option: str) -> FileWindows:
    """The windows of one MIDI file.

    Raises:
        UserError: the file cannot be used. The message names `option`, with which the file was given.
    """
    path = Path(name)
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises if a name is too long
        raise UserError(f"{option}: there is no file {name}; give a MIDI file.")
    try:
        song = Midi.parse(path.name, read_file(path, Midi.max_bytes))
        windows = cut(song, spec)
    except BadSong as error:
        raise UserError(f"{option}: {name} cannot be used: {error}.") from error
    if not len(windows):
        beats = spec.steps / spec.resolution
        raise UserError(f"{option}: {name} is shorter than one window of {beats:g} beats; give a longer song.")
    return FileWindows(windows, spec.semitones(song))


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
    """The events of a standard MIDI file, bare or wrapped in RIFF (`.rmi`). All tracks are played at once.

    Raises:
        BadSong: the file is damaged, ends early or does not count time in beats.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"RMID":
        data = _unwrapped(data)
    if data[:4] != b"MThd" or len(data) < 14:
        raise BadSong("not a MIDI file: no MThd header")
    head_size, kind, track_count, resolution = struct.unpack(">4xIHHH", data[:14])
    if head_size < 6:
        raise BadSong(f"its header has {head_size} bytes, not 6")
    if kind > 2:
        raise BadSong(f"MIDI format {kind}, not 0, 1 or 2")
    if not 0 < resolution < 0x8000:
        raise BadSong("time not counted in beats")
    events = Events(resolution)
    position, tracks = 8 + head_size, 0
    while tracks < track_count and position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8])
        if data[position : position + 4] == b"MTrk":
            _read_track(data[position + 8 : position + 8 + size], size, events)
            tracks += 1
        position += 8 + size
    if tracks < track_count:
        raise BadSong(f"ends early: it has {tracks} of {track_count} tracks")
    return events


def _unwrapped(data: bytes) -> bytes:
    """The MIDI file in a RIFF file."""
    position = 12
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        if data[position : position + 4] == b"data":
            return data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
    raise BadSong("a RIFF file without a MIDI file in it")


def _read_track(data: bytes, size: int, events: Events) -> None:
    """Add the events of a track that claims `size` bytes.

    As in LPD, programs hold for the track only, and a note without an end is dropped. What follows the end mark does
    not count, and neither does a wrong size if there is an end mark.
    """
    try:
        has_end_mark = _read_messages(data, events)
    except IndexError:
        raise BadSong("a track ends in the middle of a message") from None
    if len(data) < size and not has_end_mark:
        raise BadSong("a track ends early")


def _read_messages(data: bytes, events: Events) -> bool:
    """Add the events of a track's messages; whether it has an end mark."""
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
        message = status
        if data[position] >= 0x80:
            message = data[position]
            position += 1
        kind, channel = message >> 4, message & 15
        if kind == 0x8 or kind == 0x9 or kind == 0xA or kind == 0xB or kind == 0xE:
            first, second = data[position], data[position + 1]
            position += 2
            if first >= 0x80 or second >= 0x80:
                raise BadSong("a message has a broken data byte")
            status = message
            if kind == 0x9 and second:
                sounding[channel << 7 | first].append((time, programs[channel]))
            elif kind < 0xA and (queue := sounding[channel << 7 | first]):
                start, program = queue.popleft()
                if time > limit:
                    raise BadSong(f"longer than {MAX_BEATS:,} beats: a note ends at beat {time // events.resolution:,}")
                events.notes.append(Note(program, channel == _DRUM_CHANNEL, first, start, time))
        elif kind == 0xC or kind == 0xD:
            first = data[position]
            position += 1
            if first >= 0x80:
                raise BadSong("a message has a broken data byte")
            status = message
            if kind == 0xC:
                programs[channel] = first
        elif message == 0xFF:  # the running status goes on after it, against the standard but as in many files
            meta = data[position]
            body, position = _sized(data, position + 1)
            if meta == 0x2F:
                return True
            _read_meta(meta, body, time, events)
        elif message == 0xF0 or message == 0xF7:
            _, position = _sized(data, position)
            status = 0
        elif message in _SYSTEM_BYTES:
            position += _SYSTEM_BYTES[message]
            status = 0
        elif message:
            raise BadSong(f"a message of no kind (0x{message:X})")
        else:
            raise BadSong("a data byte where a message should begin")
    return False


def _sized(data: bytes, position: int) -> tuple[bytes, int]:
    """The bytes behind a number that says how many, and the position behind them."""
    size, position = _varying(data, position)
    body = data[position : position + size]
    if len(body) < size:
        raise BadSong("a message ends early")
    return body, position + size


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


def _tempos(events: Events, end: int) -> npt.NDArray[np.float64]:
    """The tempos that hold before the tick `end`, in their order; of several at one time, the last one holds."""
    beats = {tempo.time: 60e6 / tempo.microseconds for tempo in events.tempos if tempo.microseconds}
    return np.array([beats[time] for time in sorted(beats) if to_ticks(time, events.resolution) < end])


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
