"""Progress for a person: a bar on a terminal, a line now and then in a log."""

import contextlib
import sys
import time
from typing import Self

from tqdm import tqdm

from musiclab.wording import duration

_LOG_EVERY_S = 10


class Progress(contextlib.AbstractContextManager):
    """Things done of `total` (None where that is not known), the time left, and a note; on standard error.

    `done` things that were there before count as done, but not for the pace.
    """

    def __init__(self, what: str, total: int | None, done: int = 0) -> None:
        self._what, self._total, self._before, self._done = what, total, done, done
        self._began = time.monotonic()
        self._said, self._printed = -float("inf"), 0
        self._note = ""
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(
                total=total, initial=done, desc=what, dynamic_ncols=True,
                bar_format="{desc} {n_fmt}/{total_fmt} |{bar}| {elapsed}, left {remaining}{postfix}" if total else None,
            )  # fmt: skip

    def update(self, n: int = 1, note: str = "") -> None:
        """`n` more are done."""
        self._done += n
        self._note = note
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(n)
        elif time.monotonic() - self._said >= _LOG_EVERY_S:
            self._print()

    def expect(self, n: int) -> None:
        """There are `n` more to be done than was known."""
        self._total = (self._total or 0) + n
        if self._bar is not None:
            self._bar.total = self._total
            self._bar.refresh()

    def say(self, line: str) -> None:
        """A line of its own beside the progress."""
        tqdm.write(line, file=sys.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._done > max(self._before, self._printed):
            self._print()

    def _print(self) -> None:
        self._said, self._printed = time.monotonic(), self._done
        parts = [f"{self._what} {self._done}" + (f"/{self._total}" if self._total else "")]
        if self._total and self._done > self._before:
            pace = (time.monotonic() - self._began) / (self._done - self._before)
            parts.append(f"left {duration(pace * max(0, self._total - self._done))}")
        print(", ".join(filter(None, [*parts, self._note])), file=sys.stderr, flush=True)
