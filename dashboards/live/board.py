"""The parts of a page by their ids, and which of them have changed since a visitor last saw them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import RLock
from typing import Any


@dataclass
class Clock:
    """Counts changes, so that a version is a point in time for all boards of a page.

    Attributes:
        now: the version.
        lock: held while a part gets its version and its place, so that whoever has a version has all before it.
    """

    now: int = 0
    lock: AbstractContextManager[Any] = field(default_factory=RLock)


@dataclass(frozen=True)
class Change:
    """A part of a page that has changed: its id, the version that changed it, its element, and where a new one goes."""

    name: str
    version: int
    html: str
    parent: str


@dataclass
class _Part:
    key: object
    html: Callable[[], str]
    version: int
    parent: str


@dataclass
class Board:
    """Parts of a page. A part that holds others has a key, so that it is sent whole only if others belong to it."""

    clock: Clock = field(default_factory=Clock)
    _parts: dict[str, _Part] = field(default_factory=dict)

    def put(self, name: str, html: str | Callable[[], str], key: object = None, parent: str = "") -> None:
        """Put a part of the page.

        Args:
            name: its id.
            html: the element with that id, or what makes it when it is asked for.
            key: what it depends on; by default the text itself.
            parent: the id of the element to whose end it is added on pages that do not have it yet.
        """
        make = html if callable(html) else _always(html)
        key = html if key is None else key
        with self.clock.lock:
            part = self._parts.get(name)
            if part is None or part.key != key:
                self.clock.now += 1
                self._parts[name] = _Part(key, make, self.clock.now, parent)
            else:
                part.html = make

    def html(self, name: str) -> str:
        """A part as it is now; empty if there is none."""
        part = self._parts.get(name)
        return part.html() if part else ""

    def since(self, version: int) -> list[Change]:
        """The parts that have changed after a version."""
        with self.clock.lock:
            parts = [(name, part) for name, part in self._parts.items() if part.version > version]
            return [Change(name, part.version, part.html(), part.parent) for name, part in parts]


def _always(html: str) -> Callable[[], str]:
    return lambda: html
