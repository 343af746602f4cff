"""A run of a search: its proposals, how they ended, and the next one, until the budget is spent."""

import math
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from musiclab.analysis.answer import score
from musiclab.design.design import Design
from musiclab.design.search import SEARCH_BLOCK
from musiclab.design.trials import TrialSpec
from musiclab.execution.early_stopping import EarlyStopping
from musiclab.execution.ledger import Ledger
from musiclab.hashing import content_hash
from musiclab.search.confirmation import called, confirmed_values, numbers_to_confirm
from musiclab.search.optuna_search import OptunaSearch, importance
from musiclab.storage.records import Records
from musiclab.storage.search_documents import (
    Conclusion,
    Confirmation,
    Decision,
    End,
    Proposal,
    SearchFiles,
    SearchSession,
    Source,
    State,
)
from musiclab.storage.trial_documents import TrialRecord
from musiclab.training.streams import Block
from musiclab.wording import counted, listing, rounded

# How often in a row a sampler may propose what there is already or what does not fit together; then the space counts as
# exhausted.
_REPEATS = 50


@dataclass(frozen=True)
class _Misfit:
    """A configuration whose fields do not fit together: no trial, and nothing runs for it."""

    key: str
    reason: str
    stages: dict[str, str] = field(default_factory=dict)


class SearchRun(Ledger):
    """The proposals of a search: those that have ended, those that run, and the next one.

    Whatever it decides is in the storage before it takes effect. So a run that was killed continues where it was, and
    with one worker the sampler proposes what it would have proposed.

    Attributes:
        proposals: by number.
        ends: how they ended, by number, in the order in which the sampler was told.
        exhausted: whether the sampler has nothing new to propose, or an earlier run has concluded the search with this
            budget.
        notes: sentences about what could not be taken up as it was; empty if all was.
    """

    def __init__(self, design: Design, records: Records, max_failures: int = 0) -> None:
        super().__init__(records, max_failures)
        assert design.search is not None, "the study is a search"
        self.design, self.search = design, design.search
        self.files = SearchFiles(records.storage, design.folder)
        self._signs = {measure.full_name: measure.sign for measure in design.objectives}
        higher = [sign > 0 for sign in self._signs.values()]
        self._sampler = OptunaSearch(self.search, higher, design.spec.seed)
        self.proposals: dict[int, Proposal] = {}
        self.ends: dict[int, End] = {}
        self.exhausted = False
        self._trials: dict[int, TrialSpec | _Misfit] = {}
        self._numbers: dict[str, list[int]] = {}  # the proposals of each trial; it is run for the first
        self._starts = design.starts()  # those that are not proposed yet
        self._spent, self._next_order = 0, 0
        self._best: int | None = None
        self._session, self._session_began = f"{uuid.uuid4().hex}.json", time.time()
        self._elapsed_before = self.files.elapsed()
        self._replay()
        self.exhausted = self._is_concluded()  # proposals do not show that a space is exhausted, or that time is up
        self.notes = self._notes()

    @property
    def todo(self) -> list[TrialSpec]:
        """The trials that were proposed and have not ended."""
        left = [self._trials[number] for number in self.proposals if number not in self.ends and self._owns(number)]
        return [each for each in left if isinstance(each, TrialSpec)]

    @property
    def is_over(self) -> bool:
        """Whether nothing more is proposed and all proposals have ended."""
        return not self.todo and (self.exhausted or self._is_spent())

    @property
    def spent(self) -> int:
        """How many proposals count towards the budget."""
        return self._spent

    def start(self) -> None:
        """Begin: take up what other studies have finished of this space, unless proposals rest on it already."""
        self._note_time()
        if not self.proposals:
            for record in self._found():
                if not self.search.space.keys() <= record.config.keys():
                    continue  # of another system of this name, or of one that has got fields since
                values = self.search.active({name: record.config[name] for name in self.search.space})
                if not all(self.search.space[name].holds(value) for name, value in values.items()):
                    continue
                trial = self._trial(values, self._next_number)
                if trial.key == record.key:
                    self._take(values, trial, "found")

    def propose(self) -> TrialSpec | None:
        """Propose a trial that is to be run; None if the budget is spent or the space exhausted."""
        for _ in range(_REPEATS):
            if self.exhausted or self._is_spent():
                return None
            start = self._starts[0] if self._starts else None
            number = self._next_number
            values, notes = self._sampler.ask(number, start)
            trial = self._trial(values, number)
            source: Source = "again" if trial.key in self._numbers else "sampler" if start is None else "start"
            if self._take(values, trial, source, notes) and isinstance(trial, TrialSpec):
                return trial
        self.exhausted = True
        return None

    def on_trial_end(self, trial: TrialSpec, death: tuple[str, str] | None, seconds: float = 0.0) -> str:
        """See `Ledger`; a trial that is over for good has an end afterwards."""
        if reason := super().on_trial_end(trial, death):
            return reason
        self._end_if_over(self._numbers[trial.key][0], seconds)
        self._note_time()
        return ""

    def leader(self) -> str | None:
        """The best proposal so far with its score; None if none has finished."""
        best = self.best()
        return f"{called(best[0].number)} ({rounded(best[1])})" if best else None

    def progress_summary(self) -> str:
        """How far the search is, in words."""
        states = Counter(self.ends[number].state for number in self.ends if self.proposals[number].counts)
        limits = self.search.limits
        phrases = [
            f"{self.spent} of {limits.trials} proposals made" if limits.trials else f"{self.spent} proposals made"
        ]
        return ", ".join([*phrases, *(f"{times} {state}" for state, times in states.items())])

    @property
    def states(self) -> dict[str, State | None]:
        """How each proposed trial has ended, by its key; None if it has not."""
        numbers = list(self._numbers.items())
        firsts = {key: self.ends.get(first) for key, (first, *_) in numbers if not self._misfit(key)}
        return {key: end.state if end else None for key, end in firsts.items()}

    @property
    def early_stopping(self) -> EarlyStopping | None:
        """What workers need to end trials early; None if no scheduler does."""
        return EarlyStopping(self.design.folder, self.search.rungs) if self.search.rungs else None

    def has_ended(self, trial: TrialSpec) -> bool:
        """Whether the trial is over for good."""
        return self._numbers[trial.key][0] in self.ends

    def best(self) -> tuple[Proposal, float] | None:
        """The finished proposal with the best score of the objective, and the score."""
        if self._best is None:
            return None
        return self.proposals[self._best], self.ends[self._best].scores[next(iter(self._signs))]

    def confirmed(self) -> dict[str, dict[str, Any]]:
        """The values of what is confirmed, by what it is called; fixed once the search is over."""
        before = self.files.confirmation()
        if not self.is_over:
            return confirmed_values(self.proposals, before.numbers if before else ())
        numbers = numbers_to_confirm(self.design, self.proposals, self.ends, before)
        if before is None or set(numbers) != set(before.numbers):
            self.files.put_confirmation(Confirmation(numbers=tuple(numbers)))
        self._conclude()
        return confirmed_values(self.proposals, numbers)

    def _conclude(self) -> None:
        """Write what the search as a whole has come to, unless that is written."""
        if self._is_concluded():
            return
        ends = [self.ends[number] for number in self.proposals if self._owns(number) and number in self.ends]
        scores = [
            (self.proposals[end.number].values, tuple(end.scores[name] for name in self._signs))
            for end in ends
            if end.state == "finished"
        ]
        shares = importance(self.search, [sign > 0 for sign in self._signs.values()], scores)
        budget = asdict(self.search.limits)
        self.files.put_conclusion(Conclusion(budget=budget, proposals=len(self.proposals), importance=shares))

    def _is_concluded(self) -> bool:
        """Whether it is written what the search has come to with this budget."""
        return self.files.is_over(asdict(self.search.limits), len(self.proposals))

    def _take(
        self, values: dict[str, Any], trial: TrialSpec | _Misfit, source: Source, notes: dict[str, Any] | None = None
    ) -> bool:
        """Keep a proposal; whether it is to be run, because nothing tells yet how it ends."""
        proposal = Proposal(
            number=self._next_number,
            values=values,
            source="misfit" if isinstance(trial, _Misfit) and source != "again" else source,
            key=trial.key,
            told=self._next_order,
            time=time.time(),
            notes=notes or {},
            stages=trial.stages,
        )
        self.files.put(proposal)
        if source == "found":
            self._sampler.add(proposal)
        self._enter(proposal, trial)
        if isinstance(trial, TrialSpec):
            self.read([trial])
        return not self._end_if_over(proposal.number, 0.0) and self._owns(proposal.number)

    def _enter(self, proposal: Proposal, trial: TrialSpec | _Misfit) -> None:
        self.proposals[proposal.number] = proposal
        self._trials[proposal.number] = trial
        self._numbers.setdefault(proposal.key, []).append(proposal.number)
        self._spent += proposal.counts
        if proposal.values in self._starts:
            self._starts.remove(proposal.values)

    @property
    def _next_number(self) -> int:
        return next(reversed(self.proposals), -1) + 1

    def _owns(self, number: int) -> bool:
        """Whether it is the first proposal of its trial, which is run for it."""
        return self._numbers[self.proposals[number].key][0] == number

    def _replay(self) -> None:
        """Make the sampler's state again, in the order in which it came about."""
        ends = list(self.files.ends().values())
        for proposal in self.files.proposals():
            while ends and ends[0].order < proposal.told:
                self._tell(ends.pop(0))
            self._sampler.replay(proposal)
            self._enter(proposal, self._trial(proposal.values, proposal.number))
        for end in ends:
            self._tell(end)
        self.read([each for each in self._trials.values() if isinstance(each, TrialSpec)])
        for number in list(self.proposals):
            self._end_if_over(number, 0.0)

    def _notes(self) -> list[str]:
        if not self._sampler.unlike:
            return []
        return [
            f"{self.search.sampler}, asked again, did not make {len(self._sampler.unlike)} of "
            f"{counted(len(self.proposals), 'proposal')} once more, because another sampler or another version of "
            "Optuna or cmaes had made them; nothing is lost, and it goes on from them as from starting points."
        ]

    def _tell(self, end: End) -> None:
        if end.number in self.proposals:  # else its proposal's file is damaged
            self._sampler.tell(end)
            self.ends[end.number] = end
            self._next_order = end.order + 1
            self._best = self._better(end.number)

    def _end_if_over(self, number: int, seconds: float) -> bool:
        """Write how a trial ended and tell the sampler, if it is over; for all proposals of that trial."""
        proposal = self.proposals[number]
        if number in self.ends:
            return True
        first = self.ends.get(self._numbers[proposal.key][0])
        if first is None:
            decisions = self._decisions(proposal.key)
            how = self._how(proposal.key, decisions)
            if how is None:
                return False
            state, reason = how
            scores = self._scores(proposal.key)
            rungs = tuple(math.inf if each.value is None else each.value for each in decisions)
            told = self._bad_scores() if self._misfit(proposal.key) else self._told(state, scores)
        else:
            state, reason, scores, rungs, told = first.state, first.reason, first.scores, first.rungs, first.told
        end = End(
            number=number,
            state=state,
            scores=scores,
            told=told,
            rungs=rungs,
            reason=reason,
            order=self._next_order,
            seconds=round(seconds, 3),
            time=time.time(),
        )
        self.files.put(end)
        self._tell(end)
        for other in self._numbers[proposal.key]:
            self._end_if_over(other, 0.0)
        return True

    def _misfit(self, key: str) -> _Misfit | None:
        """What was proposed under that key, if its fields do not fit together."""
        trial = self._trials[self._numbers[key][0]]
        return trial if isinstance(trial, _Misfit) else None

    def _better(self, number: int) -> int | None:
        """The best finished proposal so far, now that this one has ended."""
        name, sign = next(iter(self._signs.items()))
        value = sign * self.ends[number].scores.get(name, math.nan)
        if self.ends[number].state != "finished" or not math.isfinite(value):
            return self._best
        return number if self._best is None or value > sign * self.ends[self._best].scores[name] else self._best

    def _how(self, key: str, decisions: list[Decision]) -> tuple[State, str] | None:
        """In which state a trial ended, and why; None if it has not."""
        if misfit := self._misfit(key):
            return "failed", misfit.reason
        if key in self.finished:
            scores = self._scores(key)
            without = [m.place or m.name for m in self.design.objectives if not math.isfinite(scores[m.full_name])]
            return ("failed", f"there is no value of {listing(without)}") if without else ("finished", "")
        if key in self.failed:
            failure = self.records.failure(key)
            return "diverged" if failure and failure.diverged else "failed", self.failed[key]
        return None if all(each.go_on for each in decisions) else ("pruned", "")

    def _scores(self, key: str) -> dict[str, float]:
        record = self.finished.get(key)
        return {m.full_name: score(record, m) if record else math.nan for m in self.design.objectives}

    def _decisions(self, key: str) -> list[Decision]:
        """What its worker decided at the rungs that the trial has reached."""
        decisions = (self.files.decision(rung, key) for rung in range(len(self.search.rungs)))
        return [decision for decision in decisions if decision]

    def _told(self, state: State, scores: dict[str, float]) -> tuple[float, ...] | None:
        """What the sampler is told: the scores; of a trial that diverged, if it learns from nothing else, bad ones."""
        if state == "finished":
            return tuple(scores.values())
        if state == "diverged" and not self._sampler.learns_from_pruned:
            return self._bad_scores()
        return None

    def _bad_scores(self) -> tuple[float, ...] | None:
        """What random notes score on the block; None if no trial has measured them yet."""
        for record in self.finished.values():
            random = replace(record, measures={
                m.full_name: record.baselines.get(f"{m.full_name}.random", math.nan) for m in self.design.objectives
            })  # fmt: skip
            scores = [score(random, measure) for measure in self.design.objectives]
            if all(map(math.isfinite, scores)):
                return tuple(scores)
        return None

    def _trial(self, values: dict[str, Any], number: int) -> TrialSpec | _Misfit:
        if reason := self.design.misfit(values):
            return _Misfit(content_hash(["misfit", values]), reason)
        return self.design.proposed(values, called(number))

    def _found(self) -> Iterable[TrialRecord]:
        """Records of the search's system on its block, of any study."""
        block = Block(self.design.spec.seed, SEARCH_BLOCK)
        for key in self.records.storage.names("trials"):
            record = self.records.get(key)
            if record and record.system == self.design.spec.system and record.block == block:
                yield record

    def _is_spent(self) -> bool:
        limits = self.search.limits
        worked = sum(end.seconds for end in self.ends.values()) if limits.worker_hours is not None else 0.0
        elapsed = self._elapsed_before + max(0.0, time.time() - self._session_began)
        return (
            (limits.trials is not None and self.spent >= limits.trials)
            or (limits.wall_hours is not None and elapsed >= 3600 * limits.wall_hours)
            or (limits.worker_hours is not None and worked >= 3600 * limits.worker_hours)
        )

    def _note_time(self) -> None:
        session = SearchSession(began=self._session_began, last=max(self._session_began, time.time()))
        self.files.put_session(self._session, session)
