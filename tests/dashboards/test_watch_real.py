"""A real study while it runs: its page, and the button that stops it as one Ctrl-C does."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.served import ask, form_token, served
from tests.support.study_processes import ended, paused_study, resume, run_study
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


def test_the_button_stops_a_real_study(storage: Path, long_study: Path, long_options: list[str]) -> None:
    with _stopped(storage, long_study, long_options) as (address, body):
        page = wait_until(lambda: _page(address, r"Stopped: nobody runs it"), "its end on the page")
        assert re.search(r'class="W" title="interrupted[^"]*">W \d+/', page)
        assert ask(f"{address}/stop", "POST", body).status == 409
        assert not [*storage.glob("studies/*/*/workers")]


@pytest.mark.long  # two whole trainings, for what other tests prove of Ctrl-C and of old requests
def test_a_study_that_the_button_stopped_goes_on_from_there(
    storage: Path, long_study: Path, long_options: list[str]
) -> None:
    with _stopped(storage, long_study, long_options) as (address, _):
        went_on = run_study(*long_options, "--in-process", storage=storage, file=long_study)
        assert "0 of 2 trials done, 1 resumes from epoch" in went_on.out  # it obeyed no old request
        page = wait_until(lambda: _page(address, r"Over: 2 of 2 trials have ended"), "the end of all")
        assert page.count('class="F">F<') == 2


@contextmanager
def _stopped(storage: Path, long_study: Path, long_options: list[str]) -> Iterator[tuple[str, bytes]]:
    """The page of a study that its button has stopped in its first trial, and the form that did so."""
    process = paused_study(*long_options, storage=storage, file=long_study)
    try:
        with served("watch", str(storage)) as url:  # it is started late
            (name,) = (folder.name for folder in (storage / "studies").iterdir())
            address = f"{url}studies/{name}"
            page = wait_until(lambda: _page(address, r'class="R"[^>]*>R 1'), "the first epoch on the page")
            assert "Running: 0 of 2 trials have ended, 1 runs now." in page
            (note,) = storage.glob(f"studies/{name}/*/workers/*.json")
            assert json.loads(note.read_text())["pid"] == process.pid
            lease = re.search(r'name="lease" value="([^"]+)"', page)
            assert lease
            body = f"form_token={form_token(page)}&lease={lease[1]}".encode()
            assert ask(f"{address}/stop", "POST", body).status == 303
            resume(process)
            stopped = ended(process, storage, code=130)
            assert "Press Ctrl-C again to quit now." in stopped.err and "Traceback" not in stopped.err
            assert re.search(
                r"^Stopped: 0 of 2 trials done, 1 resumes from epoch \d+, 1 new", stopped.out, re.MULTILINE
            )
            yield address, body
    finally:
        process.kill()


def _page(address: str, pattern: str) -> str:
    """The page, once it has what is waited for; else empty."""
    answer = ask(address)
    return answer.text if re.search(pattern, answer.text) else ""
