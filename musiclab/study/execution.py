"""Executors: one small interface behind which trials run, here or on Ray Tune; this module has the one that is here."""

from collections.abc import Callable
from typing import Protocol

from musiclab.study.plan import Cell, Queue
from musiclab.study.trial import Trials

Ended = Callable[[Cell, bool], None]


class Executor(Protocol):
    """Runs what a queue hands out, `workers` cells at a time."""

    workers: int

    def run(self, queue: Queue, trials: Trials, ended: Ended) -> None:
        """Run cells until the queue is empty and nothing runs; call `ended(cell, well)` in this process for each."""
        ...


class InProcess:
    """One cell after the other in this very process: breakpoints stop, tracebacks are whole."""

    workers = 1

    def run(self, queue: Queue, trials: Trials, ended: Ended) -> None:
        while cell := queue.next():
            well = trials(cell.to_json())
            ended(queue.done(cell.key), well)
