"""Functions that are called in a process of their own: what comes back, and what becomes of those that hang."""

import os
from pathlib import Path

import pytest

from musiclab.errors import UserError
from musiclab.process.child import call_in_child
from musiclab.testing import elsewhere
from musiclab.testing.elsewhere import call_elsewhere
from tests.support import child_asked
from tests.support.study_processes import ROOT
from tests.support.waiting import STILL_S, wait_until

OURS = child_asked.__name__


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_an_answer_comes_through_noise(tmp_path: Path) -> None:
    long = "x" * 200_000  # more than an argument of a command may have
    answer = call_in_child(OURS, "answers", STILL_S, long, folder=str(tmp_path), WORD="ü")
    assert answer == {"said": "ü", "length": 200_000, "folder": str(tmp_path)}


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("refuses", "not today"),
        ("breaks", r"RuntimeError: two lines \(child_asked.py, line \d+\)"),
        ("dies", r"it died \(exit status 7\)"),
    ],
)
def test_no_answer_has_a_reason(function: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"^{reason}$"):
        call_in_child(OURS, function, STILL_S)


def test_what_hangs_is_ended_in_time_with_all_that_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when a check of a user's own code hangs."""
    word = f"hangs-{os.getpid()}"
    monkeypatch.setattr(elsewhere, "_TIMEOUT_S", 4.0)
    monkeypatch.setenv("WORD", word)
    with pytest.raises(UserError, match=r"^no answer within 4 s\.$"):
        call_elsewhere(child_asked.hangs)
    wait_until(lambda: not _having(f"WORD={word}"), "the end of all that it started")


def _having(text: str) -> list[Path]:
    """The environments of processes that hold a text."""
    return [file for file in Path("/proc").glob("[0-9]*/environ") if _holds(file, text)]


def _holds(file: Path, text: str) -> bool:
    try:
        return text.encode() in file.read_bytes()
    except OSError:  # another user's, or over by now
        return False
