"""What lasts of a search: proposals, decisions at rungs, ends, and what was chosen for confirmation.

Under the edition's folder: `search/proposals/00012.json`, written before the trial starts; `search/rungs/0/<key>.json`,
written by a worker before it obeys; `search/ends/00012.json`; `search/sessions/`, how long runs of the search took;
`search/conclusion.json`; and `confirmation.json`. Proposals and ends never change. Optuna's study is made again from
them at every start.
"""

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, cast, get_args

from musiclab.design.spec import is_folder_name
from musiclab.fields import Fields
from musiclab.storage.documents import FORMAT, Documents, FlatDocument, with_nan, without_nan
from musiclab.storage.files import Storage

# found: another study had finished it before the search asked; again: the sampler proposed a configuration once more;
# misfit: its fields do not fit together.
Source = Literal["start", "sampler", "found", "again", "misfit"]
State = Literal["finished", "pruned", "diverged", "failed"]


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A configuration that a search tries.

    Attributes:
        number: its place, from 0.
        values: the searched fields that matter, by name.
        source: who proposed it.
        key: of its trial; of a misfit, which has none, one that no trial has.
        told: how many ends the sampler had been told before.
        time: when it was proposed, in seconds since 1970.
        notes: what the sampler noted with it, by name.
        stages: the keys of the trial's stages by name, in order; whoever only looks finds its curves by them.
        extra: fields that this version does not know.
    """

    FORMAT: ClassVar[int] = 1

    number: int
    values: dict[str, Any]
    source: str
    key: str
    told: int
    time: float
    notes: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether it is part of the budget: nothing runs for the others."""
        return self.source in ("start", "sampler")

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """See `Document`."""
        fields = Fields(value)
        fields.take_or(FORMAT, int, 0)
        key, stages = fields.take("key", str), dict(fields.take_or("stages", list, []))
        # Keys become paths, and a path in a foreign file must not lead out of the storage.
        if not all(isinstance(each, str) and is_folder_name(each) for each in (key, *stages.values())):
            raise ValueError("a stage's key must be a folder's name")
        return cls(
            number=fields.take("number", int),
            values=fields.table("values", object),
            source=fields.take("source", str),
            key=key,
            told=fields.take("told", int),
            time=fields.take("time", float),
            notes=fields.table("notes", object, {}),
            stages=stages,
            extra=fields.rest,
        )

    def to_json(self) -> dict[str, Any]:
        """See `Document`."""
        own = {name: getattr(self, name) for name in ("number", "values", "source", "key", "told", "time", "notes")}
        stages = [[name, key] for name, key in self.stages.items()]  # JSON that sorts keys would lose the order
        return {FORMAT: self.FORMAT, "stages": stages} | own | self.extra


@dataclass(frozen=True, kw_only=True)
class End:
    """How the trial of a proposal ended.

    Attributes:
        number: the proposal's.
        state: `finished`, `pruned` (a scheduler ended it early), `diverged`, or `failed` for another reason.
        scores: of the objective and what else is searched for, by full name; NaN where there is none.
        told: the values that the sampler is told; None if it is told none.
        rungs: the values of `progress` at the rungs that it reached.
        reason: why it failed; empty otherwise.
        order: how many ends the sampler was told before.
        seconds: how long a worker had it.
        time: when it ended, in seconds since 1970.
        extra: fields that this version does not know.
    """

    FORMAT: ClassVar[int] = 1

    number: int
    state: State
    scores: dict[str, float]
    told: tuple[float, ...] | None
    rungs: tuple[float, ...] = ()
    reason: str = ""
    order: int
    seconds: float = 0.0
    time: float
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """See `Document`."""
        fields = Fields(value)
        fields.take_or(FORMAT, int, 0)
        state = fields.take("state", str)
        if state not in get_args(State):
            raise ValueError(f"no trial of a search ends as {state!r}")
        return cls(
            number=fields.take("number", int),
            state=cast(State, state),
            scores=with_nan(fields.take("scores", dict)),
            told=tuple(told) if (told := fields.take_or("told", list, None)) is not None else None,
            rungs=fields.sequence("rungs", float, ()),
            reason=fields.take_or("reason", str, ""),
            order=fields.take("order", int),
            seconds=fields.take_or("seconds", float, 0.0),
            time=fields.take("time", float),
            extra=fields.rest,
        )

    def to_json(self) -> dict[str, Any]:
        """See `Document`."""
        own = {name: getattr(self, name) for name in ("number", "state", "reason", "order", "seconds", "time")}
        lists = {"told": None if self.told is None else list(self.told), "rungs": list(self.rungs)}
        return {FORMAT: self.FORMAT, "scores": without_nan(self.scores)} | own | lists | self.extra


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What was decided of a trial at a rung, by its worker.

    Attributes:
        key: the trial's.
        value: its progress, lower is better; None if it is not finite.
        beside: how many other values the worker saw at this rung.
        go_on: whether it went on.
        extra: fields that this version does not know.
    """

    FORMAT: ClassVar[int] = 1

    key: str
    value: float | None
    beside: int
    go_on: bool
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """See `Document`."""
        fields = Fields(value)
        fields.take_or(FORMAT, int, 0)
        return cls(
            key=fields.take("key", str),
            value=fields.take_or("value", float, None),
            beside=fields.take("beside", int),
            go_on=fields.take("go_on", bool),
            extra=fields.rest,
        )

    def to_json(self) -> dict[str, Any]:
        """See `Document`."""
        own = {name: getattr(self, name) for name in ("key", "value", "beside", "go_on")}
        return {FORMAT: self.FORMAT} | own | self.extra


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """The proposals that are run again on fresh blocks, fixed when the search had spent its budget.

    Attributes:
        numbers: the proposals', the best first. Those of an earlier, smaller budget stay among them.
        extra: fields that this version does not know.
    """

    FORMAT: ClassVar[int] = 1

    numbers: tuple[int, ...]
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """See `Document`."""
        fields = Fields(value)
        fields.take_or(FORMAT, int, 0)
        return cls(numbers=fields.sequence("numbers", int), extra=fields.rest)

    def to_json(self) -> dict[str, Any]:
        """See `Document`."""
        return {FORMAT: self.FORMAT, "numbers": list(self.numbers)} | self.extra


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What is known of a search as a whole once it has spent its budget; it can be made again from the other files.

    Only the search knows Optuna, so importance is kept here for those who analyse. A search is over if its conclusion
    has the plan's budget and as many proposals as there are: a space may be exhausted, and hours spent, before that
    shows in the proposals.

    Attributes:
        budget: the limits that were reached, as a plan has them.
        proposals: how many there were.
        importance: the share of each field by PED-ANOVA, largest first; empty if too few proposals have finished.
        extra: fields that this version does not know.
    """

    FORMAT: ClassVar[int] = 1

    budget: dict[str, Any]
    proposals: int
    importance: dict[str, float] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """See `Document`."""
        fields = Fields(value)
        fields.take_or(FORMAT, int, 0)
        shares = fields.table("importance", float, {})  # JSON has sorted their names
        return cls(
            budget=fields.table("budget", object),
            proposals=fields.take("proposals", int),
            importance=dict(sorted(shares.items(), key=lambda share: -share[1])),
            extra=fields.rest,
        )

    def covers(self, budget: dict[str, Any], proposals: int) -> bool:
        """Whether a search with this budget, which has made so many proposals, is over by it."""
        return (self.budget, self.proposals) == (budget, proposals)

    def to_json(self) -> dict[str, Any]:
        """See `Document`."""
        own = {name: getattr(self, name) for name in ("budget", "proposals", "importance")}
        return {FORMAT: self.FORMAT} | own | self.extra


@dataclass(frozen=True, kw_only=True)
class SearchSession(FlatDocument):
    """A stretch of time in which a search ran: when it began, and when it was last known to run, since 1970."""

    began: float
    last: float


class SearchFiles:
    """The files of a search, in the folder of its edition.

    Attributes:
        damage: what is wrong with each damaged file that was read, by name.
    """

    def __init__(self, storage: Storage, folder: str, notes_newer: bool = False) -> None:
        self.storage, self.folder = storage, folder
        self._documents = Documents(storage, notes_newer)
        self.damage = self._documents.damage

    def proposals(self) -> list[Proposal]:
        """All proposals by number."""
        found = (self.proposal(number) for number in self._numbers("proposals"))
        return sorted((proposal for proposal in found if proposal), key=lambda proposal: proposal.number)

    def proposal(self, number: int) -> Proposal | None:
        """The proposal of that number; None if there is none, or if its file is damaged."""
        return self._documents.read(self._name("proposals", number), Proposal)

    def ends(self) -> dict[int, End]:
        """All ends by the number of their proposal, in the order in which they were told."""
        found = (self.end(number) for number in self._numbers("ends"))
        return {end.number: end for end in sorted((end for end in found if end), key=lambda end: end.order)}

    def ended(self) -> int:
        """How many ends there are; none is read."""
        return len(self._numbers("ends"))

    def end(self, number: int) -> End | None:
        """How the proposal of that number ended; None if it has not, or if the file is damaged."""
        return self._documents.read(self._name("ends", number), End)

    def open_proposals(self) -> list[Proposal]:
        """The proposals whose trials have not ended."""
        ends = set(self._numbers("ends"))
        return [proposal for proposal in self.proposals() if proposal.number not in ends]

    def has_proposal(self, number: int) -> bool:
        """Whether there is a proposal of that number, damaged or not."""
        return self.storage.exists(self._name("proposals", number))

    def _numbers(self, kind: str) -> list[int]:
        names = self.storage.names(f"{self.folder}/search/{kind}")
        return [int(name.removesuffix(".json")) for name in names if re.fullmatch(r"\d{5,}\.json", name)]

    def _name(self, kind: str, number: int) -> str:
        return f"{self.folder}/search/{kind}/{number:05}.json"

    def put(self, document: Proposal | End) -> None:
        """Write a proposal or an end, once."""
        kind = "proposals" if isinstance(document, Proposal) else "ends"
        self._documents.write(self._name(kind, document.number), document)

    def decision(self, rung: int, key: str) -> Decision | None:
        """What was decided of a trial at a rung; None if it has not come there."""
        return self._documents.read(f"{self._rung(rung)}/{key}.json", Decision)

    def decisions(self, rung: int, but: frozenset[str] | set[str] = frozenset()) -> list[Decision]:
        """All decisions at a rung, except those of the trials `but`."""
        keys = [name.removesuffix(".json") for name in self.storage.names(self._rung(rung))]
        found = (self.decision(rung, key) for key in keys if key not in but)
        return [decision for decision in found if decision]

    def put_decision(self, rung: int, decision: Decision) -> None:
        """Write a decision, before it is obeyed."""
        self._documents.write(f"{self._rung(rung)}/{decision.key}.json", decision)

    def _rung(self, rung: int) -> str:
        return f"{self.folder}/search/rungs/{rung}"

    def confirmation(self) -> Confirmation | None:
        """What was chosen for confirmation; None if the search has not come there."""
        return self._documents.read(f"{self.folder}/confirmation.json", Confirmation)

    def put_confirmation(self, confirmation: Confirmation) -> None:
        """Write what is confirmed; a larger budget, or more to be confirmed, adds to it."""
        self._documents.write(f"{self.folder}/confirmation.json", confirmation)

    def conclusion(self) -> Conclusion | None:
        """What the search came to when it had last spent its budget; None if it has not yet."""
        return self._documents.read(f"{self.folder}/search/conclusion.json", Conclusion)

    def is_over(self, budget: dict[str, Any], proposals: int) -> bool:
        """Whether it is written that a search with this budget, which has made so many proposals, is over."""
        conclusion = self.conclusion()
        return conclusion is not None and conclusion.covers(budget, proposals)

    def put_conclusion(self, conclusion: Conclusion) -> None:
        """Write what the search came to; a larger budget replaces it."""
        self._documents.write(f"{self.folder}/search/conclusion.json", conclusion)

    def sessions(self) -> dict[str, SearchSession]:
        """The stretches of time in which the search ran, by file name."""
        names = self.storage.names(f"{self.folder}/search/sessions")
        found = {name: self._documents.read(f"{self.folder}/search/sessions/{name}", SearchSession) for name in names}
        return {name: session for name, session in found.items() if session}

    def elapsed(self) -> float:
        """How many seconds the search has run, all stretches together."""
        return sum(max(0.0, session.last - session.began) for session in self.sessions().values())

    def put_session(self, name: str, session: SearchSession) -> None:
        """Write how long this run of the search has lasted."""
        self._documents.write(f"{self.folder}/search/sessions/{name}", session)


class SearchHistory:
    """The proposals and ends of a search as they come, each read once, because none ever changes.

    Attributes:
        files: of the search.
        proposals: by number, in their order.
        ends: by the number of their proposal, in the order in which they were told.
    """

    def __init__(self, files: SearchFiles) -> None:
        self.files = files
        self.proposals: dict[int, Proposal] = {}
        self.ends: dict[int, End] = {}

    def update(self) -> None:
        """Read what has come since; nothing is listed but the first time, because there may be thousands."""
        if not self.proposals:
            self.ends = self.files.ends()  # first, because a proposal is there before its end
            self.proposals = {proposal.number: proposal for proposal in self.files.proposals()}
            return
        number = max(self.proposals) + 1
        while proposal := self.files.proposal(number) or self.files.has_proposal(number):
            if isinstance(proposal, Proposal):
                self.proposals[number] = proposal
            number += 1
        found = [end for each in self.proposals.keys() - self.ends.keys() if (end := self.files.end(each))]
        self.ends |= {end.number: end for end in sorted(found, key=lambda end: end.order)}
