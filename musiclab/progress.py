"""Progress for a person: a bar on a terminal or in a notebook, a line now and then in a log."""

import contextlib
import importlib.util
import sys
import time
from typing import Any, Never, Self

from tqdm import tqdm

from musiclab.wording import duration

_LOG_EVERY_S = 10


class Progress:
    """A context manager that shows on standard error how much is done, the time left, and a note.

    Args:
        what: what is counted, such as "songs".
        total: how many there are; None if that is unknown.
        done: how many were done before. They count as done, but not for the estimate of the time left.
    """

    def __init__(self, what: str, total: int | None, done: int = 0) -> None:
        self._what, self._total, self._done_before, self._done = what, total, done, done
        self._began = time.monotonic()
        self._printed_at, self._printed_done = -float("inf"), 0
        self._note = ""
        self._bar: tqdm[Never] | None = None
        if _in_notebook_with_widgets():
            from tqdm.notebook import tqdm as notebook_bar

            self._bar = notebook_bar(total=total, initial=done, desc=what)
        elif sys.stderr.isatty():
            self._bar = tqdm(
                total=total, initial=done, desc=what, dynamic_ncols=True,
                bar_format="{desc} {n_fmt}/{total_fmt} |{bar}| {elapsed}, left {remaining}{postfix}" if total else None,
            )  # fmt: skip

    def update(self, n: int = 1, note: str = "") -> None:
        """Count `n` more as done."""
        self._done += n
        self._note = note
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(n)
        elif time.monotonic() - self._printed_at >= _LOG_EVERY_S:
            self._print()

    def expect(self, n: int) -> None:
        """Raise the total by `n`."""
        self._total = (self._total or 0) + n
        if self._bar is not None:
            self._bar.total = self._total
            self._bar.refresh()

    def say(self, line: str) -> None:
        """Print a line without disturbing the bar."""
        with contextlib.suppress(OSError):  # what is counted goes on although nobody can read of it
            tqdm.write(line, file=sys.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._done > max(self._done_before, self._printed_done):
            self._print()

    def _print(self) -> None:
        self._printed_at, self._printed_done = time.monotonic(), self._done
        phrases = [f"{self._what} {self._done}" + (f"/{self._total}" if self._total else "")]
        if self._total and self._done > self._done_before:
            seconds_each = (time.monotonic() - self._began) / (self._done - self._done_before)
            phrases.append(f"left {duration(seconds_each * max(0, self._total - self._done))}")
        if self._note:
            phrases.append(self._note)
        with contextlib.suppress(OSError):
            print(", ".join(phrases), file=sys.stderr, flush=True)


def _in_notebook_with_widgets() -> bool:
    """Whether this is a notebook's kernel that can show widgets; without them a notebook gets lines, as a log does."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell" and importlib.util.find_spec("ipywidgets") is not None
