"""Wording: how numbers, sizes, durations and lists of names are written for people."""

import math
from collections.abc import Iterable


def size(amount: float) -> str:
    """Bytes as people say them: 900 bytes, 12 kB, 3.4 MB."""
    units = ["TB", "GB", "MB", "kB", "bytes"]
    while amount >= 999.5 and len(units) > 1:
        amount /= 1000
        units.pop()
    return f"{amount:.0f} bytes" if units[-1] == "bytes" else f"{amount:.{1 if amount < 9.95 else 0}f} {units[-1]}"


def duration(seconds: float) -> str:
    """Seconds as people say them: 45 s, 3 min, 2 h 10 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def rounded(value: float) -> str:
    """Three digits, all those before the point from a thousand to ten million; a dash for NaN."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"


def counted(number: int, what: str) -> str:
    """`1 block`, `2 blocks`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def listing(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`; names that hold a comma are told apart by semicolons."""
    *first, last = words
    comma = "; " if any(", " in word for word in (*first, last)) else ", "
    return f"{comma.join(first)} and {last}" if first else last
