"""What went wrong in code of users, and where in it, for sentences.

Code of users may raise anything: what is written in Rust raises what is no Exception when it panics.
"""

import traceback
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from musiclab import ROOT
from musiclab.code_lock import is_among_installed
from musiclab.errors import UserError, one_line


def why_failed(error: BaseException) -> str:
    """What went wrong in somebody's code, and the last line of theirs that it came from."""
    if isinstance(error, SystemExit):
        return "it ends the process; put what runs under `if __name__ == '__main__':`"
    if isinstance(error, UserError):
        return one_line(str(error)).rstrip(".")
    place = place_of(error)
    return one_line(f"{type(error).__name__}: {error}").rstrip(".") + (f" ({place})" if place else "")


def how_failed(error: BaseException) -> str:
    """What is wrong with code of a user's that raises when it runs, a clause: `raises KeyError: 'x' (x.py, line 3)`."""
    if not isinstance(error, SystemExit):
        return f"raises {why_failed(error)}"
    place = place_of(error)
    return "must not end the process; it raises " + one_line(f"SystemExit: {error}") + (f" ({place})" if place else "")


def place_of(error: BaseException) -> str:
    """The file and line of a user's code that an error came from; empty if there was none."""
    for path, line in _frames(error):
        if ROOT not in path.parents:
            return f"{path.name}, line {line}"
    return ""


def is_of_user(error: BaseException) -> bool:
    """Whether an error arose in a user's code, or in what that called of Python or packages; not in musiclab's."""
    return any(ROOT not in path.parents for path, _ in islice(_frames(error), 1))


def _frames(error: BaseException) -> Iterator[tuple[Path, int | None]]:
    """Where an error passed through code of musiclab's or of a user's, files and lines, the innermost first."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.suffix == ".py" and (ROOT in path.parents or not is_among_installed(path)):
            yield path, frame.lineno
