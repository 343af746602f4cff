"""The queue: which trial may run now, so that no two that run would make the same stage."""

from collections.abc import Callable
from dataclasses import dataclass, field

from musiclab.design.trials import TrialSpec


@dataclass
class Queue:
    """Hands out cells so that no two running ones would make the same stage, and no worker waits for another.

    A cell is ready when every stage that it lacks is being made by nobody. `finished` tells which stages exist; it is
    asked again only after a cell has ended, which alone can change it. This is also where a search that does not know
    its cells in advance would add them.
    """

    waiting: list[TrialSpec]
    finished: Callable[[str], bool]
    closed: bool = False
    running: dict[str, TrialSpec] = field(default_factory=dict)
    _finished: dict[str, bool] = field(default_factory=dict)

    def next(self) -> TrialSpec | None:
        """A cell that is ready, now running; None where each one left waits for a stage that is being made.

        None too where the queue is closed, as it is when the study is to stop.
        """
        if self.closed:
            return None
        making = {key for cell in self.running.values() for key in self._missing(cell)}
        for cell in self.waiting:
            if making.isdisjoint(self._missing(cell)):
                self.waiting.remove(cell)
                self.running[cell.key] = cell
                return cell
        return None

    def done(self, key: str) -> TrialSpec:
        """The cell of that key has ended, well or not; what it left behind is asked for anew."""
        self._finished = {stage: True for stage, there in self._finished.items() if there}
        return self.running.pop(key)

    def __bool__(self) -> bool:
        """Whether there is, or may be, a cell to be handed out: one that runs may come back to be tried again."""
        return not self.closed and bool(self.waiting or self.running)

    def _missing(self, cell: TrialSpec) -> set[str]:
        for key in cell.stages.values():
            if key not in self._finished:
                self._finished[key] = self.finished(key)
        return {key for key in cell.stages.values() if not self._finished[key]}
