"""How numbers, intervals and names are written in a report."""

import math
import time

from musiclab.analysis.comparisons import Comparison
from musiclab.analysis.statistics import Interval
from musiclab.wording import rounded

# A mark for each verdict, so that nothing hangs on colour; the word stands beside it.
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
_MINUS = "−"


def number(value: float) -> str:
    """As `rounded`, in the signs that print has."""
    return NONE if math.isnan(value) else rounded(value).replace("-", _MINUS).replace("inf", "∞")


def signed(value: float) -> str:
    """The same with a plus sign before what is above 0."""
    return f"+{number(value)}" if value > 0 else number(value)


def bounds(interval: Interval | None) -> str:
    """An interval's two ends in brackets; nothing where there are none."""
    if interval is None or math.isnan(interval.low):
        return ""
    return f"[{number(interval.low)}, {number(interval.high)}]"


def p_value(p: float) -> str:
    """As `p_text`, likewise."""
    return NONE if math.isnan(p) else p_text(p)


def seconds(value: float) -> str:
    """A duration in the unit that suits it."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if value >= 2 * size:
            return f"{value / size:,.1f} {unit}"
    return f"{value:.3g} s"


def moment(stamp: float) -> str:
    """A point in time, UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(stamp))


def shortened(text: str, most: int) -> str:
    """One line of at most `most` characters, printable ones."""
    line = "".join(character if character.isprintable() else "\ufffd" for character in " ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"


def lines(name: str, most: int, at_most: int = 4) -> list[str]:
    """A variant's name on several lines of at most `most` characters, broken between its fields where that helps."""
    result = [""]
    for part in " ".join(name.split()).split(", "):
        joined = f"{result[-1]}, {part}" if result[-1] else part
        if len(joined) <= most:
            result[-1] = joined
        else:
            result = [*result, part] if result[-1] else [part]
    if len(result) > at_most:
        result = [*result[: at_most - 1], ", ".join(result[at_most - 1 :])]
    return [shortened(line, most) for line in result]


def verdict(compared: Comparison | None) -> str:
    """What a variant's comparison comes to; `control` for one that has none."""
    return compared.verdict if compared else "control"


def mean_text(interval: Interval | None) -> str:
    """The mean; a dash where there is no interval."""
    return rounded(interval.mean) if interval else "-"


def bounds_text(interval: Interval | None) -> str:
    """The bounds in brackets; nothing where there are none."""
    return f"[{rounded(interval.low)}, {rounded(interval.high)}]" if interval and not math.isnan(interval.low) else ""


def p_text(p: float) -> str:
    """Three decimals, below the last of which no p is told from another; a dash for NaN."""
    return "-" if math.isnan(p) else f"{p:.3f}" if p >= 0.001 else "< 0.001"
