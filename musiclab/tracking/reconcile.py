"""Rounds that bring MLflow up to date with what the storage holds of an edition of a study."""

import json
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote

from musiclab.analysis.answer import Answer, answer
from musiclab.analysis.listening import listening_results
from musiclab.analysis.search import search_results
from musiclab.design.trials import FORM, SYSTEM, TrialSpec
from musiclab.errors import UserError
from musiclab.hashing import content_hash
from musiclab.report.sentences import describe, verdict
from musiclab.report.text_table import search_table, table
from musiclab.storage.files import Storage
from musiclab.storage.listing import Listing
from musiclab.storage.plans import StudyPlan
from musiclab.storage.records import Records
from musiclab.storage.search_documents import Proposal, SearchFiles
from musiclab.storage.trial_documents import TrialRecord
from musiclab.tracking.backlog import Sent
from musiclab.tracking.listening_runs import is_heard_in_sync, listening_state, show_listening
from musiclab.tracking.mlflow_runs import Run, Runs, is_refused
from musiclab.tracking.reasons import why
from musiclab.tracking.search_runs import SearchRuns
from musiclab.tracking.snapshot import Trial, Unreadable, stored_trial
from musiclab.tracking.uri import artifacts_folder, is_database, is_own, masked, named_pages

_ANSWER = ("answer.txt", "plan.json")
_REPORT = ("report.html", "results.csv", "results.json", "table.tex")
_UI = "http://127.0.0.1:5000"  # where `mlflow ui` listens by default


class Reconciler:
    """Brings MLflow up to date with the edition in `folder`, round by round. An interrupted round is simply repeated.

    Args:
        storage: where the records are.
        folder: of the edition, in the storage.
        uri: address of MLflow.
        progress: called with the number of trials in sync, and of all trials, whenever there is progress.

    Attributes:
        changes: counts what was changed in MLflow since the beginning.
        in_sync: the keys of the trials that are in sync.
        sent: what MLflow is known to have of each trial, by its key.
    """

    def __init__(
        self,
        storage: Storage,
        folder: str,
        uri: str,
        progress: Callable[[int, int], None] = lambda in_sync, total: None,
    ) -> None:
        self._records, self._folder, self._uri, self._progress = Records(storage), folder, uri, progress
        self._search = SearchRuns(self._records, folder)
        self._finished: dict[str, TrialRecord] = {}
        self._ended: dict[str, float] = {}
        self._failed: dict[str, float] = {}
        self._seen: set[str] = set()
        self._answered_state, self._no_answer_until = "", 0.0
        self._unreadable: dict[str, str] = {}  # of the listening tests
        self._listing = Listing(storage)
        self._known_runs: Runs | None = None  # None before the first round, and after one that failed
        self._had_failure, self._upload_failed, self._behind, self._total = False, False, "", 0
        self.changes: Counter[str] = Counter()
        self.in_sync: set[str] = set()
        self.sent: dict[str, Sent] = {}

    @property
    def damage(self) -> dict[str, str]:
        """Damaged files of the storage, with what is wrong with them."""
        return self._records.damage | self._search.damage | self._unreadable

    def round(self, last: bool = False) -> tuple[list[str], str]:
        """Do one round.

        A problem with a single trial, or with the upload of files, does not keep the rest from MLflow.

        Args:
            last: no trial is running any more.

        Returns:
            Links to the study's page, its runs and the comparison; and why MLflow is behind, empty if it is in sync.

        Raises:
            UserError: there is no readable plan.
            Exception: whatever MLflow raises.
        """
        try:
            if last and self._had_failure:  # a call that failed may have taken effect after the next round had looked
                self._forget()
            return self._round(last)
        except Exception:
            # It is unknown which calls took effect before the failure, so the next round asks MLflow again.
            self._had_failure = True
            self._forget()
            raise

    def _forget(self) -> None:
        self._known_runs = None
        self.in_sync.clear()
        self._answered_state = ""

    def _round(self, last: bool) -> tuple[list[str], str]:
        plan = self._records.plans.get(self._folder)
        if plan is None:
            raise UserError(f"{self._folder}/plan.json is missing or damaged; run the study again.")
        self._behind, self._upload_failed = "", False
        if self._known_runs is None:
            storage = self._records.storage
            self._known_runs = Runs(
                self._uri, plan.study, plan.edition, artifacts_folder(storage), self.changes, is_own(self._uri, storage)
            )
        runs = self._known_runs
        specs = list(plan.trial_specs)
        study = runs.get("study", plan.edition, plan.study, None, plan.began, plan.base)
        proposals = self._search.read() if plan.is_search else []
        self._total = len(specs) + len(proposals)
        variants = self._variants(runs, specs, study, plan.began)
        self._listing = Listing(self._records.storage)
        if proposals:
            self._sync_search(runs, plan, study, proposals, last)
        for spec in specs:
            if spec.key not in self.in_sync:
                self._sync_trial(spec.key, self._send_trial, runs, spec, variants[spec.variant.name], last)
        heard = listening_state(self._records.storage, self._folder)
        state = self._state(plan, heard)
        began = time.monotonic()
        # An answer searches for the ends of many intervals, so at most a tenth of the time is spent on it.
        if self._answered_state != state and (last or began >= self._no_answer_until):
            result = answer(specs, self._finished, plan.criteria, self._failed)
            self._show(runs, plan, study, variants, result, state, heard)
            self._answered_state, self._no_answer_until = state, began + 10 * (time.monotonic() - began)
        if last:
            self._upload_report(runs, study, (*_REPORT, "search.csv") if plan.is_search else _REPORT)
            runs.close_running()
        return self._links(runs, study, list(variants.values())), self._behind

    def _variants(self, runs: Runs, specs: list[TrialSpec], study: Run, began: float) -> dict[str, Run]:
        """The runs of the variants, by name.

        A variant's key is that of its first trial, because it is another variant if its code or a fixed field differs.
        """
        first = {spec.variant.name: spec for spec in reversed(specs)}
        variants = {}
        for name in dict.fromkeys(spec.variant.name for spec in specs):
            variants[name] = runs.get("variant", first[name].key, name, study, began, _params(first[name]))
            self._progress(len(self.in_sync), self._total)
        return variants

    def _sync_search(self, runs: Runs, plan: StudyPlan, study: Run, proposals: list[Proposal], last: bool) -> None:
        """Bring MLflow up to date with the search itself, and with its trials."""
        search, system = self._search.get(runs, plan, study), plan.trial_specs[0].variant.system
        for proposal in proposals:
            if proposal.key not in self.in_sync:
                self._sync_trial(proposal.key, self._send_proposal, runs, proposal, system, search, last)
        self._search.finish(runs, plan, search, last)

    def _sync_trial(self, key: str, send: Callable[..., None], *arguments: Any) -> None:
        """Bring MLflow up to date with one trial; a problem with this trial alone is noted."""
        try:
            send(*arguments)
        except Unreadable as error:
            self._note(f"trial {key} cannot be read: {why(error, self._uri)}")
        except Exception as error:
            if not is_refused(error):
                raise
            self._note(f"trial {key} is refused: {why(error, self._uri)}")
        self._progress(len(self.in_sync), self._total)

    def _send_proposal(self, runs: Runs, proposal: Proposal, system: str, search: Run, last: bool) -> None:
        trial = self._search.trial(proposal, last, self._listing)
        if trial is None:
            return
        params = {SYSTEM: system} | proposal.values
        run = runs.get("proposal", proposal.key, f"proposal {proposal.number}", search, trial.began, params)
        if self._send(runs, run, proposal.key, trial, last) and self._search.has_ended(proposal):
            self.in_sync.add(proposal.key)

    def _send_trial(self, runs: Runs, spec: TrialSpec, variant: Run, last: bool) -> None:
        key = spec.key
        trial = stored_trial(self._records, spec.stages, last, self._listing)
        if trial is None:
            return
        self._failed.pop(key, None)
        if trial.record:
            self._finished[key], self._ended[key] = trial.record, trial.ended
        elif trial.status:
            self._failed[key] = trial.ended
        params = _params(spec) | {"block": spec.block.index, "seed": spec.block.seed}
        run = runs.get("trial", key, f"{spec.variant.name}, block {spec.block.index}", variant, trial.began, params)
        if self._send(runs, run, key, trial, last) and trial.record:  # a failed trial may be retried
            self.in_sync.add(key)

    def _send(self, runs: Runs, run: Run, key: str, trial: Trial, last: bool) -> bool:
        """Send what a trial's run lacks; whether the trial has ended and its run has all of it."""
        has_grown = runs.add(run, trial.points) and key in self._seen
        self.sent[key] = Sent(len(trial.points), trial.record is not None)
        self._seen.add(key)
        if not trial.status:
            if has_grown and not last and run.status != "RUNNING":
                runs.resume(run)
            return False
        if (run.status, run.mark) != (trial.status, trial.mark) or run.has_lost("files", trial.file_names):
            uploaded = not self._upload_failed and self._upload(runs, run, "files", trial.files())
            if uploaded or run.status != trial.status:
                runs.end(run, trial.status, trial.ended, trial.tags)
            if not uploaded:
                return False
            runs.mark_in_sync(run, trial.mark)
        return True

    def _upload(self, runs: Runs, run: Run, kind: str, files: dict[str, bytes]) -> bool:
        """Upload a run's files and return whether it has them; after a failure this round uploads nothing more."""
        try:
            runs.put(run, kind, files)
        except Exception as error:
            self._upload_failed = True
            self._note(f"files cannot be uploaded: {why(error, self._uri)}")
        return not self._upload_failed

    def _upload_once(self, runs: Runs, run: Run, kind: str, files: dict[str, bytes]) -> bool:
        """As `_upload`, but nothing is tried after a failure in this round."""
        return not self._upload_failed and self._upload(runs, run, kind, files)

    def _note(self, reason: str) -> None:
        self._behind = self._behind or reason

    def _state(self, plan: StudyPlan, heard: str) -> str:
        """What an answer depends on: the trials, how many have finished or failed, criteria, a search, ballots."""
        keys = sorted(spec.key for spec in plan.trial_specs)
        searched = [SearchFiles(self._records.storage, self._folder).ended()] if plan.is_search else []
        others = [*searched, *([heard] if heard else [])]
        identity = content_hash([keys, plan.margin, plan.sequential, self._failed, *others], 8)
        return f"{len(self._finished)} of the {len(plan.trial_specs)} trials {identity}"

    def _show(
        self, runs: Runs, plan: StudyPlan, study: Run, variants: dict[str, Run], result: Answer, state: str, heard: str
    ) -> None:
        """Show the answer: each variant's means and intervals, with the number of finished blocks as the step.

        If MLflow already shows an answer of more blocks, this one takes its step and so replaces it. What listeners
        have said is read if `heard`, its state, or the answer is not what MLflow has.
        """
        # The trials' own time, not the present one: if a reply was lost, a retry makes equal points.
        ended = max(self._ended.values(), default=plan.began)
        for name, run in variants.items():
            blocks = max((interval.n for interval in result.measures[name].values()), default=0)
            mark = f"{blocks} blocks, {state}" if name in result.comparisons else f"{blocks} blocks"
            if not blocks or run.mark == mark:
                continue
            runs.show(run, _values(result, name), result.objective.full_name, blocks, ended)
            tags = {"musiclab.comparison": "control" if name == result.controls[name] else "variant"}
            if name in result.comparisons:
                tags["musiclab.verdict"] = verdict(result, name)
            runs.end(run, "FINISHED", ended, tags)
            runs.mark_in_sync(run, mark)
            self._progress(len(self.in_sync), self._total)
        storage = self._records.storage
        is_shown = study.mark == state and not study.has_lost("answer", lambda: _ANSWER)
        listening = None
        if heard and not (is_heard_in_sync(study, heard) and is_shown):
            listening = listening_results(storage, self._folder, list(plan.trial_specs), self._finished)
        if listening:
            show_listening(runs, study, variants, listening, heard, partial(self._upload_once, runs))
            self._unreadable |= listening.damage
        search = search_results(storage, self._folder, plan, self._finished)
        if (self._finished or search) and not is_shown:
            question = plan.question
            numbers = "\n\n".join(filter(None, [table(result), search_table(result, search)]))
            words = "\n\n".join(describe(result, search, listening))
            text = f"{question}\n\n{numbers}\n\n{words}\n"
            files = dict(zip(_ANSWER, [text.encode(), json.dumps(plan.to_json(), indent=1).encode()], strict=True))
            tags = {"mlflow.note.content": f"{question}\n\n{words}\n\n```\n{numbers}\n```"}
            uploaded = self._upload_once(runs, study, "answer", files)
            runs.end(study, "FINISHED", ended, tags)
            if uploaded:
                runs.mark_in_sync(study, state)

    def _upload_report(self, runs: Runs, study: Run, names: tuple[str, ...]) -> None:
        """Upload the report and the files beside it as artifacts of the study, unless MLflow has the same already."""
        try:
            files = {name: self._records.storage.read(f"{self._folder}/{name}") for name in names}
        except FileNotFoundError:
            return  # none was written, or only a part
        self._upload_once(runs, study, "report", files)

    def _links(self, runs: Runs, study: Run, variants: list[Run]) -> list[str]:
        base = named_pages() or (_UI if is_database(self._uri) else masked(self._uri.rstrip("/")))
        variant_ids, experiments = (quote(json.dumps(ids)) for ids in ([run.id for run in variants], [runs.experiment]))
        all_runs = f"{base}/#/experiments/{runs.experiment}/runs"
        comparison = f"{base}/#/compare-runs?runs={variant_ids}&experiments={experiments}"
        return [f"{all_runs}/{study.id}", all_runs, comparison]


def _params(spec: TrialSpec) -> dict[str, Any]:
    form = {FORM: spec.variant.form} if spec.variant.form else {}
    return {SYSTEM: spec.variant.system} | form | spec.variant.config


def _values(result: Answer, name: str) -> dict[str, float]:
    """What MLflow shows for a variant: the means and intervals of its measures, and how it compares."""
    values = {}
    # The objective first: MLflow's compare page opens on the metric that was logged first.
    for measure in sorted(result.criteria.measures, key=lambda measure: measure != result.objective):
        if interval := result.measures[name].get(measure.full_name):
            values[measure.full_name] = interval.mean
            values |= {f"{measure.full_name}.low": interval.low, f"{measure.full_name}.high": interval.high}
    if name in result.comparisons:
        comparison, objective = result.comparisons[name], result.objective.full_name
        difference = "distance_minus_control" if result.objective.better == "real" else "minus_control"
        improvement = comparison.improvement
        values |= {
            f"{objective}.{difference}": comparison.difference.mean,
            f"{objective}.p_holm": comparison.p_holm,
            f"{objective}.p_equivalent": comparison.p_equivalent,
            f"{objective}.improvement": improvement.mean,
            f"{objective}.improvement.low": improvement.low,
            f"{objective}.improvement.high": improvement.high,
        }
    return values
