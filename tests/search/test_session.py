"""Searches run as a command runs them, with trials that take no time: what stops them, and what a next run does."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from musiclab import Int, Search, Study
from musiclab.execution.executor import InProcess, OnTrialEnd, Say
from musiclab.execution.queue import Queue
from musiclab.execution.trial import TrialRunner
from musiclab.storage.files import Storage
from musiclab.storage.leases import should_continue
from musiclab.storage.records import Records
from musiclab.study import session
from tests.support.made_records import made_cost, made_record
from tests.support.no_mirror import NoMirror
from tests.support.waiting import wait_until


class Made(InProcess):
    """An executor whose trials take no time.

    Attributes:
        opened: how often it was opened.
        how: how trials end: `finished`, `failed`, or `interrupted` by Ctrl-C.
    """

    def __init__(self) -> None:
        self.opened, self.how = 0, "finished"

    @contextlib.contextmanager
    def open(self, _: Any) -> Iterator["Made"]:
        self.opened += 1
        yield self

    def run(self, queue: Queue, trials: TrialRunner, on_trial_end: OnTrialEnd, say: Say) -> None:
        records = Records(Storage(trials.storage))
        while cell := queue.next():
            if self.how == "interrupted":
                signal.raise_signal(signal.SIGINT)
                wait_until(lambda: not should_continue(records.storage, trials.lease), "the word to stop", poll_s=0.01)
            elif self.how == "failed":
                records.put_failure(cell.key, "no", "log", again=False)
            else:
                score = {"set/frechet": float(cell.variant.config["latent_dim"])}
                record = made_record(score, key=cell.key, config=cell.variant.config, block=cell.block)
                records.put(cell.key, record, made_cost(), {})
                for stage in cell.stages.values():
                    records.storage.write(f"stages/{stage}/done", b"")
            on_trial_end(queue.done(cell.key), None)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """Runs the trials of this test's studies, of which no windows are cut and no report is written."""
    executor = Made()
    monkeypatch.setattr(session, "opened_executor", executor.open)
    monkeypatch.setattr(session, "Mirror", NoMirror)
    monkeypatch.setattr(session, "_Windows", lambda *_: lambda trial: None)
    monkeypatch.setattr(session, "_write_report", lambda results: ("report.html", ""))
    return executor


@pytest.fixture
def run(made: Made, song_folder: Path, tmp_path: Path) -> Callable[..., int]:
    """Runs a search of a field with a budget; the exit code."""

    def main(budget: int, *options: str, high: int = 64) -> int:
        space = Search({"latent_dim": Int(2, high)}, sampler="random", budget=budget, confirm=1)
        study = Study(name="q", system="vae_nn", space=space, blocks=1, objective="frechet", question="?")
        try:
            study.main(["--data", f"midi:{song_folder}", "--in-process", "--storage", str(tmp_path), *options])
        except SystemExit as end:
            return end.code
        return 0

    return main


@pytest.mark.parametrize(
    ("how", "options", "code", "states"),
    [("interrupted", (), 130, "4 finished"), ("failed", ("--fail-fast",), 1, "4 finished, 1 failed")],
)
def test_an_enlarged_search_that_is_stopped_is_not_done(
    how: str, options: tuple[str, ...], code: int, states: str, run: Callable[..., int], made: Made, capsys: Any
) -> None:
    assert run(4) == 0
    assert "Stopped: " not in capsys.readouterr().out
    made.how = how
    assert run(8, *options) == code
    stopped = f"Stopped: 5 of 8 proposals made, {states}; the same command goes on from here."
    assert stopped in capsys.readouterr().out.splitlines()


def test_an_exhausted_search_that_is_run_again_starts_nothing(
    run: Callable[..., int], made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musiclab.search.run._REPEATS", 5)

    def files() -> dict[Path, bytes]:
        (folder,) = tmp_path.glob("studies/q/*/search")
        return {file: file.read_bytes() for file in folder.rglob("*.json")}

    assert run(40, high=3) == 0
    before = files()
    assert sum(file.parent.name == "proposals" for file in before) > 5
    assert run(40, high=3) == 0
    assert made.opened == 1 and files() == before
