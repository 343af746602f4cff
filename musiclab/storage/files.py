"""Storage: one place for all that lasts, in a folder or at a URI that every machine of a cluster sees."""

import contextlib
import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import pyarrow.fs

from musiclab.errors import UserError
from musiclab.process.surroundings import expanded
from musiclab.storage import remote

LOCAL = pyarrow.fs.LocalFileSystem()
HALF = ".half-"  # names of files that are being written begin so
PROBE = ".writable-"  # and names of files that test whether the storage can be written to
# Errors that a retry does not help against: no space, over quota, read-only, no rights.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
# Errors of a disk that has no hard links.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


Probe = Literal["write", "look", "none"]
_T = TypeVar("_T")


class StorageFailed(UserError):
    """The storage cannot be written to or reached any more, so no trial can continue; no trial is at fault."""

    def __init__(self, root: str, error: BaseException) -> None:
        if is_remote(root):
            what, remedy = f"used any more: {remote.reason(error, root)}", "Once it can"
        else:
            what = f"written to any more: {getattr(error, 'strerror', '') or error}"
            remedy = "Make it writable or free some space (`musiclab clean` lists what no record needs), then"
        super().__init__(
            f"--storage {root!r} cannot be {what}; nothing finished is lost. {remedy} run the same command again.",
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

    Every call to a remote one is a request over a network, so all methods ask as little as they can. If it does not
    answer for a moment, they ask again for a minute; then they raise StorageFailed. They do so at once if it refuses.

    Args:
        root: the folder or URI.
        probe: how it is tried out: a file is written and removed, or it is only looked at; or it is not tried out,
            because another process has done so a moment ago.

    Raises:
        UserError: the root cannot be opened or, as far as it is tried out, used; the message names `--storage`.
    """

    def __init__(self, root: str, probe: Probe = "write") -> None:
        self._probe = probe
        try:
            self._fs, self._base = _opened(root)
            self.is_local = isinstance(self._fs, pyarrow.fs.LocalFileSystem)
            self.root = self._base if self.is_local else root
            if probe != "write":
                if probe == "look":
                    remote.check(self._fs, self._base)
                return
            if self.is_local:
                self._fs.create_dir(self._base, recursive=True)
            name = f"{PROBE}{uuid.uuid4().hex}"
            self._written(name, b"", only_new=False)
            self._remove(name)
        # RuntimeError: the home of an unknown user.
        except (OSError, ValueError, RuntimeError, StorageFailed, pyarrow.ArrowException) as error:
            reason = remote.reason(error.__cause__ or error, root)
            raise UserError(
                f"--storage {root!r} cannot be {'written to' if probe == 'write' else 'read'}: {reason}; "
                "name a folder or URI that can."
            ) from error

    def __reduce__(self) -> tuple[type["Storage"], tuple[str, Probe]]:
        return Storage, (self.root, self._probe)

    def path(self, name: str) -> str:
        """The path or URI of `name`, for a person or another program."""
        return joined(self.root, name)

    def read(self, name: str) -> bytes:
        """The file's bytes; FileNotFoundError if there is none."""
        return self._asked(remote.read, self._fs, f"{self._base}/{name}")

    def read_as(self, name: str, parse: Callable[[bytes], _T]) -> _T:
        """What `parse` makes of a file's bytes, which another process may replace at any moment; otherwise as `read`.

        If a remote file is replaced while it is read, its end may be missing, see `remote.read`. So if `parse` raises
        ValueError, it is read once more.
        """
        try:
            return parse(self.read(name))
        except ValueError:
            if self.is_local:
                raise
        return parse(self.read(name))

    def write(self, name: str, data: bytes) -> None:
        """Replace the file in one step; missing parents are created. StorageFailed if a retry would not help."""
        self._asked(self._written, name, data, only_new=False)

    def write_new(self, name: str, data: bytes) -> bool:
        """Write the file unless there is one, and say whether it was written; otherwise as `write`.

        Of several writers of one file on a local disk exactly one writes it. An object store, and a disk without hard
        links, cannot promise that: of writers at the same moment several may be told that they wrote, and one file is
        kept.
        """
        return self._asked(self._written, name, data, only_new=True)

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
            self._with_folder(target, self._put, target, data)
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

    def _with_folder(self, target: str, act: Callable[..., None], *arguments: Any) -> None:
        """Call `act`, which writes `target`; unlike an object store, other file systems need its folder first."""
        try:
            act(*arguments)
        except FileNotFoundError:
            self._fs.create_dir(target.rpartition("/")[0], recursive=True)
            act(*arguments)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return self._asked(remote.exists, self._fs, f"{self._base}/{name}")

    def info(self, name: str) -> FileInfo | None:
        """A file's size and when it was written; None if there is none."""
        info = self._asked(self._fs.get_file_info, f"{self._base}/{name}")
        return FileInfo(info.size, (info.mtime_ns or 0) / 1e9) if info.is_file else None

    def names(self, folder: str) -> list[str]:
        """Names of the files and folders in `folder`, sorted; none if it does not exist."""
        place = f"{self._base}/{folder}"
        if self.is_local:  # pyarrow would look at each file
            try:
                with os.scandir(place) as entries:
                    names = [entry.name for entry in entries]
            except FileNotFoundError:
                names = []
        else:
            names = [info.base_name for info in self._listed(place)]
        return sorted(name for name in names if not name.startswith(HALF))

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
        return {
            f"{folder}/{info.path.partition(f'{top}/')[2]}": FileInfo(info.size, (info.mtime_ns or 0) / 1e9)
            for info in self._listed(top, recursive=True)
            if info.is_file
        }

    def _listed(self, folder: str, recursive: bool = False) -> list[pyarrow.fs.FileInfo]:
        selector = pyarrow.fs.FileSelector(folder, allow_not_found=True, recursive=recursive)
        return self._asked(self._fs.get_file_info, selector)

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        self._asked(self._remove, name)

    def _remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.delete_file(f"{self._base}/{name}")

    def remove_folder(self, name: str) -> None:
        """Remove a folder and all that is in it, if it exists."""
        with contextlib.suppress(FileNotFoundError):
            self._asked(self._fs.delete_dir, f"{self._base}/{name}")

    def upload(self, folder: Path, name: str, last: str) -> None:
        """Copy a local folder's files to `name`; the file `last` comes last, because it makes the others count."""
        files = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
        for file in sorted(files, key=lambda file: (file == last, file)):
            target = f"{self._base}/{name}/{file}"
            self._asked(self._with_folder, target, _copy, LOCAL, str(folder / file), self._fs, target)

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
                self._asked(_copy, self._fs, f"{self._base}/{name}", LOCAL, str(half))
                with contextlib.suppress(OSError):  # another worker on this machine was faster
                    half.rename(copy)
            finally:
                shutil.rmtree(half, ignore_errors=True)
        return copy

    def _asked(self, act: Callable[..., _T], *arguments: Any, **options: Any) -> _T:
        """What `act` returns; a remote storage that does not answer is asked again, see the class."""
        if self.is_local:
            return act(*arguments, **options)
        pauses = iter(remote.PAUSES)
        while True:
            try:
                return act(*arguments, **options)
            except FileNotFoundError:
                raise
            except OSError as error:
                pause = next(pauses, None)
                if pause is None or not remote.may_pass(error):
                    raise StorageFailed(self.root, error) from error
            time.sleep(pause)


def _opened(root: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """The file system of a folder or URI, and the path of the root in it."""
    if is_remote(root):
        return remote.opened(root)
    return LOCAL, str(expanded(root).absolute())


def _copy(source: pyarrow.fs.FileSystem, path: str, target: pyarrow.fs.FileSystem, to: str) -> None:
    """Copy a file, or the files of a folder, piece by piece, because window stores are larger than memory."""
    pyarrow.fs.copy_files(path, to, source_filesystem=source, destination_filesystem=target)


def cache_folder() -> Path:
    """The folder in which this machine keeps copies of what a remote storage holds."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "musiclab"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def is_remote(root: str) -> bool:
    """Whether the root of a storage is a URI, not a folder."""
    return "://" in root


def joined(root: str, name: str) -> str:
    """The path or URI of `name` under the root of a storage; the query of a URI stays its end."""
    place, mark, query = root.partition("?") if is_remote(root) else (root, "", "")
    return f"{place.rstrip('/')}/{name}{mark}{query}"


def storage_at(place: str, probe: Probe = "write") -> Storage | None:
    """Open the storage at `place`; None if there is no such folder, so that none is created."""
    if not is_remote(place):
        with contextlib.suppress(RuntimeError):  # no such home, which is refused below
            if not expanded(place).is_dir():
                return None
    return Storage(place, probe)
