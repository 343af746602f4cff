"""Members of folders, zip and tar archives, one after another, without unpacking and without trusting them."""

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
from typing import IO

from musiclab.data.songs import clean_text
from musiclab.errors import UserError

MAX_SONG_BYTES = 32 << 20
_MAX_IGNORED_BYTES = 1 << 30  # what lies beside the songs is decompressed too, only to be passed over
_MAX_READ = 128 << 20  # at once: the largest limit that any source gives
_BLOCK = 512  # of a tar file

# How many bytes of a member are wanted at most; 0 for a member that is not wanted.
Limit = Callable[[str], int]

_DAMAGE = (
    *(EOFError, OSError, ValueError, NotImplementedError, RecursionError),
    *(lzma.LZMAError, zlib.error, tarfile.TarError, zipfile.BadZipFile),
)


def list_folder(folder: Path, limit: Limit) -> list[str]:
    """Wanted files under a folder as sorted relative paths with forward slashes."""
    names = []
    for parent, _, files in os.walk(folder):
        relative = Path(parent).relative_to(folder)
        names += [str(PurePosixPath(relative / file)) for file in files if limit(file)]
    return sorted(name for name in names if (folder / name).is_file())


def read_file(path: Path, limit: int) -> bytes:
    """The file's first `limit` bytes and one more, so that a reader sees that it is too large; b"" if unreadable."""
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
    """UserError unless the file begins like an archive that `read_archive` reads."""
    if zipfile.is_zipfile(path):
        return
    try:
        with _open_tar(path) as tar:
            tar.next()
    except _DAMAGE as error:
        raise UserError(f"--data: {path} is neither a folder nor a whole tar or zip archive ({error}).") from error


def count_members(path: Path, limit: Limit) -> int | None:
    """How many wanted members an archive holds; None for a tar archive, which does not say."""
    if not zipfile.is_zipfile(path):
        return None
    with _damage_named(path), zipfile.ZipFile(path) as archive:
        return sum(_is_wanted_file(member, limit) for member in archive.infolist())


def read_archive(path: Path, limit: Limit) -> Iterator[tuple[str, bytes]]:
    """Name and content of the wanted members of a tar (plain, gz, xz, bz2) or zip archive, in the archive's order.

    Links and devices are passed over. UserError, naming the member, for one that points out of the archive or is
    larger than its limit, and where the archive ends early or is damaged.
    """
    with _damage_named(path):
        yield from _read_zip(path, limit) if zipfile.is_zipfile(path) else _read_tar(path, limit)


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turns what readers of archives raise on damaged data into one sentence."""
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
            # Other methods decompress without a bound, and encryption needs a password.
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
                raise UserError(
                    f"--data: {clean_text(member.filename)!r} in {path} is encrypted or packed in an unusual way; "
                    "pack the archive again with plain deflate."
                )
            _check_size(path, member.filename, member.file_size, limit(member.filename))
            # zipfile never reads more than the declared size.
            yield str(PurePosixPath(member.filename)), archive.read(member)


def _is_wanted_file(member: zipfile.ZipInfo, limit: Limit) -> bool:
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    is_folder = member.filename.endswith("/")  # is_dir fails on a name that is empty
    return not is_folder and not is_link and limit(member.filename) > 0


def _read_tar(path: Path, limit: Limit) -> Iterator[tuple[str, bytes]]:
    with _open_tar(path) as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # else tarfile keeps every header that it has seen
            _check_name(path, member.name)
            if not member.isreg():
                continue
            wanted = limit(member.name)
            _check_size(path, member.name, member.size, wanted or _MAX_IGNORED_BYTES)
            if wanted:
                yield str(PurePosixPath(member.name)), tar.extractfile(member).read()
        # tarfile takes a broken header for the end; a whole archive ends with a block of zeros.
        if tar.fileobj.last != bytes(_BLOCK):
            raise EOFError("no end-of-archive mark")


def _check_name(path: Path, name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if parts[0] == "" or ".." in parts or ":" in parts[0]:
        raise UserError(
            f"--data: the archive {path} is refused: its member {clean_text(name)!r} points out of the archive."
        )


def _check_size(path: Path, name: str, size: int, limit: int) -> None:
    if not 0 <= size <= limit:
        raise UserError(
            f"--data: the archive {path} is refused: its bomb-sized member {clean_text(name)!r} has {size:,} bytes, "
            f"and {limit:,} are allowed."
        )


def _open_tar(path: Path) -> tarfile.TarFile:
    with path.open("rb") as file:
        magic = file.read(6)
    opener = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}.get(magic[:2], open)
    return tarfile.open(fileobj=_BoundedReader(opener(path, "rb")), mode="r:")


class _BoundedReader:
    """A file for tarfile that refuses large reads: tarfile holds long names in memory, of any length they claim."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.last = b""

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _MAX_READ:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        self.last = self.file.read(size)
        return self.last

    def seek(self, position: int) -> int:
        return self.file.seek(position)

    def tell(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        self.file.close()
