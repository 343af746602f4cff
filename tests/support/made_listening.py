"""Listening tests for tests: made-up plans, and ballots that no person gave (their sessions say `simulated`)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from musiclab.design.listening import CEILING, FLOOR, Condition, ListeningTest, Place, Presentation
from musiclab.storage.ballot_documents import Answer, Ballot, ListeningPlan, Session
from musiclab.storage.ballots import Ballots, listening_folder
from musiclab.storage.files import Storage

EDITION = "studies/q/e"
_PLACES = tuple(Place(block, start) for block in range(3) for start in (1, 2))


def made_test(variants: int = 2, **fields: Any) -> ListeningTest:
    """A test of variants `v0` (the control of all), `v1` and so on, at six places unless others are given."""
    names = [f"v{index}" for index in range(variants)]
    conditions = (*map(Condition, names), CEILING, FLOOR)
    given: dict[str, Any] = {"protocol": "pairs", "question": "Which is better?", "places": _PLACES,
                             "controls": dict.fromkeys(names, "v0")}  # fmt: skip
    return ListeningTest(conditions=conditions, **(given | fields))


def made_plan(test: ListeningTest, study: str = "q", edition: str = "e") -> ListeningPlan:
    """The plan of a test."""
    return ListeningPlan(study=study, edition=edition, test=test, began=100.0)


def made_ballots(folder: Path, test: ListeningTest, edition: str = EDITION) -> Ballots:
    """Ballots of a test of an edition, in a storage at the folder; nobody has answered yet."""
    ballots = Ballots(Storage(str(folder)), listening_folder(edition, test.protocol))
    ballots.put_plan(made_plan(test))
    return ballots


def made_ballot(plan: ListeningPlan, session: Session, number: int, answer: Answer, **fields: Any) -> Ballot:
    """An answer to what the session's plan has at `number`."""
    shown = plan.session_plan(session.number)[number]
    given: dict[str, Any] = {"session": session.id, "number": number, "seconds": 12.5, "time": 200.0, "shown": shown}
    return Ballot(answer=answer, **(given | fields))


def answer_all(ballots: Ballots, answer: Callable[[Presentation], Answer], sessions: int = 1) -> list[Session]:
    """Let simulated listeners answer everything."""
    plan = ballots.plan()
    assert plan
    opened = [ballots.open_session(simulated=True) for _ in range(sessions)]
    for session in opened:
        for number, shown in enumerate(plan.session_plan(session.number)):
            ballots.put(made_ballot(plan, session, number, answer(shown)))
    return opened
