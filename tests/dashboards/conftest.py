"""A listening test over a small real study, with its sounds, and a browser, for all tests of pages."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from musiclab.dashboards.listening_test.fixed import FixedTest
from musiclab.dashboards.listening_test.sounds import Sounds
from tests.support.browser import THERE, Browser, browsing
from tests.support.listeners import fixed_test, made_sounds, storage_of
from tests.support.study_processes import Run


@pytest.fixture(scope="session")
def one_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, which takes some seconds of a processor to start, and so is started once."""
    if not THERE:
        pytest.skip("needs chromium and chromedriver (Debian: apt install chromium-driver)")
    with browsing(tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


@pytest.fixture
def browser(one_browser: Browser) -> Browser:
    """A browser as at its start; what pages have kept in it, they find at their own address only."""
    one_browser.reset()
    return one_browser


@pytest.fixture(scope="session")
def sounds(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Sounds:
    """All sounds of the study's listening tests."""
    return made_sounds(fixed_test(storage_of(finished, tmp_path_factory.mktemp("sounds") / "storage")))


@pytest.fixture
def listening_test(finished: Run, tmp_path: Path) -> Callable[..., FixedTest]:
    """What fixes a listening test, with the fields given, in a storage of its own, `tmp_path / "storage"`."""

    def fix(protocol: str = "pairs", **fields: Any) -> FixedTest:
        return fixed_test(storage_of(finished, tmp_path / "storage"), protocol, **fields)

    return fix
