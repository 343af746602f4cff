"""Ballots: the answers of a listening test, each written at once and never changed.

Under the edition's folder: `listening/<protocol>/plan.json`, written before anything is heard; and for each session a
folder `sessions/<id>/` with `session.json`, `000.json` and so on (a ballot each), and `withdrawn.json` if the listener
wants to be left out.
"""

import re
import secrets
import time
from dataclasses import dataclass

from musiclab.design.listening import TRAINING
from musiclab.errors import UserError
from musiclab.storage.ballot_documents import (
    VIA,
    Ballot,
    ListeningPlan,
    Session,
    Withdrawal,
    is_session_id,
    wrong_answer,
)
from musiclab.storage.documents import OTHER_FORM, Documents, NewerFormat
from musiclab.storage.files import Storage

_NOT_ASKED = "it is no answer to what its session's plan has there"


class BallotRefused(UserError):
    """A ballot, a session or a withdrawal that cannot be taken; nothing was written."""


@dataclass(frozen=True)
class SessionBallots:
    """A session with its answers.

    Attributes:
        session: what is known of it.
        ballots: by the number of the presentation, in order.
        withdrawn: whether the listener has withdrawn it.
    """

    session: Session
    ballots: dict[int, Ballot]
    withdrawn: bool = False


def listening_folder(edition: str, protocol: str) -> str:
    """The folder of a listening test in the folder of an edition, `studies/<study>/<edition>`."""
    return f"{edition}/listening/{protocol}"


class Ballots:
    """The plan and the answers of one listening test.

    Attributes:
        folder: see `listening_folder`.
        damage: what is wrong with each damaged file that was read, by name.
        newer: the documents of a newer format that were read, by name, if they are noted and not raised.
    """

    def __init__(self, storage: Storage, folder: str, notes_newer: bool = False) -> None:
        self.storage, self.folder = storage, folder
        self._documents = Documents(storage, notes_newer)
        self.damage: dict[str, str] = self._documents.damage
        self.newer: dict[str, NewerFormat] = self._documents.newer
        self._plan: ListeningPlan | None = None

    def plan(self) -> ListeningPlan | None:
        """What was fixed; None if there is no test yet, or if its file is damaged."""
        if self._plan is None:  # it never changes
            self._plan = self._documents.read(f"{self.folder}/plan.json", ListeningPlan)
        return self._plan

    def put_plan(self, plan: ListeningPlan) -> ListeningPlan:
        """Fix a test, and return it as it is kept: the same test may be fixed again.

        Raises:
            UserError: another test is fixed there already, or the file is damaged; nothing is changed.
        """
        name = f"{self.folder}/plan.json"
        self._documents.write_new(name, plan)
        kept = self.plan()
        if kept is None:
            reason = self.damage.get(name, OTHER_FORM)
            raise UserError(f"{self.storage.path(name)} is damaged ({reason}); restore it from a copy.", exit_code=1)
        if kept.key != plan.key:
            ours, theirs = plan.test.to_json(), kept.test.to_json()
            fields = [field for field, value in ours.items() if theirs[field] != value] or ["study or edition"]
            raise UserError(
                f"{self.storage.path(name)} fixes a listening test with other {', '.join(fields)}, and a test never "
                "changes once it has begun; go on with that one, or use another storage for another test."
            )
        return kept

    def open_session(self, training: str = TRAINING[0], via: str = VIA[0], simulated: bool = False) -> Session:
        """Begin a session under a random id; its number is the first that is free.

        Raises:
            BallotRefused: a value is none of those that are possible, or there is no plan.
        """
        numbers = {session.number for id in self._ids() if (session := self._session(id))}
        number = next(number for number in range(len(numbers) + 1) if number not in numbers)
        try:
            session = Session(
                id=secrets.token_hex(16),
                number=number,
                plan=self._known_plan().key,
                began=time.time(),
                training=training,
                via=via,
                simulated=simulated,
            )
        except ValueError as error:
            raise BallotRefused(f"The session cannot begin: {error}.") from None
        self.put_session(session)
        return session

    def put_session(self, session: Session) -> None:
        """Write a session, once. The very same one may be written again, such as from a file that is read twice.

        Raises:
            BallotRefused: it belongs to another plan, or there is another session of that id.
        """
        if session.plan != self._known_plan().key:
            raise BallotRefused("The session belongs to another listening test, so its answers cannot be counted here.")
        if not self._documents.write_new(self._name(session.id, "session"), session):
            kept = self._session(session.id)
            if kept is None or kept.to_json() != session.to_json():
                raise BallotRefused(f"There is another session of the id {session.id} already; it stays as it is.")

    def put(self, ballot: Ballot) -> None:
        """Write an answer at once; it is kept when this returns. The very same answer may be given again.

        Answers come in the order of the session's plan. Where the file of an answer is damaged, the answer may be given
        once more.

        Raises:
            BallotRefused: it is no answer to what the session's plan has there, it comes out of order or against
                another answer, or the session is unknown or withdrawn.
            StorageFailed: the storage cannot be written to.
        """
        session, number = self._open(ballot.session), ballot.number
        plan = self._known_plan()
        asked = plan.session_plan(session.number)
        if not 0 <= number < len(asked):
            raise BallotRefused(f"number must be from 0 to {len(asked) - 1}; got {number}.")
        if ballot.shown != asked[number]:
            raise BallotRefused(f"The answer is to something else than what the session's plan has at {number}.")
        if wrong := wrong_answer(plan.test, ballot.answer):
            raise BallotRefused(wrong)
        if missing := set(range(number)) - set(self._numbers(session.id)):
            raise BallotRefused(f"Presentation {min(missing)} of this session comes before {number} and has no answer.")
        name = self._name(session.id, f"{number:03}")
        if self._documents.write_new(name, ballot):
            return
        kept = self._ballot(session.id, number)
        if kept is None:
            self._documents.write(name, ballot)  # the file there is damaged
        elif kept.answer != ballot.answer:
            raise BallotRefused(f"Presentation {number} of this session has an answer already; no answer is changed.")

    def withdraw(self, session: str) -> None:
        """Take a session out of all counts, for ever; BallotRefused if there is no such session."""
        if not self._has(session):
            raise BallotRefused(_unknown(session))
        self._documents.write_new(self._name(session, "withdrawn"), Withdrawal(session=session, time=time.time()))

    def sessions(self) -> list[SessionBallots]:
        """All sessions that have begun, with their answers, in the order in which they began."""
        found = map(self.session, self._ids())
        return sorted((each for each in found if each), key=lambda each: (each.session.began, each.session.id))

    def session(self, id: str) -> SessionBallots | None:
        """A session with its answers; None if there is none of that id, or if what tells of it is damaged."""
        session = self._session(id) if is_session_id(id) else None
        plan = self.plan()
        if session is None or plan is None:
            return None
        asked = plan.session_plan(session.number)
        ballots = {}
        for number in self._numbers(id):
            ballot = self._ballot(id, number)
            if ballot is None:
                continue
            if number < len(asked) and ballot.shown == asked[number] and not wrong_answer(plan.test, ballot.answer):
                ballots[number] = ballot
            else:
                self.damage[self._name(id, f"{number:03}")] = _NOT_ASKED
        return SessionBallots(session, ballots, self._is_withdrawn(id))

    def _open(self, id: str) -> Session:
        """A session that takes answers; BallotRefused if it is none."""
        session = self._session(id) if is_session_id(id) else None
        if session is None:
            raise BallotRefused(_unknown(id))
        if self._is_withdrawn(id):
            raise BallotRefused("This session was withdrawn, so it takes no more answers.")
        return session

    def _known_plan(self) -> ListeningPlan:
        plan = self.plan()
        if plan is None:
            raise BallotRefused(f"{self.storage.path(self.folder)} has no plan of a listening test that can be read.")
        return plan

    def _ids(self) -> list[str]:
        return [name for name in self.storage.names(f"{self.folder}/sessions") if is_session_id(name)]

    def _session(self, id: str) -> Session | None:
        """What is known of a session; None if there is none, if it is damaged or if it belongs to another plan."""
        name, plan = self._name(id, "session"), self.plan()
        session = self._documents.read(name, Session)
        if session and (session.id != id or (plan and session.plan != plan.key)):
            self.damage[name] = "it belongs to another session or to another plan"
            return None
        return session

    def _ballot(self, id: str, number: int) -> Ballot | None:
        name = self._name(id, f"{number:03}")
        ballot = self._documents.read(name, Ballot)
        if ballot and (ballot.session != id or ballot.number != number):
            self.damage[name] = _NOT_ASKED
            return None
        return ballot

    def _numbers(self, id: str) -> list[int]:
        """The presentations that have an answer, damaged or not."""
        names = self.storage.names(f"{self.folder}/sessions/{id}")
        return sorted(int(name.removesuffix(".json")) for name in names if re.fullmatch(r"\d{3,}\.json", name))

    def _is_withdrawn(self, id: str) -> bool:
        """Whether a session was withdrawn: its file is there, whatever is in it."""
        if not self.storage.exists(self._name(id, "withdrawn")):
            return False
        self._documents.read(self._name(id, "withdrawn"), Withdrawal)  # to note damage
        return True

    def _has(self, id: str) -> bool:
        return is_session_id(id) and self.storage.exists(self._name(id, "session"))

    def _name(self, id: str, what: str) -> str:
        return f"{self.folder}/sessions/{id}/{what}.json"


def _unknown(id: str) -> str:
    return f"This listening test has no session {id[:40]!r}."
