#!/usr/bin/env python
"""Does our MIDI reader read the notes that symusic and pretty_midi read, and if not, why?

    python benchmarks/midi_readers.py PATH/midi_songs.tar.xz [--mutated 2000] [--workers 2]

Reads the songs of an archive and files that are made from them by damage with a fixed seed. A note is its program,
whether it is on the drum channel, its pitch, its onset and its end in ticks of the file. All readers run in processes
of their own, because symusic can crash or hang on damaged files. Every difference is given a reason, by what a reader
says if it refuses the file, and otherwise by reading the file again as the other reader does it. Reasons are those of
docs/data.md; "unexplained" should not occur. Times are CPU seconds of the files that both readers read.
"""

import argparse
import io
import multiprocessing
import re
import tarfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from threading import local
from typing import Any, NamedTuple

import numpy as np

SECONDS = 60  # for one file; a reader that takes longer hangs
END_MARK = 0x2F


# The readers. Each gives int64 (n, 5): program, is_drum, pitch, start, end.


def read_ours(data: bytes) -> np.ndarray:
    from musiclab.data.midi import read_events

    return np.array(read_events(data).notes, np.int64).reshape(-1, 5)


def read_symusic(data: bytes) -> np.ndarray:
    from symusic import Score

    tables = [np.empty((0, 5), np.int64)]
    for track in Score.from_midi(data).tracks:
        notes = {name: column.astype(np.int64) for name, column in track.notes.numpy().items()}
        same = np.ones_like(notes["time"])
        columns = [track.program * same, track.is_drum * same, notes["pitch"], notes["time"]]
        tables.append(np.stack([*columns, notes["time"] + notes["duration"]], axis=1))
    return np.concatenate(tables)


def read_pretty_midi(data: bytes) -> np.ndarray:
    import pretty_midi

    class InTicks(pretty_midi.PrettyMIDI):
        """Its seconds are ticks, so that times can be compared exactly."""

        def _load_tempo_changes(self, midi_data: Any) -> None:
            super()._load_tempo_changes(midi_data)
            self._tick_scales = [(0, 1.0)]

    warnings.simplefilter("ignore")
    instruments = InTicks(io.BytesIO(data)).instruments
    rows = [
        (part.program, part.is_drum, note.pitch, note.start, note.end) for part in instruments for note in part.notes
    ]
    return np.array(rows, np.int64).reshape(-1, 5)


READERS = {"ours": read_ours, "symusic": read_symusic, "pretty_midi": read_pretty_midi}


class Reading(NamedTuple):
    """What a reader made of a file: its notes, or why it refused it, and its CPU seconds."""

    notes: np.ndarray | None
    refusal: str
    seconds: float


def serve(reader: str, pipe: Connection) -> None:
    """Read the files that come through the pipe, until it is closed."""
    read = READERS[reader]
    while True:
        try:
            data = pipe.recv_bytes()
        except EOFError:
            return
        begin = time.process_time()
        try:
            notes, refusal = read(data), ""
        except Exception as error:
            notes, refusal = None, f"{type(error).__name__}: {error}"
        pipe.send(Reading(notes, refusal, time.process_time() - begin))


class Child:
    """A reader in a process of its own, which is started again after a crash."""

    def __init__(self, reader: str) -> None:
        self.reader = reader
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(self.reader, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def read(self, data: bytes) -> Reading:
        try:
            self.pipe.send_bytes(data)
            if self.pipe.poll(SECONDS):
                return self.pipe.recv()
            refusal = "hangs"
        except (EOFError, OSError):
            refusal = "crashes"
        self.process.kill()
        self.process.join()
        self._start()
        return Reading(None, refusal, 0.0)


# The files: good songs, and songs with faults.


class Message(NamedTuple):
    """A message of a track: where it lies in the file, with its time before it, when it is, and what it holds."""

    begin: int
    end: int
    time: int
    status: int
    data: bytes  # of a meta event, its type first


def track_places(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the tracks of a file begin and end, without their heads."""
    position, tracks = 8 + int.from_bytes(data[4:8]), int.from_bytes(data[10:12])
    while tracks and position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8])
        if data[position : position + 4] == b"MTrk":
            yield position + 8, min(len(data), position + 8 + size)
            tracks -= 1
        position += 8 + size


def messages(data: bytes, position: int, end: int, lone_f7: bool = False) -> Iterator[Message]:
    """The messages of a track that we read. `lone_f7`: neither a size nor bytes follow 0xF7."""

    def number() -> int:
        nonlocal position
        value = 0
        while True:
            position += 1
            value = value << 7 | data[position - 1] & 0x7F
            if data[position - 1] < 0x80:
                return value

    time = running = 0
    while position < end:
        begin = position
        time += number()
        status = data[position] if data[position] >= 0x80 else running
        position += data[position] >= 0x80
        first = position
        if status == 0xFF:
            position += 1
            size = number()
            yield Message(begin, position + size, time, status, data[first : first + 1] + data[position:][:size])
            position += size
            continue
        if status == 0xF0 or (status == 0xF7 and not lone_f7):
            size = number()
        else:
            size = {0xC: 1, 0xD: 1, 0xF: {0xF1: 1, 0xF2: 2, 0xF3: 1}.get(status, 0)}.get(status >> 4, 2)
        position += size
        running = status if status < 0xF0 or (status == 0xF7 and lone_f7) else 0
        yield Message(begin, position, time, status, data[first:position])


INSERTED = [
    *(b"\xff\x01\x01%", b"\xff\x51\x03\x09\x27\xc0", b"\xff\x58\x04\x03\x02\x18\x08", b"\xff\x59\x02\x00\x00"),
    *(b"\xff\x51\x02\x09\x27", b"\xff\x59\x02\x0f\x07", b"\xff\x70\x01\x90", b"\xff\x2f\x00", b"\xff\x21\x00"),
    *(
        b"\xf0\x03\x01\x02\xf7",
        b"\xf7\x02\x01\xf7",
        b"\xf1\x01",
        b"\xf4",
        b"\xf8",
        b"\xfe",
        b"\xc0\x20",
        b"\xb0\x07\xff",
    ),
]


def alter_messages(rng: Random, data: bytes) -> bytes:
    """One to three messages lost, doubled, moved in time, or others between them; the track's size fits."""
    for _ in range(rng.randint(1, 3)):
        begin, end = rng.choice(list(track_places(data)))
        message = rng.choice(list(messages(data, begin, end)))
        own = data[message.begin : message.end]
        other = b"\x00" + rng.choice(INSERTED)
        sooner = bytes([rng.randrange(128)]) + own.lstrip(bytes(range(128, 256)))[1:]
        later = rng.choice([b"\x84", b"\xff\xff"]) + own
        new = rng.choice([b"", own, own * 2, own + other, other + own, sooner, later])
        body = data[begin : message.begin] + new + data[message.end : end]
        data = data[: begin - 4] + len(body).to_bytes(4) + body + data[end:]
    return data


def alter_bytes(rng: Random, data: bytes) -> bytes:
    """One to four bytes changed, put in or taken out; sizes stay as they were."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(changed))
        fault = rng.randrange(4)
        if fault == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif fault == 1:
            changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xF7, 0xFF, rng.randrange(256)))
        elif fault == 2:
            changed[at:at] = rng.randbytes(rng.choice((1, 2, 20)))
        else:
            del changed[at : at + rng.choice((1, 2, 20))]
    return bytes(changed)


def alter_ends(rng: Random, data: bytes) -> bytes:
    """The file ends early, or something follows it."""
    return data[: rng.randrange(len(data))] if rng.random() < 0.8 else data + rng.randbytes(rng.choice((1, 8, 100)))


def alter_sizes(rng: Random, data: bytes) -> bytes:
    """A field of the header, or the size of a track, is another."""
    begin, end = rng.choice(list(track_places(data)))
    at, size, old = rng.choice(
        ((8, 2, 1), (10, 2, data[11]), (12, 2, 480), (4, 4, 6), *[(begin - 4, 4, end - begin)] * 2)
    )
    value = rng.choice((0, 1, 2, old + 1, old - 1, old + 4, old - 4, rng.getrandbits(8 * size)))
    return data[:at] + (value % (1 << 8 * size)).to_bytes(size) + data[at + size :]


WAYS = {"messages": alter_messages, "bytes": alter_bytes, "ends": alter_ends, "sizes": alter_sizes}


def mutated(songs: dict[str, bytes], count: int) -> Iterator[tuple[str, bytes]]:
    """Songs with faults; the same ones every time."""
    rng, names = Random(0), sorted(songs)
    for number in range(count):
        name = rng.choice(names)
        way = rng.choice(("messages", "messages", "bytes", "bytes", "ends", "sizes"))
        yield f"{name} ({way} {number})", WAYS[way](rng, songs[name])


# The reasons: each is a row of the table in docs/data.md.

OVERLAP = "overlapping notes of one pitch, a note without length"
PROGRAM = "a change of program while a note sounds"
BEHIND = "a track whose size does not end at its end mark"
LONE_F7 = "a message 0xF7"
HIGH_BIT = "a data byte with its high bit set"
VALUE = "a meta event with a wrong value (key, meter, tempo)"
EARLY = "a file that ends early, or has fewer tracks than it says"
EMPTY = "no track, or a track without any message"
UNIT = "no unit of time, or frames instead of beats"
FAR = "an event far behind the notes"
LONG = "a number of more than four bytes"
HEADER = "an unusual header"
CHUNK = "a chunk that is no track"
STATUS = "no known message where one should begin"

# What readers say when they refuse a file.
REFUSALS = {
    "a message has a broken data byte": HIGH_BIT,
    r"it has \d+ of \d+ tracks|a track ends|a message ends": EARLY,
    "no kind|where a message should begin": STATUS,
    "not counted in beats|Division type": UNIT,
    "a note ends at beat|largest tick": FAR,
    "more than four bytes": LONG,
    "MIDI format|its header has|no MThd|Invaild midi": HEADER,
    "Get (control_value|control_number|program|pitch|velocity)=|ValueError: data byte must be": HIGH_BIT,
    "KeySignatureError|list index out|not a valid|denominator|ZeroDivision|math domain|exceeds maximum": VALUE,
    "empty sequence|argument is empty": EMPTY,
    "no MTrk header": CHUNK,
    "EOFError|OSError": BEHIND,  # of pretty_midi, where we read a file to its end marks
}

# How the other readers read what all can read, beside our way.
RULES = {"symusic": (LONE_F7,), "pretty_midi": (OVERLAP, PROGRAM, BEHIND)}


def notes_by(data: bytes, rules: tuple[str, ...]) -> Counter:
    """The notes of a file that we read, as a reader with these rules reads them."""
    notes: Counter = Counter()
    for begin, end in track_places(data):
        programs = [0] * 16
        sounding: defaultdict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for _, _, now, status, content in messages(data, begin, end, LONE_F7 in rules):
            kind, channel = status >> 4, status & 15
            if status == 0xFF and content[0] == END_MARK and BEHIND not in rules:
                break
            if kind == 0xC:
                programs[channel] = content[0]
            if kind not in (0x8, 0x9):
                continue
            pitch = content[0]
            waiting = sounding[channel, pitch]
            if kind == 0x9 and content[1]:
                waiting.append((now, programs[channel]))
                continue
            if OVERLAP in rules:
                ended = [note for note in waiting if note[0] != now]
                sounding[channel, pitch] = [note for note in waiting if note[0] == now] if ended else []
            else:
                ended = waiting[:1]
                del waiting[:1]
            for start, program in ended:
                program = programs[channel] if PROGRAM in rules else program
                notes[program, int(channel == 9), pitch, start, now] += 1
    return notes


def explanation(data: bytes, reader: str, theirs: Counter) -> str:
    """The fewest rules that make our notes those of another reader."""
    rules = RULES[reader]
    for count in range(1, len(rules) + 1):
        for some in combinations(rules, count):
            if notes_by(data, some) == theirs:
                return "; ".join(some)
    return "unexplained"


def refusal_reason(refusal: str) -> str:
    """The reason behind what a reader says."""
    return next((reason for pattern, reason in REFUSALS.items() if re.search(pattern, refusal)), "unexplained")


@dataclass
class Tally:
    """What was counted over one set of files.

    Attributes:
        files: their number.
        read: files that each reader read, by reader.
        died: files that a reader crashed or hung on, by reader.
        seconds: CPU seconds of the files that all readers read, by reader.
        compared, notes: by other reader and how the two differ, the files, and the notes that only one of them has.
        reasons: files by other reader, how the two differ, and why.
        unexplained: the files without a reason.
    """

    files: int = 0
    read: Counter[str] = field(default_factory=Counter)
    died: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    compared: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    unexplained: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, name: str, data: bytes, readings: dict[str, Reading]) -> None:
        """Count one file."""
        self.files += 1
        ours = readings["ours"]
        for reader, reading in readings.items():
            self.read[reader] += reading.notes is not None
            self.died[reader] += reading.refusal in ("crashes", "hangs")
            if all(other.notes is not None for other in readings.values()):
                self.seconds[reader] += reading.seconds
            if reader != "ours":
                self._compare(name, data, ours, reader, reading)

    def _compare(self, name: str, data: bytes, ours: Reading, reader: str, theirs: Reading) -> None:
        if ours.notes is None and theirs.notes is None:
            how = "both refuse"
        elif ours.notes is None:
            how, reason = "only it reads", refusal_reason(ours.refusal)
        elif theirs.notes is None:
            how, reason = "only we read", refusal_reason(theirs.refusal)
        elif np.array_equal(in_order(ours.notes), in_order(theirs.notes)):
            how = "same notes"
        else:
            mine, other = (Counter(map(tuple, notes.tolist())) for notes in (ours.notes, theirs.notes))
            how, reason = "other notes", explanation(data, reader, other)
            self.notes[reader] += ((mine - other) + (other - mine)).total()
        self.compared[reader, how] += 1
        if how not in ("both refuse", "same notes"):
            self.reasons[reader, how, reason] += 1
            if reason == "unexplained":
                self.unexplained.append((name, reader, how, ours.refusal, theirs.refusal))

    def print(self, title: str) -> None:
        others = [reader for reader in READERS if reader != "ours"]
        print(f"\n{title}: {self.files} files")
        for reader in READERS:
            ratio = self.seconds[reader] / self.seconds["ours"] if self.seconds["ours"] else float("nan")
            refused = self.files - self.read[reader] - self.died[reader]
            print(
                f"  {reader:<12} read {self.read[reader]:>5}, refused {refused:>4}, crashed or hung "
                f"{self.died[reader]:>3}, CPU seconds {ratio:.2f} times ours"
            )
        hows = ("same notes", "other notes", "only we read", "only it reads", "both refuse")
        print(f"  {'':<12}" + "".join(f"{how:>15}" for how in hows) + f"{'notes differ':>15}")
        for reader in others:
            counts = "".join(f"{self.compared[reader, how]:>15}" for how in hows)
            print(f"  {reader:<12}{counts}{self.notes[reader]:>15}")
        for (reader, how, reason), files in sorted(self.reasons.items(), key=lambda item: (item[0][:2], -item[1])):
            print(f"  {reader:<12} {how:<14} {files:>5}  {reason}")
        for line in self.unexplained:
            print("  unexplained:", *line)


def in_order(notes: np.ndarray) -> np.ndarray:
    """The notes sorted."""
    return notes[np.lexsort(notes.T)]


def compare(files: Iterator[tuple[str, bytes]], workers: int) -> Tally:
    """Read all files with all readers; each worker has a process for each reader."""
    mine, tally = local(), Tally()

    def read(file: tuple[str, bytes]) -> tuple[str, bytes, dict[str, Reading]]:
        if not hasattr(mine, "children"):
            mine.children = {reader: Child(reader) for reader in READERS}
        return *file, {reader: child.read(file[1]) for reader, child in mine.children.items()}

    with ThreadPoolExecutor(workers) as pool:
        for result in pool.map(read, files):
            tally.add(*result)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="a tar archive of MIDI files")
    parser.add_argument("--mutated", type=int, default=2000, help="files that are made by damage (default %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="files read at once (default %(default)s)")
    options = parser.parse_args()
    with tarfile.open(options.archive) as tar:
        songs = {member.name: tar.extractfile(member).read() for member in tar if member.name.endswith(".mid")}
    compare(iter(songs.items()), options.workers).print("Songs")
    compare(mutated(songs, options.mutated), options.workers).print("Damaged songs")


if __name__ == "__main__":
    main()
