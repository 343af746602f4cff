"""Ballots: each is kept once and never changed, whatever is sent, and whatever happens to the one who writes."""

import dataclasses
import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from musiclab.design.listening import RATINGS, SCALES, Place, Presentation
from musiclab.errors import UserError
from musiclab.storage.ballot_documents import Ballot, Session
from musiclab.storage.ballots import BallotRefused, Ballots
from musiclab.storage.documents import NewerFormat, verified, with_checksum
from musiclab.storage.files import HALF, Storage, StorageFailed
from tests.support.made_listening import answer_all, made_ballot, made_ballots, made_plan, made_test

ROOT = Path(__file__).parents[2]
TEST = made_test(warm_ups=1, presentations=6, repeats=1)
PLAN = made_plan(TEST)


@pytest.fixture
def ballots(tmp_path: Path) -> Ballots:
    """Ballots of a test that nobody has answered."""
    return made_ballots(tmp_path, TEST)


@pytest.fixture
def session(ballots: Ballots) -> Session:
    """A session that has answered number 0."""
    opened = ballots.open_session(training="amateur", simulated=True)
    ballots.put(made_ballot(PLAN, opened, 0, "a_much"))
    return opened


def _files(ballots: Ballots) -> dict[str, bytes]:
    storage = ballots.storage
    return {name: storage.read(name) for name in storage.files(ballots.folder)}


def _path(ballots: Ballots, session: Session, what: str) -> Path:
    return Path(ballots.storage.path(f"{ballots.folder}/sessions/{session.id}/{what}.json"))


def test_what_is_put_is_read_again(ballots: Ballots, session: Session) -> None:
    ballots.put(made_ballot(PLAN, session, 1, "equal", seconds=3.25))
    (kept,) = Ballots(ballots.storage, ballots.folder).sessions()
    assert kept.session == session
    assert [ballot.answer for ballot in kept.ballots.values()] == ["a_much", "equal"]
    assert kept.ballots[1].seconds == 3.25
    assert kept.ballots[1].shown == PLAN.session_plan(0)[1]
    assert not kept.withdrawn
    assert not ballots.damage


def test_ratings_are_kept_by_scale(tmp_path: Path) -> None:
    test = made_test(protocol=RATINGS, presentations=3, repeats=0)
    ballots = made_ballots(tmp_path, test)
    rating = dict(zip(SCALES, (1, 3, 5, 2), strict=True))
    answer_all(ballots, lambda _: rating)
    (kept,) = ballots.sessions()
    assert [ballot.answer for ballot in kept.ballots.values()] == [rating] * test.length


def test_an_answer_that_is_sent_twice_is_there_once(ballots: Ballots, session: Session) -> None:
    before = _files(ballots)
    ballots.put(made_ballot(PLAN, session, 0, "a_much", time=999.0))
    assert _files(ballots) == before


def _shown_elsewhere(number: int) -> Presentation:
    return dataclasses.replace(PLAN.session_plan(0)[number], place=Place(9, 9))


@pytest.mark.parametrize(
    ("number", "answer", "fields", "sentence"),
    [
        (0, "b_much", {}, "Presentation 0 of this session has an answer already; no answer is changed."),
        (2, "equal", {}, "Presentation 1 of this session comes before 2 and has no answer."),
        (1, "equal", {"number": 8}, "number must be from 0 to 7; got 8."),
        (1, "equal", {"number": -1}, "number must be from 0 to 7; got -1."),
        (1, "equal", {"shown": _shown_elsewhere(1)}, "is to something else than what the session's plan has at 1."),
        (1, "equal", {"session": "0" * 32}, f"This listening test has no session '{'0' * 32}'."),
        (1, "equal", {"session": "../../plan"}, "This listening test has no session '../../plan'."),
        (1, "best", {}, "answer must be one of a_much, a_slightly, equal, b_slightly, b_much; got 'best'."),
        (1, dict.fromkeys(SCALES, 3), {}, "answer must be one of a_much"),
    ],
)
def test_an_answer_that_cannot_be_counted_is_refused_in_a_sentence(
    ballots: Ballots, session: Session, number: int, answer: Any, fields: dict[str, Any], sentence: str
) -> None:
    before = _files(ballots)
    with pytest.raises(BallotRefused) as error:
        ballots.put(dataclasses.replace(made_ballot(PLAN, session, number, answer), **fields))
    assert sentence in str(error.value)
    assert len(str(error.value)) < 200
    assert _files(ballots) == before


@pytest.mark.parametrize(
    "answer",
    [
        "equal", {}, dict.fromkeys(SCALES, 0), dict.fromkeys(SCALES, 6), dict.fromkeys(SCALES, True),
        dict.fromkeys(SCALES[1:], 3), dict.fromkeys((*SCALES, "taste"), 3),
    ],
)  # fmt: skip
def test_ratings_that_are_none_are_refused_in_a_sentence(tmp_path: Path, answer: Any) -> None:
    test = made_test(protocol=RATINGS)
    ballots = made_ballots(tmp_path, test)
    opened = ballots.open_session(simulated=True)
    with pytest.raises(BallotRefused, match=r"^answer must rate coherence, .*, each by a whole number from 1 to 5\.$"):
        ballots.put(made_ballot(made_plan(test), opened, 0, answer))
    assert ballots.sessions()[0].ballots == {}


def test_a_session_that_was_withdrawn_takes_no_answer_and_stays_withdrawn(ballots: Ballots, session: Session) -> None:
    ballots.withdraw(session.id)
    before = _files(ballots)
    ballots.withdraw(session.id)
    for number, answer in ((0, "a_much"), (1, "equal")):
        with pytest.raises(BallotRefused, match="was withdrawn"):
            ballots.put(made_ballot(PLAN, session, number, answer))
    assert _files(ballots) == before
    (kept,) = ballots.sessions()
    assert kept.withdrawn
    with pytest.raises(BallotRefused, match="has no session"):
        ballots.withdraw("f" * 32)


def test_a_damaged_withdrawal_still_counts_and_is_named(ballots: Ballots, session: Session) -> None:
    ballots.withdraw(session.id)
    _path(ballots, session, "withdrawn").write_bytes(b"")
    (kept,) = ballots.sessions()
    assert kept.withdrawn
    assert [*ballots.damage] == [f"{ballots.folder}/sessions/{session.id}/withdrawn.json"]


def test_a_damaged_ballot_is_named_counts_as_missing_and_can_be_answered_again(
    ballots: Ballots, session: Session
) -> None:
    ballots.put(made_ballot(PLAN, session, 1, "equal"))
    path = _path(ballots, session, "000")
    path.write_bytes(path.read_bytes().replace(b"a_much", b"b_much"))
    (kept,) = ballots.sessions()
    assert [*kept.ballots] == [1]
    assert ballots.damage == {f"{ballots.folder}/sessions/{session.id}/000.json": "it is not what was written"}
    ballots.put(made_ballot(PLAN, session, 0, "b_slightly"))
    ballots.put(made_ballot(PLAN, session, 2, "equal"))
    assert [ballot.answer for ballot in ballots.sessions()[0].ballots.values()] == ["b_slightly", "equal", "equal"]


def test_a_ballot_that_was_copied_to_another_place_is_not_counted(ballots: Ballots, session: Session) -> None:
    _path(ballots, session, "001").write_bytes(_path(ballots, session, "000").read_bytes())
    other = ballots.open_session(simulated=True)
    _path(ballots, other, "000").write_bytes(_path(ballots, session, "000").read_bytes())
    assert {kept.session.id: [*kept.ballots] for kept in ballots.sessions()} == {session.id: [0], other.id: []}
    assert len(ballots.damage) == 2


def test_a_ballot_that_was_forged_for_another_pair_is_not_counted(ballots: Ballots, session: Session) -> None:
    forged = made_ballot(PLAN, session, 1, "equal", shown=_shown_elsewhere(1))
    _path(ballots, session, "001").write_bytes(with_checksum(forged.to_json()))
    assert [*ballots.sessions()[0].ballots] == [0]
    assert [*ballots.damage.values()] == ["it is no answer to what its session's plan has there"]


def test_a_damaged_session_is_named_and_takes_no_answers(ballots: Ballots, session: Session) -> None:
    _path(ballots, session, "session").write_bytes(b"{}")
    with pytest.raises(BallotRefused, match="has no session"):
        ballots.put(made_ballot(PLAN, session, 1, "equal"))
    assert ballots.sessions() == []
    assert [*ballots.damage] == [f"{ballots.folder}/sessions/{session.id}/session.json"]


def test_a_newer_ballot_is_neither_replaced_nor_read(ballots: Ballots, session: Session) -> None:
    path = _path(ballots, session, "000")
    newer = with_checksum(verified(path.read_bytes()) | {"format": 2})
    path.write_bytes(newer)
    with pytest.raises(NewerFormat, match="install a newer musiclab"):
        ballots.put(made_ballot(PLAN, session, 0, "equal"))
    with pytest.raises(NewerFormat):
        ballots.sessions()
    assert path.read_bytes() == newer
    noting = Ballots(ballots.storage, ballots.folder, notes_newer=True)
    assert noting.sessions()[0].ballots == {}
    assert [*noting.newer] == [f"{ballots.folder}/sessions/{session.id}/000.json"]


# The plan.


def test_a_plan_never_changes(ballots: Ballots, tmp_path: Path) -> None:
    kept = ballots.put_plan(dataclasses.replace(PLAN, began=999.0))
    assert kept.began == PLAN.began
    before = _files(ballots)
    other = dataclasses.replace(TEST, seed=5, bars=4)
    again = Ballots(Storage(str(tmp_path)), ballots.folder)
    with pytest.raises(UserError, match=r"fixes a listening test with other bars, seed, and a test never changes"):
        again.put_plan(made_plan(other))
    assert _files(ballots) == before


def test_a_damaged_plan_is_named_and_never_replaced(ballots: Ballots, session: Session) -> None:
    path = Path(ballots.storage.path(f"{ballots.folder}/plan.json"))
    path.write_bytes(b"{}")
    again = Ballots(ballots.storage, ballots.folder)
    with pytest.raises(UserError, match=r"plan\.json is damaged .*; restore it from a copy\."):
        again.put_plan(PLAN)
    assert path.read_bytes() == b"{}"
    assert again.sessions() == []
    with pytest.raises(BallotRefused, match="no plan of a listening test"):
        again.open_session()


# Sessions.


def test_sessions_have_random_ids_and_the_numbers_that_are_free(ballots: Ballots) -> None:
    opened = [ballots.open_session(simulated=True) for _ in range(3)]
    assert [session.number for session in opened] == [0, 1, 2]
    assert len({session.id for session in opened}) == 3
    assert all(len(session.id) == 32 for session in opened)


def test_a_session_from_a_file_is_taken_once_and_only_if_it_is_of_this_test(ballots: Ballots) -> None:
    session = Session(id="a" * 32, number=7, plan=PLAN.key, began=1.0, via="file", simulated=True)
    ballots.put_session(session)
    ballots.put_session(session)
    assert [kept.session for kept in ballots.sessions()] == [session]
    with pytest.raises(BallotRefused, match="another session of the id"):
        ballots.put_session(dataclasses.replace(session, number=8))
    with pytest.raises(BallotRefused, match="another listening test"):
        ballots.put_session(dataclasses.replace(session, id="b" * 32, plan="x"))
    assert [kept.session for kept in ballots.sessions()] == [session]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"id": "A" * 32}, "a session's id must be 32 hexadecimal digits"),
        ({"number": -1}, "a session's number must be at least 0"),
        ({"training": "much"}, "training must be one of none, amateur, trained, professional; got 'much'"),
        ({"via": "mail"}, "via must be one of page, file; got 'mail'"),
    ],
)
def test_a_session_that_makes_no_sense_is_refused(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Session(**({"id": "a" * 32, "number": 0, "plan": "p", "began": 0.0} | fields))


def test_a_session_with_an_unknown_word_is_refused_in_a_sentence(ballots: Ballots) -> None:
    with pytest.raises(BallotRefused, match=r"^The session cannot begin: training must be one of .*; got 'much'\.$"):
        ballots.open_session(training="much")
    assert ballots.sessions() == []


@pytest.mark.parametrize("fields", [{"seconds": -1.0}, {"seconds": float("nan")}, {"time": float("inf")}])
def test_a_time_that_makes_no_sense_is_refused(session: Session, fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="seconds and time must be finite"):
        made_ballot(PLAN, session, 1, "equal", **fields)


# What can happen to the one who writes.


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC])
def test_a_storage_that_cannot_be_written_to_is_a_sentence_and_the_answer_can_be_sent_again(
    ballots: Ballots, session: Session, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    ballot = made_ballot(PLAN, session, 1, "equal")

    def fails(_: int) -> None:
        raise OSError(code, os.strerror(code))

    before = _files(ballots)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(StorageFailed, match=os.strerror(code)):
            ballots.put(ballot)
    assert _files(ballots) == before
    ballots.put(ballot)
    assert [kept.answer for kept in ballots.sessions()[0].ballots.values()] == ["a_much", "equal"]


@pytest.mark.parametrize("has_links", [True, False])
def test_of_two_writers_of_one_ballot_one_is_counted(
    ballots: Ballots, session: Session, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    if not has_links:

        def refuse(*_: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    for number in range(1, 8):
        meet, accepted = threading.Barrier(4), []

        def write(answer: str, number: int = number, meet: Any = meet, accepted: list[str] = accepted) -> None:
            mine = Ballots(ballots.storage, ballots.folder)
            meet.wait()
            try:
                mine.put(made_ballot(PLAN, session, number, answer))
            except BallotRefused:
                return
            accepted.append(answer)

        writers = [threading.Thread(target=write, args=(answer,)) for answer in ("a_much", "equal", "b_much", "equal")]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        kept = ballots.sessions()[0].ballots
        assert len(kept) == number + 1
        assert kept[number].answer in accepted
        assert not has_links or {*accepted} == {kept[number].answer}, "who was refused knows it"
    assert not [name for name in _files(ballots) if HALF in name]


_WRITER = """
import sys
from musiclab.storage.ballots import Ballots
from musiclab.storage.files import Storage
from tests.support.made_listening import made_ballot
ballots = Ballots(Storage(sys.argv[1]), sys.argv[2])
plan = ballots.plan()
while True:
    session = ballots.open_session(simulated=True)
    for number, shown in enumerate(plan.session_plan(session.number)):
        ballots.put(made_ballot(plan, session, number, "equal"))
        print(session.id, number, flush=True)
"""


def test_a_kill_loses_no_ballot_that_was_acknowledged(ballots: Ballots) -> None:
    acknowledged: set[tuple[str, int]] = set()
    command = [sys.executable, "-c", _WRITER, ballots.storage.root, ballots.folder]
    for kill in range(3):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout
            lines = [writer.stdout.readline() for _ in range(20 + 7 * kill)]
            writer.kill()
            lines += writer.stdout.readlines()
        whole = [line.split() for line in lines if line.endswith("\n")]
        acknowledged |= {(id, int(number)) for id, number in whole}
    again = Ballots(ballots.storage, ballots.folder)
    kept = {(each.session.id, number) for each in again.sessions() for number in each.ballots}
    assert len(acknowledged) >= 81
    assert acknowledged <= kept
    assert len(kept) <= len(acknowledged) + 3, "at most one a kill was written and not yet acknowledged"
    assert not again.damage


def test_ballots_are_the_same_values_after_any_json(session: Session) -> None:
    for answer in ("equal", dict.fromkeys(SCALES, 4)):
        ballot = made_ballot(PLAN, session, 1, answer)
        assert Ballot.from_json(verified(with_checksum(ballot.to_json()))) == ballot
