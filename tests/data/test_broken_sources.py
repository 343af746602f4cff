"""What `check_source` says of sources that do not keep what every source promises: file, class, what would be right."""

import json
import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest

from musiclab.data import BadSong, MusicXml, Song, Source, song_source
from musiclab.errors import UserError
from musiclab.testing import BrokenPromises, check_source
from tests.support.made_songs import musicxml_bytes, write_files

HERE = "test_broken_sources.py"


class Good(Source):
    """Scales in JSON."""

    kind, suffixes = "good", (".json",)
    first: ClassVar[int] = 48

    @classmethod
    def read(cls, name: str, data: bytes) -> Song:
        return cls.song(name, json.loads(data))

    @classmethod
    def song(cls, name: str, key: int) -> Song:
        return Song.of(name, [("Piano", cls.first + key + step % 12, step, 1) for step in range(32)], artist="A rule")


class ByChance(Good):
    @classmethod
    def song(cls, name: str, key: int) -> Song:
        return super().song(name, random.randrange(60))


class Nameless(Good):
    @classmethod
    def song(cls, name: str, key: int) -> Song:
        return super().song("song", key)


class Untitled(Good):
    @classmethod
    def song(cls, name: str, key: int) -> Song:
        return Song.of(name, [("Piano", 60, 0, 32)], artist=None)  # type: ignore[arg-type]


class Table(Good):
    @classmethod
    def song(cls, name: str, key: int) -> Song:
        return {"notes": [key]}  # type: ignore[return-value]


class InSeconds(Good):
    @classmethod
    def song(cls, name: str, key: int) -> Song:
        return Song.of(name, [("Piano", 60, 0, 4)])


class Trusting(Good):
    @classmethod
    def read(cls, name: str, data: bytes) -> Song:
        return cls.song(name, len(data))


class Beside(Good):
    @classmethod
    def song(cls, name: str, key: int) -> Song:
        raise FileNotFoundError(f"{name}.txt")


class Unordered(Good):
    @classmethod
    def song(cls, name: str, key: int) -> Song:
        return super().song(name, list({f"key {n}" for n in range(60)}).index("key 5"))


class Shuffled(Good):
    def items(self) -> Iterator[tuple[str, Any]]:
        items = list(super().items())
        yield from random.sample(items, len(items))


calls = count()


class Timed(Good):
    def content(self) -> str:
        return str(next(calls))


class Limited(Good):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.most = 100


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve songs for these sources, and one that is broken."""
    files = {f"{key}.json": str(key).encode() for key in range(12)} | {"x.json": b"{"}
    return write_files(tmp_path_factory.mktemp("songs"), files)


def said(source: Any, path: Path | str) -> str:
    """The one sentence about a source, without its file and class."""
    with pytest.raises(BrokenPromises) as broken:
        check_source(source, path)
    (sentence,) = broken.value.sentences
    place = f"{HERE}: {source.__name__}"
    assert sentence.startswith(place)
    return sentence.removeprefix(place).removeprefix(": ")


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (
            ByChance,
            "read twice, 0.json gives another song; nothing may depend on the time, on chance, or on what was read "
            "before",
        ),
        (
            Nameless,
            "each song must have a name of its own, such as that of its file; 12 have the name 'song'",
        ),
        (
            Untitled,
            "none of the first 13 songs can be read; 0.json: a song's artist must be a text; got None",
        ),
        (Table, "none of the first 13 songs can be read; 0.json: a dict instead of a Song"),
        (InSeconds, "no song is as long as a window of 16 beats; times must be in beats"),
        (
            Trusting,
            "an empty file must be no song; read must raise anything, or BadSong",
        ),
        (
            Shuffled,
            "read twice, there are other songs, or in another order; sort what comes from a set or folder",
        ),
        (
            Timed,
            "content must be the same for the same files; nothing may depend on the time, on chance, or on what was "
            "read before",
        ),
        (
            Limited,
            "most must be set in the body of a class, because the code of a class is what keys are made of and other "
            "processes get; a subclass may set another value, and a cache may stand outside of the class.",
        ),
        (
            Unordered,
            "read in another process, 0.json gives another song; nothing may depend on the process, such as the order "
            "of a set, or what a script has changed",
        ),
    ],
)
def test_each_broken_promise_is_one_sentence(kind: type[Source], sentence: str, songs: Path) -> None:
    assert said(kind, songs) == sentence


def test_an_error_of_the_disk_is_no_reason_to_skip_a_song(songs: Path) -> None:
    assert said(Beside, songs).startswith(f" failed at 0.json: FileNotFoundError: 0.json.txt ({HERE}, line ")


def test_good_ones_are_silent(songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(songs.parent)
    check_source(f"{__name__}:Good", songs.name)
    check_source(MusicXml, write_files(tmp_path / "scores", {"1.xml": musicxml_bytes(), "x.xml": b"<score-timewise/>"}))


@song_source
def unsorted() -> Iterator[Song | BadSong]:
    yield BadSong("the first is none")
    for name in {f"song {number}" for number in range(12)}:
        yield Song.of(name, [("Piano", 60, 0, 32)])


def test_a_function_is_called_in_another_process_too() -> None:
    assert said(unsorted, "") == (
        "read in another process, there are other songs, or in another order; sort what comes from a set or folder"
    )


@song_source()
def namesakes() -> Iterator[Song]:
    for key in range(12):
        yield Song.of("same", [("Piano", 48 + key, 0, 32)])


@song_source
def returned() -> Any:
    return Song.of("one", [("Piano", 48, 0, 32)])


def test_a_function_must_yield_songs_with_names() -> None:
    assert said(namesakes, "").endswith("a name of its own, such as that of its file; 12 have the name 'same'")
    assert said(returned, "") == " must yield its songs, each with `yield`; it returned a Song."


class NoSource:
    """It could be anything."""


def test_what_is_no_source_is_refused(songs: Path) -> None:
    with pytest.raises(UserError, match="must get a class or a function, and the path that it takes; got a source"):
        check_source(Good(songs))
    with pytest.raises(UserError, match="There is no source 'gud'"):
        check_source("gud", songs)
    assert said(NoSource, songs).startswith(" must be a subclass of musiclab.data.Source")
    assert said(Good, songs / "none").startswith("opening it: --data: ")
