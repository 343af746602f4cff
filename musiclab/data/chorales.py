"""The Bach chorales of music21's corpus: real music in four voices, in the public domain; nothing to download."""

import importlib.util
import io
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from musiclab.data.bars import whole_bars
from musiclab.data.kinds import ZIP
from musiclab.data.songs import (
    BASS,
    BEAT_TICKS,
    GUITAR,
    MAX_BEATS,
    PIANO,
    STRINGS,
    BadSong,
    Song,
    first_tempo,
    to_ticks,
)
from musiclab.data.source import Source
from musiclab.errors import UserError

if TYPE_CHECKING:  # imported only where it is used, because that takes seconds
    import muspy

# The tracks of soprano, alto, tenor and bass, which is their order in every file of four parts. Drums are silent.
_VOICES = (PIANO, GUITAR, STRINGS, BASS)
_MAX_SCORE_BYTES = 32 << 20
_MAX_CONTAINER_BYTES = 1 << 20


class Chorales(Source):
    """The chorales of exactly four parts: soprano to Piano, alto to Guitar, tenor to Strings, bass to Bass."""

    kind = "chorales"
    suffixes = (".mxl",)
    file_kinds = (ZIP,)

    def __init__(self) -> None:
        # Located without importing music21, because that takes seconds.
        package = importlib.util.find_spec("music21")
        if package is None or package.origin is None:
            raise UserError("--data: chorales needs the package music21, because it ships them; install it.")
        super().__init__(Path(package.origin).parent / "corpus" / "bach")
        self.spec = self.kind

    @classmethod
    def read(cls, name: str, data: bytes) -> Song:
        music = _read_score(data)
        if len(music.tracks) != len(_VOICES):
            raise BadSong(f"{len(music.tracks)} parts, not {len(_VOICES)}")
        notes = _notes(music)
        if not len(notes):
            raise BadSong("no notes")
        length = int(notes[:, 3].max())
        if length > MAX_BEATS * BEAT_TICKS:
            raise BadSong(f"longer than {MAX_BEATS:,} beats")
        stem = PurePosixPath(name).stem
        title = music.metadata.title or ""
        return Song(
            id=stem,
            artist="J. S. Bach",
            title=stem if not title or title.endswith(cls.suffixes) else title,
            notes=notes,
            bars=_whole_bars(music, length),
            length=length,
            tempo=first_tempo(np.array([tempo.qpm for tempo in music.tempos], float)),
        )


def _read_score(data: bytes) -> "muspy.Music":
    """The score in a compressed MusicXML file; MusPy writes out repeats and joins ties."""
    import muspy

    # MusPy reads from paths only and would unpack an archive of any size, so it gets the checked score alone.
    with tempfile.NamedTemporaryFile(suffix=".xml") as file:
        file.write(score_xml(data))
        file.flush()
        return muspy.read_musicxml(file.name)


def score_xml(data: bytes) -> bytes:
    """The score in a compressed MusicXML file, which is an archive; it is not unpacked if it is too large."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        container = ElementTree.fromstring(_unpacked(archive, "META-INF/container.xml", _MAX_CONTAINER_BYTES))
        root = container.find("rootfiles/rootfile")
        if root is None:
            raise BadSong("the container names no score")
        return _unpacked(archive, root.get("full-path", ""), _MAX_SCORE_BYTES)


def _unpacked(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    member = archive.getinfo(name)
    if member.file_size > limit or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadSong(f"the score unpacks to {member.file_size:,} bytes")
    return archive.read(member)


def _notes(music: "muspy.Music") -> npt.NDArray[np.int32]:
    rows = [
        (track, note.pitch, note.time, note.end)
        for track, voice in zip(_VOICES, music.tracks, strict=True)
        for note in voice.notes
    ]
    table = np.array(rows, np.int64).reshape(-1, 4)
    if ((table[:, 1] < 0) | (table[:, 1] > 127) | (table[:, 2] < 0)).any():
        raise BadSong("a note outside of pitch 0 to 127 or before the beginning")
    start = to_ticks(table[:, 2], music.resolution)
    end = np.maximum(to_ticks(table[:, 3], music.resolution), start + 1)
    return np.stack([table[:, 0], table[:, 1], start, end], axis=1).astype(np.int32)


def _whole_bars(music: "muspy.Music", length: int) -> npt.NDArray[np.int32]:
    """The starts, in ticks, of bars that are as long as their time signature says; pickups are left out."""
    starts = to_ticks([line.time for line in music.barlines], music.resolution)
    return whole_bars(starts, _bar_sizes(music, starts), length)


def _bar_sizes(music: "muspy.Music", starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The length of a whole bar, in ticks, by the time signature in force at each of `starts`; 4/4 before the first."""
    meters = [(0, 4 * BEAT_TICKS)]
    for meter in music.time_signatures:
        meters.append(
            (int(to_ticks(meter.time, music.resolution)), 4 * BEAT_TICKS * meter.numerator // meter.denominator)
        )
    times, sizes = np.array(meters, np.int64).T
    in_force: npt.NDArray[np.int64] = sizes[np.searchsorted(times, starts, "right") - 1]
    return in_force
