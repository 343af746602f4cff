"""What lasts of a listening test: its plan, its sessions, their ballots, and who has withdrawn.

None of these documents ever changes once it is written.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from musiclab.design.listening import (
    GRADES,
    HIGHEST,
    LOWEST,
    PAIRS,
    SCALES,
    TRAINING,
    ListeningTest,
    Presentation,
    session_plan,
)
from musiclab.fields import Fields
from musiclab.hashing import content_hash
from musiclab.storage.documents import FORMAT, FlatDocument
from musiclab.wording import listing

Answer = str | dict[str, int]
VIA = ("page", "file")
_ID = re.compile(r"[0-9a-f]{32}")


def is_session_id(value: str) -> bool:
    """Whether it can be the id of a session: 32 hexadecimal digits."""
    return bool(_ID.fullmatch(value))


def wrong_answer(test: ListeningTest, answer: object) -> str:
    """What is wrong with an answer in a test, as a sentence; empty if nothing is."""
    if test.protocol == PAIRS:
        return "" if answer in GRADES else f"answer must be one of {', '.join(GRADES)}; got {str(answer)[:40]!r}."
    values = answer if isinstance(answer, dict) else {}
    if set(values) != set(SCALES) or not all(
        type(value) is int and LOWEST <= value <= HIGHEST for value in values.values()
    ):
        return f"answer must rate {listing(SCALES)}, each by a whole number from {LOWEST} to {HIGHEST}."
    return ""


@dataclass(frozen=True, kw_only=True)
class ListeningPlan:
    """A listening test of an edition of a study, written before anybody hears anything.

    Attributes:
        study: its name.
        edition: its edition.
        test: all that is fixed.
        began: when it was written, in seconds since 1970.
        extra: fields that this version does not know.
    """

    FORMAT: ClassVar[int] = 1

    study: str
    edition: str
    test: ListeningTest
    began: float
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Names what is fixed, so that answers from elsewhere can be told to belong to it."""
        return content_hash([self.study, self.edition, self.test.to_json()])

    def session_plan(self, number: int) -> tuple[Presentation, ...]:
        """What session `number` hears."""
        return session_plan(self.test, number)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """See `Document`."""
        fields = Fields(value)
        fields.take_or(FORMAT, int, 0)
        return cls(
            study=fields.take("study", str),
            edition=fields.take("edition", str),
            test=ListeningTest.from_json(fields.take("test", dict)),
            began=fields.take("began", float),
            extra=fields.rest,
        )

    def to_json(self) -> dict[str, Any]:
        """See `Document`."""
        own = {name: getattr(self, name) for name in ("study", "edition", "began")}
        return {FORMAT: self.FORMAT, "test": self.test.to_json()} | own | self.extra


@dataclass(frozen=True, kw_only=True)
class Session(FlatDocument):
    """One listener's session. Nothing in it tells who the listener is.

    Attributes:
        id: 32 random hexadecimal digits; who knows them can go on with the session or withdraw it.
        number: from 0; it decides what is heard.
        plan: the key of the plan that it belongs to.
        began: when, in seconds since 1970.
        training: how much musical training the listener has, one of `TRAINING`.
        via: `page`, or `file` if the answers came as a file from elsewhere.
        simulated: whether no person answered.
    """

    id: str
    number: int
    plan: str
    began: float
    training: str = TRAINING[0]
    via: str = VIA[0]
    simulated: bool = False

    def __post_init__(self) -> None:
        if not is_session_id(self.id):
            raise ValueError(f"a session's id must be 32 hexadecimal digits; got {self.id[:40]!r}")
        if self.number < 0:
            raise ValueError(f"a session's number must be at least 0; got {self.number}")
        if self.training not in TRAINING:
            raise ValueError(f"training must be one of {', '.join(TRAINING)}; got {self.training[:40]!r}")
        if self.via not in VIA:
            raise ValueError(f"via must be one of {', '.join(VIA)}; got {self.via[:40]!r}")


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """One answer.

    Attributes:
        session: the session's id.
        number: the index of the presentation in the session's plan.
        answer: one of `GRADES`, or a rating on each of `SCALES`.
        seconds: how long after it was shown.
        time: when it was given, in seconds since 1970.
        shown: what was heard.
        extra: fields that this version does not know.
    """

    FORMAT: ClassVar[int] = 1

    session: str
    number: int
    answer: Answer
    seconds: float
    time: float
    shown: Presentation
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds >= 0 and math.isfinite(self.time)):
            raise ValueError("seconds and time must be finite, and seconds at least 0")

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """See `Document`."""
        fields = Fields(value)
        fields.take_or(FORMAT, int, 0)
        answer = fields.take("answer", object)
        if not isinstance(answer, str):
            answer = Fields({"answer": answer}).table("answer", int)
        return cls(
            session=fields.take("session", str),
            number=fields.take("number", int),
            answer=answer,
            seconds=fields.take("seconds", float),
            time=fields.take("time", float),
            shown=Presentation.from_json(fields.take("shown", dict)),
            extra=fields.rest,
        )

    def to_json(self) -> dict[str, Any]:
        """See `Document`."""
        own = {name: getattr(self, name) for name in ("session", "number", "answer", "seconds", "time")}
        return {FORMAT: self.FORMAT, "shown": self.shown.to_json()} | own | self.extra


@dataclass(frozen=True, kw_only=True)
class Withdrawal(FlatDocument):
    """A listener's wish that the session be left out of all counts.

    Attributes:
        session: the session's id.
        time: when, in seconds since 1970.
    """

    session: str
    time: float
