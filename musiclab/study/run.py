"""A run of a study: what it has come to, and which trials it asks for next: those missing, then more blocks."""

from collections import Counter

from musiclab.analysis.answer import scores_by_block, undecided
from musiclab.analysis.comparisons import compare
from musiclab.analysis.sequential import blocks_needed_anytime
from musiclab.design.criteria import Criteria
from musiclab.design.design import Design
from musiclab.design.trials import TrialSpec
from musiclab.errors import UserError
from musiclab.storage.records import Records
from musiclab.storage.trial_documents import TrialRecord
from musiclab.systems.config import GENERATE, MEASURE
from musiclab.wording import counted


class StudyRun:
    """The trials of a design that are there, those that failed in this run, and those to be run now.

    Where blocks are added until it is clear, it goes on from as many as an earlier run had come to, and adds some once
    there is nothing to be run. Whether to is decided by whole blocks, and a run that was cut short goes on where it
    was. A run with a fixed number of blocks has its own, but after one that added some its tests are still those that
    hold at any time.

    Attributes:
        blocks: how many there are now; `design.most` at last if blocks are added.
        sequential: whether blocks are or were added after looking, so that tests must hold at any time.
        found: the records that there are, by key.
        failed: why trials failed for good in this run, by key.
    """

    def __init__(self, design: Design, records: Records, max_failures: int = 0) -> None:
        self.design, self.records, self._max_failures = design, records, max_failures
        self._tries: Counter[str] = Counter()
        self.found: dict[str, TrialRecord] = {}
        self.failed: dict[str, str] = {}
        self.sequential = design.adding
        self.blocks = first_blocks(design) if design.adding else design.most
        self._resume_from()
        self._read()
        self.add_blocks(1)

    @property
    def criteria(self) -> Criteria:
        """How the study is judged."""
        return Criteria(self.design.objective, self.design.controls, self.design.spec.margin, self.sequential)

    @property
    def trial_specs(self) -> list[TrialSpec]:
        """Every variant on every block there is so far."""
        return self.design.trial_specs_of(self.blocks)

    @property
    def todo(self) -> list[TrialSpec]:
        """The cells to be run now: those that have neither finished nor failed in this run."""
        return [cell for cell in self.trial_specs if cell.key not in self.found and cell.key not in self.failed]

    def progress_summary(self) -> str:
        """How far the study is, in words: trials that are done, that resume, and from where, and that are new."""
        todo, kept = self.todo, self.records
        epochs, others = list[int](), Counter[str]()
        begun = set(kept.storage.names("stages"))  # at once: asking for each takes minutes where it is far away
        for cell in todo:
            missing = next(stage for stage, key in cell.stages.items() if key not in begun or not kept.stages.done(key))
            if (done := kept.stages.epochs_kept(cell.stages[missing])) is not None:
                epochs.append(done)
            elif kept.failure(cell.key):
                others["failed and tried again"] += 1
            else:
                others["trained already" if missing in (GENERATE, MEASURE) else "new"] += 1
        parts = [f"{len(self.found)} of {len(self.trial_specs)} trials done"]
        if epochs:
            least, most = min(epochs), max(epochs)
            span = str(least) if least == most else f"{least} to {most}"
            parts.append(f"{len(epochs)} {'resumes' if len(epochs) == 1 else 'resume'} from epoch {span}")
        return ", ".join([*parts, *(f"{times} {what}" for what, times in others.items())])

    def on_trial_end(self, cell: TrialSpec, death: tuple[str, str] | None) -> str:
        """A cell's run has ended, its worker by `death` (a line and a log) if at all; why to try it again now, or ''.

        Whether it went well is what its record says, which a worker may have died after.
        """
        if record := self.records.get(cell.key):
            self.found[cell.key] = record
            return ""
        if death and not self.records.failure(cell.key):  # the trial itself could not say
            self.records.put_failure(cell.key, *death, again=True)
        failure = self.records.failure(cell.key)
        if failure is None:
            return ""  # it was stopped
        self._tries[cell.key] += 1
        if failure.again and self._tries[cell.key] <= self._max_failures:
            return failure.reason
        self.failed[cell.key] = failure.reason
        return ""

    def add_blocks(self, workers: int) -> None:
        """Have more blocks if there is nothing to be run and it is not clear: those there are, then one that is not.

        Of these as many as keep the workers busy, trials that share what they train counting as one.
        """
        while not self.todo and self._more():
            one = self.design.trial_specs_of(1)
            tracks = len({next(iter(cell.stages.values())) for cell in one})
            self.blocks = min(self.design.most, self.blocks + max(1, workers // tracks))
            self._read()

    def _more(self) -> bool:
        """Whether more blocks may be had and could help; what has no value on any block stays unclear with more."""
        if self.blocks == self.design.most:
            return False
        comparisons = compare(scores_by_block(self.trial_specs, self.found, self.design.objective), self.criteria)
        return any(comparisons[name].difference.n for name in undecided(comparisons))

    def _resume_from(self) -> None:
        """Go on from an earlier run that added blocks until it was clear: with as many, if blocks are added again.

        With a number of blocks that is fixed only now, after looking, tests must still be those that hold at any time.
        """
        if before := self.records.plans.get(self.design.folder):
            if before.sequential and self.design.adding:
                self.blocks = min(self.design.most, max(self.blocks, before.blocks))
            self.sequential = self.sequential or before.sequential

    def _read(self) -> None:
        for cell in self.todo:
            if record := self.records.get(cell.key):
                self.found[cell.key] = record


def first_blocks(design: Design) -> int:
    """How many blocks a study that adds some until it is clear begins with: fewer could show nothing.

    UserError if it compares nothing, or if the most blocks that there may be are too few.
    """
    if not design.comparisons:
        raise UserError(f"{design.spec.name} compares nothing that could become clear; leave out --until-clear.")
    need = blocks_needed_anytime(design.comparisons)
    if need > design.most:
        raise UserError(
            f"--max-blocks {design.most} is too few for anything to become clear: with tests that hold at any time "
            f"{counted(design.comparisons, 'comparison')} can take no fewer than {need}."
        )
    return need
