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


def duration(seconds: float, exact: bool = False) -> str:
    """A time span with a unit: 45 s, 3 min, 2 h 10 min, 3 d 4 h; if `exact`, 0.125 s and 2.6 min."""
    if seconds < 90:
        return f"{seconds:.3g} s" if exact else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{seconds / 60:.1f} min" if exact else f"{minutes} min"
    hours = round(seconds / 3600)
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def rounded(value: float) -> str:
    """A number to three digits; from a thousand to ten million all digits before the point; a dash for NaN."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"


def counted(number: int, noun: str) -> str:
    """A number with its noun in singular or plural: `1 block`, `2 blocks`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listing(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`; semicolons separate names that hold a comma. There must be at least one name."""
    *all_but_last, last = names
    separator = "; " if any(", " in name for name in (*all_but_last, last)) else ", "
    return f"{separator.join(all_but_last)} and {last}" if all_but_last else last
