"""Processes that parse and cut chunks of songs into parts on disk, and outlive a song that kills one of them."""

import faulthandler
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from musiclab.data.archives import file_digest
from musiclab.data.songs import TRACKS, BadSong, Song, clean_text
from musiclab.data.windows import PITCH_BYTES, WindowSpec, cut
from musiclab.hashing import content_hash

TOO_SHORT = "shorter than one window"
CRASHED = "its reader crashed or took more than two minutes"

_SECONDS_A_SONG = 120

Parse = Callable[[str, bytes], Song]


@dataclass(frozen=True)
class Chunk:
    """Song files (name, content) and the part that they become: `part`.npy with windows, `part`.json with songs."""

    part: Path
    items: list[tuple[str, bytes]]

    def is_done(self) -> bool:
        """Whether there is a part, and it is what was written: a disk or a power cut may have left anything."""
        try:
            table = read_part(self.part.with_suffix(".json"))
            return table.pop("digest") == _digest(table, self.part.with_suffix(".npy"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False


def read_part(table: Path) -> dict:
    """The table of a part: "songs" as rows without "first", "skipped" as [name, reason], and "digest" of it all."""
    return json.loads(table.read_text(encoding="utf-8"))


def _digest(table: dict, windows: Path) -> str:
    return content_hash([table, file_digest(windows)])


class Workers:
    """A pool of processes for `parse` and `cut`; a context manager.

    A process that ends without warning takes the pool and every chunk in it along. These chunks are then done again,
    each alone and at last song by song, so that the one song at fault is found and skipped.
    """

    def __init__(self, workers: int, parse: Parse, spec: WindowSpec) -> None:
        self._workers, self._parse, self._spec = workers, parse, spec
        self._pool = self._new_pool(workers)
        self._chunks: dict[Future, Chunk] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, chunk: Chunk) -> Future:
        """Starts a chunk; give the future to `result` once it is done."""
        try:
            future = self._pool.submit(_make_part, chunk, self._parse, self._spec)
        except BrokenProcessPool:
            self._pool = self._new_pool(self._workers)
            future = self._pool.submit(_make_part, chunk, self._parse, self._spec)
        self._chunks[future] = chunk
        return future

    def result(self, future: Future) -> int:
        """How many songs the finished chunk had, all of them in its part now."""
        chunk = self._chunks.pop(future)
        try:
            future.result()
        except BrokenProcessPool:
            self._make_carefully(chunk)
        return len(chunk.items)

    def _make_carefully(self, chunk: Chunk) -> None:
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
                    if number in crashed:  # skipped already, so no song is at fault
                        raise
                    crashed.add(number)

    @staticmethod
    def _new_pool(workers: int) -> ProcessPoolExecutor:
        # Spawned, not forked: the caller may hold threads and locks of Ray, MLflow or torch.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(workers, mp_context=context, initializer=_initialise)


def _initialise() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool; a traceback of each worker helps nobody
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent would leave its workers waiting for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _make_part(
    chunk: Chunk, parse: Parse, spec: WindowSpec, crashed: frozenset[int] = frozenset(), trace: Path | None = None
) -> None:
    """Writes a part; songs numbered in `crashed` are skipped, and `trace` always names the one at work."""
    songs, skipped = [], []
    windows = [np.zeros((0, len(TRACKS), spec.steps, PITCH_BYTES), np.uint8)]
    for number, (name, data) in enumerate(chunk.items):
        if trace is not None:
            trace.write_text(str(number))
        try:
            if number in crashed:
                raise BadSong(CRASHED)
            song, cut_windows = _windows_of(name, data, parse, spec)
        except BadSong as reason:
            skipped.append([clean_text(name), str(reason)])
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
            }
        )
    _write_part(chunk.part, np.concatenate(windows), {"songs": songs, "skipped": skipped})


def _windows_of(name: str, data: bytes, parse: Parse, spec: WindowSpec) -> tuple[Song, np.ndarray]:
    # Ends this process from outside of Python, since a reader that hangs may never come back to it.
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        faulthandler.dump_traceback_later(_SECONDS_A_SONG, exit=True, file=nowhere)
        try:
            song = parse(name, data)
            windows = cut(song, spec)
        finally:
            faulthandler.cancel_dump_traceback_later()
    if not len(windows):
        raise BadSong(TOO_SHORT)
    return song, windows


def _write_part(part: Path, windows: np.ndarray, table: dict) -> None:
    """Both files appear whole or not at all, the table last."""
    scratch = part.with_suffix(f".{os.getpid()}")
    with scratch.open("wb") as file:
        np.save(file, windows, allow_pickle=False)
    table |= {"digest": _digest(table, scratch)}
    scratch.replace(part.with_suffix(".npy"))
    scratch.write_text(json.dumps(table), encoding="utf-8")
    scratch.replace(part.with_suffix(".json"))
