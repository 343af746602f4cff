"""A server that is killed with kill -9 while people listen: no ballot is lost, none is doubled, the session goes on."""

import http.client
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from musiclab.dashboards.listening_test.fixed import FixedTest
from tests.support.browser import Browser
from tests.support.browser_listener import BrowserListener
from tests.support.listeners import STUDY, Visitor
from tests.support.served import started_server
from tests.support.study_processes import end, free_port, kill
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
KILLS = 20


def test_a_session_in_a_browser_goes_on_after_the_server_was_killed(
    listening_test: Callable[..., FixedTest], browser: Browser, tmp_path: Path
) -> None:
    test = listening_test(warm_ups=0, presentations=3, repeats=0)
    place, port = f"{tmp_path / 'storage'}/{STUDY}", free_port()
    process, url = started_server("listen", place, port=port)
    try:
        browser.visit(url)
        listener = BrowserListener(browser)
        listener.agree()
        listener.hear("a", "b")
        listener.answer("1")
        listener.next()
        listener.hear("a", "b")

        kill(process.pid)
        process.wait()
        browser.press("2")
        listener.wait("document.querySelector('#alert').hidden === false")
        assert "The server does not answer. Your answer is kept in this browser" in listener.text

        process, _ = started_server("listen", place, port=port)
        listener.wait("document.querySelector('#after').hidden === false")  # nobody has touched the page
        listener.next()
        assert "Pair 3 of 3" in listener.text
        listener.hear("a", "b")
        listener.answer("3")
        listener.next()
        assert listener.view == "thanks"
    finally:
        end(process)
    (session,) = test.ballots.sessions()
    assert [ballot.answer for ballot in session.ballots.values()] == ["a_much", "a_slightly", "equal"]
    assert test.ballots.damage == {}


@pytest.mark.long
def test_no_ballot_is_lost_or_doubled_by_twenty_kills(listening_test: Callable[..., FixedTest], tmp_path: Path) -> None:
    test = listening_test()
    place, port, rng = f"{tmp_path / 'storage'}/{STUDY}", free_port(), random.Random(0)
    promised: dict[str, dict[int, str]] = {}
    for _ in range(KILLS):
        process, url = started_server("listen", place, port=port)
        threads = [threading.Thread(target=_answer_until_killed, args=(url, promised)) for _ in range(3)]
        try:
            for thread in threads:
                thread.start()
            wanted = _count(promised) + rng.randint(3, 12)  # however slowly the machine answers
            wait_until(lambda: _count(promised) >= wanted, "answers", lambda: _count(promised))  # noqa: B023
            time.sleep(rng.random() / 10)  # in the middle of whatever comes next
        finally:
            kill(process.pid)
            process.wait()
            for thread in threads:
                thread.join()
    kept = {each.session.id: each.ballots for each in test.ballots.sessions()}
    assert test.ballots.damage == {}
    assert _count(promised) >= 3 * KILLS
    for session, answers in promised.items():
        assert {number: kept[session][number].answer for number in answers} == answers
        # At most the one that was on its way when the server died.
        assert len(kept[session]) - len(answers) <= 1
        assert [*kept[session]] == [*range(len(kept[session]))]


def _count(promised: dict[str, dict[int, str]]) -> int:
    return sum(len(answers) for answers in [*promised.values()])


def _answer_until_killed(url: str, promised: dict[str, dict[int, str]]) -> None:
    with suppress(OSError, ValueError, LookupError, http.client.HTTPException):
        visitor = Visitor(url)
        number = visitor.begin()["answered"]
        answers = promised.setdefault(visitor.session, {})
        while True:
            answer = ("a_much", "equal", "b_slightly")[number % 3]
            if visitor.answer(number, answer).status == 200:
                answers[number] = answer
            number += 1
