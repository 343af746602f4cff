"""How numbers, intervals and names are written in a report: with the suffix `_html` on the page, else in plain text."""

import math
import time
from collections.abc import Callable

from musiclab.analysis.comparisons import Comparison
from musiclab.analysis.intervals import Interval
from musiclab.wording import rounded

# A mark for each verdict, so that nothing depends on colour; the verdict in words is beside it.
MARKS = {
    "better": "✓",
    "worse": "✗",
    "equivalent": "≈",
    "no difference shown": "○",
    "underpowered": "?",
    "not compared": "–",
    "control": "★",
}
NONE = "–"
UNBOUNDED = "[unbounded]"
_MINUS = "−"


def number(value: float) -> str:
    """As `rounded`, with a true minus sign, an infinity sign and a dash for NaN."""
    if math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    return rounded(value).replace("-", _MINUS)  # in an exponent too


def value_text(value: object) -> str:
    """The value of a field: a number that is not whole to four digits, anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def signed_html(value: float) -> str:
    """As `number`, with a plus sign if the value is above 0."""
    return f"+{number(value)}" if value > 0 else number(value)


def percent(share: float) -> str:
    """A share as a percentage: `62 %`; a dash for NaN."""
    return NONE if math.isnan(share) else f"{100 * share:.0f} %"


def percent_bounds(interval: Interval | None) -> str:
    """As `bounds_text`, of shares: `[51 %, 72 %]`."""
    return _bounds(interval, percent)


def bounds_html(interval: Interval | None) -> str:
    """As `bounds_text`, with numbers as `number` writes them."""
    return _bounds(interval, number)


def p_html(p: float) -> str:
    """As `p_text`, with the dash of `number` for NaN."""
    return NONE if math.isnan(p) else p_text(p)


def moment(stamp: float) -> str:
    """A point in time, UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(stamp))


def shortened(text: str, most: int) -> str:
    """The text on one line, cut to `most` characters, with a mark in place of unprintable ones."""
    line = "".join(character if character.isprintable() else "\ufffd" for character in " ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"


def lines(name: str, most: int, at_most: int = 4) -> list[str]:
    """A variant's name on up to `at_most` lines of up to `most` characters, broken between its fields if possible."""
    result = [""]
    for field in " ".join(name.split()).split(", "):
        joined = f"{result[-1]}, {field}" if result[-1] else field
        if len(joined) <= most:
            result[-1] = joined
        else:
            result = [*result, field] if result[-1] else [field]
    if len(result) > at_most:
        result = [*result[: at_most - 1], ", ".join(result[at_most - 1 :])]
    return [shortened(line, most) for line in result]


def verdict_html(compared: Comparison | None) -> str:
    """The verdict of a variant's comparison; `control` if it has none."""
    return compared.verdict if compared else "control"


def mean_text(interval: Interval | None) -> str:
    """The mean; a dash if there is no interval."""
    return rounded(interval.mean) if interval else "-"


def bounds_text(interval: Interval | None) -> str:
    """The bounds in brackets; `UNBOUNDED` if blocks are too few for any, empty if there is no interval."""
    return _bounds(interval, rounded)


def _bounds(interval: Interval | None, written: Callable[[float], str]) -> str:
    if interval is None or math.isnan(interval.low) or math.isnan(interval.high):
        return ""
    return f"[{written(interval.low)}, {written(interval.high)}]" if interval.is_bounded else UNBOUNDED


def p_text(p: float) -> str:
    """A p to three decimals, `< 0.001` below them; a dash for NaN."""
    return "-" if math.isnan(p) else f"{p:.3f}" if p >= 0.001 else "< 0.001"
