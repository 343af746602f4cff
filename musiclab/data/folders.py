"""Finds and reads the files under a folder: every link is followed, once and never in a circle."""

import errno
import heapq
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

# From the name of a file to the largest size that is accepted, in bytes; 0 for a file that is not wanted.
Limit = Callable[[str], int]
# What a file holds; a text says why that cannot be had.
Content = bytes | str

FOLDER, PIPE, DEVICE = (f"a {what}, not a file" for what in ("folder", "pipe", "device"))


def list_folder(folder: Path, limit: Limit) -> dict[str, str]:
    """The wanted files under a folder: for each name why it cannot be read, or "".

    Names are relative paths with forward slashes, and sorted. A file or folder that can be reached in several ways is
    listed once: where it really is, or else under the first of the links. Links that lead nowhere and folders that
    cannot be opened are listed whatever their names, because nobody knows what is behind them.
    """
    return dict(sorted(_Walk(folder, limit).found.items()))


def read_file(path: Path, limit: int) -> Content:
    """The first `limit + 1` bytes of a file, so that the caller sees if it is too large; or why it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def other_than_file(mode: int) -> str:
    """What something of that `st_mode` is instead of a file; "" if it is one."""
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISDIR(mode):
        return FOLDER
    if stat.S_ISSOCK(mode):
        return "a socket, not a file"
    return PIPE if stat.S_ISFIFO(mode) else DEVICE


class _Walk:
    """All of a folder first, and then what its links lead to, link after link in the order of their names."""

    def __init__(self, folder: Path, limit: Limit) -> None:
        self.found: dict[str, str] = {}
        self._top, self._limit = os.fspath(folder), limit
        self._seen: set[str] = set()  # real paths
        self._links: list[str] = []  # a heap
        self._scan("", os.path.realpath(folder))
        while self._links:
            self._follow(heapq.heappop(self._links))

    def _scan(self, name: str, real: str) -> None:
        """List what really is in a folder and below, and keep its links for later."""
        waiting = [(name, real)]
        while waiting:
            name, real = waiting.pop()
            if real in self._seen:
                continue
            self._seen.add(real)
            try:
                with os.scandir(f"{self._top}/{name}") as entries:
                    waiting += self._folders_of(entries, name, real)
            except OSError as error:
                self.found[name or "."] = f"a folder that cannot be opened ({error.strerror})"

    def _folders_of(self, entries: Iterable[os.DirEntry[str]], folder: str, real: str) -> list[tuple[str, str]]:
        """List the entries of a folder; returns those that are folders: name and real path."""
        folders = []
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_symlink():
                heapq.heappush(self._links, name)
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder:
                folders.append((name, f"{real}/{entry.name}"))
            if not self._limit(name):
                continue
            if is_folder or entry.is_file(follow_symlinks=False):
                self._list(name, f"{real}/{entry.name}", FOLDER if is_folder else "")
            else:
                self.found[name] = other_than_file(entry.stat(follow_symlinks=False).st_mode)
        return folders

    def _follow(self, link: str) -> None:
        path = f"{self._top}/{link}"
        try:
            mode = Path(path).stat().st_mode
        except OSError as error:
            self.found[link] = _broken(error)
            return
        if self._limit(link):
            self._list(link, os.path.realpath(path), other_than_file(mode))
        if stat.S_ISDIR(mode):
            self._scan(link, os.path.realpath(path))

    def _list(self, name: str, real: str, reason: str) -> None:
        if reason != FOLDER:  # the files in it are listed too, once
            if real in self._seen:
                return
            self._seen.add(real)
        self.found[name] = reason


def _broken(error: OSError) -> str:
    """Why a link cannot be followed."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "a link that leads nowhere"
    if error.errno == errno.ELOOP:
        return "a link that leads in a circle"
    return f"a link that cannot be followed ({error.strerror})"
