"""Early stopping: a worker decides at a rung whether its trial goes on, by what the storage has of the others."""

import math
from dataclasses import dataclass

from musiclab.design.search import REDUCTION
from musiclab.storage.files import Storage
from musiclab.storage.search_documents import Decision, SearchFiles


class Pruned(Exception):
    """The trial ends early, because others did better at this rung; its checkpoint is kept."""


@dataclass(frozen=True)
class EarlyStopping:
    """Asynchronous successive halving that stops and never resumes, as far as a worker needs to know it.

    Attributes:
        folder: of the search's edition in the storage.
        rungs: the shares of a trial's training at which it may end.
    """

    folder: str
    rungs: tuple[float, ...]

    def decide(self, storage: Storage, key: str, rung: int, value: float) -> None:
        """Decide on a trial at a rung, once, and obey.

        Args:
            storage: the study's.
            key: the trial's.
            rung: its number.
            value: the trial's progress there; lower is better.

        Raises:
            Pruned: the trial ends here.
        """
        files = SearchFiles(storage, self.folder)
        decision = files.decision(rung, key)
        if decision is None:
            others = [each.value for each in files.decisions(rung, but={key})]
            finite = value if math.isfinite(value) else None
            decision = Decision(key=key, value=finite, beside=len(others), go_on=goes_on(finite, others))
            files.put_decision(rung, decision)  # before it is obeyed
        if not decision.go_on:
            raise Pruned


def goes_on(value: float | None, others: list[float | None]) -> bool:
    """Whether a trial with this value goes on, given those of the others at its rung; None is worse than any number.

    It does while there are too few to compare it with, and if it is among the best third.
    """
    places = (len(others) + 1) // REDUCTION
    if not places:
        return True
    better = sum(other is not None and (value is None or other < value) for other in others)
    return better < places
