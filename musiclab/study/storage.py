"""Storage: one place for all that lasts, a folder or a URI that every machine of a cluster sees."""

import contextlib
import os
import re
import shutil
import uuid
from pathlib import Path

import pyarrow.fs

from musiclab.errors import UserError

LOCAL = pyarrow.fs.LocalFileSystem()
_HALF = ".half-"  # begins the names of files that are being written


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
            probe = f".writable-{uuid.uuid4().hex}"
            self.write(probe, b"")
            self.remove(probe)
        # RuntimeError: the home of a user that there is not.
        except (OSError, ValueError, RuntimeError, pyarrow.ArrowException) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise UserError(
                f"--storage {root!r} cannot be written to: {reason}; name a folder or URI that can."
            ) from None

    def __reduce__(self) -> tuple:
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
            return stream.read()

    def write(self, name: str, data: bytes) -> None:
        """Replace the file in one step; parents are made."""
        target = f"{self._base}/{name}"
        if not self.is_local:
            try:
                self._put(target, data)
            except FileNotFoundError:  # no object store, which has no folders to miss
                self._fs.create_dir(target.rpartition("/")[0], recursive=True)
                self._put(target, data)
            return
        folder = Path(target).parent
        folder.mkdir(parents=True, exist_ok=True)
        half = folder / f"{_HALF}{uuid.uuid4().hex}"
        try:
            with half.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            half.replace(target)
        except BaseException:
            half.unlink(missing_ok=True)
            raise

    def _put(self, target: str, data: bytes) -> None:
        with self._fs.open_output_stream(target) as stream:  # an object store shows an object only when it is whole
            stream.write(data)

    def exists(self, name: str) -> bool:
        """Whether there is such a file or folder."""
        return self._fs.get_file_info(f"{self._base}/{name}").type != pyarrow.fs.FileType.NotFound

    def names(self, folder: str) -> list[str]:
        """Names of the files and folders in `folder`, sorted; none where it does not exist."""
        found = self._fs.get_file_info(pyarrow.fs.FileSelector(f"{self._base}/{folder}", allow_not_found=True))
        return sorted(info.base_name for info in found if not info.base_name.startswith(_HALF))

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens where there is none."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.delete_file(f"{self._base}/{name}")

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
            half = copy.with_name(f"{_HALF}{uuid.uuid4().hex}")
            half.mkdir(parents=True)
            try:
                _copy(self._fs, f"{self._base}/{name}", LOCAL, str(half))
                with contextlib.suppress(OSError):  # another worker of this machine was faster
                    half.rename(copy)
            finally:
                shutil.rmtree(half, ignore_errors=True)
        return copy


def is_folder_name(text: str) -> bool:
    """Whether a study or a trial may be called so: it names a folder, and never one elsewhere."""
    return re.fullmatch(r"\w[\w.-]*", text) is not None


def _opened(root: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """The file system of a folder or URI, and where the root lies in it."""
    if "://" in root:
        return pyarrow.fs.FileSystem.from_uri(root)
    return LOCAL, str(Path(root).expanduser().absolute())


def _copy(source: pyarrow.fs.FileSystem, path: str, target: pyarrow.fs.FileSystem, to: str) -> None:
    """Copy a file, or what a folder holds into another, piece by piece: window stores are larger than memory."""
    pyarrow.fs.copy_files(path, to, source_filesystem=source, destination_filesystem=target)


def cache_folder() -> Path:
    """Where this machine keeps copies of what a remote storage holds."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "musiclab"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
