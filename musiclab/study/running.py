"""Running: what a run of a study has come to, and which trials it asks for next: those missing, then more blocks."""

import time
from typing import Any

from musiclab.study.answer import judged_by_block, unclear
from musiclab.study.comparisons import compare
from musiclab.study.design import Design
from musiclab.study.plan import Cell
from musiclab.study.records import Records


class Running:
    """The trials of a design that are there, those that failed in this run, and those to be run now.

    Where blocks are added until it is clear, it goes on from as many as an earlier run had come to, and adds some once
    there is nothing to be run. Whether to is decided by whole blocks, and a run that was cut short goes on where it
    was. A run with a fixed number of blocks has its own, but after one that added some its tests are still those that
    hold at any time.
    """

    def __init__(self, design: Design, records: Records) -> None:
        self.design, self.records = design, records
        self.found: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, Cell] = {}
        design.take_up(records.storage)
        self._read()
        self.add_blocks(1)

    @property
    def todo(self) -> list[Cell]:
        """The cells to be run now: those that have neither finished nor failed in this run."""
        return [cell for cell in self.design.cells if cell.key not in self.found and cell.key not in self.failed]

    def ended(self, cell: Cell) -> None:
        """A cell has been run; whether it went well is what its record says, which a worker may have died after."""
        if record := self.records.get(cell.key):
            self.found[cell.key] = record
            return
        self.failed[cell.key] = cell
        if not self.records.failure(cell.key):  # the trial itself could not say
            reason = "its worker died again and again"
            self.records.put_failure(cell.key, {"reason": reason, "traceback": reason, "time": time.time()})

    def add_blocks(self, workers: int) -> None:
        """Have more blocks if there is nothing to be run and it is not clear: those there are, then one that is not.

        Of these as many as keep the workers busy, trials that share what they train counting as one.
        """
        while not self.todo and self._more():
            one = self.design.cells_of(1)
            tracks = len({next(iter(cell.stages.values())) for cell in one})
            self.design.blocks = min(self.design.most, self.design.blocks + max(1, workers // tracks))
            self._read()

    def _more(self) -> bool:
        """Whether more blocks may be had and could help; what has no value on any block stays unclear with more."""
        design = self.design
        if design.blocks == design.most:
            return False
        comparisons = compare(judged_by_block(design.cells, self.found, design.objective), design.terms)
        return any(comparisons[name].difference.n for name in unclear(comparisons))

    def _read(self) -> None:
        for cell in self.todo:
            if record := self.records.get(cell.key):
                self.found[cell.key] = record
