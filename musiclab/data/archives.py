"""Reads the files in zip and tar archives one by one, without unpacking and without trusting them."""

import bz2
import contextlib
import gzip
import hashlib
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from musiclab.data.folders import DEVICE, FOLDER, PIPE, Content, Limit, other_than_file
from musiclab.data.kinds import BZIP2, GZIP, HEAD_BYTES, TAR, XZ, ZIP, kind_of
from musiclab.data.songs import clean_text
from musiclab.errors import UserError

MAX_SONG_BYTES = 32 << 20
_MAX_IGNORED_BYTES = 1 << 30  # of a member that is not wanted; it must still be decompressed to be skipped
_MAX_READ = 128 << 20  # in one call: the largest limit of any source
_BLOCK = 512  # of a tar file
_LINK = "a link, which is not followed inside an archive"
_DRIVE = re.compile("[A-Za-z]:")  # of Windows
_DECOMPRESSORS: dict[str, Callable[[Path], object]] = {
    GZIP: gzip.GzipFile,
    BZIP2: bz2.BZ2File,
    XZ: lzma.LZMAFile,
}
_ZIP_MARK = 4  # bytes before the first member of a zip that was to be split and was not
_DAMAGE = (
    *(EOFError, OSError, ValueError, NotImplementedError, RecursionError),
    *(lzma.LZMAError, zlib.error, tarfile.TarError, zipfile.BadZipFile),
)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_archive(path: Path) -> None:
    """Check that a file begins like an archive that `read_archive` reads.

    Raises:
        UserError: it does not.
    """
    try:
        kind = other_than_file(path.stat().st_mode) or _kind(path)  # a pipe is not opened: it might never answer
        inside = kind
        if kind in _DECOMPRESSORS:
            with _decompressed(path) as file:
                inside = kind_of(file.read(HEAD_BYTES))
            kind = f"{kind} of {inside or 'something else'}"
    except _DAMAGE as error:
        raise UserError(f"--data: {path} must be a folder or a whole tar or zip archive ({error}).") from error
    if kind != ZIP and inside != TAR:
        raise UserError(f"--data: {path} must be a folder or a whole tar or zip archive; got {kind or 'another file'}.")


def count_members(path: Path, limit: Limit) -> int | None:
    """How many members `read_archive` gives; None for a tar archive, which has no index."""
    if _kind(path) != ZIP:
        return None
    with _damage_named(path), _open_zip(path) as archive:
        return sum(_is_link(member) or limit(_clean_name(member.filename)) > 0 for member in archive.infolist())


def read_archive(path: Path, limit: Limit) -> Iterator[tuple[str, Content]]:
    """Name and content of the wanted members of a tar (plain, gz, xz, bz2) or zip archive, in the archive's order.

    The first bytes say which it is. Nothing is unpacked, and no link is followed: each has a reason for a content, and
    so has what bears the name of a wanted file and is none.

    Raises:
        UserError: a member's name leads out of the archive, a member is larger than its limit (the message names it),
            or the archive ends early or is damaged.
    """
    with _damage_named(path):
        yield from _read_zip(path, limit) if _kind(path) == ZIP else _read_tar(path, limit)


def _kind(path: Path) -> str:
    with path.open("rb") as file:
        return kind_of(file.read(HEAD_BYTES))


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn whatever the readers of archives raise on damaged data into a UserError."""
    try:
        yield
    except _DAMAGE as error:
        raise UserError(f"--data: the archive {path} is damaged or ends early ({error}); fetch it again.") from error


def _read_zip(path: Path, limit: Limit) -> Iterator[tuple[str, Content]]:
    with _open_zip(path) as archive:
        for member in archive.infolist():
            _check_name(path, member.filename)
            name = _clean_name(member.filename)
            wanted = limit(name)
            if _is_link(member):
                yield name, _LINK
                continue
            if not wanted:
                continue
            if member.filename.endswith("/"):  # ZipInfo.is_dir fails on an empty name
                yield name, FOLDER
                continue
            # Other methods decompress without a limit, and encryption needs a password.
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
                raise UserError(
                    f"--data: {clean_text(member.filename)!r} in {path} is encrypted or compressed unusually; "
                    "pack the archive again with plain deflate."
                )
            _check_size(path, member.filename, member.file_size, wanted)
            yield name, archive.read(member)  # zipfile never reads more than the declared size


@contextlib.contextmanager
def _open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(path) as archive:
        # zipfile looks for the list of members at the end of the file. If that is cut off, it takes the list of any zip
        # inside for it. The members of the archive itself begin where the file does.
        if min((member.header_offset for member in archive.infolist()), default=0) > _ZIP_MARK:
            raise zipfile.BadZipFile("its list of members is missing")
        yield archive


def _is_link(member: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(member.external_attr >> 16)


def _read_tar(path: Path, limit: Limit) -> Iterator[tuple[str, Content]]:
    with _open_tar(path) as (tar, reader):
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # or tarfile keeps all headers; not in its types
            _check_name(path, member.name)
            wanted = limit(member.name)
            if not member.isreg():
                if wanted or member.issym():
                    yield _clean_name(member.name), _other_than_file(member)
                continue
            _check_size(path, member.name, member.size, wanted or _MAX_IGNORED_BYTES)
            if wanted:
                file = tar.extractfile(member)
                assert file is not None, "a regular file has content"
                yield _clean_name(member.name), file.read()
        # tarfile takes a broken header for the end of the archive; a whole archive ends with a block of zeros.
        if reader.last_read != bytes(_BLOCK):
            raise EOFError("no end-of-archive mark")


def _other_than_file(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return _LINK
    return FOLDER if member.isdir() else PIPE if member.isfifo() else DEVICE


def _clean_name(name: str) -> str:
    return str(PurePosixPath(name))


def _check_name(path: Path, name: str) -> None:
    """Refuse an archive if a member's name leads out of it. In a title a colon may stand."""
    folders = name.replace("\\", "/").split("/")
    if folders[0] == "" or ".." in folders or _DRIVE.match(name):
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
    decompressor = _DECOMPRESSORS.get(_kind(path))
    return cast(IO[bytes], decompressor(path)) if decompressor else path.open("rb")


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
