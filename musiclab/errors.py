"""The one error that a user is meant to read, and texts that are fit to be shown."""

import unicodedata


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
