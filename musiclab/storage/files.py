"""Storage: one place for all that lasts, a folder or a URI that every machine of a cluster sees."""

import contextlib
import errno
import os
import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import pyarrow.fs

from musiclab.errors import UserError

LOCAL = pyarrow.fs.LocalFileSystem()
HALF = ".half-"  # begins the names of files that are being written
PROBE = ".writable-"  # and of those that try out whether one can write
# What trying again does not help against: no space, over quota, read-only, no rights.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class StorageFailed(UserError):
    """The storage cannot be written to any more: no trial's fault, and no trial can go on."""

    def __init__(self, root: str, error: Exception) -> None:
        reason = getattr(error, "strerror", "") or error
        super().__init__(
            f"--storage {root!r} cannot be written to any more: {reason}; nothing finished is lost. "
            "Make it writable or free some space (`musiclab clean` shows what no record needs), and the same command "
            "goes on.",
            exit_code=1,
        )


def _sync_folder(folder: Path) -> None:
    """Have a rename in it outlast a loss of power, as the file's own bytes do, where the file system can."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


@dataclass(frozen=True)
class FileInfo:
    """A file's size in bytes and when it was written, in seconds since 1970."""

    size: int
    written: float


class Storage:
    """Files by `/`-separated names under a root: a local path, or a URI that pyarrow opens (`s3://`, `gs://`).

    A write replaces a file in one step, so a reader or a crash never sees half of one. Errors of the root itself are
    UserErrors that name `--storage`.
    """

    def __init__(self, root: str) -> None:
        try:
            self._fs, self._base = _opened(root)
            self.is_local = isinstance(self._fs, pyarrow.fs.LocalFileSystem)
            self.root = self._base if self.is_local else root
            self._fs.create_dir(self._base, recursive=True)
            probe = f"{PROBE}{uuid.uuid4().hex}"
            self.write(probe, b"")
            self.remove(probe)
        # RuntimeError: the home of a user that there is not.
        except (OSError, ValueError, RuntimeError, StorageFailed, pyarrow.ArrowException) as error:
            error = error.__cause__ or error
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise UserError(
                f"--storage {root!r} cannot be written to: {reason}; name a folder or URI that can."
            ) from error

    def __reduce__(self) -> tuple[type["Storage"], tuple[str]]:
        return Storage, (self.root,)

    def path(self, name: str) -> str:
        """Where `name` lies, for a person or a program that takes paths and URIs."""
        if self.is_local:
            return f"{self.root}/{name}"
        place, mark, query = self.root.partition("?")
        return f"{place.rstrip('/')}/{name}{mark}{query}"

    def read(self, name: str) -> bytes:
        """The file's bytes; FileNotFoundError where there is none."""
        with self._fs.open_input_stream(f"{self._base}/{name}") as stream:
            data: bytes = stream.read()
            return data

    def write(self, name: str, data: bytes) -> None:
        """Replace the file in one step; parents are made. StorageFailed where trying again would not help."""
        try:
            self._write(f"{self._base}/{name}", data)
        except OSError as error:
            if error.errno in _UNWRITABLE:
                raise StorageFailed(self.root, error) from error
            raise

    def _write(self, target: str, data: bytes) -> None:
        if not self.is_local:
            try:
                self._put(target, data)
            except FileNotFoundError:  # no object store, which has no folders to miss
                self._fs.create_dir(target.rpartition("/")[0], recursive=True)
                self._put(target, data)
            return
        folder = Path(target).parent
        folder.mkdir(parents=True, exist_ok=True)
        half = folder / f"{HALF}{uuid.uuid4().hex}"
        try:
            with half.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            half.replace(target)
            _sync_folder(folder)
        except BaseException:
            with contextlib.suppress(OSError):  # that it cannot be removed says less than why it cannot be written
                half.unlink(missing_ok=True)
            raise

    def _put(self, target: str, data: bytes) -> None:
        with self._fs.open_output_stream(target) as stream:  # an object store shows an object only when it is whole
            stream.write(data)

    def exists(self, name: str) -> bool:
        """Whether there is such a file or folder."""
        return bool(self._fs.get_file_info(f"{self._base}/{name}").type != pyarrow.fs.FileType.NotFound)

    def names(self, folder: str) -> list[str]:
        """Names of the files and folders in `folder`, sorted; none where it does not exist."""
        found = self._fs.get_file_info(pyarrow.fs.FileSelector(f"{self._base}/{folder}", allow_not_found=True))
        return sorted(info.base_name for info in found if not info.base_name.startswith(HALF))

    def files(self, folder: str) -> dict[str, FileInfo]:
        """All files under `folder`, half-written ones too, by name; what lies behind links in it is not its own."""
        top = f"{self._base}/{folder}"
        if self.is_local:
            paths = [Path(parent) / name for parent, _, names in os.walk(top) for name in names]
            found = {}
            for path in paths:
                with contextlib.suppress(FileNotFoundError):  # it was half a file a moment ago
                    info = path.lstat()
                    found[f"{folder}/{path.relative_to(top).as_posix()}"] = FileInfo(info.st_size, info.st_mtime)
            return found
        top = re.sub("/+", "/", top)  # as the paths that are found have it
        there = self._fs.get_file_info(pyarrow.fs.FileSelector(top, allow_not_found=True, recursive=True))
        return {
            f"{folder}/{info.path.partition(f'{top}/')[2]}": FileInfo(info.size, (info.mtime_ns or 0) / 1e9)
            for info in there
            if info.is_file
        }

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens where there is none."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.delete_file(f"{self._base}/{name}")

    def remove_folder(self, name: str) -> None:
        """Remove a folder and all that is in it; nothing happens where there is none."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.delete_dir(f"{self._base}/{name}")

    def upload(self, folder: Path, name: str, last: str) -> None:
        """Put a local folder's files under `name`, the one called `last`, which makes them count, after the others."""
        files = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
        for file in sorted(files, key=lambda file: (file == last, file)):
            target = f"{self._base}/{name}/{file}"
            self._fs.create_dir(target.rpartition("/")[0], recursive=True)
            _copy(LOCAL, str(folder / file), self._fs, target)

    def local(self, name: str) -> Path:
        """A folder of this machine that holds what `name` holds: itself on a local disk, else a copy kept in the cache.

        For files that are mapped into memory; what `name` holds must never change (its name is a content hash).
        """
        if self.is_local:
            return Path(self._base) / name
        copy = cache_folder() / name
        if not copy.exists():
            half = copy.with_name(f"{HALF}{uuid.uuid4().hex}")
            half.mkdir(parents=True)
            try:
                _copy(self._fs, f"{self._base}/{name}", LOCAL, str(half))
                with contextlib.suppress(OSError):  # another worker of this machine was faster
                    half.rename(copy)
            finally:
                shutil.rmtree(half, ignore_errors=True)
        return copy


def _opened(root: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """The file system of a folder or URI, and where the root lies in it."""
    if "://" in root:
        system, base = pyarrow.fs.FileSystem.from_uri(root)
        return system, str(base)
    return LOCAL, str(Path(root).expanduser().absolute())


def _copy(source: pyarrow.fs.FileSystem, path: str, target: pyarrow.fs.FileSystem, to: str) -> None:
    """Copy a file, or what a folder holds into another, piece by piece: window stores are larger than memory."""
    pyarrow.fs.copy_files(path, to, source_filesystem=source, destination_filesystem=target)


def cache_folder() -> Path:
    """Where this machine keeps copies of what a remote storage holds."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "musiclab"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def storage_at(place: str) -> Storage | None:
    """The storage there, which opening would make; None where there is no such folder."""
    return Storage(place) if "://" in place or Path(place).expanduser().is_dir() else None
