"""What a check has found."""

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's: `ok`, `warn` or `fail`, what was found, and what to do about it."""

    level: str
    found: str
    remedy: str = ""
