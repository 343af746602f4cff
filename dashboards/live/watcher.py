"""The watcher: one thread that reads the storage for all visitors, and renders what has changed."""

import threading
import time
from pathlib import Path
from typing import Any

from markupsafe import Markup

from musiclab.dashboards.live.board import Board
from musiclab.dashboards.live.view import StudyView
from musiclab.dashboards.live.words import MARKS
from musiclab.design.spec import is_folder_name
from musiclab.errors import UserError, one_line
from musiclab.report.html.templates import templates_in
from musiclab.storage.files import Storage
from musiclab.storage.listing import Listing

_EVERY_S, _EVERY_REMOTE_S = 2.0, 10.0  # of a remote storage each look is paid for
_LONGEST_S = 30.0  # between two looks at a storage that takes long to answer
_AT_WORK = ("running", "stopping")  # studies that are listed first
_SLICE_S = 0.4  # of reading without a break, for which a visitor may have to wait

_template = templates_in(Path(__file__).parent)


class Watcher:
    """Reads a storage again and again; a context manager that does so in a thread.

    Attributes:
        views: the pages of its studies, by name.
        index: the parts of the page with all studies.
        trouble: why the storage could not be read, in a sentence; empty if the last look went well.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.views: dict[str, StudyView] = {}
        self.index = Board()
        self.trouble = ""
        self._listing: Listing | None = None
        self._read_at = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def age(self) -> float:
        """How many seconds ago the storage was read."""
        return time.monotonic() - self._read_at

    def __enter__(self) -> "Watcher":
        self._find_studies()  # so that their pages are there at once
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            began = time.monotonic()
            is_whole = self.look()
            took = time.monotonic() - began
            # At most a quarter of the time is spent on reading, so that a slow storage is left to the trials.
            least = _EVERY_S if self.storage.is_local else _EVERY_REMOTE_S
            wait = min(_LONGEST_S, max(least, 3 * took)) if is_whole else 0.01
            if self._over.wait(wait):
                return

    def look(self) -> bool:
        """Read what is new; whether all was read."""
        is_whole, failed = True, ""
        try:
            if self._listing is None:
                self._listing = Listing(self.storage)
                self._find_studies()
            for view in self.views.values():
                try:
                    is_whole &= view.poll(self._listing, time.monotonic() + _SLICE_S)
                except OSError:
                    raise
                except Exception as error:  # what one study's files make of a page must not end the others
                    failed = f"The page of {view.study} is not brought up to date ({_reason(error)})."
            if is_whole:
                self._listing = None  # otherwise the rest of it is read first
        except (OSError, UserError, ValueError) as error:
            self._listing = None
            self.trouble = f"The storage cannot be read: {one_line(str(error)).rstrip('.')}."
            return True
        self.trouble, self._read_at = failed, time.monotonic()
        self._render_index()
        return is_whole

    def _find_studies(self) -> None:
        """Make a page for each study that is new, and forget those that are gone."""
        names = [name for name in self.storage.names("studies") if is_folder_name(name)]
        self.views = {name: self.views.get(name) or StudyView(self.storage, name) for name in names}

    def _render_index(self) -> None:
        """The studies: running ones first, then by name."""
        parts: Any = _template("parts.html.j2").module
        order = sorted(self.views.values(), key=lambda view: (view.standing.word not in _AT_WORK, view.study))
        rows = []
        for view in order:
            name = f"study-{view.study}"
            row = str(
                parts.study_row(
                    name, view.study, view.address, view.question, view.standing, MARKS[view.standing.word],
                    *view.progress, view.timing,
                )
            )  # fmt: skip
            self.index.put(name, row)
            rows.append(Markup(row))
        table = str(parts.studies(rows))
        self.index.put("studies", table, tuple(view.study for view in order))


def _reason(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}").rstrip(".")
