"""The closing table: what was killed, and what that cost."""

import os
from collections import Counter
from dataclasses import dataclass, field

# All that must be none, in the order in which it is shown.
ZEROS = (
    "records lost", "records changed", "finished trials run twice", "half files seen", "trainings begun again",
    "files missing", "failures left", "leases held", "processes left", "runs given up", "runs missing", "runs doubled",
    "runs left running", "runs in a wrong state", "files missing in MLflow", "points missing", "points doubled",
    "points of nothing", "proposals lost", "proposals doubled", "proposals not reproduced", "ends lost", "ends doubled",
    "decisions lost", "decisions doubled", "states told otherwise", "search files lost", "search files changed",
)  # fmt: skip


@dataclass
class Tally:
    """Counted over all rounds of a session."""

    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    studies: int = 0
    restarts: int = 0
    orphans: int = 0
    seconds: float = 0.0

    def add(self, kills: Counter[str], restarts: int, faults: Counter[str], seconds: float) -> None:
        """Count a round."""
        self.kills += kills
        self.faults += faults
        self.studies += 1
        self.restarts += restarts
        self.seconds += seconds

    def table(self) -> list[str]:
        """The lines of the table; none where nothing was killed."""
        if not self.studies:
            return []
        by_target = ", ".join(f"{target} {times}" for target, times in sorted(self.kills.items()))
        rows = [
            ("kill -9", f"{self.kills.total()} ({by_target})"),
            ("studies", str(self.studies)),
            ("restarts of their command", str(self.restarts)),
            *((what, str(self.faults[what])) for what in (*ZEROS, *sorted(self.faults.keys() - set(ZEROS)))),
            ("orphans of a killed Ray", f"{self.orphans} (Ray's own doing)"),
            ("seconds", f"{self.seconds:.0f}"),
        ]
        return [f"{what:<28}{value}" for what, value in rows]


TALLY = Tally()


def seeds(first: int, times: int) -> list[int]:
    """The seeds of a test's rounds: those given, or the one of FAULT_SEED alone, to repeat a round."""
    again = os.environ.get("FAULT_SEED")
    return [int(again)] if again else list(range(first, first + times))
