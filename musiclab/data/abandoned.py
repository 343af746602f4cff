"""Folders that interrupted builds of window stores have left beside the stores."""

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path


def abandoned(root: Path) -> dict[str, str]:
    """The folders that interrupted builds have left in `root` and no process works on: why each exists, by name."""
    reasons: dict[str, str] = {}
    if not root.is_dir():
        return reasons
    for path in sorted(root.iterdir()):
        reason = _reason(path)
        if reason and path.is_dir() and not path.is_symlink():
            with _lock_of(path) as is_free:
                if is_free:
                    reasons[path.name] = reason
    return reasons


def remove_abandoned(root: Path, name: str) -> None:
    """Remove a folder that `abandoned` has named, unless a process works on it by now."""
    path = root / name
    with _lock_of(path) as is_free:
        if is_free:
            shutil.rmtree(path)


def _reason(path: Path) -> str:
    """Why a folder that a build has made exists; "" for anything else, locks too: a process may wait for a lock."""
    if path.suffix == ".building":
        return "an interrupted build of windows, which can be resumed"
    return "an interrupted build of windows" if path.suffix == ".tmp" else ""


@contextlib.contextmanager
def _lock_of(path: Path) -> Iterator[bool]:
    """Hold the lock of the build that the path belongs to, if it is free; gives whether it was."""
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
