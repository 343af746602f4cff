"""Storage: one place for all that lasts, in a folder or at a URI that every machine of a cluster sees."""

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
from musiclab.process.surroundings import expanded

LOCAL = pyarrow.fs.LocalFileSystem()
HALF = ".half-"  # names of files that are being written begin so
PROBE = ".writable-"  # and names of files that test whether the storage can be written to
# Errors that a retry does not help against: no space, over quota, read-only, no rights.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
# Errors of a disk that has no hard links.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class StorageFailed(UserError):
    """The storage cannot be written to any more, so no trial can continue; no trial is at fault."""

    def __init__(self, root: str, error: BaseException | None) -> None:
        reason = getattr(error, "strerror", "") or error
        super().__init__(
            f"--storage {root!r} cannot be written to any more: {reason}; nothing finished is lost. "
            "Make it writable or free some space (`musiclab clean` lists what no record needs), then run the same "
            "command again.",
            exit_code=1,
        )


def _sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a loss of power, if the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _linked(half: Path, target: str) -> bool:
    """Give the file its name, unless there is such a file (FileExistsError); False if the disk has no hard links."""
    try:
        os.link(half, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    half.unlink()
    return True


@dataclass(frozen=True)
class FileInfo:
    """A file's size in bytes, and when it was written, in Unix seconds."""

    size: int
    written: float


class Storage:
    """Files by `/`-separated names under a root: a local path, or a URI that pyarrow opens (`s3://`, `gs://`).

    A write replaces a file in one step, so no reader sees half a file and no crash leaves one.

    If it is opened to be looked at only, nothing is written to find out whether it can be.

    Raises:
        UserError: the root cannot be opened or written to; the message names `--storage`.
    """

    def __init__(self, root: str, looks_only: bool = False) -> None:
        self._looks_only = looks_only
        try:
            self._fs, self._base = _opened(root)
            self.is_local = isinstance(self._fs, pyarrow.fs.LocalFileSystem)
            self.root = self._base if self.is_local else root
            if looks_only:
                self._fs.get_file_info(self._base)
                return
            self._fs.create_dir(self._base, recursive=True)
            probe = f"{PROBE}{uuid.uuid4().hex}"
            self.write(probe, b"")
            self.remove(probe)
        # RuntimeError: the home of an unknown user.
        except (OSError, ValueError, RuntimeError, StorageFailed, pyarrow.ArrowException) as error:
            cause = error.__cause__ or error
            reason = (str(cause).splitlines() or [type(cause).__name__])[0].rstrip(".")
            raise UserError(
                f"--storage {root!r} cannot be {'read' if looks_only else 'written to'}: {reason}; "
                "name a folder or URI that can."
            ) from error

    def __reduce__(self) -> tuple[type["Storage"], tuple[str, bool]]:
        return Storage, (self.root, self._looks_only)

    def path(self, name: str) -> str:
        """The path or URI of `name`, for a person or another program."""
        if self.is_local:
            return f"{self.root}/{name}"
        place, mark, query = self.root.partition("?")
        return f"{place.rstrip('/')}/{name}{mark}{query}"

    def read(self, name: str) -> bytes:
        """The file's bytes; FileNotFoundError if there is none."""
        with self._fs.open_input_stream(f"{self._base}/{name}") as stream:
            data: bytes = stream.read()
        return data

    def write(self, name: str, data: bytes) -> None:
        """Replace the file in one step; missing parents are created. StorageFailed if a retry would not help."""
        self._written(name, data, only_new=False)

    def write_new(self, name: str, data: bytes) -> bool:
        """Write the file unless there is one, and say whether it was written; otherwise as `write`.

        Of several writers of one file on a local disk exactly one writes it. An object store, and a disk without hard
        links, cannot promise that: of writers at the same moment several may be told that they wrote, and one file is
        kept.
        """
        return self._written(name, data, only_new=True)

    def _written(self, name: str, data: bytes, only_new: bool) -> bool:
        try:
            if only_new and self.exists(name):
                return False
            self._write(f"{self._base}/{name}", data, only_new)
        except FileExistsError:  # by another writer, since
            return False
        except OSError as error:
            if error.errno in _UNWRITABLE:
                raise StorageFailed(self.root, error) from error
            raise
        return True

    def _write(self, target: str, data: bytes, only_new: bool) -> None:
        if not self.is_local:
            try:
                self._put(target, data)
            except FileNotFoundError:  # unlike an object store, it needs its folders
                self._fs.create_dir(target.rpartition("/")[0], recursive=True)
                self._put(target, data)
            return
        folder = Path(target).parent
        new_folders = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        half = folder / f"{HALF}{uuid.uuid4().hex}"
        try:
            with half.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            if not (only_new and _linked(half, target)):
                half.replace(target)
            for changed in (folder, *(each.parent for each in new_folders)):
                _sync_folder(changed)
        except BaseException:
            with contextlib.suppress(OSError):  # why it cannot be written matters more than that it cannot be removed
                half.unlink(missing_ok=True)
            raise

    def _put(self, target: str, data: bytes) -> None:
        with self._fs.open_output_stream(target) as stream:  # an object store shows only whole objects
            stream.write(data)

    def exists(self, name: str) -> bool:
        """Whether there is such a file or folder."""
        return bool(self._fs.get_file_info(f"{self._base}/{name}").type != pyarrow.fs.FileType.NotFound)

    def info(self, name: str) -> FileInfo | None:
        """A file's size and when it was written; None if there is none."""
        info = self._fs.get_file_info(f"{self._base}/{name}")
        return FileInfo(info.size, (info.mtime_ns or 0) / 1e9) if info.is_file else None

    def names(self, folder: str) -> list[str]:
        """Names of the files and folders in `folder`, sorted; none if it does not exist."""
        infos = self._fs.get_file_info(pyarrow.fs.FileSelector(f"{self._base}/{folder}", allow_not_found=True))
        return sorted(info.base_name for info in infos if not info.base_name.startswith(HALF))

    def files(self, folder: str) -> dict[str, FileInfo]:
        """All files under `folder`, half-written ones too, by name; links to folders are not followed."""
        top = f"{self._base}/{folder}"
        if self.is_local:
            paths = [Path(parent) / name for parent, _, names in os.walk(top) for name in names]
            files = {}
            for path in paths:
                with contextlib.suppress(FileNotFoundError):  # it was a half-written file a moment ago
                    status = path.lstat()
                    files[f"{folder}/{path.relative_to(top).as_posix()}"] = FileInfo(status.st_size, status.st_mtime)
            return files
        top = re.sub("/+", "/", top)  # the paths that are listed have single slashes
        infos = self._fs.get_file_info(pyarrow.fs.FileSelector(top, allow_not_found=True, recursive=True))
        return {
            f"{folder}/{info.path.partition(f'{top}/')[2]}": FileInfo(info.size, (info.mtime_ns or 0) / 1e9)
            for info in infos
            if info.is_file
        }

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.delete_file(f"{self._base}/{name}")

    def remove_folder(self, name: str) -> None:
        """Remove a folder and all that is in it, if it exists."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.delete_dir(f"{self._base}/{name}")

    def upload(self, folder: Path, name: str, last: str) -> None:
        """Copy a local folder's files to `name`; the file `last` comes last, because it makes the others count."""
        files = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
        for file in sorted(files, key=lambda file: (file == last, file)):
            target = f"{self._base}/{name}/{file}"
            self._fs.create_dir(target.rpartition("/")[0], recursive=True)
            _copy(LOCAL, str(folder / file), self._fs, target)

    def local(self, name: str) -> Path:
        """A folder on this machine with what `name` holds: itself if the storage is local, else a copy in the cache.

        It is for files that are mapped into memory. What `name` holds must never change; its name is a content hash.
        """
        if self.is_local:
            return Path(self._base) / name
        copy = cache_folder() / name
        if not copy.exists():
            half = copy.with_name(f"{HALF}{uuid.uuid4().hex}")
            half.mkdir(parents=True)
            try:
                _copy(self._fs, f"{self._base}/{name}", LOCAL, str(half))
                with contextlib.suppress(OSError):  # another worker on this machine was faster
                    half.rename(copy)
            finally:
                shutil.rmtree(half, ignore_errors=True)
        return copy


def _opened(root: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """The file system of a folder or URI, and the path of the root in it."""
    if "://" in root:
        file_system, path = pyarrow.fs.FileSystem.from_uri(root)
        return file_system, str(path)
    return LOCAL, str(expanded(root).absolute())


def _copy(source: pyarrow.fs.FileSystem, path: str, target: pyarrow.fs.FileSystem, to: str) -> None:
    """Copy a file, or the files of a folder, piece by piece, because window stores are larger than memory."""
    pyarrow.fs.copy_files(path, to, source_filesystem=source, destination_filesystem=target)


def cache_folder() -> Path:
    """The folder in which this machine keeps copies of what a remote storage holds."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "musiclab"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def storage_at(place: str, looks_only: bool = False) -> Storage | None:
    """Open the storage at `place`; None if there is no such folder, so that none is created."""
    if "://" not in place:
        with contextlib.suppress(RuntimeError):  # no such home, which is refused below
            if not expanded(place).is_dir():
                return None
    return Storage(place, looks_only)
