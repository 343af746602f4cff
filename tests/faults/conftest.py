"""The undisturbed study that all rounds are held against, the servers that they kill, and the closing table."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.forks import Nursery
from tests.faults.judging import STUDY, Truth, points_in, records_in
from tests.faults.tally import TALLY
from tests.support.study_processes import PAUSING, run_study

_FILE = """
from musiclab.study import Grid, Study

if __name__ == "__main__":
    Study(
        name={name!r}, system="vae_nn", space={space}, control={control}, fixed={fixed}, blocks=1, objective="frechet",
    ).main()
"""
_WHOLE = {
    "space": '{"latent_dim": Grid(2, 3), "noise_sd": Grid(0.0, 1.0)}', "control": {"latent_dim": 2, "noise_sd": 0.0},
    "fixed": {},
}  # fmt: skip
_HALF = {"space": '{"noise_sd": Grid(0.0, 1.0)}', "control": {"noise_sd": 0.0}, "fixed": {"latent_dim": 2}}


@pytest.fixture(scope="session")
def truth(song_folder: Path, tiny: list[str], database: Path, once: Callable[..., Truth]) -> Truth:
    """Four trials, of which two each share what they train, straight through in one process."""
    options = ["--data", f"midi:{song_folder}", *tiny, "--set", "vae_epochs=8"]

    def run(folder: Path) -> Truth:
        file, storage = folder / "killed.py", folder / "storage"
        for study, of in ((file, _WHOLE), (folder / "half.py", _HALF)):
            study.write_text(PAUSING + _FILE.format(name=STUDY, **of))
        shutil.copy(database, folder / "empty.db")
        storage.mkdir()
        shutil.copy(database, storage / "mlflow.db")
        run_study(*options, "--in-process", storage=storage, file=file)
        return Truth(file, options, storage, records_in(storage), points_in(f"sqlite:///{storage / 'mlflow.db'}"))

    return once("truth", run)


@pytest.fixture(scope="session")
def half(truth: Truth) -> Truth:
    """The two of these trials that share what they train, as a study of their own."""
    keys = [key for key, data in truth.records.items() if json.loads(data)["config"]["latent_dim"] == 2]
    records, points = {key: truth.records[key] for key in keys}, {key: truth.points[key] for key in keys}
    return replace(truth, file=truth.file.with_name("half.py"), records=records, points=points)


@pytest.fixture(scope="session")
def nursery(half: Truth, tmp_path_factory: pytest.TempPathFactory, once: Callable[..., Path]) -> Iterator[Nursery]:
    """Where that study runs quickly."""
    made = Nursery("half", half, tmp_path_factory.mktemp("nursery"), once)
    yield made
    made.end()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the closing table."""
    if lines := TALLY.table():
        terminalreporter.section("what was killed, and what that cost")
        for line in lines:
            terminalreporter.write_line(line)
