"""Scores in folders and archives: MusicXML and ABC, which music21 reads, and what MusPy has saved."""

import json
import re
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from xml.etree import ElementTree

from musiclab.data.chorales import score_xml
from musiclab.data.folders import Content
from musiclab.data.kinds import TEXT, XML, ZIP, kind_of
from musiclab.data.music_objects import Tracks, song_of_music21, song_of_muspy
from musiclab.data.songs import BadSong, Song
from musiclab.data.source import Source
from musiclab.hashing import content_hash

if TYPE_CHECKING:
    from music21.stream import Stream

# Names of the seven steps with their alterations, by semitone.
_STEPS = (
    *(("C", 0), ("C", 1), ("D", 0), ("D", 1), ("E", 0), ("F", 0)),
    *(("F", 1), ("G", 0), ("G", 1), ("A", 0), ("A", 1), ("B", 0)),
)
_TUNE = re.compile(r"^X:", re.MULTILINE)
_KEY = re.compile(r"^K:", re.MULTILINE)
_HEADER_LINE = re.compile(r"[A-Za-z]:|%%")


class Scores(Source):
    """Scores that another library reads. Its version is part of the fingerprint, because it decides what is read.

    Attributes:
        libraries: the packages that read the scores.
        tracks: the track of each part that is named here, or None to leave it out; all others go by their instruments.
            A subclass in a file of your own may set it.
    """

    revision = 1
    libraries: ClassVar[tuple[str, ...]]
    tracks: ClassVar[Tracks] = {}

    def content(self) -> str:
        return content_hash([super().content(), [version(library) for library in self.libraries]])


class MusicXml(Scores):
    """Scores in MusicXML, plain or compressed. Instruments are merged by LPD-5's rule."""

    kind = "musicxml"
    suffixes = (".musicxml", ".mxl", ".xml")
    file_kinds = (XML, TEXT, ZIP)
    libraries = ("music21",)
    max_bytes = 16 << 20

    @classmethod
    def read(cls, name: str, data: bytes) -> Song:
        score = ElementTree.fromstring(score_xml(data) if kind_of(data) == ZIP else data)
        if score.tag != "score-partwise":
            raise BadSong(f"an XML file of <{score.tag}>, not of <score-partwise>")
        _name_drums(score)
        return song_of_music21(name, _parsed(ElementTree.tostring(score, "unicode"), "musicxml"), cls.tracks)


class Abc(Scores):
    """Tunes in ABC; a file may hold many, and each is a song. ABC names no instruments, so all goes to Piano."""

    kind = "abc"
    suffixes = (".abc",)
    file_kinds = (TEXT,)
    libraries = ("music21",)

    def items(self) -> Iterator[tuple[str, Content]]:
        for name, content in super().items():
            if isinstance(content, bytes) and len(content) <= self.max_bytes and kind_of(content) in ("", TEXT):
                yield from _tunes(name, content)
            else:
                yield name, content

    def count(self) -> int | None:
        """None, because only reading the files would tell how many tunes there are; 0 if there is no file."""
        return super().count() and None

    @classmethod
    def read(cls, name: str, data: bytes) -> Song:
        text = _text(data)
        if not _KEY.search(text):  # without this, music21 reads notes in any text
            raise BadSong("no tune in ABC: it has no key (K:)")
        return song_of_music21(name, _parsed(text, "abc"), cls.tracks)


class MusPy(Scores):
    """Music saved by MusPy as JSON: the folder of a data set after `convert()`, or of `dataset.save()`."""

    kind = "muspy"
    suffixes = (".json",)
    file_kinds = (TEXT,)
    libraries = ("muspy",)

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        converted = self.path / "_converted"  # where MusPy's data sets keep what they have converted
        if converted.is_dir():
            self.path = converted

    @classmethod
    def read(cls, name: str, data: bytes) -> Song:
        import muspy

        fields = json.loads(data)
        if not isinstance(fields, dict) or "tracks" not in fields:
            raise BadSong("no music of MusPy's: it has no tracks")
        return song_of_muspy(name, muspy.Music.from_dict(fields), cls.tracks)


def _parsed(text: str, kind: str) -> "Stream[Any]":
    # Not `converter.parse`, which takes some texts for paths and keeps pickles in a folder that others may write to.
    from music21 import converter

    with warnings.catch_warnings(action="ignore"):  # about one song of many; what it cannot read it raises
        return converter.parseData(text, format=kind)


def _name_drums(score: ElementTree.Element) -> None:
    """Give drums the pitch that their MIDI instrument has, because music21 reads only where they stand on the staff."""
    drums: dict[str | None, int] = {}
    for each in score.iterfind("part-list/score-part/midi-instrument"):
        if text := each.findtext("midi-unpitched"):
            drums[each.get("id")] = int(text) - 1
    for note in score.iterfind("part/measure/note"):
        unpitched, instrument = note.find("unpitched"), note.find("instrument")
        pitch = drums.get(instrument.get("id")) if instrument is not None else None
        if unpitched is not None and pitch is not None:
            step, alter = _STEPS[pitch % 12]
            unpitched.clear()
            unpitched.tag = "pitch"
            for tag, value in (("step", step), ("alter", alter), ("octave", pitch // 12 - 1)):
                ElementTree.SubElement(unpitched, tag).text = str(value)


def _tunes(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """The tunes in a file, each with the fields that stand before the first and hold for all."""
    text = _text(content)
    starts = [match.start() for match in _TUNE.finditer(text)]
    if len(starts) < 2:
        yield name, content
        return
    common = "".join(line for line in text[: starts[0]].splitlines(keepends=True) if _HEADER_LINE.match(line))
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(text)], strict=True), start=1):
        yield f"{name} {number}", (common + text[start:end]).encode()


def _text(data: bytes) -> str:
    """The text of an ABC file, which may be old."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")
