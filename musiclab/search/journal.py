"""Optuna's journal of a search, which `optuna-dashboard` opens: made from the storage's files, never read as truth.

It only grows, so that a dashboard that has it open sees what comes. Optuna writes its lines, in memory; those of an
update go to the file at once. A file that says something else than the storage, because it was cut off or somebody
has changed it, is written anew.
"""

import contextlib
import json
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from musiclab.design.search import Dimension
from musiclab.search.optuna_search import distribution

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

_STATES = {
    "running": TrialState.RUNNING, "finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED,
    "diverged": TrialState.FAIL, "failed": TrialState.FAIL,
}  # fmt: skip
# The mimetypes by which a dashboard decides that it can play or show a file.
_KINDS = {"mp3": "audio/mpeg", "png": "image/png"}
_ARTIFACT = "artifacts:"  # how Optuna's names of attributes begin that tell of a trial's files


@dataclass(frozen=True, kw_only=True)
class ShownTrial:
    """A trial of a search as a dashboard shows it.

    Attributes:
        number: of its proposal.
        state: `running`, or how it ended.
        values: the searched fields that matter.
        scores: of the objectives; None unless it has finished.
        progress: by percent of the training, lower is better.
        began: in seconds since 1970.
        ended: the same; None while it runs.
        notes: what else is known, by name.
        files: names of files by their id, hexadecimal digits.
    """

    number: int
    state: str
    values: dict[str, Any] = field(default_factory=dict)
    scores: tuple[float, ...] | None = None
    progress: dict[int, float] = field(default_factory=dict)
    began: float
    ended: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Searched:
    """What all trials of a search have in common.

    Attributes:
        study: the study's name.
        space: the searched fields.
        higher: whether higher is better, by full name of the objectives.
    """

    study: str
    space: Mapping[str, Dimension]
    higher: Mapping[str, bool]


class Journal:
    """The journal of a search in `file`. Methods raise what Optuna raises, and OSError.

    Args:
        file: a local path; its folder exists.
        searched: what the trials have in common.

    Attributes:
        count: how many trials it has; their numbers are those below.
        unfinished: those that have not ended, by number.
    """

    def __init__(self, file: Path, searched: Searched) -> None:
        self._file, self._searched = file, searched
        self._distributions: dict[str, BaseDistribution] = {
            name: distribution(dimension) for name, dimension in searched.space.items()
        }
        self._signs = [-1 if higher else 1 for higher in searched.higher.values()]
        self._start([])

    @classmethod
    def opened(cls, file: Path, searched: Searched, trials: Sequence[ShownTrial]) -> "Journal":
        """The journal that is there, if it agrees with the trials as far as it goes; else one to be written anew."""
        journal = cls(file, searched)
        with contextlib.suppress(Exception):  # whatever is wrong with it, it is made again
            _cut_to_whole_lines(file)
            journal._start(list(JournalFileBackend(str(file)).read_logs(0)))
            journal._seen = _identity(file)
            if journal._agrees(trials):
                return journal
        journal._start([])
        return journal

    def _start(self, lines: list[dict[str, Any]]) -> None:
        self._lines = _Lines(lines)
        self._storage = JournalStorage(self._lines)
        self._is_new = not self._lines.take()  # of those that are there already
        self._seen: tuple[int, ...] | None = None
        if self._is_new:
            directions: list[Literal["maximize", "minimize"]]
            directions = ["maximize" if higher else "minimize" for higher in self._searched.higher.values()]
            study = optuna.create_study(storage=self._storage, study_name=self._searched.study, directions=directions)
            study.set_metric_names(list(self._searched.higher))
        self._study = self._storage.get_study_id_from_name(self._searched.study)
        trials = self._storage.get_all_trials(self._study, deepcopy=False)
        self.count = len(trials)
        self.unfinished = {trial.number: trial for trial in trials if not trial.state.is_finished()}

    def _agrees(self, trials: Sequence[ShownTrial]) -> bool:
        """Whether there is one study of this search, whose trials are these or their beginnings."""
        (study,) = self._storage.get_all_studies()
        names = study.system_attrs.get("study:metric_names")
        higher = [direction == optuna.study.StudyDirection.MAXIMIZE for direction in study.directions]
        if names != list(self._searched.higher) or higher != list(self._searched.higher.values()):
            return False
        there = self._storage.get_all_trials(self._study, deepcopy=False)
        return len(there) <= len(trials) and all(map(_is_beginning, there, map(self._frozen, trials)))

    @property
    def is_intact(self) -> bool:
        """Whether the file is as it was left; a dashboard that writes notes to it changes it too."""
        return self._is_new or _identity(self._file) == self._seen

    def show(self, trial: ShownTrial) -> None:
        """Add a trial, the next by number, or what is new of one that had not ended."""
        wanted = self._frozen(trial)
        there = self.unfinished.pop(trial.number, None)
        if there:
            self._complete(there, wanted)
        else:
            self._storage.create_new_trial(self._study, wanted)
            self.count += 1
        if not wanted.state.is_finished():
            self.unfinished[trial.number] = wanted

    def _complete(self, there: FrozenTrial, wanted: FrozenTrial) -> None:
        number = there.number  # which is its id, because there is no other study
        for step, value in wanted.intermediate_values.items():
            if step not in there.intermediate_values:
                self._storage.set_trial_intermediate_value(number, step, value)
        for name, note in wanted.user_attrs.items():
            if there.user_attrs.get(name) != note:
                self._storage.set_trial_user_attr(number, name, note)
        for name, about in wanted.system_attrs.items():
            if name not in there.system_attrs:
                self._storage.set_trial_system_attr(number, name, about)
        if wanted.state.is_finished():
            assert wanted.datetime_complete is not None, "it has ended"
            with self._lines.completed_at(wanted.datetime_complete):
                self._storage.set_trial_state_values(number, wanted.state, wanted.values)

    def note(self, notes: Mapping[str, Any]) -> None:
        """Show these notes on the search as a whole."""
        there = self._storage.get_study_user_attrs(self._study)
        for name, note in notes.items():
            if there.get(name) != note:
                self._storage.set_study_user_attr(self._study, name, note)

    def write(self) -> None:
        """Write what is new to the file, in one go."""
        lines = self._lines.take()
        if not lines:
            return
        if self._is_new:  # in one step, because somebody may have the old one open
            half = self._file.with_name(f".{self._file.name}.half")
            half.unlink(missing_ok=True)
            JournalFileBackend(str(half)).append_logs(lines)
            half.replace(self._file)
            self._is_new = False
        else:
            JournalFileBackend(str(self._file)).append_logs(lines)
        self._seen = _identity(self._file)

    def _frozen(self, trial: ShownTrial) -> FrozenTrial:
        """The trial in Optuna's terms; number and id are its place."""
        several = len(self._signs) > 1  # then Optuna has no intermediate values
        progress = {} if several else trial.progress
        names = [name for name in self._distributions if name in trial.values]
        return FrozenTrial(
            number=trial.number,
            trial_id=trial.number,
            state=_STATES[trial.state],
            value=None,
            values=None if trial.scores is None else list(trial.scores),
            datetime_start=_local(trial.began),
            datetime_complete=None if trial.ended is None else _local(trial.ended),
            params={name: trial.values[name] for name in names},
            distributions={name: self._distributions[name] for name in names},
            user_attrs=trial.notes,
            system_attrs={_ARTIFACT + id: _artifact(id, name) for id, name in trial.files.items()},
            intermediate_values={
                step: self._signs[0] * value for step, value in progress.items() if math.isfinite(value)
            },
        )


class _Lines(BaseJournalBackend):
    """Lines of a journal in memory, from when they come until they are taken."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self._lines, self._taken = lines, 0
        self._completed: datetime | None = None

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self._lines[log_number_from - self._taken :]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        for log in logs:
            if self._completed and "datetime_complete" in log:
                log["datetime_complete"] = self._completed.astimezone(UTC).isoformat(timespec="microseconds")
        self._lines += logs

    @contextlib.contextmanager
    def completed_at(self, time: datetime) -> Iterator[None]:
        """Within it, trials are completed at that time, and not when it is told."""
        self._completed = time
        try:
            yield
        finally:
            self._completed = None

    def take(self) -> list[dict[str, Any]]:
        """The lines that have come since."""
        lines, self._lines = self._lines, []
        self._taken += len(lines)
        return lines


def _artifact(id: str, name: str) -> str:
    """What Optuna keeps of a trial's file."""
    about = {"artifact_id": id, "filename": name, "mimetype": _KINDS[name.rpartition(".")[2]], "encoding": None}
    return json.dumps(about)


def _local(seconds: float) -> datetime:
    """A time as Optuna has it: local, without its zone."""
    return datetime.fromtimestamp(seconds)


def _is_beginning(there: FrozenTrial, wanted: FrozenTrial) -> bool:
    """Whether a trial of the file is the wanted one, or may become it."""
    if (there.params, there.distributions, there.datetime_start) != (
        wanted.params, wanted.distributions, wanted.datetime_start,
    ):  # fmt: skip
        return False
    if not there.state.is_finished():
        return True
    files = {name: value for name, value in there.system_attrs.items() if name.startswith(_ARTIFACT)}
    return (there.state, there.values, there.datetime_complete, there.user_attrs, files, there.intermediate_values) == (
        wanted.state, wanted.values, wanted.datetime_complete, wanted.user_attrs, wanted.system_attrs,
        wanted.intermediate_values,
    )  # fmt: skip


def _identity(file: Path) -> tuple[int, ...] | None:
    """What tells whether somebody has replaced or changed the file; None if it is gone."""
    with contextlib.suppress(FileNotFoundError):
        status = file.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns
    return None


def _cut_to_whole_lines(file: Path) -> None:
    """Cut off a last line that is not whole: its writer was killed. Readers have not taken it."""
    data = file.read_bytes()
    whole = data.rfind(b"\n") + 1
    if 0 < whole < len(data):
        os.truncate(file, whole)
