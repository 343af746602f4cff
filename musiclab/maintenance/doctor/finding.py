"""The result of a check."""

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's.

    Attributes:
        level: `ok`, `warn` or `fail`.
        text: what was found.
        remedy: what to do about it, if anything.
    """

    level: str
    text: str
    remedy: str = ""

    def line(self, check: str) -> str:
        """The finding in a line, with the name of its check."""
        remedy = f". To do: {self.remedy}" if self.remedy else ""
        return f"{self.level:<5} {check}: {self.text}{remedy}"
