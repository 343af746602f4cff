"""Words: how numbers, intervals, p-values and lists of names are written for people."""

import math

from musiclab.study.statistics import Interval
from musiclab.wording import rounded


def mean_text(interval: Interval | None) -> str:
    """The mean; a dash where there is no interval."""
    return rounded(interval.mean) if interval else "-"


def bounds_text(interval: Interval | None) -> str:
    """The bounds in brackets; nothing where there are none."""
    return f"[{rounded(interval.low)}, {rounded(interval.high)}]" if interval and not math.isnan(interval.low) else ""


def p_text(p: float) -> str:
    """Three decimals, below the last of which no p is told from another; a dash for NaN."""
    return "-" if math.isnan(p) else f"{p:.3f}" if p >= 0.001 else "< 0.001"
