"""Progress, as a log and as a terminal show it."""

import sys
import types

import pytest
from tqdm import tqdm

from musiclab import progress
from musiclab.progress import Progress
from musiclab.wording import duration, size


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (45.4, "45 s"),
        (89, "89 s"),
        (90, "2 min"),
        (150, "2 min"),
        (3600, "60 min"),
        (7800, "2 h 10 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.125, "0.125 s"), (45.44, "45.4 s"), (156, "2.6 min"), (300, "5.0 min"), (7800, "2 h 10 min")],
)
def test_measured_durations_have_decimals(seconds: float, said: str) -> None:
    assert duration(seconds, exact=True) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (1234, "1.2 kB"), (12_000, "12 kB"), (999_500, "1.0 MB"), (5e15, "5000 TB")],
)
def test_bytes_as_people_say_them(amount: float, said: str) -> None:
    assert size(amount) == said


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that progress sees, for a test to set."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def _lines(capsys: pytest.CaptureFixture) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(clock: list[float], capsys: pytest.CaptureFixture) -> None:
    with Progress("trials", 100) as bar:
        for _ in range(100):
            clock[0] += 1
            bar.update()
    lines = _lines(capsys)
    assert lines[0] == "trials 1/100, left 2 min"
    assert lines[1] == "trials 11/100, left 89 s"
    assert lines[-1] == "trials 100/100, left 0 s"
    assert len(lines) == 11


def test_a_log_shows_the_note_and_what_is_known(clock: list[float], capsys: pytest.CaptureFixture) -> None:
    with Progress("songs", None) as bar:
        bar.update(3, note="best so far k=8")
    assert _lines(capsys) == ["songs 3, best so far k=8"]


def test_what_was_there_before_counts_as_done_but_not_for_the_pace(
    clock: list[float], capsys: pytest.CaptureFixture
) -> None:
    with Progress("trials", 10, done=6) as bar:
        clock[0] += 20
        bar.update()
    assert _lines(capsys) == ["trials 7/10, left 60 s"]


def test_nothing_done_is_nothing_said(capsys: pytest.CaptureFixture) -> None:
    with Progress("trials", 10, done=10):
        pass
    assert _lines(capsys) == []


def test_a_line_beside_the_progress(capsys: pytest.CaptureFixture) -> None:
    with Progress("trials", 10) as bar:
        bar.say("MLflow does not answer")
    assert _lines(capsys) == ["MLflow does not answer"]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("trials", 4, done=1) as bar:
        bar.update(3, note="best so far k=8")
    out, err = capsys.readouterr()
    assert out == ""
    last = err.split("\r")[-1]
    assert "trials 4/4" in last
    assert "best so far k=8" in last


@pytest.mark.parametrize("widgets", [True, False])
def test_a_notebook_gets_a_bar_if_it_has_widgets_and_lines_otherwise(
    widgets: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    class ZMQInteractiveShell:  # so is a kernel's called
        pass

    totals = []

    class Bar(tqdm):
        def __init__(self, **options: object) -> None:
            super().__init__(**options)
            totals.append(self.total)

    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=ZMQInteractiveShell))
    monkeypatch.setitem(sys.modules, "tqdm.notebook", types.SimpleNamespace(tqdm=Bar))
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda name: name if widgets else None)
    with Progress("trials", 4, done=1) as bar:
        bar.update(3, note="best so far k=8")
    assert totals == ([4] if widgets else [])
    err = capsys.readouterr().err
    assert ("4/4 [" in err) == widgets
    assert ("trials 4/4, left 0 s, best so far k=8\n" in err) != widgets
