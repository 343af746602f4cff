"""The one error that a user is meant to read, and how a command ends."""

import os
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


class UserError(Exception):
    """One sentence that names the file, field or option at fault and says what would be right.

    Entry points print it without a traceback and exit with `exit_code`: 2 for usage (the default), 1 where the
    command was right and what it ran failed.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def one_line(text: str) -> str:
    """An error's text as part of a sentence: on one line, and no longer than anybody would read."""
    return printable(" ".join(text.split()))[:500]


def printable(text: str) -> str:
    """The text with all that a terminal would obey, or UTF-8 cannot say, written as escapes; line breaks too."""
    return "".join(char if _is_shown(char) else char.encode("unicode_escape").decode() for char in text)


def printable_lines(text: str) -> str:
    """The same of a text of several lines, which stay."""
    return "\n".join(map(printable, text.splitlines()))


def _is_shown(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"  # spaces that do not break


def exit_with(run: Callable[[], int]) -> NoReturn:
    """Run a command and exit with its code: its own, a UserError's after one line, 130 where it was interrupted."""
    try:
        _check_working_directory()
        code = run()
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on from here.", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # `... | head` has seen enough; what is left to say goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def _check_working_directory() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:  # libraries end the process without a word, or with one about something else
        raise UserError("The folder that this command was started in is gone; change to one that is there.") from None
