"""Sessions as listeners go through them: what comes next, under which random names, and their answers as ballots."""

import hashlib
import hmac
import math
import secrets
import threading
import time
from dataclasses import dataclass

from musiclab.dashboards.listening_test.fixed import FixedTest, Heard
from musiclab.design.listening import Presentation
from musiclab.fields import Fields
from musiclab.storage.ballot_documents import Answer, Ballot, Session
from musiclab.storage.ballots import BallotRefused

_MOST_SECONDS = 7 * 24 * 3600.0


class NoSession(BallotRefused):
    """There is no session of that id."""


@dataclass(frozen=True)
class Progress:
    """How far a session has come.

    Attributes:
        session: what is known of it.
        plan: all its presentations.
        number: the first presentation without an answer; the number of presentations at the end.
        withdrawn: whether the listener has withdrawn it.
    """

    session: Session
    plan: tuple[Presentation, ...]
    number: int
    withdrawn: bool

    @property
    def presentation(self) -> Presentation | None:
        """What is to be answered next; None if nothing is."""
        return None if self.withdrawn or self.number == len(self.plan) else self.plan[self.number]


class Sessions:
    """The sessions of one test. Every change is in the storage when a method returns; nothing is kept in memory."""

    def __init__(self, test: FixedTest) -> None:
        self._test = test
        self._lock = threading.Lock()  # two sessions that begin at once get different numbers
        self._secret = secrets.token_bytes(32)

    def begin(self, training: str) -> Session:
        """A new session; BallotRefused if `training` is none of the words there are."""
        with self._lock:
            return self._test.ballots.open_session(training)

    def progress(self, id: str) -> Progress:
        """How far a session has come; NoSession if there is none of that id."""
        kept = self._test.ballots.session(id)
        if kept is None:
            raise NoSession("There is no such session; the link is cut short, or it belongs to another listening test.")
        plan = self._test.plan.session_plan(kept.session.number)
        number = next((number for number in range(len(plan)) if number not in kept.ballots), len(plan))
        return Progress(kept.session, plan, number, kept.withdrawn)

    def names(self, progress: Progress) -> dict[str, str]:
        """Names for the sounds of the next presentation, by what a listener calls them; `heard` gives them back.

        They are random for each session and presentation, so that no name tells what it stands for.
        """
        if progress.presentation is None:
            return {}
        return {role: self._name(progress, role) for role in self._test.of(progress.presentation)}

    def heard(self, progress: Progress, name: str) -> Heard | None:
        """What a name of the next presentation stands for; None if it is no such name."""
        if progress.presentation is None:
            return None
        for role, heard in self._test.of(progress.presentation).items():
            if hmac.compare_digest(self._name(progress, role).encode(), name.encode(errors="replace")):
                return heard
        return None

    def answer(self, id: str, fields: Fields) -> Presentation:
        """Keep an answer, given as `number`, `answer` and `seconds`; returns what it answers.

        Raises:
            NoSession: there is no such session.
            BallotRefused: it is no answer that the session takes now.
            ValueError: the fields are not of the right types; the text says which.
        """
        progress = self.progress(id)
        number, seconds = fields.take("number", int), fields.take("seconds", float)
        answer = answer_of(fields)
        if not (math.isfinite(seconds) and 0 <= seconds <= _MOST_SECONDS):
            raise ValueError(f"'seconds' must be from 0 to {_MOST_SECONDS:,.0f}")
        if not 0 <= number < len(progress.plan):
            raise BallotRefused(f"number must be from 0 to {len(progress.plan) - 1}.")
        shown = progress.plan[number]
        ballot = Ballot(session=id, number=number, answer=answer, seconds=float(seconds), time=time.time(), shown=shown)
        with self._lock:
            self._test.ballots.put(ballot)
        return shown

    def withdraw(self, id: str) -> None:
        """Take a session out of all counts; NoSession if there is none."""
        self.progress(id)
        self._test.ballots.withdraw(id)

    def _name(self, progress: Progress, role: str) -> str:
        text = f"{progress.session.id} {progress.number} {role}"
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()[:32]


def answer_of(fields: Fields) -> Answer:
    """The field `answer`: a text, or whole numbers by scale; ValueError if it is neither."""
    answer = fields.take("answer", object)
    return answer if isinstance(answer, str) else Fields({"answer": answer}).table("answer", int)
