"""What builds of window stores that were cut off have left in the folder of the stores."""

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path


def abandoned(root: Path) -> dict[str, str]:
    """By name, folders with a slash at its end, what nobody is at work on and nothing needs, with why it is there."""
    found = {}
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if (why := _why(path)) and not path.is_symlink():
            with _lock_of(path) as free:
                if free:
                    found[path.name + ("/" if path.is_dir() else "")] = why
    return found


def remove_abandoned(root: Path, name: str) -> None:
    """Remove what `abandoned` has named, unless somebody is at work on it by now."""
    path = root / name
    with _lock_of(path) as free:
        if free and path.is_dir():
            shutil.rmtree(path)
        elif free:
            path.unlink(missing_ok=True)


def _why(path: Path) -> str:
    if path.suffix == ".building":
        return "a build of windows that was cut off, which would go on from there"
    if path.suffix == ".tmp":
        return "a build of windows that was cut off"
    # While there is no store yet, somebody may be waiting for its lock.
    return "the lock of windows that are built" if path.suffix == ".lock" and path.with_suffix("").is_dir() else ""


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
