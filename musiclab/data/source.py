"""The interface of all sources: songs in the files of a folder or an archive."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar

from musiclab.data.archives import MAX_SONG_BYTES, check_archive, count_members, file_digest, read_archive
from musiclab.data.folders import Content, list_folder, read_file
from musiclab.data.kinds import PACKED, kind_of
from musiclab.data.songs import BadSong, Song, clean_text
from musiclab.errors import UserError
from musiclab.hashing import content_hash

_PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".rar")


class Source(ABC):
    """Songs in the files of a folder or an archive. A subclass says which files, and how one is read.

    Attributes:
        kind: the source's name in --data.
        revision: of the reader, see `musiclab.code_lock`.
        suffixes: of song files, in lower case.
        file_kind: what a song file is by its first bytes, see `musiclab.data.kinds`.
        max_bytes: the largest size of a song file.
        path: of the folder or archive.
        spec: what --data was given.

    Raises:
        UserError: on construction, if the path does not exist, is neither folder nor archive, or has no song files.
    """

    kind: str
    revision: ClassVar[int] = 2  # raised whenever the same files come to give other songs
    suffixes: tuple[str, ...]
    file_kind: ClassVar[str]
    max_bytes = MAX_SONG_BYTES

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spec = f"{self.kind}:{path}"
        self._fingerprint = ""
        self._check()

    @classmethod
    @abstractmethod
    def read(cls, name: str, data: bytes) -> Song:
        """The song in one file. It may raise anything; `parse` turns that into a BadSong."""

    @classmethod
    def parse(cls, name: str, content: Content) -> Song:
        """The song in the file `name`. A pure function, which can be sent to another process.

        Raises:
            BadSong: there is no usable song; the message is a short reason.
            OSError, MemoryError: the disk or the memory is full, which is no fault of the song.
        """
        if isinstance(content, str):
            raise BadSong(content)
        try:
            if len(content) > cls.max_bytes:
                raise BadSong(f"larger than {cls.max_bytes >> 20} MiB")
            return cls.read(name, content)
        except (OSError, MemoryError):  # OSError too, because the song's bytes have been read already
            raise
        except Exception as error:  # on damaged bytes readers raise anything
            raise BadSong(cls._reason(content, error)) from error

    @classmethod
    def _reason(cls, content: bytes, error: Exception) -> str:
        kind, wanted = kind_of(content), f"a {cls.suffixes[0]} file"
        if not content:
            return kind
        if kind and kind != cls.file_kind:
            return f"{kind}, not {wanted}" + ("; unpack it" if kind in PACKED else "")
        if isinstance(error, BadSong):
            return str(error)
        name = type(error).__name__
        return f"damaged or not {wanted} ({clean_text(f'{name}: {error}' if str(error) else name)})"

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

        It is computed once for an instance, because gigabytes of files take seconds.
        """
        self._fingerprint = self._fingerprint or self.content()
        return self._fingerprint

    def content(self) -> str:
        """The hash of `fingerprint`, computed from the files as they are now."""
        if not self.path.is_dir():
            return content_hash([self.kind, file_digest(self.path)])
        found = list_folder(self.path, self.limit).items()
        return content_hash([self.kind, [[name, reason or digest(self.path / name)] for name, reason in found]])

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


def digest(path: Path) -> str:
    """The checksum of a file, or that it is unreadable: it may be readable another day."""
    try:
        return file_digest(path)
    except OSError:
        return "unreadable"
