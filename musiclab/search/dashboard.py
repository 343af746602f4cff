"""What `optuna-dashboard` shows of a search: read from the storage's files, kept up to date while the search runs.

The journal and the folder of artifacts are derived: they can be deleted at any time, and are made again.
"""

import contextlib
import importlib.util
import math
import shlex
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from musiclab.analysis.results import Results
from musiclab.design.search import dimension_from_json, rungs_of
from musiclab.errors import UserError, one_line
from musiclab.hashing import content_hash
from musiclab.measures.registry import MEASURES
from musiclab.search.journal import Journal, Searched, ShownTrial
from musiclab.storage.files import Storage, cache_folder
from musiclab.storage.plans import StudyPlan
from musiclab.storage.records import Records
from musiclab.storage.search_documents import End, Proposal, SearchFiles, SearchHistory

_EVERY_S, _LATEST_S = 2.0, 30.0
_SHARE = 0.02  # of the time that a search takes, about this is spent on showing it at most
_NO_VERDICT = "one trial of each, on one block: verdicts come from the confirmation on fresh blocks, in report.html"


class Dashboard:
    """The journal of an edition of a search, and the folder with its sound and pictures.

    Args:
        storage: where the records are.
        folder: of the edition, in the storage.

    Attributes:
        journal: the journal's path on this machine: in the storage, or in the cache if that is remote.
        artifacts: the folder of the artifacts, likewise.
    """

    def __init__(self, storage: Storage, folder: str) -> None:
        self._records, self._folder = Records(storage, notes_newer=True), folder
        self._history = SearchHistory(SearchFiles(storage, folder, notes_newer=True))
        place = f"{folder}/search"
        here = Path(storage.root) / place if storage.is_local else cache_folder() / content_hash(storage.root) / place
        self.journal, self.artifacts = here / "optuna.journal", here / "artifacts"
        self._open: Journal | None = None

    @property
    def command(self) -> str:
        """The command line that opens it."""
        words = ["optuna-dashboard", str(self.journal), "--artifact-dir", str(self.artifacts)]
        there = importlib.util.find_spec("optuna_dashboard") is not None
        return shlex.join(words) + ("" if there else " (after `pip install optuna-dashboard`)")

    @property
    def summary(self) -> str:
        """How many proposals it shows."""
        return f"{len(self._history.proposals)} proposals, {len(self._history.ends)} ended"

    @contextlib.contextmanager
    def live(self, say: Callable[[str], None]) -> Iterator[None]:
        """Within it, keep the journal up to date, in a thread; `say` gets a line if that fails, once."""
        over = threading.Event()
        follower = threading.Thread(target=self._follow, args=(over, say), daemon=True)
        follower.start()
        try:
            yield
        finally:
            over.set()
            follower.join()

    def _follow(self, over: threading.Event, say: Callable[[str], None]) -> None:
        wait, has_failed = 0.0, False
        while not over.wait(wait):
            began = time.thread_time()
            try:
                self.update()
            except Exception as error:
                self._open = None  # it is unknown what was written
                if not has_failed:
                    say(f"{self.journal} cannot be written, so optuna-dashboard is behind: {_why(error)}")
                has_failed = True
            wait = min(max(_EVERY_S, (time.thread_time() - began) / _SHARE), _LATEST_S)

    def close(self, results: Results, say: Callable[[str], None]) -> None:
        """Show the end of the search, and what the confirmation said; `say` gets a line if that fails."""
        try:
            self.update(results)
            storage = self._records.storage
            if not storage.is_local:
                storage.write(f"{self._folder}/search/{self.journal.name}", self.journal.read_bytes())
        except Exception as error:
            say(f"{self.journal} cannot be written, so optuna-dashboard is behind: {_why(error)}")

    def write_anew(self, results: Results) -> None:
        """Make the journal and the folder again, whatever is there."""
        self.journal.unlink(missing_ok=True)
        shutil.rmtree(self.artifacts, ignore_errors=True)
        self._open = None
        self.update(results)

    def update(self, results: Results | None = None) -> None:
        """Bring the journal up to date with the files; the verdicts, if they are given, are shown too.

        Raises:
            UserError: there is no readable plan of a search.
            Exception: whatever Optuna raises.
        """
        self._history.update()
        count = max(self._history.proposals, default=-1) + 1
        if self._open is None or not self._open.is_intact:
            self.artifacts.mkdir(parents=True, exist_ok=True)
            plan = self._plan()
            self._measures = {measure.full_name for measure in (*MEASURES, *plan.measures)}
            self._searched, self._scheduler = _searched(plan), str(plan.design.get("scheduler", ""))
            everything = [self._shown(number) for number in range(count)] if self.journal.exists() else []
            self._open = Journal.opened(self.journal, self._searched, everything)
            self._open.note(_about(plan))
        for number in [*self._open.unfinished, *range(self._open.count, count)]:
            self._open.show(self._shown(number))
        self._open.note(self._chosen(results))
        self._open.write()

    def _plan(self) -> StudyPlan:
        plan = self._records.plans.get(self._folder)
        if plan is None or not plan.is_search:
            raise UserError(f"{self._folder}/plan.json is missing, damaged, or no search's; run the study again.")
        return plan

    def _shown(self, number: int) -> ShownTrial:
        proposal, end = self._history.proposals.get(number), self._history.ends.get(number)
        if proposal is None:
            when = self._history.ends[number].time if end else 0.0
            why = {"reason": "the file of this proposal is damaged or missing"}
            return ShownTrial(number=number, state="failed", began=when, ended=when, notes=why)
        return ShownTrial(
            number=number,
            state=end.state if end else "running",
            values=proposal.values,
            scores=self._scores(end) if end and end.state == "finished" else None,
            progress=self._progress(proposal, end),
            began=proposal.time,
            ended=max(end.time, proposal.time) if end else None,
            notes=self._notes(proposal, end),
            files=self._files(proposal.key) if end and end.state == "finished" else {},
        )

    def _scores(self, end: End) -> tuple[float, ...]:
        return tuple(end.scores[name] for name in self._searched.higher)

    def _progress(self, proposal: Proposal, end: End | None) -> dict[int, float]:
        """Its progress by percent of its training."""
        rungs = rungs_of(self._scheduler, len(end.rungs) if end else 0)
        if end:
            values = list(end.rungs)
        else:
            decisions = (self._history.files.decision(rung, proposal.key) for rung in range(len(rungs)))
            values = [math.inf if each.value is None else each.value for each in decisions if each]
        return {round(100 * share): value for share, value in zip(rungs, values, strict=False)}

    def _notes(self, proposal: Proposal, end: End | None) -> dict[str, Any]:
        notes: dict[str, Any] = {"source": proposal.source}
        if proposal.source != "misfit":
            place = self._records.storage.path(f"trials/{proposal.key}")
            notes |= {"trial": proposal.key, "folder": place}
        if end is None:
            return notes
        notes |= {"ended": end.state, "seconds": end.seconds} | ({"reason": end.reason} if end.reason else {})
        record = self._records.get(proposal.key)
        measures = record.measures if record else {}
        return notes | {
            name: measures[name] for name in measures if name in self._measures and math.isfinite(measures[name])
        }

    def _files(self, key: str) -> dict[str, str]:
        """The sound of a trial with its picture, put where the dashboard looks for them; names by their ids."""
        storage, samples = self._records.storage, f"trials/{key}/samples"
        names = storage.names(samples)
        heard = [name for name in names if name.endswith(".mp3")]
        seen = [name.replace(".mp3", ".png") for name in heard]
        chosen = [*heard, *(name for name in names if name in seen)]
        ids = {content_hash([key, name]): name for name in chosen}
        for id, name in ids.items():
            target = self.artifacts / id
            if not target.exists():
                self._put(target, f"{samples}/{name}")
        return ids

    def _put(self, target: Path, name: str) -> None:
        storage = self._records.storage
        if storage.is_local:
            with contextlib.suppress(OSError):  # a file system without links
                target.unlink(missing_ok=True)
                # From studies/<name>/<edition>/search/artifacts to the storage, wherever that is moved.
                target.symlink_to(Path("../" * (self._folder.count("/") + 3)) / name)
                return
        target.write_bytes(storage.read(name))

    def _chosen(self, results: Results | None) -> dict[str, Any]:
        """What was confirmed, and what that has shown."""
        confirmation = self._history.files.confirmation()
        numbers = confirmation.numbers if confirmation else ()
        notes: dict[str, Any] = {"confirmed": [f"proposal {number}" for number in numbers]} if numbers else {}
        if results and numbers:
            answer = results.answer
            better = [name for name, comparison in answer.comparisons.items() if comparison.verdict == "better"]
            best = max(better, key=lambda name: answer.objective.sign * answer.scores[name], default="")
            notes["confirmed winner"] = best or "none: no proposal was shown to be better than the control"
        return notes


def _searched(plan: StudyPlan) -> Searched:
    space = {name: dimension_from_json(value) for name, value in plan.design.get("fields", {}).items()}
    return Searched(plan.study, space, {measure.full_name: measure.sign > 0 for measure in plan.objectives})


def _about(plan: StudyPlan) -> dict[str, Any]:
    settings = {name: str(plan.design.get(name)) for name in ("sampler", "scheduler")}
    return {"question": plan.question, "edition": plan.edition, "scores": _NO_VERDICT} | settings


def _why(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}")
