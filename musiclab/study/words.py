"""Words: how numbers, intervals, p-values and lists of names are written for people."""

import math
from collections.abc import Iterable

from musiclab.study.statistics import Interval


def rounded(value: float) -> str:
    """Three digits, all those before the point from a thousand to ten million; a dash for NaN."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"


def mean_text(interval: Interval | None) -> str:
    """The mean; a dash where there is no interval."""
    return rounded(interval.mean) if interval else "-"


def bounds_text(interval: Interval | None) -> str:
    """The bounds in brackets; nothing where there are none."""
    return f"[{rounded(interval.low)}, {rounded(interval.high)}]" if interval and not math.isnan(interval.low) else ""


def p_text(p: float) -> str:
    """Three decimals, below the last of which no p is told from another; a dash for NaN."""
    return "-" if math.isnan(p) else f"{p:.3f}" if p >= 0.001 else "< 0.001"


def counted(number: int, what: str) -> str:
    """`1 block`, `2 blocks`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def listing(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`; names that hold a comma are told apart by semicolons."""
    *first, last = words
    comma = "; " if any(", " in word for word in (*first, last)) else ", "
    return f"{comma.join(first)} and {last}" if first else last
