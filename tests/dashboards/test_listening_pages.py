"""The pages of a listening test in a real browser, from consent to thanks, and what can go wrong on the way."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from musiclab.dashboards.listening_test.fixed import FixedTest
from musiclab.dashboards.listening_test.sounds import Sounds
from musiclab.design.listening import GRADES
from musiclab.rendering.loudness import loudness, true_peak
from musiclab.storage.ballots import SessionBallots
from musiclab.storage.files import Storage
from tests.support.browser import Browser
from tests.support.browser_listener import RATE, BrowserListener
from tests.support.listeners import hosted

pytestmark = pytest.mark.slow


def only_session(test: FixedTest) -> SessionBallots:
    (session,) = test.ballots.sessions()
    return session


# After A has ended for the first time the player pauses, however fast it is and however slow this test.
B_WAITS = """
player.audio.addEventListener("ended", function pause() {
  if (player.role !== "a") return;
  player.audio.removeEventListener("ended", pause);
  player.toggle();
});
"""


def test_a_listener_goes_through_a_whole_session(
    listening_test: Callable[..., FixedTest], sounds: Sounds, browser: Browser
) -> None:
    test = listening_test(warm_ups=1, presentations=11, repeats=1)
    with hosted(test, sounds) as url:
        browser.visit(url)
        listener = BrowserListener(browser)
        assert "withdraw at any time" in listener.text
        listener.agree("trained")
        assert "Warm-up 1 of 1" in listener.text

        # The first one by itself: the start, then A, then B; no answer before both were heard.
        browser.press("1")
        browser.run(B_WAITS)
        browser.press("Space")
        listener.wait("player.heard.has('a')")
        browser.press("1")
        assert browser.run("return document.querySelector('.answers').disabled") is True
        browser.press("Space")
        listener.wait("player.heard.has('b')")
        assert "Look at the notes" not in listener.text
        assert browser.run("return document.querySelectorAll('svg.roll').length") == 0
        heard, keys = [*listener.decoded()], ["2"]
        listener.answer("2")
        assert browser.run("return document.querySelectorAll('svg.roll').length") == 2
        assert [*only_session(test).ballots] == [0]  # the answer is kept before the page says so

        for number in range(1, 13):
            listener.next()
            counted = f"Pair {number} of 12"
            assert counted in listener.text
            listener.hear("a", "b")
            heard += listener.decoded()
            keys.append(str(1 + number % 5))
            listener.answer(keys[-1])
        assert browser.run("return document.activeElement.innerText").startswith("Next")
        listener.next()
        assert listener.view == "thanks"
        assert listener.link in listener.text
        assert browser.console() == []
        assert all(request.startswith(("blob:", "data:", "chrome:", url)) for request in browser.requests())

    session = only_session(test)
    assert (session.session.training, session.session.via, session.session.simulated) == ("trained", "page", False)
    assert [ballot.answer for ballot in session.ballots.values()] == [GRADES[int(key) - 1] for key in keys]
    plan = test.plan.session_plan(session.session.number)
    assert [ballot.shown for ballot in session.ballots.values()] == list(plan)
    # Each was heard for half a second, and the answer came soon after.
    assert all(0 < ballot.seconds < 600 for ballot in session.ballots.values())

    # What the browser heard: of one length, equally loud, and nowhere clipped.
    assert len({len(wave) for wave in heard}) == 1
    levels = [loudness(wave, RATE) for wave in heard]
    assert len(levels) == 3 * 13 and max(levels) - min(levels) < 1
    assert max(map(true_peak, heard)) < 10 ** (-1 / 20)


def test_a_phone_rates_pieces_goes_back_by_its_link_and_withdraws(
    listening_test: Callable[..., FixedTest], sounds: Sounds, browser: Browser
) -> None:
    test = listening_test("ratings", warm_ups=1, presentations=2, repeats=0)
    with hosted(test, sounds) as url:
        browser.phone(360, 740)
        browser.visit(url)
        listener = BrowserListener(browser)
        fits = [listener.fits()]
        listener.agree("none")
        fits.append(listener.fits())
        listener.hear("a")
        listener.answer("2", "3", "4", "5", "Enter")  # the last one on the button that saves
        browser.click("#notes summary")
        fits.append(listener.fits())
        browser.click("#after [data-do=next]")
        listener.wait_for_sounds()
        scales = ("coherence", "structure", "creativity", "musicality")
        assert only_session(test).ballots[0].answer == dict(zip(scales, (2, 3, 4, 5), strict=True))

        # Another browser that knows nothing goes on by the link.
        link = listener.link
        browser.run("localStorage.clear()")
        browser.visit("about:blank")
        browser.visit(link)
        listener.set_volume()
        listener.wait_for_sounds()
        assert "Piece 1 of 2" in listener.text
        browser.click("[data-do=ask-withdraw]")
        fits.append(listener.fits())
        browser.click("[data-do=withdraw]")
        listener.wait("view === 'withdrawn'")
        assert only_session(test).withdrawn
        browser.visit(link)
        listener.wait("view === 'withdrawn'")
        assert all(fits) and browser.console() == []


def test_an_answer_outlives_a_storage_that_is_read_only_for_a_while(
    listening_test: Callable[..., FixedTest],
    sounds: Sounds,
    browser: Browser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    test = listening_test(warm_ups=0, presentations=2, repeats=0)
    listener = BrowserListener(browser)

    def refuse(storage: Storage, target: str, data: bytes, only_new: bool) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with hosted(test, sounds) as url:
        browser.visit(url)
        listener.agree()
        listener.hear("a", "b")
        with monkeypatch.context() as patch:
            patch.setattr(Storage, "_write", refuse)
            browser.press("4")
            listener.wait("document.querySelector('#alert').hidden === false")
            assert "The server can keep no answer at the moment: Read-only file system." in listener.text
            assert str(tmp_path) not in listener.text
            assert "Your answer is kept in this browser, and this page sends it again by itself." in listener.text
            assert only_session(test).ballots == {}
            browser.visit(listener.link)  # a new page keeps it, too
            listener.wait("document.querySelector('#alert').hidden === false")
        listener.set_volume()
        assert [ballot.answer for ballot in only_session(test).ballots.values()] == ["b_slightly"]
        listener.wait_for_sounds()
        listener.hear("a", "b")
        listener.answer("5")
        listener.next()
    assert listener.view == "thanks"
    assert [ballot.answer for ballot in only_session(test).ballots.values()] == ["b_slightly", "b_much"]


def test_a_browser_without_mp3_is_told_in_one_sentence(
    listening_test: Callable[..., FixedTest], sounds: Sounds, browser: Browser
) -> None:
    with hosted(listening_test(), sounds) as url:
        browser.before_pages("HTMLMediaElement.prototype.canPlayType = () => ''")
        browser.visit(url)
        listener = BrowserListener(browser)
        assert listener.view == "stopped"
        assert "This browser cannot play MP3." in listener.text
        assert "agree" not in listener.text
