"""The listening test as one file: driven in a browser without a server, and its answers taken in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from musiclab.dashboards.listening_test.fixed import FixedTest
from musiclab.dashboards.listening_test.imported import import_file
from musiclab.dashboards.listening_test.offline import offline_page
from musiclab.dashboards.listening_test.sounds import Sounds
from tests.support.browser import Browser
from tests.support.browser_listener import BrowserListener
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


def test_a_listener_without_a_server_saves_answers_that_are_taken_in(
    listening_test: Callable[..., FixedTest], sounds: Sounds, browser: Browser, tmp_path: Path
) -> None:
    test = listening_test(warm_ups=0, presentations=2, repeats=0)
    page, saved = tmp_path / "test.html", tmp_path / "saved"
    page.write_text(offline_page(test, sounds))
    saved.mkdir()
    browser.downloads(saved)
    browser.open(page)
    listener = BrowserListener(browser)
    assert "send nothing" in listener.text
    listener.agree("professional")
    listener.hear("a", "b")
    listener.answer("5")
    assert "Look at the notes" not in listener.text
    browser.open(page)  # closed and opened again, it goes on where it was
    browser.click("[data-do=return]")
    listener.set_volume()
    listener.wait_for_sounds()
    assert "Pair 2 of 2" in listener.text
    listener.hear("a", "b")
    listener.answer("1")
    listener.next()
    assert listener.view == "thanks"
    browser.click("[data-view=thanks] [data-save-file]")
    (downloaded,) = wait_until(lambda: [*saved.glob("listening-*.json")], "the answers")
    answers = downloaded.rename(tmp_path / "answers.json")

    browser.click("[data-do=ask-withdraw]")
    browser.click("[data-do=withdraw]")
    assert listener.view == "withdrawn"
    browser.click("[data-view=withdrawn] [data-save-file]")
    (withdrawal,) = wait_until(lambda: [*saved.glob("listening-*.json")], "the withdrawal")
    assert browser.console() == []
    assert all(request.startswith(("file:", "blob:", "data:", "chrome:")) for request in browser.requests())

    assert import_file(test, answers).endswith("has 2 answers, 2 of them new")
    (session,) = test.ballots.sessions()
    assert [ballot.answer for ballot in session.ballots.values()] == ["b_much", "a_much"]
    assert (session.session.training, session.session.via, session.withdrawn) == ("professional", "file", False)
    assert import_file(test, withdrawal).endswith("is withdrawn, so its answers do not count")
    assert test.ballots.sessions()[0].withdrawn


def test_the_file_names_nothing_that_is_compared(listening_test: Callable[..., FixedTest], sounds: Sounds) -> None:
    test = listening_test()
    page = offline_page(test, sounds)
    for condition in test.plan.test.conditions:
        assert condition.name not in page
    assert "latent_dim" not in page and "<svg" not in page.partition('id="content"')[2]
