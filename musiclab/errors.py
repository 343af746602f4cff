"""The one error that a user is meant to read, and how a command exits."""

import os
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


class UserError(Exception):
    """One sentence that names the file, field or option at fault and says what would be right.

    Entry points print it without a traceback and exit with `exit_code`: 2 for wrong usage (the default), 1 if the
    command was right but what it ran failed.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def one_line(text: str) -> str:
    """An error's text for use inside a sentence: printable, on one line, at most 500 characters."""
    return printable(" ".join(text.split()))[:500]


def printable(text: str) -> str:
    """The text with escapes for control characters, line breaks and whatever UTF-8 cannot encode.

    A terminal would obey some of these characters.
    """
    return "".join(char if _is_shown(char) else char.encode("unicode_escape").decode() for char in text)


def printable_lines(text: str) -> str:
    """Like `printable`, but line breaks are kept."""
    return "\n".join(map(printable, text.splitlines()))


def _is_shown(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"  # such as no-break spaces


def exit_with(run: Callable[[], int]) -> NoReturn:
    """Run a command and exit the process.

    The exit code is what the command returns, or the `exit_code` of a UserError (its message is printed), or 130 if
    the command was interrupted.
    """
    try:
        refuse_windows()
        _check_working_directory()
        code = run()
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("\nInterrupted; run the same command again to resume.", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # the reader, such as `head`, has gone: discard what is still buffered
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def refuse_windows() -> None:
    """Raise UserError on Windows, which lacks what storage and processes rest on: locks, renames, signals."""
    if sys.platform == "win32":
        raise UserError("musiclab runs on Linux (and is not tested on macOS); Windows is not supported: use WSL.")


def _check_working_directory() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:  # libraries end the process silently, or with a misleading message
        raise UserError("The working directory no longer exists; change to one that does.") from None
