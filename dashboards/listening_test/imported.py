"""Answers that come as a file from elsewhere. They are taken as if an enemy had written them, and each counts once."""

import json
import math
from pathlib import Path

from musiclab.dashboards.listening_test.fixed import FixedTest
from musiclab.dashboards.listening_test.sessions import answer_of
from musiclab.errors import UserError
from musiclab.fields import Fields
from musiclab.storage.ballot_documents import Ballot, Session, is_session_id, wrong_answer
from musiclab.storage.ballots import BallotRefused
from musiclab.wording import counted

LARGEST_FILE = 1 << 20  # bytes; a whole session has about 5 kB
FILE_FORMAT = 1
# Sessions in files have numbers from here on, those in pages have lower ones, so that they hear different draws.
FIRST_NUMBER, NUMBERS = 100_000, 64
_YEAR_2000, _YEAR_2200 = 946_684_800.0, 7_258_118_400.0


def import_file(test: FixedTest, file: Path) -> str:
    """Take in a file's session and answers; returns what was taken, in words. The same file again changes nothing.

    Raises:
        UserError: the file is not what an offline test saves, or its answers belong elsewhere; nothing was taken. Or
            the session has other answers already; what is there stays.
    """
    saved = _read(file)
    try:
        session, ballots, withdrawn = _parsed(test, saved)
    except ValueError as error:
        raise UserError(f"it is no file of answers to this test: {error}.") from None
    kept = test.ballots.session(session.id)
    known = set(kept.ballots) if kept else set()
    if kept is None:
        test.ballots.put_session(session)
    elif kept.session.to_json() != session.to_json():
        raise BallotRefused(f"There is another session of the id {session.id} already; it stays as it is.")
    if kept is None or not kept.withdrawn:
        for ballot in ballots:
            test.ballots.put(ballot)
    if withdrawn:
        test.ballots.withdraw(session.id)
    if withdrawn or (kept and kept.withdrawn):
        return f"session {session.id} is withdrawn, so its answers do not count"
    new = sum(ballot.number not in known for ballot in ballots)
    return f"session {session.id} has {counted(len(ballots), 'answer')}, {new} of them new"


def _read(file: Path) -> Fields:
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise UserError(f"it is larger than {LARGEST_FILE:,} bytes, so it is no file of answers.")
        return Fields(json.loads(file.read_bytes()))
    except OSError as error:
        raise UserError(f"it cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError):  # text that is no UTF-8, too
        raise UserError("it is no JSON object, so it is no file of answers.") from None


def _parsed(test: FixedTest, saved: Fields) -> tuple[Session, list[Ballot], bool]:
    """What a file says, checked; ValueError if it makes no sense or belongs to another test."""
    if saved.take("format", int) != FILE_FORMAT:
        raise ValueError(f"'format' must be {FILE_FORMAT}")
    key = test.plan.key
    if saved.take("plan", str) != key:
        raise ValueError("it was saved by another listening test")
    told = Fields(saved.take("session", dict))
    id, number = told.take("id", str), told.take("number", int)
    if not is_session_id(id):
        raise ValueError("the session's 'id' must be 32 hexadecimal digits")
    if not FIRST_NUMBER <= number < FIRST_NUMBER + NUMBERS:
        raise ValueError("the session's 'number' must be one that such files have")
    began = _time(told.take("began", float))
    session = Session(id=id, number=number, plan=key, began=began, training=told.take("training", str), via="file")
    plan = test.plan.session_plan(number)
    answers = saved.take("answers", list)
    if len(answers) > len(plan):
        raise ValueError(f"there are more than {len(plan)} answers")
    ballots = []
    for index, each in enumerate(answers):
        fields = Fields(each)
        if fields.take("number", int) != index:
            raise ValueError("the answers must be in the order of the test, without gaps")
        answer, seconds = answer_of(fields), float(fields.take("seconds", float))
        if reason := wrong_answer(test.plan.test, answer):
            raise ValueError(reason.rstrip("."))
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError("'seconds' must be at least 0")
        time = _time(fields.take("time", float))
        ballots.append(Ballot(session=id, number=index, answer=answer, seconds=seconds, time=time, shown=plan[index]))
    return session, ballots, saved.take_or("withdrawn", bool, False)


def _time(value: float) -> float:
    if not _YEAR_2000 <= value <= _YEAR_2200:
        raise ValueError("times must be seconds since 1970")
    return float(value)
