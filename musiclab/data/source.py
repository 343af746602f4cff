"""The interface of all sources: songs in the files of a folder or an archive."""

import contextlib
import copy
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Self

from musiclab.data.archives import MAX_SONG_BYTES, check_archive, count_members, file_digest, read_archive
from musiclab.data.folders import Content, list_folder, read_file
from musiclab.data.kinds import PACKED, kind_of
from musiclab.data.songs import BadSong, Song, checked_song, clean_text
from musiclab.errors import UserError
from musiclab.hashing import content_hash
from musiclab.sending import Sent
from musiclab.user_code import described, is_ours, remember
from musiclab.user_errors import place_of, why_failed

_PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".rar")
# All that musiclab's sources keep in an instance.
_IN_INSTANCES = frozenset({"path", "spec", "code", "_fingerprint", "_names", "_function", "_call"})

Parse = Callable[[str, Content], Song]
_bodies: weakref.WeakKeyDictionary[type, dict[str, Any]] = weakref.WeakKeyDictionary()


class Source(ABC):
    """Songs in the files of a folder or an archive. A subclass says which files, and how one is read.

    One of a user's own declares `kind` and `suffixes`, and defines `read`:

        class JsonSongs(Source):
            kind, suffixes = "json_songs", (".json",)

            @classmethod
            def read(cls, name, data):
                song = json.loads(data)
                return Song.of(name, song["notes"], beats=song["beats"], title=song["title"])

    Attributes:
        kind: the source's name in --data; of a user's own, letters, digits and "_".
        revision: of the reader, see `musiclab.code_lock`. A user's own needs none.
        suffixes: of song files, in lower case.
        file_kinds: what a song file may be by its first bytes, see `musiclab.data.kinds`; empty if that says nothing.
        max_bytes: the largest size of a song file.
        path: of the folder or archive.
        spec: what --data was given.
        code: the hash of a user's reader, see `musiclab.user_code`; empty for musiclab's own.

    Nothing is looked for when an object is made: a worker that imports a study's file for a system in it makes the
    study's source too, and has no songs.
    """

    kind: str
    revision: ClassVar[int] = 2  # raised whenever the same files come to give other songs
    suffixes: tuple[str, ...]
    file_kinds: ClassVar[tuple[str, ...]] = ()
    max_bytes = MAX_SONG_BYTES
    code = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _bodies[cls] = _values(cls)
        if not is_ours(cls):
            remember(cls)

    def __init__(self, path: str | Path) -> None:
        self.path = Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises for an unknown user
        self.spec = f"{self.kind}:{self.path}"
        self._fingerprint = ""

    def opened(self) -> Self:
        """A copy that sees the files as they are now; whatever it keeps, the object of the study stays as it is.

        Raises:
            UserError: the path does not exist, is neither folder nor archive, or has no song files.
        """
        source = copy.copy(self)
        source._fingerprint = ""
        source._check()
        return source

    @classmethod
    @abstractmethod
    def read(cls, name: str, data: bytes) -> Song:
        """The song in one file: its name inside of the folder or archive, and its bytes.

        It may raise anything but an OSError; `parse` turns that into a BadSong. Then the song is skipped and listed
        with the reason. It runs in several processes, so it must not depend on anything but its arguments.
        """

    @classmethod
    def parse(cls, name: str, content: Content) -> Song:
        """The song in the file `name`. A pure function, which can be sent to another process.

        Raises:
            BadSong: there is no usable song; the message is a short reason.
            OSError, MemoryError: the disk or the memory is full, which is no fault of the song.
            UserError: a user's reader raised one of these.
        """
        if isinstance(content, str):
            raise BadSong(content)
        try:
            if len(content) > cls.max_bytes:
                raise BadSong(f"larger than {cls.max_bytes >> 20} MiB")
            song = cls.read(name, content)
            return song if is_ours(cls) else checked_song(song)
        except (OSError, MemoryError) as error:  # OSError too, because the song's bytes have been read already
            if is_ours(cls):
                raise
            raise UserError(
                f"{described(cls)} failed at {clean_text(name)}: {why_failed(error)}; read must get all from its "
                "arguments, and raise BadSong if the song is at fault."
            ) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # on damaged bytes readers raise anything, and those in Rust no Exception
            raise BadSong(cls._reason(content, error)) from error

    def parser(self) -> Parse:
        """`parse` for other processes. A user's runs the code that its key is made of, whatever lies on the disk."""
        return type(self).parse if is_ours(type(self)) else _SentParse(Sent(type(self)))

    @classmethod
    def _reason(cls, content: bytes, error: BaseException) -> str:
        kind, wanted = kind_of(content), cls.song_kind()
        if not content:
            return kind
        if kind and cls.file_kinds and kind not in cls.file_kinds:
            return f"{kind}, not {wanted}" + ("; unpack it" if kind in PACKED else "")
        if isinstance(error, BadSong):
            return str(error)
        name = type(error).__name__
        what = clean_text(f"{name}: {error}" if str(error) else name)
        place = place_of(error)
        return f"damaged or not {wanted} ({what}{place and f'; {place}'})"

    @classmethod
    def song_kind(cls) -> str:
        """What a song file should be, in words."""
        return f"a {cls.suffixes[0]} file"

    def items(self) -> Iterator[tuple[str, Content]]:
        """Name and content of each song file, one at a time: sorted in a folder, as they come in an archive.

        A file that cannot be read, and whatever else may have been meant as a song, has a reason for a content.
        """
        for name, content in self.members():
            if isinstance(content, str) or self._is_song(name):
                yield name, content

    def members(self) -> Iterator[tuple[str, Content]]:
        """The files of `items`, and others that the source needs."""
        if not self.path.is_dir():
            yield from read_archive(self.path, self.limit)
            return
        for name, reason in list_folder(self.path, self.limit).items():
            yield name, reason or read_file(self.path / name, self.limit(name))

    def limit(self, name: str) -> int:
        """How many bytes a file may have; 0 for a file that the source does not need."""
        return MAX_SONG_BYTES if self._is_song(name) else 0

    def count(self) -> int | None:
        """How many song files there are; None if only reading the whole archive would tell."""
        if self.path.is_dir():
            return len(list_folder(self.path, self._song_limit))
        return count_members(self.path, self._song_limit)

    def fingerprint(self) -> str:
        """Hash of the files' contents and of their names inside the source; the path does not matter.

        It is computed once after a source was opened, because gigabytes of files take seconds.
        """
        self._fingerprint = self._fingerprint or self.content()
        return self._fingerprint

    def content(self) -> str:
        """The hash of `fingerprint`, computed from the files as they are now."""
        if not self.path.is_dir():
            return content_hash([self.kind, file_digest(self.path)])
        found = list_folder(self.path, self.limit).items()
        return content_hash([self.kind, [[name, reason or digest(self.path / name)] for name, reason in found]])

    def is_unchanged(self) -> bool:
        """Whether the files are still those of the `fingerprint`; called after `items` is exhausted."""
        return self.content() == self.fingerprint()

    def names(self, ids: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Artist and title of songs whose names are not in their own files. Call it after `items` is exhausted."""
        return {}

    def _is_song(self, name: str) -> bool:
        """Whether a file bears the name of a song, packed or not."""
        path = PurePosixPath(name.lower())
        return (path.with_suffix("") if path.suffix in _PACKED_SUFFIXES else path).suffix in self.suffixes

    def _song_limit(self, name: str) -> int:
        return MAX_SONG_BYTES if self._is_song(name) else 0

    def _check(self) -> None:
        if not os.path.exists(self.path):  # noqa: PTH110 - Path.exists raises if a name is too long
            raise UserError(f"--data: {self.path} does not exist; give a folder or an archive of {self.files}.")
        if not self.path.is_dir():
            check_archive(self.path)
        if self.count() == 0:
            raise UserError(f"--data: {self.path} holds no {self.files}; give a folder or an archive that does.")

    @property
    def files(self) -> str:
        """What song files are called, such as ".mid or .midi files"."""
        *first, last = self.suffixes
        return f"{', '.join(first)} or {last} files" if first else f"{last} files"


@dataclass(frozen=True)
class _SentParse:
    """`parse` of a user's source, which can be sent to any process."""

    sent: Sent

    def __call__(self, name: str, content: Content) -> Song:
        try:
            kind: type[Source] = self.sent.load()
        except Exception as error:  # of the user's code, so of any kind
            raise UserError(f"A source cannot be imported by another process: {why_failed(error)}.") from error
        return kind.parse(name, content)


@contextlib.contextmanager
def running_code_of(kind: type[Source]) -> Iterator[None]:
    """Within it code of a user's source runs: what it raises becomes a UserError, and it may not change its class.

    Errors of a disk or a memory that is full stay what they are, unless they come from a line of the user's.
    """
    if is_ours(kind):
        yield
        return
    try:
        yield
        check_class_as_written(kind)
    except (UserError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if isinstance(error, OSError | MemoryError) and not place_of(error):
            raise
        raise UserError(f"{described(kind)} failed: {why_failed(error)}.") from error


def check_as_written(source: Source) -> None:
    """UserError if something of a source was set elsewhere than in the body of its class.

    Neither its key nor the processes that read songs know of that; they know the file that the class is in.
    """
    check_class_as_written(type(source), sorted(vars(source).keys() - _IN_INSTANCES))


def check_class_as_written(kind: type[Source], changed: Iterable[str] = ()) -> None:
    """The same of a class, and of what is known to have been `changed` in an object."""
    changed = list(changed)
    for each in kind.__mro__:
        body, now = _bodies.get(each, {}), _values(each) if each in _bodies else {}
        changed += sorted(name for name in {*body, *now} if not _same(body.get(name), now.get(name)))
    if changed:
        raise UserError(
            f"{described(kind)}: {changed[0]} must be set in the body of a class, because the code of a class is what "
            "keys are made of and other processes get; a subclass may set another value, and a cache may stand outside "
            "of the class."
        )


def _values(kind: type) -> dict[str, Any]:
    """What a class says in its body; of what may be changed in place, how it is written."""
    return {
        name: repr(value) if isinstance(value, list | dict | set) else value
        for name, value in vars(kind).items()
        if not name.startswith(("__", "_abc_"))
    }


def _same(one: object, other: object) -> bool:
    return one is other or (isinstance(one, str) and one == other)


def digest(path: Path) -> str:
    """The checksum of a file, or that it is unreadable: it may be readable another day."""
    try:
        return file_digest(path)
    except OSError:
        return "unreadable"
