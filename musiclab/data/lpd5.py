"""The Lakh Pianoroll Dataset: sparse pianorolls in .npz files, with names from MSD's unique_tracks.txt."""

import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from musiclab.data.arrays import read_header
from musiclab.data.folders import Content, read_file
from musiclab.data.kinds import ZIP
from musiclab.data.songs import BEAT_TICKS, MAX_BEATS, BadSong, Song, clean_text, first_tempo, to_ticks, track_of
from musiclab.data.source import Source, digest
from musiclab.data.windows import PITCHES
from musiclab.hashing import content_hash

_NAMES_FILE = "unique_tracks.txt"
_MAX_NAMES_BYTES = 128 << 20  # MSD's own file lists a million tracks and has 84 MB
_MAX_SONG_ARRAYS = 16 << 20  # bytes of all arrays of one song, decompressed
_MAX_TRACKS = 128
_TRACK_ID = re.compile(r"TR[A-Z]{5}[0-9A-F]{11}")


class Lpd5(Source):
    """LPD-5-cleansed, or any pianorolls saved by pypianoroll in its old or new layout, merged to five tracks.

    Names come from a file unique_tracks.txt inside the folder or archive, or else beside it.
    """

    kind = "lpd5"
    suffixes = (".npz",)
    file_kind = ZIP

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._names = b""

    def limit(self, name: str) -> int:
        return _MAX_NAMES_BYTES if PurePosixPath(name).name == _NAMES_FILE else super().limit(name)

    def members(self) -> Iterator[tuple[str, Content]]:
        for name, content in super().members():
            if PurePosixPath(name).name == _NAMES_FILE and isinstance(content, bytes):
                self._names = content
            yield name, content

    def content(self) -> str:
        beside = self._names_beside
        return content_hash([super().content(), digest(beside) if beside.is_file() else None])

    def names(self, ids: Iterable[str]) -> dict[str, tuple[str, str]]:
        # The file is kept as bytes and searched once, because a million names as Python strings take too much memory.
        wanted = {song_id.encode(): song_id for song_id in ids}
        names: dict[str, tuple[str, str]] = {}
        lines = self._names or read_file(self._names_beside, _MAX_NAMES_BYTES)
        for line in io.BytesIO(lines if isinstance(lines, bytes) else b""):
            fields = line.rstrip(b"\r\n").split(b"<SEP>")
            if len(fields) == 4 and fields[0] in wanted:
                names[wanted[fields[0]]] = (fields[2].decode(errors="replace"), fields[3].decode(errors="replace"))
        return names

    @classmethod
    def read(cls, name: str, data: bytes) -> Song:
        arrays = _Arrays(data)
        info = arrays.info()
        resolution = info.get("beat_resolution", info.get("resolution"))
        if not isinstance(resolution, int) or not 1 <= resolution <= 9600:
            raise BadSong(f"info.json gives no usable beat resolution: {clean_text(repr(resolution))}")
        cells, length = _merged_cells(arrays, info, MAX_BEATS * resolution)
        notes = _notes(cells, length + 1, resolution)
        if not len(notes):
            raise BadSong("no notes")
        stem = str(PurePosixPath(name).with_suffix(""))
        track_id = _TRACK_ID.search(stem)
        song_id = track_id.group() if track_id else PurePosixPath(stem).name
        return Song(
            id=song_id,
            artist="",
            title=song_id,
            notes=notes,
            bars=_bars(arrays.optional("downbeat"), length, resolution),
            length=int(to_ticks(length, resolution)),
            tempo=first_tempo(arrays.optional("tempo").astype(float)),
        )

    @property
    def _names_beside(self) -> Path:
        return self.path.parent / _NAMES_FILE


class _Arrays:
    """The arrays of an .npz file. None is decompressed before its size has been checked."""

    def __init__(self, data: bytes) -> None:
        self._zip = zipfile.ZipFile(io.BytesIO(data))
        self._left = _MAX_SONG_ARRAYS

    def info(self) -> dict[str, Any]:
        """The object in info.json."""
        info = json.loads(self._bytes("info.json"))
        if not isinstance(info, dict):
            raise BadSong("info.json is no object")
        return info

    def optional(self, name: str) -> npt.NDArray[Any]:
        """The array of that name; an empty one if there is none."""
        return self.array(name) if f"{name}.npy" in self._zip.NameToInfo else np.zeros(0)

    def array(self, name: str) -> npt.NDArray[Any]:
        """A one-dimensional array of numbers or booleans."""
        data = self._bytes(f"{name}.npy")
        header = read_header(data)
        # Checked before anything is allocated, because a header may claim any shape.
        if header is None or len(header.shape) != 1 or header.end != len(data):
            raise BadSong(f"{name} is not a plain list of numbers")
        return np.frombuffer(data, header.dtype, offset=header.begin)

    def integers(self, name: str) -> npt.NDArray[np.int64]:
        """A one-dimensional array of whole numbers."""
        values = self.array(name)
        if values.dtype.kind not in "iu":
            raise BadSong(f"{name} is not made of whole numbers")
        return values.astype(np.int64)

    def _bytes(self, member: str) -> bytes:
        entry = self._zip.NameToInfo.get(member)
        if entry is None:
            raise BadSong(f"{member} is missing")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadSong(f"{member} is packed in an unusual way")
        if not 0 <= entry.file_size <= self._left:
            raise BadSong(f"{member} unpacks to {entry.file_size:,} bytes")
        self._left -= entry.file_size
        return self._zip.read(entry)  # never more than the declared size


def _merged_cells(arrays: _Arrays, info: dict[str, Any], max_length: int) -> tuple[npt.NDArray[np.int64], int]:
    """The sounding cells of all tracks, sorted, and the length of the song in steps.

    A cell is the number (track * 128 + pitch) * (length + 1) + time.
    """
    # Of each track of the file: the line (track * 128 + pitch) and the time of each of its cells.
    cells_by_track: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
    length = 0
    for index in range(_MAX_TRACKS):
        track = info.get(str(index))
        if track is None:
            break
        program, is_drum = track["program"], track["is_drum"]
        merged = track_of(int(program), bool(is_drum))
        steps, pitch, time = _sounding(arrays, index, max_length)
        length = max(length, steps)
        if merged is not None:
            cells_by_track.append((merged * PITCHES + pitch, time))
    cells = [line * (length + 1) + time for line, time in cells_by_track]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *cells])), length


def _sounding(arrays: _Arrays, index: int, max_length: int) -> tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The length of a track in steps, and pitch and time of the cells in which it sounds."""
    prefix = f"pianoroll_{index}_csc"
    shape = arrays.integers(f"{prefix}_shape")
    if len(shape) != 2 or shape[1] != PITCHES or not 0 <= shape[0] <= max_length:
        raise BadSong(f"track {index} has the shape {clean_text(str(shape.tolist()))}, not (steps, 128)")
    starts, times = arrays.integers(f"{prefix}_indptr"), arrays.integers(f"{prefix}_indices")
    velocities = arrays.array(f"{prefix}_data")
    per_pitch = np.diff(starts)
    if len(starts) != PITCHES + 1 or starts[0] != 0 or (per_pitch < 0).any() or starts[-1] != len(times):
        raise BadSong(f"track {index} has a broken index")
    if len(velocities) != len(times) or (len(times) and not 0 <= times.min() <= times.max() < shape[0]):
        raise BadSong(f"track {index} has cells outside of its roll")
    sounds = velocities != 0
    return int(shape[0]), np.repeat(np.arange(PITCHES), per_pitch)[sounds], times[sounds]


def _notes(cells: npt.NDArray[np.int64], stride: int, resolution: int) -> npt.NDArray[np.int32]:
    """Unbroken runs of cells of one pitch as notes, (n, 4) int32 in ticks; a drum hit lasts one step."""
    edges = np.flatnonzero(np.diff(cells) > 1)  # the difference is 0 if two merged tracks sound the same cell
    opens = cells[np.append(0, edges + 1)] if len(cells) else cells
    closes = cells[np.append(edges, len(cells) - 1)] + 1 if len(cells) else cells
    line, first = np.divmod(opens, stride)
    last = np.where(line < PITCHES, first + 1, closes - line * stride)
    start = to_ticks(first, resolution)
    end = np.maximum(to_ticks(last, resolution), start + 1)
    return np.stack([line // PITCHES, line % PITCHES, start, end], axis=1).astype(np.int32)


def _bars(downbeat: npt.NDArray[Any], length: int, resolution: int) -> npt.NDArray[np.int32]:
    """Bar lines in ticks: the file's downbeats, or every four beats if it marks only the first one (as LPD does)."""
    marked = np.flatnonzero(downbeat[:length])
    ticks = int(to_ticks(length, resolution))
    if len(marked) < 2:
        first = int(to_ticks(marked[0], resolution)) if len(marked) else 0
        return np.arange(first, ticks, 4 * BEAT_TICKS, dtype=np.int32)
    return np.unique(to_ticks(marked, resolution)).astype(np.int32)
