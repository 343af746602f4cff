"""The window store: every window of a source in one mapped file, with a table of its songs."""

import contextlib
import fcntl
import json
import math
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from musiclab.code_lock import StageCode, code_hash
from musiclab.data.arrays import HEADER_BYTES, read_header
from musiclab.data.songs import TRACKS, clean_text
from musiclab.data.source import Source
from musiclab.data.windows import PITCH_BYTES, WindowSpec, unpack
from musiclab.data.workers import Chunk, Workers, read_part
from musiclab.errors import UserError
from musiclab.hashing import content_hash
from musiclab.progress import Progress

_WINDOWS = "windows.npy"
TABLE = "songs.json"

# A chunk is what one worker turns into one part on disk, and what a killed build loses at most for each worker.
_CHUNK_SONGS = 64
_CHUNK_BYTES = 16 << 20


@dataclass(frozen=True)
class SongRow:
    """A song of the store: `count` windows from index `first`; `tempo` in quarter notes a minute, `bar_ticks` in 1/24.

    An unknown artist is "".
    """

    id: str
    artist: str
    title: str
    first: int
    count: int
    tempo: float
    bar_ticks: int


class WindowStore:
    """A finished store, opened read-only; pickled by its folder, so that workers map the same file.

    Attributes: `folder`; `fingerprint`; `source` as in --data; `spec`; `windows`, a mapped uint8 array
    (n, 5, steps, 16), packed over pitch; `songs`, a list of `SongRow` in the order of their windows; `skipped`, a list
    of (file name, reason).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        table = json.loads((folder / TABLE).read_text(encoding="utf-8"))
        self.fingerprint: str = table["fingerprint"]
        self.source: str = table["source"]
        self.spec = WindowSpec(**table["spec"])
        self.songs = [SongRow(**row) for row in table["songs"]]
        self.skipped = [(name, reason) for name, reason in table["skipped"]]
        _check_table(self)
        shape = (sum(song.count for song in self.songs), len(TRACKS), self.spec.steps, PITCH_BYTES)
        self.windows = _mapped(folder / _WINDOWS, shape)
        self._rows = {song.id: song for song in self.songs}

    def __reduce__(self) -> tuple:
        return open_store, (self.folder,)

    def indices(self, song_ids: Iterable[str]) -> np.ndarray:
        """Indices (n,) int64 of the songs' windows, song after song as given; KeyError for an unknown id."""
        rows = [self._rows[song_id] for song_id in song_ids]
        return np.concatenate([np.zeros(0, np.int64), *(np.arange(row.first, row.first + row.count) for row in rows)])

    def pairs(self, song_ids: Iterable[str]) -> np.ndarray:
        """Indices (m, 2) int64 of each window and the next one of the same song; KeyError for an unknown id."""
        rows = [self._rows[song_id] for song_id in song_ids]
        earlier = np.concatenate(
            [np.zeros(0, np.int64), *(np.arange(row.first, row.first + row.count - 1) for row in rows)]
        )
        return np.stack([earlier, earlier + 1], axis=1)

    def song_numbers(self, indices: np.ndarray) -> np.ndarray:
        """Which song, by its place in `songs`, each window at `indices` (n,) is of: (n,) int64."""
        return np.searchsorted([song.first for song in self.songs], indices, side="right") - 1

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """The windows at `indices` (n,), unpacked: (n, 5, steps, 128) bool."""
        return unpack(self.windows[indices])


def _check_table(store: WindowStore) -> None:
    """ValueError where the table of songs says what no build writes: nothing else looks at it again."""
    texts = [store.fingerprint, store.source, *(text for entry in store.skipped for text in entry)]
    numbers = [*asdict(store.spec).values()]
    first = 0
    for song in store.songs:
        texts += [song.id, song.artist, song.title]
        numbers += [song.first, song.count, song.bar_ticks]
        if song.first != first or song.count < 1 or not 0 < song.tempo < math.inf:
            raise ValueError(f"{TABLE} has no such song as {clean_text(str(song.id))!r}")
        first += song.count
    if not store.songs or not all(type(text) is str for text in texts) or not all(type(n) is int for n in numbers):
        raise ValueError(f"{TABLE} has another form")


def _mapped(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The windows in a file, mapped read-only; ValueError unless they are bytes of that shape, all of them."""
    with file.open("rb") as opened:
        header = read_header(opened.read(HEADER_BYTES))
    if not header or (header.dtype, header.shape, header.end) != (np.uint8, shape, file.stat().st_size):
        raise ValueError(f"{file.name} does not hold windows of the shape {shape}")
    return np.memmap(file, header.dtype, "r", header.begin, shape)


def open_store(folder: Path) -> WindowStore:
    """The finished store in a folder; UserError where there is none or it is damaged."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is no window store; build one with `musiclab data build`.")
    try:
        return WindowStore(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{folder} is a damaged window store ({clean_text(str(error))}); delete this folder and build it again."
        ) from error


def store_fingerprint(source: Source, spec: WindowSpec) -> str:
    """Name of the store of a source cut by a spec: hash of the data, the spec and the code that reads and cuts."""
    return content_hash([source.fingerprint(), asdict(spec), code_of_windows(source).identity])


def code_of_windows(source: Source) -> StageCode:
    """The code that turns the files of a source into windows: its reader, and what cuts and keeps them."""
    return StageCode(f"data/{source.kind}", source.revision, code_hash(type(source).__module__, __name__))


def build(source: Source, spec: WindowSpec, root: Path, workers: int) -> WindowStore:
    """The store of a source in `root/<fingerprint>`, built by `workers` processes if it is not there yet.

    The result does not depend on `workers`. A build that was killed goes on where it stopped; one that another process
    is at work on is waited for. Songs that cannot be read, or are shorter than one window, are skipped and listed.
    UserError where no song is usable, the archive is damaged or refused, or `root` cannot be written.
    """
    fingerprint = store_fingerprint(source, spec)
    folder = Path(root) / fingerprint
    if folder.exists():
        return open_store(folder)
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # A worker that runs its starter's script again would wait for its starter, which waits for it.
        raise RuntimeError("a script that builds windows needs `if __name__ == '__main__':` around what it does")
    parts = Path(root) / f"{fingerprint}.building"
    try:
        with _alone(Path(root) / f"{fingerprint}.lock"):
            if not folder.exists():
                parts.mkdir(exist_ok=True)
                _build_parts(source, spec, parts, workers)
                _merge(source, spec, fingerprint, parts, folder)
                shutil.rmtree(parts)
    except UserError:
        shutil.rmtree(parts, ignore_errors=True)  # the data is at fault: nothing to go on with
        raise
    except OSError as error:
        raise UserError(f"The window store cannot be written in {root}: {error.strerror or error}.") from error
    return open_store(folder)


@contextlib.contextmanager
def _alone(lock_file: Path) -> Iterator[None]:
    """Holds the lock of a build; the system lets it go when its process ends, however it ends."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another process is building these windows; waiting for it.", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build_parts(source: Source, spec: WindowSpec, parts: Path, workers: int) -> None:
    """One part on disk for each chunk of songs; chunks in flight are bounded, so memory is too."""
    running: set[Future] = set()
    with (
        Workers(workers, source.parse, spec) as pool,
        Progress("songs cut into windows", source.count()) as progress,
    ):
        for chunk in _chunks(source, parts):
            if chunk.is_done():
                progress.update(len(chunk.items))
                continue
            if len(running) > workers:
                running = _collect(running, pool, progress)
            running.add(pool.submit(chunk))
        while running:
            running = _collect(running, pool, progress)


def _chunks(source: Source, parts: Path) -> Iterator[Chunk]:
    items, size, number = [], 0, 0
    for name, data in source.items():
        items.append((name, data))
        size += len(data)
        if len(items) == _CHUNK_SONGS or size >= _CHUNK_BYTES:
            yield Chunk(parts / f"{number:06d}", items)
            items, size, number = [], 0, number + 1
    if items:
        yield Chunk(parts / f"{number:06d}", items)


def _collect(running: set[Future], pool: Workers, progress: Progress) -> set[Future]:
    done, running = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        progress.update(pool.result(future))
    return running


def _merge(source: Source, spec: WindowSpec, fingerprint: str, parts: Path, folder: Path) -> None:
    """Writes the store beside its place and moves it there whole."""
    tables = [read_part(path) for path in sorted(parts.glob("*.json"))]
    songs = [song for table in tables for song in table["songs"]]
    skipped = [entry for table in tables for entry in table["skipped"]]
    if not songs:
        raise UserError(_no_songs(source, skipped))
    rows = _rows(songs, source)
    table = {
        "fingerprint": fingerprint,
        "source": source.spec,
        "spec": asdict(spec),
        "songs": rows,
        "skipped": skipped,
    }
    shape = (sum(row["count"] for row in rows), len(TRACKS), spec.steps, PITCH_BYTES)
    made = Path(tempfile.mkdtemp(prefix=f"{fingerprint}.", suffix=".tmp", dir=folder.parent))
    try:
        made.chmod(0o755)
        _concatenate(sorted(parts.glob("*.npy")), made / _WINDOWS, shape)
        (made / TABLE).write_text(json.dumps(table, indent=0), encoding="utf-8")
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _rows(songs: list[dict], source: Source) -> list[dict]:
    """The table of songs, with names from outside of their files, unique ids, and where their windows begin."""
    names = source.names([song["id"] for song in songs])
    taken: set[str] = set()
    seen: Counter[str] = Counter()
    rows, first = [], 0
    for song in songs:
        artist, title = map(clean_text, names.get(song["id"], (song["artist"], song["title"])))
        song_id = song["id"]
        while not seen[song["id"]] or song_id in taken:  # a song may itself be called like another's second version
            seen[song["id"]] += 1
            number = seen[song["id"]]
            song_id = song["id"] if number == 1 else f"{song['id']} #{number}"
        taken.add(song_id)
        rows.append(song | {"id": song_id, "artist": artist, "title": title, "first": first})
        first += song["count"]
    return rows


def _no_songs(source: Source, skipped: list[tuple[str, str]]) -> str:
    if not skipped:
        return (
            f"--data {source.spec} holds no {' or '.join(source.suffixes)} files; give a folder or archive that does."
        )
    reason, times = Counter(reason for _, reason in skipped).most_common(1)[0]
    return f"--data {source.spec} holds no usable song: all {len(skipped)} were skipped, {times} of them as: {reason}."


def _concatenate(files: list[Path], target: Path, shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": shape}
    with target.open("wb") as out:
        np.lib.format.write_array_header_1_0(out, header)
        for file in files:
            out.write(np.load(file, mmap_mode="r", allow_pickle=False).data)
        out.flush()
        os.fsync(out.fileno())
