"""The pages of `musiclab watch` in a real browser: they follow by themselves, for keys, phones, dark and readers."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from musiclab.dashboards.address import Address
from musiclab.dashboards.live.app import Pages, opened
from musiclab.dashboards.live.watcher import Watcher
from musiclab.storage.leases import stop_requested
from tests.support.browser import Browser
from tests.support.made_live import MadeLive
from tests.support.served import serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
TEXT = "return document.querySelector(arguments[0])?.textContent.trim()"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MadeLive]:
    made = MadeLive(tmp_path_factory.mktemp("storage"))
    with made.begin():
        made.in_the_middle()
        yield made


@pytest.fixture(scope="module")
def url(live: MadeLive) -> Iterator[str]:
    """The page of that study, as a watcher keeps it up to date."""
    with Watcher(opened(live.storage.root)) as watcher, serving(Pages(watcher, Address("127.0.0.1", 0)).server) as url:
        yield f"{url}studies/made"


@pytest.fixture
def page(browser: Browser, url: str) -> Browser:
    """The page, with its plots, which come as events."""
    browser.visit(url)
    wait_until(lambda: browser.run("return document.querySelectorAll('#curves svg').length"), "the curves")
    return browser


def test_it_follows_by_itself_and_asks_no_other_host(page: Browser, live: MadeLive, url: str) -> None:
    page.console(), page.requests()
    page.run("window.mark = 1; document.querySelector('#failures details').open = true")
    live.train(3, 1, 11)
    wait_until(lambda: page.run(TEXT, "#c7") == "R 11/25", "the epoch")
    live.fail(1, 2, "it diverged", "Traceback\nit diverged")
    wait_until(lambda: page.run(TEXT, "#c9") == "X", "the failure")
    assert page.run("return window.mark") == 1  # it was not loaded again
    assert page.run("return document.querySelector('#failures details:last-of-type').open")  # what was open stays open
    wait_until(lambda: "Read" in page.run(TEXT, "#age"), "its age")
    assert page.run("return [...document.querySelectorAll('[data-style]')].length") == 0
    assert page.console() == []
    host = url.partition("/studies")[0]
    assert [each for each in page.requests() if not each.startswith((host, "data:", "chrome", "blob:"))] == []


def test_it_is_worked_by_keys_alone(page: Browser, live: MadeLive) -> None:
    def focus() -> str:
        return page.run(
            "const e = document.activeElement; return e.className || e.tagName + ':' + e.textContent.trim()"
        )

    page.press("Tab")
    assert focus() == "skip"
    for _ in range(40):
        page.press("Tab")
        if focus().startswith("SUMMARY:Stop this study"):
            break
    assert focus().startswith("SUMMARY:Stop this study")
    page.press("Enter", "Tab")
    assert focus() == "BUTTON:Stop it now"
    assert not stop_requested(live.storage, live.lease)
    page.run("document.querySelector('.cell button').focus()")
    page.press("Down")
    assert page.run("return document.activeElement.closest('tr').id") == "s1"
    page.press("Right")
    assert page.run("return document.activeElement.closest('td').querySelector('.at').textContent") == "0:02"


def test_a_sound_plays_with_its_playhead(page: Browser) -> None:
    page.click("#s0 button")
    pressed = "return document.querySelector('#s0 button').getAttribute('aria-pressed')"
    wait_until(lambda: page.run(pressed) == "true", "the sound")
    moved = "return document.querySelector('#s0 .playhead').getAttribute('transform')"
    wait_until(lambda: page.run(moved) not in (None, "translate(0.000)"), "the playhead")
    page.click("#s0 button")
    wait_until(lambda: page.run(pressed) == "false", "the pause")
    page.click("#s0 svg.roll", across=0.5)
    wait_until(lambda: page.run("return document.querySelector('#s0 .at').textContent") in ("0:15", "0:16"), "it")
    assert page.console() == []


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "dark"), (360, "light"), (1280, "light")])
def test_it_fits_phones_and_the_dark_and_axe_finds_nothing(page: Browser, axe: str, width: int, scheme: str) -> None:
    page.emulate(prefers_color_scheme=scheme)
    page.phone(width, 800)
    assert page.run("return document.documentElement.scrollWidth") <= width
    dark = page.run("return getComputedStyle(document.body).backgroundColor") != "rgb(252, 252, 250)"
    assert dark == (scheme == "dark")
    if not axe:
        pytest.skip("axe-core cannot be had from npm here")
    # The content policy forbids scripts that are not the page's own; the driver's are run beside it.
    page.run(axe)
    page.run("window.found = null; axe.run(document).then((result) => { window.found = result.violations; })")
    wait_until(lambda: page.run("return window.found !== null"), "axe")
    violations = page.run("return window.found.map((each) => [each.id, each.nodes.map((node) => node.html)])")
    assert violations == []


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core, which npm has; empty if it cannot be had."""
    folder = tmp_path_factory.mktemp("axe")
    if shutil.which("npm") is None:
        return ""
    command = ["npm", "pack", "axe-core@4.14.1", "--silent", "--prefer-offline"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
        shutil.unpack_archive(next(folder.glob("*.tgz")), folder, filter="data")
    except (subprocess.SubprocessError, OSError, StopIteration):
        return ""
    return (folder / "package" / "axe.min.js").read_text(encoding="utf-8")


def test_the_button_stops_the_study_once_it_is_confirmed(page: Browser, live: MadeLive) -> None:
    """The last test of this module: afterwards the study is stopping."""
    page.click("#stop summary")
    page.click("#stop button")
    wait_until(lambda: stop_requested(live.storage, live.lease), "the request")
    wait_until(lambda: "Stopping" in (page.run(TEXT, "#state") or ""), "its effect")
    assert page.run("return document.querySelector('#stop button')") is None


def test_the_index_follows_too(browser: Browser, url: str, live: MadeLive) -> None:
    browser.visit(url.partition("studies")[0])
    wait_until(lambda: browser.run(TEXT, "#study-made th") is not None, "the study")
    MadeLive(Path(live.storage.root), "second")
    wait_until(lambda: browser.run(TEXT, "#study-second th") is not None, "the next study")
    browser.click("#study-second a")
    wait_until(lambda: "/studies/second" in browser.run("return location.pathname"), "its page")
