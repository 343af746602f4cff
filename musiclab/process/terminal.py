"""Standard output and error of a command: every sign can be printed, and no failure of theirs ends the command."""

import codecs
import contextlib
import errno
import io
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

_SPELT = "musiclab.spelt"  # the name of the error handler
_IN_ASCII = {
    "±": "+/-", "×": "x", "−": "-", "–": "-", "—": "-", "…": "...", "∞": "inf", "≈": "~", "≤": "<=", "≥": ">=",
    "→": "->", "←": "<-", "↑": "^", "↓": "v", "·": "*", "★": "*", "○": "o", "✓": "yes", "✗": "no",
    "‘": "'", "’": "'", "“": '"', "”": '"', "„": '"',
}  # fmt: skip


def spelt(text: str) -> str:
    """The text in ASCII, as a person would write it: `+/-`, a letter without its accent, else an escape."""
    return "".join(char if char.isascii() else _in_ascii(char) for char in text)


def _in_ascii(char: str) -> str:
    if char in _IN_ASCII:
        return _IN_ASCII[char]
    parts = unicodedata.normalize("NFKD", char).replace("\N{FRACTION SLASH}", "/")
    base = "".join(part for part in parts if not unicodedata.combining(part))
    return base if base and base.isascii() else char.encode("unicode_escape").decode()


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return spelt(error.object[error.start : error.end]), error.end


codecs.register_error(_SPELT, _spell)


def speller(stream: TextIO) -> Callable[[str], str]:
    """A function that returns a text as the stream will show it, for whoever aligns columns."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return lambda text: text.encode(encoding, _SPELT).decode(encoding)


def _errors(stream: TextIO) -> str | None:
    """How a stream treats what it cannot encode; what the user has chosen is kept, such as `replace`."""
    is_utf8 = codecs.lookup(stream.encoding).name == "utf-8"
    standard = ("strict",) if is_utf8 else ("strict", "surrogateescape", "backslashreplace")
    return _SPELT if stream.errors in standard else stream.errors


class _Output(io.FileIO):
    """A file that discards what it cannot write, and keeps the reason."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        if self.failure is None:
            try:
                return super().write(data)
            except OSError as error:
                self.failure = error
        return memoryview(data).nbytes


class Terminal:
    """What has become of a command's standard output."""

    def __init__(self) -> None:
        self._raw: list[_Output] = []

    @property
    def lost(self) -> str:
        """Why output was lost, in words; empty if none was, or if whoever read it has gone, such as `head`."""
        failures = [raw.failure for raw in self._raw if raw.failure and raw.failure.errno != errno.EPIPE]
        return (failures[0].strerror or str(failures[0])) if failures else ""

    def _tolerant(self, stream: TextIO) -> TextIO:
        """The same stream, but nothing that is printed to it raises; itself if it is none of the process's own."""
        try:
            number = stream.fileno()
        except (OSError, ValueError, AttributeError):  # a notebook's, or a test's
            return stream
        if not isinstance(stream, io.TextIOWrapper) or number not in (1, 2):
            return stream
        with contextlib.suppress(OSError):
            stream.flush()
        raw = _Output(number, "wb", closefd=False)
        if number == 1:
            self._raw.append(raw)
        return io.TextIOWrapper(
            io.BufferedWriter(raw), stream.encoding, _errors(stream),
            line_buffering=stream.line_buffering, write_through=stream.write_through,
        )  # fmt: skip


def open_streams() -> None:
    """Give a process that was started without standard input, output or error the null device instead.

    Otherwise the next file that it opens would be its standard output.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed; the lowest free number is this one
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for good


@contextlib.contextmanager
def tolerant_streams() -> Iterator[Terminal]:
    """Within it, printing never fails: signs that a stream cannot take are spelt in ASCII, and failures are kept."""
    open_streams()
    terminal, before = Terminal(), (sys.stdout, sys.stderr)
    sys.stdout, sys.stderr = map(terminal._tolerant, before)
    try:
        yield terminal
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before
