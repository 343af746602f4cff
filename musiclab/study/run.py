"""A run of a study: which trials are finished, which failed, and which come next: missing ones, then more blocks."""

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
    """The trials of a design: those that are finished, those that failed in this run, and those to run now.

    With `--until-clear` a run resumes at the number of blocks that an earlier run had reached. It adds blocks only when
    no trial is pending, and decides on complete blocks only, so an interrupted run continues exactly where it stopped.
    Once blocks have been added adaptively, tests stay anytime-valid, even in a later run with a fixed number of blocks.

    Attributes:
        blocks: how many blocks there are now; at most `design.most`.
        sequential: whether blocks are or were added after looking, so that tests must be anytime-valid.
        finished: the records by key.
        failed: by key, why trials failed for good in this run.
    """

    def __init__(self, design: Design, records: Records, max_failures: int = 0) -> None:
        self.design, self.records, self._max_failures = design, records, max_failures
        self._tries: Counter[str] = Counter()
        self.finished: dict[str, TrialRecord] = {}
        self.failed: dict[str, str] = {}
        self.sequential = design.adding
        self.blocks = first_blocks(design) if design.adding else design.most
        self._resume_from()
        self._read_records()
        self.add_blocks(1)

    @property
    def criteria(self) -> Criteria:
        """How the study is judged."""
        return Criteria(self.design.objective, self.design.controls, self.design.spec.margin, self.sequential)

    @property
    def trial_specs(self) -> list[TrialSpec]:
        """Every variant on each of the blocks so far, block by block."""
        return self.design.trial_specs_of(self.blocks)

    @property
    def todo(self) -> list[TrialSpec]:
        """The trials to run now: those that have neither finished nor failed in this run."""
        return [trial for trial in self.trial_specs if trial.key not in self.finished and trial.key not in self.failed]

    def progress_summary(self) -> str:
        """How far the study is, in words: how many trials are done, resume (from which epoch) and are new."""
        storage, stages = self.records.storage, self.records.stages
        epochs, others = list[int](), Counter[str]()
        begun = set(storage.names("stages"))  # all at once: one by one takes minutes on a remote storage
        for trial in self.todo:
            missing = next(stage for stage, key in trial.stages.items() if key not in begun or not stages.done(key))
            if (done := stages.epochs_kept(trial.stages[missing])) is not None:
                epochs.append(done)
            elif self.records.failure(trial.key):
                others["failed and tried again"] += 1
            else:
                others["trained already" if missing in (GENERATE, MEASURE) else "new"] += 1
        phrases = [f"{len(self.finished)} of {len(self.trial_specs)} trials done"]
        if epochs:
            least, most = min(epochs), max(epochs)
            span = str(least) if least == most else f"{least} to {most}"
            phrases.append(f"{len(epochs)} {'resumes' if len(epochs) == 1 else 'resume'} from epoch {span}")
        return ", ".join([*phrases, *(f"{times} {what}" for what, times in others.items())])

    def on_trial_end(self, trial: TrialSpec, death: tuple[str, str] | None) -> str:
        """Note that a trial ended. Its record says whether it went well, even if its worker died afterwards.

        Args:
            trial: the trial.
            death: a line and a log if its worker died, else None.

        Returns:
            Why to retry it now, or "".
        """
        if record := self.records.get(trial.key):
            self.finished[trial.key] = record
            return ""
        if death and not self.records.failure(trial.key):  # the trial itself could not say
            self.records.put_failure(trial.key, *death, again=True)
        failure = self.records.failure(trial.key)
        if failure is None:
            return ""  # it was stopped
        self._tries[trial.key] += 1
        if failure.again and self._tries[trial.key] <= self._max_failures:
            return failure.reason
        self.failed[trial.key] = failure.reason
        return ""

    def add_blocks(self, workers: int) -> None:
        """Add blocks while no trial is pending and a comparison is undecided, until there is something to run.

        At a time as many are added as keep the workers busy; trials that share what they train count as one.
        """
        while not self.todo and self._more():
            first_stages = {next(iter(trial.stages.values())) for trial in self.design.trial_specs_of(1)}
            self.blocks = min(self.design.most, self.blocks + max(1, workers // len(first_stages)))
            self._read_records()

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

    def _read_records(self) -> None:
        for trial in self.todo:
            if record := self.records.get(trial.key):
                self.finished[trial.key] = record


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
