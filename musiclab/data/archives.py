"""Reads the files in folders, zip and tar archives one by one, without unpacking and without trusting them."""

import bz2
import contextlib
import gzip
import hashlib
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from musiclab.data.songs import clean_text
from musiclab.errors import UserError

MAX_SONG_BYTES = 32 << 20
_MAX_IGNORED_BYTES = 1 << 30  # of a member that is not wanted; it must still be decompressed to be skipped
_MAX_READ = 128 << 20  # in one call: the largest limit of any source
_BLOCK = 512  # of a tar file

# From the name of a member to the largest size that is accepted, in bytes; 0 for a member that is not wanted.
Limit = Callable[[str], int]

_DAMAGE = (
    *(EOFError, OSError, ValueError, NotImplementedError, RecursionError),
    *(lzma.LZMAError, zlib.error, tarfile.TarError, zipfile.BadZipFile),
)


def list_folder(folder: Path, limit: Limit) -> list[str]:
    """The wanted files under a folder, as sorted relative paths with forward slashes."""
    names = []
    for parent, _, files in os.walk(folder):
        relative = Path(parent).relative_to(folder)
        names += [str(PurePosixPath(relative / file)) for file in files if limit(file)]
    return sorted(name for name in names if (folder / name).is_file())


def read_file(path: Path, limit: int) -> bytes:
    """The first `limit + 1` bytes of a file, so that the caller sees if it is too large; b"" if it is unreadable."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError:
        return b""


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_archive(path: Path) -> None:
    """Check that a file begins like an archive that `read_archive` reads.

    Raises:
        UserError: it does not.
    """
    if zipfile.is_zipfile(path):
        return
    try:
        with _open_tar(path) as (tar, _):
            tar.next()
    except _DAMAGE as error:
        raise UserError(f"--data: {path} must be a folder or a whole tar or zip archive ({error}).") from error


def count_members(path: Path, limit: Limit) -> int | None:
    """How many wanted members an archive has; None for a tar archive, which has no index."""
    if not zipfile.is_zipfile(path):
        return None
    with _damage_named(path), zipfile.ZipFile(path) as archive:
        return sum(_is_wanted_file(member, limit) for member in archive.infolist())


def read_archive(path: Path, limit: Limit) -> Iterator[tuple[str, bytes]]:
    """Name and content of the wanted members of a tar (plain, gz, xz, bz2) or zip archive, in the archive's order.

    Links and devices are skipped.

    Raises:
        UserError: a member's name leads out of the archive, a member is larger than its limit (the message names it),
            or the archive ends early or is damaged.
    """
    with _damage_named(path):
        yield from _read_zip(path, limit) if zipfile.is_zipfile(path) else _read_tar(path, limit)


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn whatever the readers of archives raise on damaged data into a UserError."""
    try:
        yield
    except _DAMAGE as error:
        raise UserError(f"--data: the archive {path} is damaged or ends early ({error}); fetch it again.") from error


def _read_zip(path: Path, limit: Limit) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            _check_name(path, member.filename)
            if not _is_wanted_file(member, limit):
                continue
            # Other methods decompress without a limit, and encryption needs a password.
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
                raise UserError(
                    f"--data: {clean_text(member.filename)!r} in {path} is encrypted or compressed unusually; "
                    "pack the archive again with plain deflate."
                )
            _check_size(path, member.filename, member.file_size, limit(member.filename))
            # zipfile never reads more than the declared size.
            yield str(PurePosixPath(member.filename)), archive.read(member)


def _is_wanted_file(member: zipfile.ZipInfo, limit: Limit) -> bool:
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    is_folder = member.filename.endswith("/")  # ZipInfo.is_dir fails on an empty name
    return not is_folder and not is_link and limit(member.filename) > 0


def _read_tar(path: Path, limit: Limit) -> Iterator[tuple[str, bytes]]:
    with _open_tar(path) as (tar, reader):
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # or tarfile keeps all headers; not in its types
            _check_name(path, member.name)
            if not member.isreg():
                continue
            wanted = limit(member.name)
            _check_size(path, member.name, member.size, wanted or _MAX_IGNORED_BYTES)
            if wanted:
                file = tar.extractfile(member)
                assert file is not None, "a regular file has content"
                yield str(PurePosixPath(member.name)), file.read()
        # tarfile takes a broken header for the end of the archive; a whole archive ends with a block of zeros.
        if reader.last_read != bytes(_BLOCK):
            raise EOFError("no end-of-archive mark")


def _check_name(path: Path, name: str) -> None:
    folders = name.replace("\\", "/").split("/")
    if folders[0] == "" or ".." in folders or ":" in folders[0]:
        raise UserError(
            f"--data: the archive {path} is refused: its member {clean_text(name)!r} points out of the archive."
        )


def _check_size(path: Path, name: str, size: int, limit: int) -> None:
    if not 0 <= size <= limit:
        raise UserError(
            f"--data: the archive {path} is refused: its bomb-sized member {clean_text(name)!r} has {size:,} bytes; "
            f"at most {limit:,} are allowed."
        )


@contextlib.contextmanager
def _open_tar(path: Path) -> Iterator[tuple[tarfile.TarFile, "_BoundedReader"]]:
    """The tar archive, and the reader that it is read through."""
    with _decompressed(path) as file:
        reader = _BoundedReader(file)
        with tarfile.open(fileobj=cast(IO[bytes], reader), mode="r:") as tar:  # it uses these four methods only
            yield tar, reader


def _decompressed(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        magic = file.read(2)
    if magic == b"\x1f\x8b":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if magic == b"BZ":
        return cast(IO[bytes], bz2.open(path, "rb"))
    if magic == b"\xfd7":
        return lzma.open(path, "rb")
    return path.open("rb")


class _BoundedReader:
    """A file for tarfile that refuses large reads, because tarfile reads a long name whole, however long it claims."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.last_read = b""

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _MAX_READ:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        self.last_read = self.file.read(size)
        return self.last_read

    def seek(self, position: int) -> int:
        return self.file.seek(position)

    def tell(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        self.file.close()
