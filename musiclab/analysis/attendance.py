"""Who was heard in a listening test: which sessions count, which do not and why, and how consistent the others are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from musiclab.design.listening import (
    GRADES,
    PAIR,
    PAIRS,
    PIECE,
    REAL,
    REPEAT,
    SCALES,
    SHUFFLED,
    ListeningTest,
    Presentation,
)
from musiclab.storage.ballot_documents import Answer, Ballot
from musiclab.storage.ballots import SessionBallots

Reason = Literal["withdrawn", "simulated", "few answers", "floor over ceiling", "contradictions"]
_SIDES = {grade: GRADES.index(grade) - GRADES.index("equal") for grade in GRADES}  # below 0 is A
_FAR = 2  # ratings of one piece that differ by so much contradict each other


@dataclass(frozen=True)
class Excluded:
    """A session that does not count.

    Attributes:
        session: its id.
        reason: the first rule that applies, in the order of `Reason`.
        count: how many answers speak against it: of the floor above the ceiling, of contradictions, or all there are.
        of: out of how many; or how many answers it should have at least.
    """

    session: str
    reason: Reason
    count: int = 0
    of: int = 0


@dataclass(frozen=True)
class Attendance:
    """The sessions of a listening test.

    Attributes:
        counted: the sessions that count.
        excluded: those that do not.
        simulated: whether those that count are simulated listeners; they never count beside people.
        answers: how many answers count, without warm-ups and repeats.
        repeats: how many repeats the sessions that count have answered.
        alike: how many of these were answered alike: the same condition preferred, or none both times; or both ratings
            of a scale at most 1 apart, where each scale is one of the repeats.
    """

    counted: tuple[SessionBallots, ...]
    excluded: tuple[Excluded, ...]
    simulated: bool
    answers: int
    repeats: int
    alike: int

    @property
    def consistency(self) -> float:
        """The share of repeats that were answered alike; NaN if there are none."""
        return self.alike / self.repeats if self.repeats else float("nan")


def attendance(test: ListeningTest, sessions: Sequence[SessionBallots]) -> Attendance:
    """Apply the test's exclusions, which were fixed before anybody answered.

    A withdrawn session never counts. Simulated ones count only if no person has taken part.
    """
    people = any(not each.session.simulated and not each.withdrawn for each in sessions)
    counted, excluded, repeats = [], [], []
    for each in sessions:
        differences = _repeats(each)
        if why := _excluded(test, each, people, differences):
            excluded.append(why)
        else:
            counted.append(each)
            repeats.append(differences)
    return Attendance(
        counted=tuple(counted),
        excluded=tuple(excluded),
        simulated=any(each.session.simulated for each in counted),
        answers=sum(len(counted_ballots(each)) for each in counted),
        repeats=sum(len(differences) for differences in repeats),
        alike=sum(difference == 0 for differences in repeats for difference in differences),
    )


def counted_ballots(session: SessionBallots) -> list[Ballot]:
    """The answers of a session that count if it does: no warm-ups and no repeats."""
    return [ballot for ballot in session.ballots.values() if ballot.shown.kind in (PAIR, PIECE)]


def preferred(ballot: Ballot) -> int | None:
    """The index of the condition that an answer to a pair prefers, much or slightly; None if they are equal."""
    side = _SIDES[str(ballot.answer)]
    return ballot.shown.first if side < 0 else ballot.shown.second if side > 0 else None


def ratings(answer: Answer) -> dict[str, int]:
    """The ratings of a piece by scale."""
    if isinstance(answer, str):
        raise ValueError(f"{answer!r} rates nothing")
    return answer


def _excluded(
    test: ListeningTest, session: SessionBallots, people: bool, differences: Sequence[int]
) -> Excluded | None:
    """Why a session with such differences between repeats and first answers does not count; None if it does."""
    rules, id = test.exclusions, session.session.id
    if session.withdrawn:
        return Excluded(id, "withdrawn")
    if session.session.simulated and people:
        return Excluded(id, "simulated")
    answers = len(counted_ballots(session))
    if answers < rules.least_answers:
        return Excluded(id, "few answers", answers, rules.least_answers)
    count, of, checks = _floor_over_ceiling(test, session)
    if checks >= rules.least_checks and count > rules.floor_over_ceiling * of:
        return Excluded(id, "floor over ceiling", count, of)
    far = sum(difference >= _FAR for difference in differences)
    repeats = sum(ballot.shown.kind == REPEAT for ballot in session.ballots.values())
    if repeats >= rules.least_checks and far > rules.contradictions * len(differences):
        return Excluded(id, "contradictions", far, len(differences))
    return None


def _floor_over_ceiling(test: ListeningTest, session: SessionBallots) -> tuple[int, int, int]:
    """How often a session puts the floor above the ceiling, out of how often, and how many answers that rests on."""
    kinds = [condition.kind for condition in test.conditions]
    if test.protocol == PAIRS:
        ends = {index for index, kind in enumerate(kinds) if kind in (REAL, SHUFFLED)}
        checks = [ballot for ballot in counted_ballots(session)
                  if ballot.shown.first in ends and ballot.shown.second in ends]  # fmt: skip
        wrong = [ballot for ballot in checks if (one := preferred(ballot)) is not None and kinds[one] == SHUFFLED]
        return len(wrong), len(checks), len(checks)
    pieces = {
        kind: [ratings(ballot.answer) for ballot in counted_ballots(session) if kinds[ballot.shown.first] == kind]
        for kind in (REAL, SHUFFLED)
    }
    fewest = min(map(len, pieces.values()))
    if not fewest:
        return 0, 0, 0
    means = {kind: {scale: sum(each[scale] for each in rated) / len(rated) for scale in SCALES}
             for kind, rated in pieces.items()}  # fmt: skip
    return sum(means[SHUFFLED][scale] > means[REAL][scale] for scale in SCALES), len(SCALES), fewest


def _repeats(session: SessionBallots) -> list[int]:
    """How far answers to repeats are from the first ones: 0 is alike, `_FAR` a contradiction, 1 is neither.

    Pairs: alike if the same condition or none was preferred both times, a contradiction if another one was. Each scale
    of a rating is a repeat of its own: alike if both ratings are at most 1 apart, a contradiction otherwise.
    """
    repeats = [ballot for ballot in session.ballots.values() if ballot.shown.kind == REPEAT]
    places = {ballot.shown.place for ballot in repeats}
    first = {_what(ballot.shown): ballot for ballot in counted_ballots(session) if ballot.shown.place in places}
    distances: list[int] = []
    for ballot in repeats:
        earlier = first.get(_what(ballot.shown))
        if earlier is None:
            continue
        if ballot.shown.second is None:
            before, now = ratings(earlier.answer), ratings(ballot.answer)
            distances += [_FAR * (abs(before[scale] - now[scale]) >= _FAR) for scale in SCALES]
        else:
            winners = [preferred(earlier), preferred(ballot)]
            distances.append(0 if winners[0] == winners[1] else 1 if None in winners else _FAR)
    return distances


def _what(shown: Presentation) -> tuple[object, ...]:
    """What was heard, whichever came first."""
    return (shown.place, frozenset((shown.first, shown.second)))
