"""The window store: all windows of a source in one mapped file, and a table of its songs."""

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
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from musiclab.code_lock import StageCode, code_hash
from musiclab.data.arrays import HEADER_BYTES, read_header
from musiclab.data.folders import Content
from musiclab.data.songs import TRACKS, clean_text
from musiclab.data.source import Source, running_code_of
from musiclab.data.transposition import MOST_SEMITONES
from musiclab.data.windows import PITCH_BYTES, WindowSpec, unpack
from musiclab.data.workers import TOO_SHORT, Chunk, PartSong, Workers, read_part
from musiclab.errors import UserError
from musiclab.hashing import content_hash
from musiclab.progress import Progress

_WINDOWS = "windows.npy"
TABLE = "songs.json"

# One worker turns one chunk into one part on disk. A killed build loses at most one chunk for each worker.
_CHUNK_SONGS = 64
_CHUNK_BYTES = 16 << 20


@dataclass(frozen=True)
class SongRow:
    """A song of the store: `count` windows from index `first`.

    `tempo` is in quarter notes a minute, `bar_ticks` in 1/24 beat. An unknown artist is "". Copies, songs of the same
    windows, have the same `content`. Copies, and songs of the same id in their files, are one `work`. All but the drums
    was moved up by `transposed` semitones.
    """

    id: str
    artist: str
    title: str
    first: int
    count: int
    tempo: float
    bar_ticks: int
    content: str
    work: str
    transposed: int = 0


class WindowStore:
    """A finished store, opened read-only. It is pickled as its folder, so that workers map the same file.

    Attributes:
        folder: where it is.
        fingerprint: its name, see `store_fingerprint`.
        source: the source as in --data.
        spec: how songs were cut.
        windows: a mapped uint8 array (n, 5, steps, 16), packed over pitch.
        songs: the songs in the order of their windows.
        skipped: (file name, reason) of files that were not used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        table = json.loads((folder / TABLE).read_text(encoding="utf-8"))
        self.fingerprint: str = table["fingerprint"]
        self.source: str = table["source"]
        self.spec = WindowSpec(**table["spec"])
        self.songs = [SongRow(**(_earlier(row) | row)) for row in table["songs"]]
        self.skipped: list[tuple[str, str]] = [(name, reason) for name, reason in table["skipped"]]
        _check_table(self)
        shape = (sum(song.count for song in self.songs), len(TRACKS), self.spec.steps, PITCH_BYTES)
        self.windows = _mapped(folder / _WINDOWS, shape)
        self._rows = {song.id: song for song in self.songs}

    def __reduce__(self) -> tuple[Callable[[Path], "WindowStore"], tuple[Path]]:
        return open_store, (self.folder,)

    @property
    def works(self) -> dict[str, str]:
        """The work of each song, by its id; see `SongRow`."""
        return {song.id: song.work for song in self.songs}

    def indices(self, song_ids: Iterable[str]) -> npt.NDArray[np.int64]:
        """Indices (n,) of the songs' windows, song after song as given; KeyError for an unknown id."""
        rows = [self._rows[song_id] for song_id in song_ids]
        return np.concatenate([np.zeros(0, np.int64), *(np.arange(row.first, row.first + row.count) for row in rows)])

    def pairs(self, song_ids: Iterable[str]) -> npt.NDArray[np.int64]:
        """Indices (m, 2) of each window and the next one of the same song; KeyError for an unknown id."""
        rows = [self._rows[song_id] for song_id in song_ids]
        earlier = np.concatenate(
            [np.zeros(0, np.int64), *(np.arange(row.first, row.first + row.count - 1) for row in rows)]
        )
        return np.stack([earlier, earlier + 1], axis=1)

    def song_numbers(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """For each window at `indices` (n,), the place of its song in `songs`: (n,)."""
        return np.searchsorted([song.first for song in self.songs], indices, side="right") - 1

    def transposed(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """For each window at `indices` (n,), by how many semitones its song was moved up: (n,)."""
        return np.array([song.transposed for song in self.songs], np.int64)[self.song_numbers(indices)]

    def batch(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """The windows at `indices` (n,), unpacked: (n, 5, steps, 128) bool."""
        return unpack(self.windows[indices])


def _earlier(row: dict[str, Any]) -> dict[str, str]:
    """The fields that stores of earlier versions did not have, as these took them."""
    return {"content": row["id"], "work": row["id"].partition(" #")[0]}


def _check_table(store: WindowStore) -> None:
    """Raise ValueError if no build writes such a table of songs, because nothing else checks it."""
    texts = [store.fingerprint, store.source, *(text for entry in store.skipped for text in entry)]
    numbers: list[int] = [store.spec.resolution, store.spec.steps, store.spec.hop]
    first = 0
    for song in store.songs:
        texts += [song.id, song.artist, song.title, song.content, song.work]
        numbers += [song.first, song.count, song.bar_ticks, song.transposed]
        in_range = 0 < song.tempo < math.inf and abs(song.transposed) <= MOST_SEMITONES
        if song.first != first or song.count < 1 or not in_range:
            raise ValueError(f"{TABLE} has no such song as {clean_text(str(song.id))!r}")
        first += song.count
    if not store.songs or not all(type(text) is str for text in texts) or not all(type(n) is int for n in numbers):
        raise ValueError(f"{TABLE} has another form")


def _mapped(file: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The windows in a file, mapped read-only; ValueError unless it is a whole uint8 array of that shape."""
    with file.open("rb") as opened:
        header = read_header(opened.read(HEADER_BYTES))
    if not header or (header.dtype, header.shape, header.end) != (np.dtype(np.uint8), shape, file.stat().st_size):
        raise ValueError(f"{file.name} does not hold windows of the shape {shape}")
    return np.memmap(file, header.dtype, "r", header.begin, shape)


def open_store(folder: Path) -> WindowStore:
    """The finished store in a folder; UserError if there is none or it is damaged."""
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
    with running_code_of(type(source)):
        return content_hash([source.fingerprint(), spec.to_json(), code_of_windows(source).identity])


def code_of_windows(source: Source) -> StageCode:
    """The code that turns the files of a source into windows: its reader, and what cuts and keeps them."""
    if source.code:  # it holds what musiclab gives to sources, and cuts them with, see `musiclab.interfaces`
        return StageCode(f"data/{source.kind}", source.revision, source.code)
    return StageCode(f"data/{source.kind}", source.revision, code_hash(type(source).__module__, __name__))


def build(source: Source, spec: WindowSpec, root: Path, workers: int) -> WindowStore:
    """The store of a source in `root/<fingerprint>`, built by `workers` processes if it does not exist yet.

    The result does not depend on `workers`. A build that was killed is resumed. If another process is building the
    store, this one waits for it. Songs that cannot be read or are shorter than one window are skipped and listed.

    Raises:
        UserError: no song is usable, the archive is damaged or refused, the songs have changed since their fingerprint,
            or `root` cannot be written.
    """
    fingerprint = store_fingerprint(source, spec)
    folder = Path(root) / fingerprint
    if folder.exists():
        return open_store(folder)
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # This worker runs its parent's script again. It would wait for its parent, which waits for it.
        raise RuntimeError("a script that builds windows needs `if __name__ == '__main__':` around what it does")
    parts_folder = Path(root) / f"{fingerprint}.building"
    try:
        with _alone(Path(root) / f"{fingerprint}.lock"):
            if not folder.exists():
                parts_folder.mkdir(exist_ok=True)
                with running_code_of(type(source)):
                    _build_parts(source, spec, parts_folder, workers)
                    if not source.is_unchanged():  # a search may cut windows hours after its start
                        raise UserError(f"--data {source.spec} must not change while a study runs; run it again.")
                _merge(source, spec, fingerprint, parts_folder, folder)
                shutil.rmtree(parts_folder)
    except UserError:
        shutil.rmtree(parts_folder, ignore_errors=True)  # the data is at fault, so there is nothing to resume
        raise
    except OSError as error:
        raise UserError(f"The window store cannot be written in {root}: {error.strerror or error}.") from error
    return open_store(folder)


@contextlib.contextmanager
def _alone(lock_file: Path) -> Iterator[None]:
    """Hold the lock of a build. The operating system releases it when the process ends, even if it is killed."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another process is building these windows; waiting for it.", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build_parts(source: Source, spec: WindowSpec, parts_folder: Path, workers: int) -> None:
    """Write a part for each chunk of songs. Few chunks are in flight at once, so memory is bounded."""
    running: set[Future[None]] = set()
    with (
        Workers(workers, source.parser(), spec) as pool,
        Progress("songs cut into windows", source.count()) as progress,
    ):
        for chunk in _chunks(source, parts_folder):
            if chunk.is_done():
                progress.update(len(chunk.items))
                continue
            if len(running) > workers:
                running = _collect(running, pool, progress)
            running.add(pool.submit(chunk))
        while running:
            running = _collect(running, pool, progress)


def _chunks(source: Source, parts_folder: Path) -> Iterator[Chunk]:
    items: list[tuple[str, Content]] = []
    size = number = 0
    for name, content in source.items():
        items.append((name, content))
        size += len(content)
        if len(items) == _CHUNK_SONGS or size >= _CHUNK_BYTES:
            yield Chunk(parts_folder / f"{number:06d}", items)
            items, size, number = [], 0, number + 1
    if items:
        yield Chunk(parts_folder / f"{number:06d}", items)


def _collect(running: set[Future[None]], pool: Workers, progress: Progress) -> set[Future[None]]:
    """Wait until some of the chunks are done; returns those that still run."""
    done, running = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        progress.update(pool.result(future))
    return running


def _merge(source: Source, spec: WindowSpec, fingerprint: str, parts_folder: Path, folder: Path) -> None:
    """Join the parts to a store in a scratch folder, and rename that to `folder`."""
    tables = [read_part(path) for path in sorted(parts_folder.glob("*.json"))]
    songs = [song for table in tables for song in table["songs"]]
    skipped = [entry for table in tables for entry in table["skipped"]]
    if not songs:
        raise UserError(_no_songs(source, skipped))
    with running_code_of(type(source)):
        rows = _rows(songs, source)
    table = {
        "fingerprint": fingerprint,
        "source": source.spec,
        "spec": spec.to_json(),
        "songs": rows,
        "skipped": skipped,
    }
    shape = (sum(row["count"] for row in rows), len(TRACKS), spec.steps, PITCH_BYTES)
    scratch = Path(tempfile.mkdtemp(prefix=f"{fingerprint}.", suffix=".tmp", dir=folder.parent))
    try:
        scratch.chmod(0o755)
        _concatenate(sorted(parts_folder.glob("*.npy")), scratch / _WINDOWS, shape)
        (scratch / TABLE).write_text(json.dumps(table, indent=0), encoding="utf-8")
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class _StoredSong(PartSong):
    """A row of the table of songs: what `SongRow` has."""

    first: int
    work: str


def _rows(songs: list[PartSong], source: Source) -> list[_StoredSong]:
    """The table of songs: names from outside of their files, unique ids, works, and the places of their windows."""
    names = source.names([song["id"] for song in songs])
    taken: set[str] = set()
    seen: Counter[str] = Counter()
    rows: list[_StoredSong] = []
    first = 0
    for song, work in zip(songs, _works(songs), strict=True):
        artist, title = map(clean_text, names.get(song["id"], (song["artist"], song["title"])))
        song_id = song["id"]
        while not seen[song["id"]] or song_id in taken:  # another song's own id may end in " #2"
            seen[song["id"]] += 1
            number = seen[song["id"]]
            song_id = song["id"] if number == 1 else f"{song['id']} #{number}"
        taken.add(song_id)
        row: _StoredSong = {
            **song,
            "id": song_id,
            "artist": artist,
            "title": title,
            "first": first,
            "work": rows[work]["id"] if work < len(rows) else song_id,
        }
        rows.append(row)
        first += song["count"]
    return rows


def _works(songs: list[PartSong]) -> list[int]:
    """For each song the place of the first one that is the same work: of the same id or windows as it or as another."""
    works = list(range(len(songs)))

    def first(place: int) -> int:
        while works[place] != place:
            works[place] = place = works[works[place]]
        return place

    places: dict[tuple[str, str], int] = {}
    for place, song in enumerate(songs):
        for key in (("id", song["id"]), ("content", song["content"])):
            one, other = first(place), first(places.setdefault(key, place))
            works[max(one, other)] = min(one, other)
    return [first(place) for place in range(len(songs))]


def _no_songs(source: Source, skipped: list[tuple[str, str]]) -> str:
    if not skipped:
        return f"--data {source.spec} holds no {source.files}; give a folder or archive that does."
    reason, times = Counter(reason for _, reason in skipped).most_common(1)[0]
    most = f"{reason}; give longer songs, or set fewer steps" if reason == TOO_SHORT else reason
    return f"--data {source.spec} holds no usable song: all {len(skipped)} were skipped, {times} of them as: {most}."


def _concatenate(files: list[Path], target: Path, shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": shape}
    with target.open("wb") as out:
        np.lib.format.write_array_header_1_0(out, header)
        for file in files:
            out.write(np.load(file, mmap_mode="r", allow_pickle=False).data)
        out.flush()
        os.fsync(out.fileno())
