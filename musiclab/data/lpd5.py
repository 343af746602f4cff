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
_MAX_SONG_ARRAYS = 32 << 20  # bytes of all arrays of one song, decompressed
_MAX_RESOLUTION = 9600
_USUAL_BAR = 4 * BEAT_TICKS
# Downbeats 6, 9 or 12 beats apart are three bars apart: pypianoroll counts two beats a bar of 6/8 or 6/4, but marks
# every sixth. 9/8 and 12/8 are alike.
_THREE_BARS = [6 * BEAT_TICKS, 9 * BEAT_TICKS, 12 * BEAT_TICKS]
_LONGEST_BAR = 8 * BEAT_TICKS  # if downbeats are farther apart, some are not marked
# Up to so many steps a beat (32nds), a drum can be hit in every step. On a finer grid a run of cells is one hit.
_DRUM_RESOLUTION = 8
_TRACK_NUMBER = re.compile(r"[0-9]{1,6}")
_TRACK_ID = re.compile(r"TR[A-Z]{5}[0-9A-F]{11}")


class Lpd5(Source):
    """LPD-5-cleansed, or any pianorolls saved by pypianoroll in its old or new layout, merged to five tracks.

    Names come from a file unique_tracks.txt inside the folder or archive, or else beside it.
    """

    kind = "lpd5"
    suffixes = (".npz",)
    file_kinds = (ZIP,)

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
        resolution = _resolution(info)
        cells, length = _merged_cells(arrays, info, MAX_BEATS * resolution)
        notes = _notes(cells, length + 1, resolution)
        if not len(notes):
            raise BadSong("no notes on any of the five tracks")
        stem = str(PurePosixPath(name).with_suffix(""))
        track_id = _TRACK_ID.search(stem)
        song_id = track_id.group() if track_id else PurePosixPath(stem).name
        # A row is a step: versions of pypianoroll write one dimension or one column.
        marks = to_ticks(np.nonzero(np.atleast_1d(arrays.optional("downbeat"))[:length])[0], resolution)
        bars = _bars(marks[np.diff(marks, prepend=-1) > 0], int(to_ticks(length, resolution)))
        return Song(
            id=song_id,
            artist="",
            title=song_id,
            notes=notes,
            bars=bars[:-1],
            length=int(bars[-1]),
            tempo=first_tempo(arrays.floats("tempo")),
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
        """An array of numbers or booleans of any shape."""
        data = self._bytes(f"{name}.npy")
        header = read_header(data)
        # Checked before anything is allocated, because a header may claim any shape.
        if header is None or header.end != len(data):
            raise BadSong(f"{name} is not a plain list of numbers")
        return np.frombuffer(data, header.dtype, offset=header.begin).reshape(header.shape)

    def integers(self, name: str) -> npt.NDArray[np.int64]:
        """A one-dimensional array of whole numbers."""
        values = self.array(name)
        # Other types may hold them too: SciPy takes a float for an index.
        if values.ndim != 1 or not (np.isfinite(values) & (values == np.floor(values))).all():
            raise BadSong(f"{name} is not a list of whole numbers")
        with np.errstate(invalid="ignore"):  # what is too large becomes negative
            return values.astype(np.int64)

    def floats(self, name: str) -> npt.NDArray[np.float64]:
        """The numbers of an array of any shape, one after the other; none if there is no such array."""
        with np.errstate(over="ignore"):  # what is too large becomes infinite
            return self.optional(name).reshape(-1).astype(np.float64)

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


def _resolution(info: dict[str, Any]) -> int:
    """Steps a beat. The old layout calls them `beat_resolution`."""
    resolution = info.get("resolution")
    if resolution is None:
        resolution = info.get("beat_resolution")
    if not isinstance(resolution, int | float) or not 1 <= resolution <= _MAX_RESOLUTION or resolution % 1:
        raise BadSong(f"info.json gives no usable beat resolution: {clean_text(repr(resolution))}")
    return int(resolution)


def _merged_cells(arrays: _Arrays, info: dict[str, Any], max_length: int) -> tuple[npt.NDArray[np.int64], int]:
    """The sounding cells of all tracks, sorted, and the length of the song in steps.

    A cell is the number (track * 128 + pitch) * (length + 1) + time.
    """
    # Of each track of the file: the line (track * 128 + pitch) and the time of each of its cells.
    cells_by_track: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
    length = 0
    for key in filter(_TRACK_NUMBER.fullmatch, info):
        track = info[key]
        if not isinstance(track, dict):
            raise BadSong(f"track {key} is no object in info.json")
        program = track.get("program")
        merged = track_of(0 if program is None else int(program), bool(track.get("is_drum")))
        steps, pitch, time = _sounding(arrays, key, max_length)
        if len(time):  # a silent track may have any length: pypianoroll leaves it as it is if it resamples the others
            length = max(length, steps)
        if merged is not None:
            cells_by_track.append((merged * PITCHES + pitch, time))
    cells = [line * (length + 1) + time for line, time in cells_by_track]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *cells])), length


def _sounding(arrays: _Arrays, index: str, max_length: int) -> tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The length of a track in steps, and pitch and time of the cells in which it sounds."""
    prefix = f"pianoroll_{index}_csc"
    shape = arrays.integers(f"{prefix}_shape")
    if len(shape) != 2 or shape[1] != PITCHES or not 0 <= shape[0] <= max_length:
        raise BadSong(f"track {index} has the shape {clean_text(str(shape.tolist()))}, not (steps, 128)")
    starts, times = arrays.integers(f"{prefix}_indptr"), arrays.integers(f"{prefix}_indices")
    velocities = arrays.array(f"{prefix}_data")
    per_pitch = np.diff(starts)
    if len(starts) != PITCHES + 1 or starts[0] != 0 or (per_pitch < 0).any() or starts[-1] > len(times):
        raise BadSong(f"track {index} has a broken index")
    if velocities.shape != times.shape:
        raise BadSong(f"track {index} has cells outside of its roll")
    times, velocities = times[: starts[-1]], velocities[: starts[-1]]  # SciPy leaves room behind the last cell
    if len(times) and not 0 <= times.min() <= times.max() < shape[0]:
        raise BadSong(f"track {index} has cells outside of its roll")
    sounds = velocities != 0
    return int(shape[0]), np.repeat(np.arange(PITCHES), per_pitch)[sounds], times[sounds]


def _notes(cells: npt.NDArray[np.int64], stride: int, resolution: int) -> npt.NDArray[np.int32]:
    """Unbroken runs of cells of one pitch as notes, (n, 4) int32 in ticks; a drum hit lasts one step.

    On a coarse grid each cell of a drum is a hit.
    """
    apart = np.diff(cells) > 1  # the difference is 0 if two merged tracks sound the same cell
    if resolution <= _DRUM_RESOLUTION:
        apart |= (np.diff(cells) > 0) & (cells[1:] < PITCHES * stride)
    edges = np.flatnonzero(apart)
    opens = cells[np.append(0, edges + 1)] if len(cells) else cells
    closes = cells[np.append(edges, len(cells) - 1)] + 1 if len(cells) else cells
    line, first = np.divmod(opens, stride)
    last = np.where(line < PITCHES, first + 1, closes - line * stride)
    start = to_ticks(first, resolution)
    end = np.maximum(to_ticks(last, resolution), start + 1)
    return np.stack([line // PITCHES, line % PITCHES, start, end], axis=1).astype(np.int32)


def _bars(marks: npt.NDArray[np.int64], end: int) -> npt.NDArray[np.int32]:
    """Bar lines in ticks, up to the one at or after `end`, from the `marks` of a file, which ascend.

    pypianoroll marks the first downbeat of a song and all before the last time signature. Where marks are missing, bars
    go on: the bar that begins at the last mark is as long as the one before it, and those behind it are as long as most
    bars of the song, or four beats if no bar is known. Bars before the first mark have that length too.
    """
    marks = _with_thirds(marks) if len(marks) else np.zeros(1, np.int64)
    lengths = np.diff(marks)
    known = lengths <= _LONGEST_BAR
    usual = int(np.bincount(lengths[known]).argmax()) if known.any() else _USUAL_BAR
    lines = [np.arange(marks[0] % usual, marks[0], usual), marks]
    for index in [*np.flatnonzero(~known), len(lengths)]:
        first = marks[index] + (lengths[index - 1] if index and known[index - 1] else usual)
        stop = marks[index + 1] if index < len(lengths) else end + _LONGEST_BAR
        lines.append(np.arange(first, stop, usual))
    bars = np.sort(np.concatenate(lines))
    return bars[: np.searchsorted(bars, end) + 1].astype(np.int32)


def _with_thirds(marks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The marks, and the downbeats between those that are three bars apart."""
    lengths = np.diff(marks)
    three_bars = np.isin(lengths, _THREE_BARS)
    first, third = marks[:-1][three_bars], lengths[three_bars] // 3
    return np.sort(np.concatenate([marks, first + third, first + 2 * third]))
