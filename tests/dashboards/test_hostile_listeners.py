"""Requests that no page sends: none ends the server, makes its memory grow, or writes anything outside of the test."""

import http.client
import json
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from musiclab.dashboards.listening_test.fixed import FixedTest
from musiclab.dashboards.listening_test.sounds import Sounds
from tests.support.listeners import STUDY, Visitor, hosted
from tests.support.served import started_server
from tests.support.study_processes import end, files

pytestmark = pytest.mark.slow
GROWTH = 50 * 2**20  # bytes that allocators may keep

IDS = (
    "",
    "x",
    "0" * 32,
    "f" * 33,
    "F" * 32,
    "..",
    "../../..",
    "%2e%2e%2f%2e%2e",
    "%00",
    "a%0d%0ab",
    "\u00e9" * 9,
    "1" * 5000,
)
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e300, float("nan"), float("inf"), 10**400, "", "equal", "a_much\x00", "\ud800", "\u202e",
    "x" * 60_000, [], {}, [[]] * 99, {"a": {}}, {"coherence": 9}, {"coherence": "1"},
)  # fmt: skip
BODIES = (
    b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}" * 9, b"[" * 50_000, b'{"a":' * 9_000, b"x=1&y=2",
    b'{"number": 1e999}', b"9" * 60_000,
)  # fmt: skip


def attack(rng: random.Random, visitor: Visitor) -> tuple[str, str, bytes | None, dict[str, str]]:
    """A request: its method, path, body and headers."""
    id = visitor.session if rng.random() < 0.6 else rng.choice(IDS)
    path = rng.choice(
        [
            "/", "//", "/api", "/api/begin", "/api/reference", f"/session/{id}", f"/api/session/{id}",
            *[f"/api/session/{id}/answer"] * 6,
            f"/api/session/{id}/withdraw/", f"/api/session/{id}/sound/{rng.choice(IDS)}", f"/static/{id}/ask.js",
            f"/{rng.randbytes(6).hex()}", f"/api/session/{id}?{'a=1&' * 999}",
        ]
    )  # fmt: skip
    fields: dict[str, Any] = {"number": 7, "answer": "equal", "seconds": 1.0, "training": "none?"}  # out of order
    for name in rng.sample([*fields, "shown"], rng.choice((0, 1, 1, 2, 3))):
        fields[name] = rng.choice(VALUES)
    body = rng.choice([*[json.dumps(fields).encode()] * 3, rng.choice(BODIES), rng.randbytes(200), bytes(2**20)])
    headers = {"X-Form-Token": rng.choice([visitor.token, visitor.token, visitor.token, "", "0" * 64])}
    if rng.random() < 0.2:
        headers["Origin"] = rng.choice(["http://evil.example", "null", ""])
    if rng.random() < 0.1:
        headers["Host"] = rng.choice(["evil.example", "127.0.0.1:1", ""])
    if rng.random() < 0.2:
        headers["Range"] = rng.choice(["bytes=0-", "bytes=9-1", "bytes=-9", "bytes=0-" + "9" * 99])
    method = rng.choice(["GET", *["POST"] * 8, "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"])
    return method, path.encode("ascii", "ignore").decode(), body if method == "POST" else None, headers


def resident(pid: int) -> int:
    """The memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("count", [pytest.param(200, id="200"), pytest.param(5000, id="5000", marks=pytest.mark.long)])
def test_hostile_requests_change_nothing(count: int, listening_test: Callable[..., FixedTest], tmp_path: Path) -> None:
    test = listening_test()
    process, url = started_server("listen", f"{tmp_path / 'storage'}/{STUDY}")
    try:
        visitor = Visitor(url)
        visitor.begin()
        assert visitor.answer(0).status == 200
        rng = random.Random(count)
        _send_all(50, rng, visitor)  # what is needed once is loaded
        before, memory = outside_of_sessions(tmp_path), resident(process.pid)
        statuses = _send_all(count, rng, visitor)
        assert process.poll() is None
        assert {400, 403, 404, 405, 409, 413} <= {*statuses}
        assert not {500, 502, 503} & {*statuses}, statuses
        assert resident(process.pid) - memory < GROWTH
        assert outside_of_sessions(tmp_path) == before
        # The listener's own answers are as they were, and the session goes on.
        kept = test.ballots.session(visitor.session)
        assert [ballot.answer for ballot in kept.ballots.values()] == ["a_slightly"] and not kept.withdrawn
        assert visitor.answer(1).status == 200
        assert len(test.ballots.sessions()) == 1
        assert test.ballots.damage == {}
    finally:
        end(process)


def _send_all(count: int, rng: random.Random, visitor: Visitor) -> dict[int, str]:
    """The statuses of the replies, each with the last sentence that was said with it."""
    statuses = {}
    for _ in range(count):
        method, path, body, headers = attack(rng, visitor)
        with suppress(http.client.HTTPException, OSError):  # the server may hang up
            reply = visitor.request(method, path, body, **headers)
            statuses[reply.status] = reply.sentence if reply.status >= 400 and method != "HEAD" else ""
            assert b"Traceback" not in reply.body
    return statuses


def outside_of_sessions(folder: Path) -> dict[str, int]:
    """All files but those of sessions, with when they were written."""
    return {name: written for name, written in files(folder).items() if "/sessions/" not in name}


REFUSALS = {
    "sent twice with another answer": (409, "has an answer already; no answer is changed"),
    "out of order": (409, "comes before 2 and has no answer"),
    "for a pair that is not in the plan": (409, "number must be from 0 to"),
    "by a forged id": (404, "There is no such session"),
    "of a megabyte": (413, "A request may have at most 65,536 bytes."),
    "no answer": (409, "answer must be one of a_much, a_slightly, equal, b_slightly, b_much; got 'yes'."),
    "a number that is none": (400, "'number' must be of type int; got str"),
    "after more seconds than a float holds": (400, "'seconds' must be of type float; got a whole number that is too"),
    "after a withdrawal": (409, "This session was withdrawn, so it takes no more answers."),
}


def test_an_answer_that_cannot_be_counted_is_refused_in_one_sentence(
    listening_test: Callable[..., FixedTest], sounds: Sounds
) -> None:
    test = listening_test()
    with hosted(test, sounds) as url:
        visitor, forger = Visitor(url), Visitor(url)
        visitor.begin()
        assert visitor.answer(0, "equal").status == 200
        again = visitor.answer(0, "equal")
        assert again.status == 200 and again.json["answered"] == 1  # the same again is fine, and counts once
        forger.session = "0" * 32
        replies = {
            "sent twice with another answer": visitor.answer(0, "a_much"),
            "out of order": visitor.answer(2),
            "for a pair that is not in the plan": visitor.answer(99),
            "by a forged id": forger.answer(0),
            "of a megabyte": visitor.answer(1, "x" * 2**20),
            "no answer": visitor.answer(1, "yes"),
            "a number that is none": visitor.answer("1"),
            "after more seconds than a float holds": visitor.answer(1, seconds=10**400),
        }
        assert visitor.post(f"/api/session/{visitor.session}/withdraw", {}).json["withdrawn"] is True
        replies["after a withdrawal"] = visitor.answer(1)
    for name, reply in replies.items():
        status, sentence = REFUSALS[name]
        assert reply.status == status and sentence in reply.sentence and "\n" not in reply.sentence, name
    (session,) = test.ballots.sessions()
    assert [ballot.answer for ballot in session.ballots.values()] == ["equal"]
