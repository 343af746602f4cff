"""What an example's study takes by hand: that the script does it, and that the table of lines counts what it says."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import mlflow
import pytest

from musiclab import ROOT

FILE = ROOT.parent / "benchmarks" / "own_system_by_hand.py"


@pytest.fixture
def lines(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("lines_of_code")


def test_lines_of_code_are_counted_in_functions_and_around_them(lines: ModuleType) -> None:
    text = '''"""What it is."""
# A comment.

import numpy


@deco
def one(
    x,
):
    """One."""
    # A comment.
    text = """a
    b"""

    def two():
        return 2  # as well


class Mine:
    """Mine."""

    name = "mine"

    def two(self):
        return """no docstring"""
'''
    assert lines.lines_of(text) == lines.Lines(within=10, around=3)
    assert lines.lines_of(text, ("two",)) == lines.Lines(within=4, around=9)


def test_the_table_of_the_docs_is_what_is_counted(lines: ModuleType) -> None:
    page = (ROOT.parent / "docs" / "extending.md").read_text(encoding="utf-8")
    assert lines.table() in page, "put what `python benchmarks/lines_of_code.py` prints into docs/extending.md"


@pytest.mark.long
def test_by_hand_it_trains_measures_and_keeps_what_the_docs_say(song_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(FILE), str(tmp_path), "--data", f"midi:{song_folder}"]
    first, second = (subprocess.run(command, capture_output=True, text=True) for _ in range(2))
    assert not first.returncode and not second.returncode, first.stderr + second.stderr
    assert "hidden=32 against hidden=128: difference " in first.stdout
    # The second one goes on where nothing is left.
    assert second.stdout.partition("config/hidden")[2] == first.stdout.partition("config/hidden")[2]
    samples = [*tmp_path.glob("step_lstm/*/start-1.mid")]
    assert len(samples) == 4
    assert all(sample.read_bytes()[:4] == b"MThd" for sample in samples)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (experiment,) = [each for each in client.search_experiments() if each.name == "step_lstm"]
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 4
    assert all(run.data.metrics["frechet"] > 0 and run.data.params["hidden"] in ("32", "128") for run in runs)
