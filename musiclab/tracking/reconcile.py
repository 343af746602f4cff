"""Rounds of bringing MLflow level with what the storage holds of an edition of a study."""

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from musiclab.analysis.answer import Answer, answer
from musiclab.design.trials import SYSTEM, TrialSpec
from musiclab.errors import UserError
from musiclab.hashing import content_hash
from musiclab.measures.registry import MEASURES
from musiclab.report.sentences import describe, verdict
from musiclab.report.text_table import table
from musiclab.storage.files import Storage, cache_folder
from musiclab.storage.plans import StudyPlan
from musiclab.storage.records import Records
from musiclab.storage.trial_documents import TrialRecord
from musiclab.tracking.mlflow_runs import Run, Runs, is_refused, why
from musiclab.tracking.snapshot import Unreadable, stored_trial
from musiclab.tracking.uri import is_database, masked

_REPORT = ("report.html", "results.csv", "results.json", "table.tex")
_UI = "http://127.0.0.1:5000"  # where `mlflow ui` listens when it is told nothing else


class Reconciler:
    """Brings MLflow level with the edition in `folder`, round by round; starts over wherever it was cut off.

    `progress` is called with how many trials are level and how many there are, whenever it gets on. `changes` counts
    what MLflow was told since the beginning, `points` has how many each trial that is level has, by its key.
    """

    def __init__(
        self, storage: Storage, folder: str, uri: str, progress: Callable[[int, int], None] = lambda level, of: None
    ) -> None:
        self._records, self._folder, self._uri, self._progress = Records(storage), folder, uri, progress
        self._found: dict[str, TrialRecord] = {}
        self._ended: dict[str, float] = {}
        self._failed: dict[str, float] = {}
        self._looked_at: set[str] = set()
        self._answered, self._rests_until = "", 0.0
        self._runs: Runs | None = None
        self._doubtful, self._unput, self._behind = False, False, ""
        self.changes: Counter[str] = Counter()
        self.points: dict[str, int] = {}

    @property
    def damage(self) -> dict[str, str]:
        """The files of the storage that were found damaged, with what is wrong with them."""
        return self._records.damage

    def round(self, last: bool = False) -> tuple[list[str], str]:
        """One round: links to the study's page, its runs and the comparison, and what keeps MLflow from being level.

        What is wrong with a single trial, or with the place of files, does not keep the rest from MLflow. Raises what
        MLflow raises. `last` is for when no trial is under way any more.
        """
        try:
            if last and self._doubtful:  # a call that failed may have come through after the next round had looked
                self._forget()
            return self._round(last)
        except Exception:
            # What came through before it failed is not known, a run without an answer for one: look again next time.
            self._doubtful = True
            self._forget()
            raise

    def _forget(self) -> None:
        self._runs = None
        self.points.clear()
        self._answered = ""

    def _round(self, last: bool) -> tuple[list[str], str]:
        plan = self._records.plans.get(self._folder)
        if plan is None:
            raise UserError(f"{self._folder}/plan.json is missing or damaged; run the study again.")
        self._behind, self._unput = "", False
        if self._runs is None:
            storage = self._records.storage
            # Not in a remote storage: MLflow would need that kind's own client library.
            place = f"{storage.root if storage.is_local else cache_folder()}/mlflow-artifacts"
            self._runs = Runs(self._uri, plan.study, plan.edition, place, self.changes)
        cells = list(plan.trial_specs)
        study = self._runs.get("study", plan.edition, plan.study, None, plan.began, plan.base)
        variants = self._variants(cells, study, plan.began)
        for cell in cells:
            if cell.key not in self.points:
                self._one(cell, variants[cell.variant.name], last)
                self._progress(len(self.points), len(cells))
        state = self._state(plan)
        began = time.monotonic()
        # Thousands of resamples a measure are nothing for every round: a tenth of the time goes to them at most.
        if self._answered != state and (last or began >= self._rests_until):
            found = answer(cells, self._found, plan.criteria, self._failed)
            self._show(plan, study, variants, found, state)
            self._answered, self._rests_until = state, began + 10 * (time.monotonic() - began)
        if last:
            self._report(study)
            self._runs.close_running()
        return self._links(study, list(variants.values())), self._behind

    def _variants(self, cells: list[TrialSpec], study: Run, began: float) -> dict[str, Run]:
        """By the key of a variant's first trial: trained by other code, or with another field fixed, it is another."""
        first = {cell.variant.name: cell for cell in reversed(cells)}
        variants = {}
        for name in dict.fromkeys(cell.variant.name for cell in cells):
            variants[name] = self._runs.get("variant", first[name].key, name, study, began, _params(first[name]))
            self._progress(len(self.points), len(cells))
        return variants

    def _one(self, cell: TrialSpec, variant: Run, last: bool) -> None:
        """A trial; what is wrong with it alone is noted."""
        try:
            self._trial(cell, variant, last)
        except Unreadable as error:
            self._note(f"trial {cell.key} cannot be read: {why(error)}")
        except Exception as error:
            if not is_refused(error):
                raise
            self._note(f"trial {cell.key} is refused: {why(error)}")

    def _trial(self, cell: TrialSpec, variant: Run, last: bool) -> None:
        key, runs = cell.key, self._runs
        trial = stored_trial(self._records, cell, last)
        if trial is None:
            return
        self._failed.pop(key, None)
        if trial.record:
            self._found[key], self._ended[key] = trial.record, trial.ended
        elif trial.status:
            self._failed[key] = trial.ended
        params = _params(cell) | {"block": cell.block.index, "seed": cell.block.seed}
        run = runs.get("trial", key, f"{cell.variant.name}, block {cell.block.index}", variant, trial.began, params)
        grown = runs.add(run, trial.points) and key in self._looked_at
        self._looked_at.add(key)
        if not trial.status:
            if grown and not last and run.status != "RUNNING":
                runs.resume(run)
            return
        if (run.status, run.mark) != (trial.status, trial.mark):
            put = not self._unput and self._put(run, "files", trial.files())
            if put or run.status != trial.status:
                runs.end(run, trial.status, trial.ended, trial.tags)
            if not put:
                return
            runs.mark_in_sync(run, trial.mark)
        if trial.record:  # what failed may be under way again
            self.points[key] = len(trial.points)

    def _put(self, run: Run, what: str, files: dict[str, bytes]) -> bool:
        """Whether the run has the files now; where it cannot, no other's are tried in this round."""
        try:
            self._runs.put(run, what, files)
        except Exception as error:
            self._unput = True
            self._note(f"no files can be put there: {why(error)}")
        return not self._unput

    def _note(self, reason: str) -> None:
        self._behind = self._behind or reason

    def _state(self, plan: StudyPlan) -> str:
        """What an answer rests on: which trials the plan has and how many are there or failed, and its terms."""
        keys = sorted(cell.key for cell in plan.trial_specs)
        what = content_hash([keys, plan.margin, plan.sequential, self._failed], 8)
        return f"{len(self._found)} of the {len(plan.trial_specs)} trials {what}"

    def _show(self, plan: StudyPlan, study: Run, variants: dict[str, Run], found: Answer, state: str) -> None:
        """The answer: each variant's means and intervals, with the number of finished blocks as the step.

        Of fewer blocks than an answer was that is there already, it takes that one's step and so its place.
        """
        # The trials' own time and not this one: whoever does it again, an answer having been lost, makes equal points.
        ended = max(self._ended.values(), default=plan.began)
        for name, run in variants.items():
            blocks = max((interval.n for interval in found.measures[name].values()), default=0)
            mark = f"{blocks} blocks, {state}" if name in found.comparisons else f"{blocks} blocks"
            if not blocks or run.mark == mark:
                continue
            self._runs.show(run, _values(found, name), found.objective.full_name, blocks, ended)
            tags = {"musiclab.comparison": "control" if name == found.controls[name] else "variant"}
            if name in found.comparisons:
                tags["musiclab.verdict"] = verdict(found, name)
            self._runs.end(run, "FINISHED", ended, tags)
            self._runs.mark_in_sync(run, mark)
            self._progress(len(self.points), len(plan.trial_specs))
        if self._found and study.mark != state:
            question, numbers = plan.question, table(found)
            words = "\n\n".join(describe(found))
            text = f"{question}\n\n{numbers}\n\n{words}\n"
            files = {"answer.txt": text.encode(), "plan.json": json.dumps(plan.to_json(), indent=1).encode()}
            tags = {"mlflow.note.content": f"{question}\n\n{words}\n\n```\n{numbers}\n```"}
            put = not self._unput and self._put(study, "answer", files)
            self._runs.end(study, "FINISHED", ended, tags)
            if put:
                self._runs.mark_in_sync(study, state)

    def _report(self, study: Run) -> None:
        """The report among the study's artifacts, with the files beside it, if it is another one than is there."""
        try:
            files = {name: self._records.storage.read(f"{self._folder}/{name}") for name in _REPORT}
        except FileNotFoundError:
            return  # none was written, or not whole
        if not self._unput:
            self._put(study, "report", files)

    def _links(self, study: Run, variants: list[Run]) -> list[str]:
        base = _UI if is_database(self._uri) else masked(self._uri.rstrip("/"))
        experiment = self._runs.experiment
        runs, experiments = (quote(json.dumps(ids)) for ids in ([run.id for run in variants], [experiment]))
        all_runs = f"{base}/#/experiments/{experiment}/runs"
        return [f"{all_runs}/{study.id}", all_runs, f"{base}/#/compare-runs?runs={runs}&experiments={experiments}"]


def _params(cell: TrialSpec) -> dict[str, Any]:
    return {SYSTEM: cell.variant.system} | cell.variant.config


def _values(found: Answer, name: str) -> dict[str, float]:
    """What MLflow shows for a variant: the means and intervals of its measures, and how it compares."""
    values = {}
    # The objective first: MLflow's compare page opens on the metric that was logged first.
    for measure in sorted(MEASURES, key=lambda measure: measure != found.objective):
        if interval := found.measures[name].get(measure.full_name):
            values[measure.full_name] = interval.mean
            values |= {f"{measure.full_name}.low": interval.low, f"{measure.full_name}.high": interval.high}
    if name in found.comparisons:
        compared, objective = found.comparisons[name], found.objective.full_name
        what = "distance_minus_control" if found.objective.better == "real" else "minus_control"
        better = compared.improvement
        values |= {
            f"{objective}.{what}": compared.difference.mean,
            f"{objective}.p_holm": compared.p_holm,
            f"{objective}.p_equivalent": compared.p_equivalent,
            f"{objective}.improvement": better.mean,
            f"{objective}.improvement.low": better.low,
            f"{objective}.improvement.high": better.high,
        }
    return values
