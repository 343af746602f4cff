#!/usr/bin/env python
"""Our reader of pianorolls beside `pypianoroll.load`: is it the same music, and which damaged files does each read?

    python benchmarks/lpd_readers.py PATH/lpd_5_sample.tar.gz [PATH/genuine ...] [--mutations 2]

What pypianoroll loads is merged to the five tracks cell by cell and compared with the cells of our notes; length, tempo
and downbeats are compared too. Then each file is damaged in several ways, the same in each run, and both read it again.
pypianoroll reads in a process of its own, because SciPy writes wherever a damaged index points to. The times are those
of the processor for reading all whole files.
"""

import argparse
import io
import multiprocessing
import random
import resource
import sys
import time
import warnings
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from musiclab.data.lpd5 import Lpd5
from musiclab.data.songs import BEAT_TICKS, MAX_TICKS, BadSong, Song, to_ticks, track_of
from musiclab.data.windows import PITCHES

Cells = npt.NDArray[np.int64]  # (n,), sorted: (track * 128 + pitch) * _STRIDE + tick of each cell that sounds
_STRIDE = MAX_TICKS + 1


@dataclass(frozen=True)
class Reading:
    """What a reader says of a file. All times are in ticks of 1/24 beat; `seconds` is the time of reading it."""

    cells: Cells
    length: int
    tempo: float
    downbeats: npt.NDArray[np.int64]
    seconds: float


def read_ours(name: str, data: bytes) -> Reading | str:
    """Our reading, or why there is none."""
    start = time.process_time()
    try:
        song = Lpd5.parse(name, data)
    except BadSong as error:
        return str(error)
    seconds = time.process_time() - start
    return Reading(_cells_of_notes(song), song.length, song.tempo, song.bars.astype(np.int64), seconds)


def _cells_of_notes(song: Song) -> Cells:
    track, pitch, begin, end = song.notes.T.astype(np.int64)
    note = np.repeat(np.arange(len(track)), end - begin)
    tick = np.arange(len(note)) - np.repeat(np.cumsum(end - begin) - (end - begin), end - begin) + begin[note]
    return np.unique((track[note] * PITCHES + pitch[note]) * _STRIDE + tick)


def read_theirs(data: bytes) -> Reading | str:
    """The reading of pypianoroll, or why there is none. Run in a process of its own."""
    import pypianoroll

    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            multitrack = pypianoroll.load(io.BytesIO(data))
            seconds = time.process_time() - start
            return _merged(multitrack, seconds)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _merged(multitrack: "pypianoroll.Multitrack", seconds: float) -> Reading:  # noqa: F821
    resolution = int(multitrack.resolution)
    cells = [np.zeros(0, np.int64)]
    for track in multitrack.tracks:
        merged = track_of(int(track.program), bool(track.is_drum))
        step, pitch = np.nonzero(track.pianoroll)
        if merged is not None:
            cells.append((merged * PITCHES + pitch) * _STRIDE + to_ticks(step, resolution))
    tempo = np.zeros(0) if multitrack.tempo is None else multitrack.tempo.reshape(-1)
    usable = tempo[np.isfinite(tempo) & (tempo > 0)]
    length = int(to_ticks(multitrack.get_max_length(), resolution))
    return Reading(
        np.unique(np.concatenate(cells)),
        length,
        float(usable[0]) if len(usable) else 120.0,
        to_ticks(np.asarray(multitrack.get_downbeat_steps(), np.int64), resolution),
        seconds,
    )


class Theirs:
    """pypianoroll in a process that is started again if a file kills it."""

    def __init__(self) -> None:
        self._pool = self._start()

    def read(self, data: bytes) -> Reading | str:
        """The reading of a file, or why there is none."""
        try:
            return self._pool.submit(read_theirs, data).result(timeout=120)
        except (BrokenProcessPool, TimeoutError) as error:
            self.close()
            self._pool = self._start()
            return "dies of it" if isinstance(error, BrokenProcessPool) else "does not end"

    def close(self) -> None:
        """End the process, even if it hangs."""
        for process in list((self._pool._processes or {}).values()):
            process.kill()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["pypianoroll"])
        return ProcessPoolExecutor(1, context, initializer=_limit_memory)


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))


def differences(ours: Reading, theirs: Reading) -> Iterator[tuple[str, int]]:
    """What differs, and by how many cells, files or downbeats."""
    missing = np.setdiff1d(theirs.cells, ours.cells)
    runs = np.setdiff1d(missing, _first_hits(theirs.cells))
    yield "cells in which a drum goes on", len(runs)
    yield "other cells of theirs only", len(missing) - len(runs)
    yield "cells of ours only", len(np.setdiff1d(ours.cells, theirs.cells))
    yield "tempo", int(ours.tempo != theirs.tempo)
    yield "end: the bar is filled", int(theirs.length < ours.length < theirs.length + ours_bar(ours))
    yield "end: otherwise", int(not theirs.length <= ours.length < theirs.length + ours_bar(ours))
    yield "downbeats of theirs only", len(np.setdiff1d(theirs.downbeats, ours.downbeats))
    yield "bars that go on unmarked", len(np.setdiff1d(ours.downbeats, theirs.downbeats))


def ours_bar(reading: Reading) -> int:
    """The length of the last bar."""
    return int(reading.length - reading.downbeats[-1]) if len(reading.downbeats) else 4 * BEAT_TICKS


def compare(files: dict[str, bytes], theirs: Theirs) -> None:
    """Print how many files, and how many of their cells, differ."""
    counts: dict[str, int] = Counter()
    by_kind: dict[str, list[int]] = defaultdict(list)
    seconds = np.zeros(2)
    for name, data in files.items():
        ours, other = read_ours(name, data), theirs.read(data)
        if isinstance(ours, str) or isinstance(other, str):
            counts[_who_reads(ours, other)] += 1
            continue
        counts["both read it"] += 1
        counts["cells of theirs"] += len(other.cells)
        seconds += [ours.seconds, other.seconds]
        for kind, count in differences(ours, other):
            by_kind[kind].append(count)
    print(f"{len(files)} files: " + ", ".join(f"{kind} {count:,}" for kind, count in counts.items()))
    print(f"\n{'difference':<34}{'files':>8}{'in all':>12}")
    for kind, numbers in by_kind.items():
        print(f"{kind:<34}{np.count_nonzero(numbers):>8,}{sum(numbers):>12,}")
    print(f"\nseconds: ours {seconds[0]:.2f}, theirs {seconds[1]:.2f}, ours / theirs {seconds[0] / seconds[1]:.2f}")


def _who_reads(ours: Reading | str, theirs: Reading | str) -> str:
    if theirs in ("dies of it", "does not end"):
        return f"{'we refuse' if isinstance(ours, str) else 'we read'}, pypianoroll {theirs}"
    if isinstance(ours, str):
        return "both refuse" if isinstance(theirs, str) else "we refuse, pypianoroll reads"
    return "we read, pypianoroll refuses" if isinstance(theirs, str) else "both read"


# --- damage ---


def flipped_in_file(data: bytes, rng: random.Random) -> bytes:
    """One to four bits of the file are flipped."""
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def truncated(data: bytes, rng: random.Random) -> bytes:
    """The end of the file is lost."""
    return data[: rng.randrange(len(data))]


def flipped_in_array(data: bytes, rng: random.Random) -> bytes:
    """Bits of one member are flipped before it is packed, so that no checksum tells."""
    return _with_member(data, rng, lambda content: flipped_in_file(content, rng))


def flipped_in_header(data: bytes, rng: random.Random) -> bytes:
    """The same among the first hundred bytes of a member: the header of an array, or info.json."""
    return _with_member(data, rng, lambda content: flipped_in_file(content[:100], rng) + content[100:])


def truncated_array(data: bytes, rng: random.Random) -> bytes:
    """The end of one member is lost."""
    return _with_member(data, rng, lambda content: truncated(content, rng))


def without_member(data: bytes, rng: random.Random) -> bytes:
    """One member is lost."""
    return _with_member(data, rng, lambda content: b"")


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "bits of the file flipped": flipped_in_file,
    "file truncated": truncated,
    "bits of an array flipped": flipped_in_array,
    "bits of a header flipped": flipped_in_header,
    "array truncated": truncated_array,
    "array lost": without_member,
}


def _with_member(data: bytes, rng: random.Random, change: Callable[[bytes], bytes]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    # Each kind is as likely as another: tempo, downbeats, info.json, and the four arrays of a track.
    kinds = defaultdict(list)
    for member in sorted(members):
        kinds[member.rsplit("_", 1)[-1]].append(member)
    name = rng.choice(kinds[rng.choice(sorted(kinds))])
    changed = change(members[name]) if members[name] else b""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in (members | {name: changed}).items():
            if content:
                archive.writestr(member, content)
    return file.getvalue()


def compare_damaged(files: dict[str, bytes], each: int, theirs: Theirs) -> None:
    """Print who reads damaged copies, and why the other does not."""
    table: dict[str, Counter[str]] = {}
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for way, damage in DAMAGES.items():
        table[way] = Counter()
        for name, data in files.items():
            for number in range(each):
                damaged = damage(data, random.Random(f"{way} {name} {number}"))
                ours, other = read_ours(name, damaged), theirs.read(damaged)
                who = _who_reads(ours, other)
                if who == "both read":
                    who = (
                        "both read the same cells" if np.array_equal(*_rows(ours, other)) else "both read, other cells"
                    )
                table[way][who] += 1
                if who.startswith("we refuse"):
                    reasons[who][_general(str(ours))] += 1
                elif who.startswith("we read"):
                    reasons[who][_general(str(other))] += 1
    print("\ndamaged copies")
    for way, outcomes in table.items():
        print(f"{way:<26}" + ", ".join(f"{who} {count:,}" for who, count in outcomes.most_common()))
    for who, why in reasons.items():
        print(f"\n{who}:")
        for reason, count in why.most_common(12):
            print(f"{count:>8,}  {reason}")


def _rows(ours: Reading | str, theirs: Reading | str) -> tuple[Cells, Cells]:
    assert isinstance(ours, Reading) and isinstance(theirs, Reading)
    # Of a drum's run we keep the first cell; that is no matter of damage.
    return _first_hits(ours.cells), _first_hits(theirs.cells)


def _first_hits(cells: Cells) -> Cells:
    """The cells without those in which a drum goes on from the cell before. Drums are the first track."""
    return cells[(np.diff(cells, prepend=-2) > 1) | (cells >= PITCHES * _STRIDE)]


def _general(reason: str) -> str:
    return "".join("#" if sign.isdigit() else sign for sign in reason)[:100].replace("##", "#").replace("##", "#")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, help="archives or folders of .npz files")
    parser.add_argument("--mutations", type=int, default=1, help="damaged copies of each file and kind (default: 1)")
    options = parser.parse_args()
    files = {f"{path.name}/{name}": data for path in options.paths for name, data in Lpd5(path).items()}
    theirs = Theirs()
    try:
        compare(files, theirs)
        sys.stdout.flush()
        compare_damaged(files, options.mutations, theirs)
    finally:
        theirs.close()


if __name__ == "__main__":
    main()
