"""Worker processes that turn chunks of songs into parts on disk, and survive a song that kills one of them."""

import faulthandler
import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NotRequired, Self, TypedDict

import numpy as np
import numpy.typing as npt

from musiclab.data.archives import file_digest
from musiclab.data.folders import Content
from musiclab.data.songs import TRACKS, BadSong, Song, clean_text
from musiclab.data.source import Parse
from musiclab.data.windows import PITCH_BYTES, WindowSpec, cut
from musiclab.hashing import content_hash

TOO_SHORT = "shorter than one window"
CRASHED = "its reader crashed or took more than two minutes"

_SECONDS_A_SONG = 120
_CHECKSUM_DIGITS = 32


class PartSong(TypedDict):
    """A song in the table of a part: `count` windows; `tempo` in quarter notes a minute, `bar_ticks` in 1/24 beat.

    `content` is the checksum of its windows. A song whose pitched tracks were moved has `transposed`, in semitones.
    """

    id: str
    artist: str
    title: str
    count: int
    tempo: float
    bar_ticks: int
    content: str
    transposed: NotRequired[int]


class PartTable(TypedDict):
    """The table of a part: its songs in the order of their windows, and (file name, reason) of skipped files."""

    songs: list[PartSong]
    skipped: list[tuple[str, str]]


@dataclass(frozen=True)
class Chunk:
    """Song files (name, content) and the part made of them: `part`.npy with windows, `part`.json with its table."""

    part: Path
    items: list[tuple[str, Content]]

    def is_done(self) -> bool:
        """Whether the part exists and is what was written; a bad disk or a power cut may have left anything."""
        try:
            table: dict[str, Any] = _read_json(self.part.with_suffix(".json"))
            digest = table.pop("digest")
            return bool(digest == _digest(table, self.part.with_suffix(".npy")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False


def read_part(table: Path) -> PartTable:
    """The table in the file `table` of a part that is done."""
    content = _read_json(table)
    skipped = [(name, reason) for name, reason in content["skipped"]]
    return PartTable(songs=content["songs"], skipped=skipped)


def _read_json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _digest(table: Mapping[str, Any], windows: Path) -> str:
    """The checksum of a part, which its table has as "digest"."""
    return content_hash([table, file_digest(windows)])


class Workers:
    """A pool of processes for `parse` and `cut`; a context manager.

    If a process dies, the pool breaks and all chunks in it are lost. Each of them is then done again in a pool of its
    own. A song that kills its process there is skipped.
    """

    def __init__(self, workers: int, parse: Parse, spec: WindowSpec) -> None:
        self._workers, self._parse, self._spec = workers, parse, spec
        self._pool = self._new_pool(workers)
        self._chunks: dict[Future[None], Chunk] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, chunk: Chunk) -> Future[None]:
        """Start on a chunk. Pass the future to `result` when it is done."""
        try:
            future = self._pool.submit(_make_part, chunk, self._parse, self._spec)
        except BrokenProcessPool:
            self._pool = self._new_pool(self._workers)
            future = self._pool.submit(_make_part, chunk, self._parse, self._spec)
        self._chunks[future] = chunk
        return future

    def result(self, future: Future[None]) -> int:
        """Make sure that the part of a chunk is written; returns how many song files the chunk had."""
        chunk = self._chunks.pop(future)
        try:
            future.result()
        except BrokenProcessPool:
            self._make_carefully(chunk)
        return len(chunk.items)

    def _make_carefully(self, chunk: Chunk) -> None:
        """Write the part of a chunk, and skip the songs that kill their process."""
        crashed: set[int] = set()
        while True:
            trace = chunk.part.with_suffix(".at")
            with self._new_pool(1) as pool:
                try:
                    pool.submit(os.getpid).result()
                except BrokenProcessPool as error:
                    raise RuntimeError(
                        "worker processes end as soon as they start; a script that builds windows needs "
                        "`if __name__ == '__main__':` around what it does"
                    ) from error
                try:
                    pool.submit(_make_part, chunk, self._parse, self._spec, frozenset(crashed), trace).result()
                    return
                except BrokenProcessPool:
                    number = int(trace.read_text())
                    if number in crashed:  # it was skipped, so no song is at fault
                        raise
                    crashed.add(number)

    @staticmethod
    def _new_pool(workers: int) -> ProcessPoolExecutor:
        # Not forked, because the caller may have threads and locks of Ray, MLflow or torch.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(workers, mp_context=context, initializer=_initialise)


def _initialise() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool; tracebacks of workers would not help
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent ends; if the parent was killed, the worker would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "it runs in workers only"
    parent.join()
    os._exit(1)


def _make_part(
    chunk: Chunk, parse: Parse, spec: WindowSpec, crashed: frozenset[int] = frozenset(), trace: Path | None = None
) -> None:
    """Write the part of a chunk. Songs at the places in `crashed` are skipped; `trace` holds the current place."""
    songs: list[PartSong] = []
    skipped: list[tuple[str, str]] = []
    windows = [np.zeros((0, len(TRACKS), spec.steps, PITCH_BYTES), np.uint8)]
    for number, (name, content) in enumerate(chunk.items):
        if trace is not None:
            trace.write_text(str(number))
        try:
            if number in crashed:
                raise BadSong(CRASHED)
            song, cut_windows = _windows_of(name, content, parse, spec)
        except BadSong as reason:
            skipped.append((clean_text(name), str(reason)))
            continue
        windows.append(cut_windows)
        songs.append(
            {
                "id": song.id,
                "artist": song.artist,
                "title": song.title,
                "count": len(cut_windows),
                "tempo": song.tempo,
                "bar_ticks": song.bar_ticks,
                "content": hashlib.sha256(cut_windows.tobytes()).hexdigest()[:_CHECKSUM_DIGITS],
            }
        )
        if semitones := spec.semitones(song):
            songs[-1]["transposed"] = semitones
    _write_part(chunk.part, np.concatenate(windows), PartTable(songs=songs, skipped=skipped))


def _windows_of(name: str, content: Content, parse: Parse, spec: WindowSpec) -> tuple[Song, npt.NDArray[np.uint8]]:
    # The timeout ends this process from outside of Python, because a reader that hangs may never return to it.
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        faulthandler.dump_traceback_later(_SECONDS_A_SONG, exit=True, file=nowhere)
        try:
            song = parse(name, content)
            windows = cut(song, spec)
        finally:
            faulthandler.cancel_dump_traceback_later()
    if not len(windows):
        raise BadSong(TOO_SHORT)
    return song, windows


def _write_part(part: Path, windows: npt.NDArray[np.uint8], table: PartTable) -> None:
    """Write both files, each whole or not at all, the table last."""
    scratch = part.with_suffix(f".{os.getpid()}")
    with scratch.open("wb") as file:
        np.save(file, windows, allow_pickle=False)
    digest = _digest(table, scratch)
    scratch.replace(part.with_suffix(".npy"))
    scratch.write_text(json.dumps({**table, "digest": digest}), encoding="utf-8")
    scratch.replace(part.with_suffix(".json"))
