"""Sessions of simulated listeners for tests of the analysis, without a storage."""

from collections.abc import Callable, Sequence

import numpy as np

from musiclab.analysis.votes import Votes
from musiclab.design.listening import Presentation
from musiclab.storage.ballot_documents import Answer, ListeningPlan, Session
from musiclab.storage.ballots import SessionBallots
from tests.support.made_listening import made_ballot


def heard(
    plan: ListeningPlan, answer: Callable[[Presentation], Answer], number: int = 0, **fields: bool
) -> SessionBallots:
    """A session that answers everything; `fields` are `withdrawn` and `simulated` (true unless it is said)."""
    session = Session(
        id=f"{number:032x}", number=number, plan=plan.key, began=float(number),
        simulated=fields.get("simulated", True),
    )  # fmt: skip
    asked = plan.session_plan(number)
    ballots = {index: made_ballot(plan, session, index, answer(shown)) for index, shown in enumerate(asked)}
    return SessionBallots(session, ballots, fields.get("withdrawn", False))


def prefers(order: Sequence[int]) -> Callable[[Presentation], Answer]:
    """Answers of a listener who always finds those better that come earlier in `order`, and all others equal."""
    rank = {condition: at for at, condition in enumerate(order)}

    def answer(shown: Presentation) -> Answer:
        assert shown.second is not None
        a, b = (rank.get(index, len(order)) for index in (shown.first, shown.second))
        return "equal" if a == b else "a_slightly" if a < b else "b_much"

    return answer


def votes_of(rows: Sequence[tuple[int, int, int, int, float]]) -> Votes:
    """Votes by listener, block, first, second and what the first won."""
    table = np.array(rows, float)
    listener, block, first, second = table[:, :4].astype(int).T
    return Votes(listener, block, np.ones(len(rows), int), first, second, table[:, 4])
