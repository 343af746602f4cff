"""Wording: how numbers, sizes, durations and lists of names are written for people."""

import math
from collections.abc import Iterable


def size(n_bytes: float) -> str:
    """A number of bytes with a unit: 900 bytes, 12 kB, 3.4 MB."""
    if n_bytes < 999.5:
        return f"{n_bytes:.0f} bytes"
    larger_units = ["TB", "GB", "MB", "kB"]
    while n_bytes >= 999.5 and larger_units:
        n_bytes /= 1000
        unit = larger_units.pop()
    decimals = 1 if n_bytes < 9.95 else 0
    return f"{n_bytes:.{decimals}f} {unit}"


def duration(seconds: float) -> str:
    """A time span with a unit: 45 s, 3 min, 2 h 10 min."""
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
