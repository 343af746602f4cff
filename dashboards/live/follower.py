"""A study as its storage tells it, read bit by bit: what has ended is read once, what runs is looked at again."""

import itertools
import time
from dataclasses import dataclass, field, replace
from typing import Any

from musiclab.dashboards.live.search_follower import SearchFollower
from musiclab.dashboards.live.states import (
    FAILED,
    FINISHED,
    PRUNED,
    RESUMED,
    REUSED,
    RUNNING,
    WAITING,
    TrialState,
    epochs_of,
)
from musiclab.design.trials import TrialSpec
from musiclab.errors import UserError
from musiclab.storage.activity import Activity, MirrorState, WorkerState
from musiclab.storage.files import FileInfo, Storage
from musiclab.storage.leases import Holder, HolderWatch, stop_requested
from musiclab.storage.listing import Listing
from musiclab.storage.plans import StudyPlan
from musiclab.storage.records import Records
from musiclab.storage.stages import DONE, CurvePoint
from musiclab.storage.trial_documents import Failure, TrialCost, TrialRecord
from musiclab.training.files import CURVES


@dataclass(frozen=True)
class Working:
    """A trial that a worker has now: what it is called, its stages' keys by name, who has it, and how far it is."""

    name: str
    stages: dict[str, str]
    worker: WorkerState
    state: TrialState


@dataclass
class _Training:
    """The curves of a stage, and the file that they were read from."""

    info: FileInfo
    points: list[CurvePoint] = field(default_factory=list)


class Follower:
    """The newest edition of a study; `poll` brings it up to date.

    Records are kept without what no page shows, because a storage may have ten thousand.

    Attributes:
        study: its name.
        plan: what the run is to do; None if it cannot be read, for which `trouble` has the sentence.
        folder: of the edition.
        records: of finished trials, by key; of their measures only what the study searches for or decides by.
        costs: what finished trials cost, by key.
        failures: why trials have failed, by key.
        states: of the plan's trials, by key.
        workers: those of the run that is alive, by the key of the trial that each has begun last.
        working: the trials that these have.
        proposal_states: of a search's proposals, by number.
        runner: who runs the study, or has died doing so; None if nobody.
        mirror: who mirrors it to MLflow, likewise.
        mirrored: how far the mirror is.
        asked_to_stop: whether the runner was asked to stop.
        is_whole: whether all that was there at the last poll has been read.
        version: changes with whatever a page may show.
    """

    def __init__(self, storage: Storage, study: str) -> None:
        self.storage, self.study = storage, study
        self._records = Records(storage, notes_newer=True)
        self.plan: StudyPlan | None = None
        self.folder, self.trouble, self.version = "", "", 0
        self._plan_infos: dict[str, FileInfo] = {}
        self._plans: dict[str, StudyPlan] = {}
        self._forget()

    def _forget(self) -> None:
        """Begin anew, with another edition."""
        self.trial_specs: list[TrialSpec] = []
        self._by_key: dict[str, TrialSpec] = {}
        self.records: dict[str, TrialRecord] = {}
        self.costs: dict[str, TrialCost] = {}
        self.failures: dict[str, Failure] = {}
        self.states: dict[str, TrialState] = {}
        self.workers: dict[str, WorkerState] = {}
        self.working: list[Working] = []
        self.proposal_states: dict[int, TrialState] = {}
        self.runner: Holder | None = None
        self.mirror: Holder | None = None
        self.mirrored: MirrorState | None = None
        self.asked_to_stop, self.is_whole = False, False
        self.search: SearchFollower | None = None
        self._wanted: tuple[str, ...] = ()
        self._failed_infos: dict[str, FileInfo] = {}
        self._done: set[str] = set()
        self._trainings: dict[str, _Training] = {}
        self._interrupted: dict[str, TrialState] = {}
        self._interrupted_for: tuple[str, bool] | None = None
        self._said: tuple[object, ...] = ()

    @property
    def is_alive(self) -> bool:
        """Whether a process runs the study now."""
        return self.runner is not None and self.runner.alive

    @property
    def damage(self) -> list[str]:
        """The names of the study's damaged files, which are left out."""
        return [*self._records.damage, *(self.search.damage if self.search else ())]

    @property
    def all_specs(self) -> dict[str, TrialSpec]:
        """The trials of the plan, by key; those of a search's proposals are not among them."""
        return self._by_key

    def poll(self, listing: Listing, until: float) -> None:
        """Read what is new; stop at `until`, by the monotonic clock, if there is more than can be read by then."""
        self._read_plan()
        if self.plan is None:
            return
        self._look_at_processes()
        self.is_whole = self._read_ends(listing, until)
        if self.search and self.is_whole:
            self.is_whole = self.search.poll(until)
        self._look_at_running(listing)
        self._note_change()

    def _read_plan(self) -> None:
        """Read the plans that have changed, and turn to the newest edition."""
        for edition in self.storage.names(f"studies/{self.study}"):
            folder = f"studies/{self.study}/{edition}"
            info = self.storage.info(f"{folder}/plan.json")
            if info is None or self._plan_infos.get(folder) == info:
                continue
            if plan := self._records.plans.get(folder):
                self._plans[folder] = plan
            self._plan_infos[folder] = info  # after the read: if that raises, the next look reads the plan again
        if not self._plans:
            damaged = [*self._records.damage, *map(str, self._records.newer.values())]
            self.trouble = f"Its plan cannot be read ({damaged[0]})." if damaged else "It has no plan yet."
            return
        newest_folder = max(self._plans, key=lambda folder: self._plans[folder].began)
        if self._plans[newest_folder] is not self.plan:
            self._turn_to(newest_folder)

    def _turn_to(self, folder: str) -> None:
        plan = self._plans[folder]
        if folder != self.folder:
            self._forget()
            self.folder = folder
            self._runners = HolderWatch(self.storage, f"{folder}/runner")
            self._mirrors = HolderWatch(self.storage, f"{folder}/mirror")
            self._activity = Activity(self.storage, folder)
            self.search = SearchFollower(self._records, folder) if plan.is_search else None
        self.plan, self.trouble = plan, ""
        self.trial_specs = list(plan.trial_specs)
        self._by_key = {spec.key: spec for spec in self.trial_specs}
        # An edition may have fewer trials than before. What is known of the others is read again once they are planned.
        of_trials: tuple[dict[str, Any], ...] = (self.records, self.costs, self.failures, self._failed_infos)
        for by_key in of_trials:
            for key in by_key.keys() - self._by_key.keys():
                del by_key[key]
        self._interrupted_for = None
        self.states.clear()  # what an earlier run finished is now used again
        self._wanted = (plan.objective, *plan.design.get("also", ()))
        try:
            _ = plan.criteria
        except UserError as error:
            self.trouble = str(error)

    def _look_at_processes(self) -> None:
        self.runner = next(iter(self._runners.look()), None)
        self.mirror = next(iter(self._mirrors.look()), None)
        self.mirrored = self._activity.mirror()
        self.asked_to_stop = bool(
            self.runner and (self.runner.stopping or stop_requested(self.storage, self.runner.name))
        )

    def _read_ends(self, listing: Listing, until: float) -> bool:
        """Read records and failures that are new; whether all were read."""
        for spec in self.trial_specs:
            key = spec.key
            if key in self.records or key not in listing.trials:
                continue
            if time.monotonic() > until:
                return False
            record = self._records.get(key)
            if record:
                self.records[key] = self._light(record, spec)
                self._done.update(spec.stages.values())
                if cost := self._records.run(key):
                    self.costs[key] = replace(cost, versions={}, checksums={}, extra={})
                self.failures.pop(key, None)
                continue
            info = self.storage.info(f"trials/{key}/failed.json")
            if info is None:
                self.failures.pop(key, None)
                self._failed_infos.pop(key, None)
            elif self._failed_infos.get(key) != info and (failure := self._records.failure(key)):
                self._failed_infos[key], self.failures[key] = info, failure
        return True

    def _light(self, record: TrialRecord, spec: TrialSpec) -> TrialRecord:
        """A record with what pages show of it."""
        return replace(
            record,
            config=spec.variant.config,
            stages=spec.stages,
            measures={name: record.measures[name] for name in self._wanted if name in record.measures},
            baselines={name: value for name, value in record.baselines.items() if name.startswith(self._wanted)},
            histograms={},
            extra={},
        )

    def _look_at_running(self, listing: Listing) -> None:
        """Find the state of each trial that has not ended."""
        self.workers, self.working = self._workers(), []
        self._look_for_interrupted(listing)
        self._look_at_proposals()
        began = self.plan.began if self.plan else 0.0
        for spec in self.trial_specs:
            key = spec.key
            if key in self.records:
                if key not in self.states or not self.states[key].is_over:
                    cost = self.costs.get(key)
                    self.states[key] = TrialState(REUSED if cost is None or cost.ended < began else FINISHED)
            elif key in self.workers:
                name = f"{spec.variant.name}, block {spec.block.index}"
                self.states[key] = self._working_state(name, spec.stages, spec.variant.config, self.workers[key])
            elif key in self.failures:
                self.states[key] = TrialState(FAILED)
            else:
                self.states[key] = self._interrupted.get(key, TrialState(WAITING))

    def _workers(self) -> dict[str, WorkerState]:
        """The workers of the run that is alive whose trials have not ended, by the trial's key."""
        if not self.is_alive or self.runner is None:
            return {}
        newest: dict[str, WorkerState] = {}
        for worker in self._activity.workers():
            if worker.lease != self.runner.name or worker.trial in self.records:
                continue
            failure = self.failures.get(worker.trial)
            if failure and failure.time >= worker.began:
                continue
            if self.search and self.search.has_ended(worker.trial):
                continue
            if worker.trial not in newest or newest[worker.trial].began < worker.began:
                newest[worker.trial] = worker
        return newest

    def _look_at_proposals(self) -> None:
        """Find the state of each proposal of a search."""
        if self.search is None or self.plan is None:
            return
        for number, proposal in self.search.proposals.items():
            if end := self.search.ends.get(number):
                self.proposal_states[number] = TrialState(_STATE_OF_END[end.state])
            elif proposal.key in self.workers and proposal.stages:
                config, worker = self.plan.base | proposal.values, self.workers[proposal.key]
                state = self._working_state(f"proposal {number}", proposal.stages, config, worker)
                self.proposal_states[number] = state
            else:
                self.proposal_states[number] = TrialState(WAITING)

    def _working_state(
        self, name: str, stages: dict[str, str], config: dict[str, object], worker: WorkerState
    ) -> TrialState:
        """Note a trial that a worker has; its state: the first stage that is not done, and its epoch."""
        state = self._running_state(stages, config, worker)
        self.working.append(Working(name, stages, worker, state))
        return state

    def _running_state(self, stages: dict[str, str], config: dict[str, object], worker: WorkerState) -> TrialState:
        stage = next((stage for stage, key in stages.items() if not self._is_done(key)), list(stages)[-1])
        points = self.curves(stages[stage])
        epoch = max((point.step for point in points), default=0)
        is_resumed = any(point.time < worker.began for point in points)
        return TrialState(RESUMED if is_resumed else RUNNING, stage, epoch, epochs_of(config, stage), worker.began)

    def _look_for_interrupted(self, listing: Listing) -> None:
        """Find the trials that an earlier run left in the middle of a training; anew if a run begins or ends."""
        now = (self.runner.name if self.runner else "", self.is_alive)
        if self._interrupted_for == now or not self.is_whole:
            return
        self._interrupted_for, self._interrupted = now, {}
        for spec in self.trial_specs:
            if spec.key in self.records or spec.key in self.failures:
                continue
            for stage, key in spec.stages.items():
                if key not in listing.stages:
                    break
                if self._is_done(key):
                    continue
                epoch = max((point.step for point in self.curves(key)), default=0)
                if epoch:
                    epochs = epochs_of(spec.variant.config, stage)
                    self._interrupted[spec.key] = TrialState(WAITING, stage, epoch, epochs)
                break

    def _is_done(self, key: str) -> bool:
        if key not in self._done and self.storage.exists(f"stages/{key}/{DONE}"):
            self._done.add(key)
        return key in self._done

    def is_done(self, key: str) -> bool:
        """Whether a stage is known to be done; the storage is not asked."""
        return key in self._done

    def curves(self, key: str) -> list[CurvePoint]:
        """The curves of a stage so far, read again only if their file has changed."""
        info = self.storage.info(f"stages/{key}/{CURVES}")
        if info is None:
            return []
        training = self._trainings.get(key)
        if training is None or training.info != info:
            self._trainings[key] = training = _Training(info, self._records.stages.curves({"": key}))
            for old in list(itertools.islice(self._trainings, max(0, len(self._trainings) - _MOST_TRAININGS))):
                del self._trainings[old]
        return training.points

    def _note_change(self) -> None:
        """Count up the version if something has changed."""
        said = (
            self.plan and self.plan.began, len(self.trial_specs), len(self.records), tuple(self.failures.items()),
            tuple(working.state for working in self.working), tuple(self.workers),
            self.runner, self.mirror, self.mirrored, self.asked_to_stop, self.is_whole, self.trouble,
            self.search.version if self.search else 0, len(self._interrupted), tuple(self.damage),
        )  # fmt: skip
        if said != self._said:
            self._said = said
            self.version += 1


_STATE_OF_END = {"finished": FINISHED, "pruned": PRUNED, "diverged": FAILED, "failed": FAILED}
_MOST_TRAININGS = 400  # stages whose curves are kept; the newest stay


def newest(follower: Follower, most: int) -> list[dict[str, str]]:
    """The stages of the trials that finished last, newest first, as far as that is known."""
    ended = [(cost.ended, follower.all_specs[key].stages) for key, cost in follower.costs.items()]
    if follower.search:
        ends = [(end.time, number) for number, end in follower.search.ends.items() if end.state == "finished"]
        ended += [(time, follower.search.proposals[number].stages) for time, number in ends]
    return [stages for _, stages in sorted(ended, key=lambda trial: -trial[0])[:most]]
