"""A run of a study: which trials are finished, which failed, and which come next: missing ones, then more blocks."""

from collections import Counter

from musiclab.analysis.answer import best_so_far, scores_by_block, undecided
from musiclab.analysis.comparisons import compare
from musiclab.analysis.sequential import blocks_needed_anytime
from musiclab.design.criteria import Criteria
from musiclab.design.design import Design
from musiclab.design.trials import TrialSpec
from musiclab.errors import UserError
from musiclab.execution.early_stopping import EarlyStopping
from musiclab.execution.ledger import Ledger
from musiclab.storage.listing import Listing
from musiclab.storage.records import Records
from musiclab.systems.config import GENERATE, MEASURE
from musiclab.wording import counted


class StudyRun(Ledger):
    """The trials of a design: those that are finished, those that failed in this run, and those to run now.

    With `--until-clear` a run resumes at the number of blocks that an earlier run had reached. It adds blocks only when
    no trial is pending, and decides on complete blocks only, so an interrupted run continues exactly where it stopped.
    Once blocks have been added adaptively, tests stay anytime-valid, even in a later run with a fixed number of blocks.

    Attributes:
        blocks: how many blocks there are now; at most `design.most`.
        sequential: whether blocks are or were added after looking, so that tests must be anytime-valid.
        early_stopping: None, because all of its trials are to finish.
    """

    early_stopping: EarlyStopping | None = None

    def __init__(self, design: Design, records: Records, max_failures: int = 0) -> None:
        super().__init__(records, max_failures)
        self.design = design
        self.sequential = design.adding
        self.blocks = first_blocks(design) if design.adding else design.most
        self._resume_from()
        self.read(self.todo)
        self.add_blocks(1)

    @property
    def criteria(self) -> Criteria:
        """How the study is judged."""
        design = self.design
        own = tuple(each.measure for each in design.own_measures)
        return Criteria(design.objective, design.controls, design.spec.margin, self.sequential, own)

    @property
    def trial_specs(self) -> list[TrialSpec]:
        """Every variant on each of the blocks so far, block by block."""
        return self.design.trial_specs_of(self.blocks)

    @property
    def todo(self) -> list[TrialSpec]:
        """The trials to run now: those that have neither finished nor failed in this run."""
        return [trial for trial in self.trial_specs if trial.key not in self.finished and trial.key not in self.failed]

    def has_ended(self, trial: TrialSpec) -> bool:
        """Whether the trial is over for good."""
        return trial.key in self.finished or trial.key in self.failed

    def leader(self) -> str | None:
        """The variant that is best so far; None if no trial has a score."""
        return best_so_far(self.trial_specs, self.finished, self.design.objective)

    def progress_summary(self) -> str:
        """How far the study is, in words: how many trials are done, resume (from which epoch) and are new."""
        stages, listing = self.records.stages, Listing(self.records.storage)
        epochs, others = list[int](), Counter[str]()
        for trial in self.todo:
            missing, key = next(
                (stage, key) for stage, key in trial.stages.items() if key not in listing.stages or not stages.done(key)
            )
            if key in listing.stages and (done := stages.epochs_kept(key)) is not None:
                epochs.append(done)
            elif trial.key in listing.trials and self.records.failure(trial.key):
                others["failed and tried again"] += 1
            else:
                trained = missing in (GENERATE, MEASURE) and missing != next(iter(trial.stages))
                others["trained already" if trained else "new"] += 1
        phrases = [f"{len(self.finished)} of {len(self.trial_specs)} trials done"]
        if epochs:
            least, most = min(epochs), max(epochs)
            span = str(least) if least == most else f"{least} to {most}"
            phrases.append(f"{len(epochs)} {'resumes' if len(epochs) == 1 else 'resume'} from epoch {span}")
        return ", ".join([*phrases, *(f"{times} {what}" for what, times in others.items())])

    def add_blocks(self, workers: int) -> None:
        """Add blocks while no trial is pending and a comparison is undecided, until there is something to run.

        At a time as many are added as keep the workers busy; trials that share what they train count as one.
        """
        while not self.todo and self._more():
            first_stages = {next(iter(trial.stages.values())) for trial in self.design.trial_specs_of(1)}
            self.blocks = min(self.design.most, self.blocks + max(1, workers // len(first_stages)))
            self.read(self.todo)

    def _more(self) -> bool:
        """Whether more blocks are allowed and could help; a variant without any value would stay undecided."""
        if self.blocks == self.design.most:
            return False
        comparisons = compare(scores_by_block(self.trial_specs, self.finished, self.design.objective), self.criteria)
        return any(comparisons[name].difference.n for name in undecided(comparisons))

    def _resume_from(self) -> None:
        """Take over the number of blocks of an earlier run that added some, if this one adds some too.

        If the number is fixed only now, after looking, tests must still be anytime-valid.
        """
        if before := self.records.plans.get(self.design.folder):
            if before.sequential and self.design.adding:
                self.blocks = min(self.design.most, max(self.blocks, before.blocks))
            self.sequential = self.sequential or before.sequential


def first_blocks(design: Design) -> int:
    """With how many blocks a study begins that adds some until it is clear: fewer could show nothing.

    Raises:
        UserError: if the study compares nothing, or if `design.most` blocks are too few.
    """
    if not design.comparisons:
        raise UserError(f"{design.spec.name} compares nothing that could become clear; leave out --until-clear.")
    need = blocks_needed_anytime(design.comparisons)
    if need > design.most:
        raise UserError(
            f"--max-blocks {design.most} is too few for anything to become clear: anytime-valid tests of "
            f"{counted(design.comparisons, 'comparison')} need at least {need} blocks."
        )
    return need
