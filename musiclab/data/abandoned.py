"""What builds of window stores that were cut off have left in the folder of the stores."""

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path


def abandoned(root: Path) -> dict[str, str]:
    """The names of folders that nobody is at work on and nothing needs, with why they are there."""
    found = {}
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if (why := _why(path)) and path.is_dir() and not path.is_symlink():
            with _lock_of(path) as free:
                if free:
                    found[path.name] = why
    return found


def remove_abandoned(root: Path, name: str) -> None:
    """Remove what `abandoned` has named, unless somebody is at work on it by now."""
    path = root / name
    with _lock_of(path) as free:
        if free:
            shutil.rmtree(path)


def _why(path: Path) -> str:
    if path.suffix == ".building":
        return "a build of windows that was cut off, which would go on from there"
    return "a build of windows that was cut off" if path.suffix == ".tmp" else ""  # locks stay: one may be waited for


@contextlib.contextmanager
def _lock_of(path: Path) -> Iterator[bool]:
    """Holds the lock of the build that the path belongs to; whether that was free."""
    try:
        lock = (path.parent / f"{path.name.split('.')[0]}.lock").open("r+")
    except FileNotFoundError:
        yield True
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
