"""Songs that a function of the user's yields: rows of a table, another library's data set, music made by rule."""

import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, overload

import numpy as np

from musiclab.data.folders import Content
from musiclab.data.songs import BadSong, Song, checked_song
from musiclab.data.source import Source
from musiclab.errors import UserError
from musiclab.hashing import content_hash
from musiclab.progress import Progress
from musiclab.user_code import described, remember
from musiclab.user_errors import why_failed

_HEADER_BYTES = 4  # how long the header is, before the header
_END = object()


class SongSource:
    """A function that yields songs, as `song_source` gives it: called with its arguments, it is a source of them."""

    def __init__(self, function: Callable[..., Iterable[Song | BadSong]]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        remember(self)

    def __call__(self, *arguments: Any, **keywords: Any) -> "OwnSongs":
        return OwnSongs(self.function, functools.partial(self.function, *arguments, **keywords))


@overload
def song_source(function: Callable[..., Iterable[Song | BadSong]]) -> SongSource: ...
@overload
def song_source() -> Callable[[Callable[..., Iterable[Song | BadSong]]], SongSource]: ...
def song_source(function: Callable[..., Iterable[Song | BadSong]] | None = None) -> Any:
    """Make a source of a function that yields songs, for what is not one song a file.

        @song_source
        def folk(path):
            for row in pyarrow.parquet.read_table(path).to_pylist():
                yield Song.of(row["id"], row["notes"], title=row["title"])

    `Study(data=folk("songs.parquet"))` and `--data folk.py:folk:songs.parquet` take it. The function must yield the
    same songs in the same order whenever it is called: it is called at each start of a study, because the songs
    themselves say whether they are still the same, and once more if they have not been cut into windows yet. It runs in
    one process; windows are cut in several. For files that take long to read, write a `Source`.

    A function that yields a BadSong instead of a song has that one skipped and listed:

            except BadSong as reason:
                yield reason
    """
    return SongSource(function) if function else SongSource


class OwnSongs(Source):
    """The songs that a function yields. They are known by their content, so the function's code is in no key."""

    kind = "songs"
    revision = 1
    suffixes = ("song",)

    def __init__(self, function: Callable[..., Any], call: "functools.partial[Iterable[Song | BadSong]]") -> None:
        self._function, self._call, self._fingerprint = function, call, ""
        self.spec = described(function)

    def _check(self) -> None:
        """Only the arguments, and not when they are given, because an error on import would be a traceback."""
        try:
            inspect.signature(self._function).bind(*self._call.args, **self._call.keywords)
        except TypeError as error:
            raise UserError(
                f"{described(self._function)} must get the arguments that it takes, such as the PATH in --data "
                f"file.py:{self._function.__name__}:PATH: {error}."
            ) from None

    def items(self) -> Iterator[tuple[str, Content]]:
        """Id and bytes of each song, see `read`; a text for a BadSong.

        Raises:
            UserError: the function fails, yields something else or nothing, or other songs than for the fingerprint.
        """
        digest = hashlib.sha256()
        for name, content in self._encoded():
            digest.update(_checksum(name, content))
            yield name, content
        if self._fingerprint and self._fingerprint != _fingerprint(digest.hexdigest()):
            raise UserError(
                f"{described(self._function)} must yield the same songs each time it is called; it yielded others the "
                "second time. Seed what is random, and sort what comes from a set or a folder."
            )

    def is_unchanged(self) -> bool:
        return True  # `items` says if not

    def count(self) -> int | None:
        return None

    def content(self) -> str:
        digest = hashlib.sha256()
        with Progress("songs read", None) as progress:
            for name, content in self._encoded():
                digest.update(_checksum(name, content))
                progress.update()
        return _fingerprint(digest.hexdigest())

    @classmethod
    def read(cls, name: str, data: bytes) -> Song:
        size = int.from_bytes(data[:_HEADER_BYTES])
        header = json.loads(data[_HEADER_BYTES : _HEADER_BYTES + size])
        numbers = np.frombuffer(data, "<i4", offset=_HEADER_BYTES + size).astype(np.int32)
        count = 4 * header.pop("notes")
        return Song(**header, notes=numbers[:count].reshape(-1, 4), bars=numbers[count:])

    def _encoded(self) -> Iterator[tuple[str, Content]]:
        number = 0
        songs = self._songs()
        while (song := self._next(songs, number + 1)) is not _END:
            number += 1
            if isinstance(song, BadSong):
                yield f"song {number}", str(song)
                continue
            try:
                checked = checked_song(song)
            except BadSong as reason:
                raise UserError(
                    f"{described(self._function)} must yield songs that Song.of makes; song {number} is wrong: "
                    f"{reason}."
                ) from None
            yield checked.id, song_bytes(checked)
        if not number:
            raise UserError(f"{described(self._function)} must yield at least one song; it yielded none.")

    def _songs(self) -> Iterator[object]:
        songs = self._call()
        if not isinstance(songs, Iterable):
            raise UserError(
                f"{described(self._function)} must yield its songs, each with `yield`; it returned "
                f"{'nothing' if songs is None else f'a {type(songs).__name__}'}."
            )
        yield from songs

    def _next(self, songs: Iterator[object], number: int) -> object:
        """What is yielded next; `_END` if there is no more. What the function raises becomes a UserError."""
        try:
            return next(songs)
        except StopIteration:
            return _END
        except (UserError, KeyboardInterrupt):
            raise
        except BaseException as error:
            why = why_failed(error).removeprefix("BadSong: ")
            raise UserError(f"{described(self._function)} failed at song {number}: {why}.") from error


def song_bytes(song: Song) -> bytes:
    """All that a song is, as `OwnSongs.read` takes it; equal songs give equal bytes."""
    fields = {name: getattr(song, name) for name in ("id", "artist", "title", "length", "tempo")}
    header = json.dumps({**fields, "notes": len(song.notes)}).encode()
    arrays = song.notes.astype("<i4").tobytes() + song.bars.astype("<i4").tobytes()
    return len(header).to_bytes(_HEADER_BYTES) + header + arrays


def _checksum(name: str, content: Content) -> bytes:
    data = content if isinstance(content, bytes) else f"{name}: {content}".encode()
    return hashlib.sha256(data).digest()


def _fingerprint(digest: str) -> str:
    return content_hash([OwnSongs.kind, digest])
