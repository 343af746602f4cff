"""The undisturbed study that all rounds are held against, the servers that they kill, and the closing table."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "study"))

from judging import STUDY, Truth, points_in, records_in  # noqa: E402 - after the path
from study_processes import run_study  # noqa: E402
from tally import TALLY  # noqa: E402

_FILE = f"""
from musiclab.study import Grid, Study

if __name__ == "__main__":
    Study(
        name="{STUDY}", system="vae_nn", space={{"latent_dim": Grid(2, 3), "noise_sd": Grid(0.0, 1.0)}},
        control={{"latent_dim": 2, "noise_sd": 0.0}}, blocks=2, objective="frechet",
    ).main()
"""


@pytest.fixture(scope="session")
def truth(song_folder: Path, tiny: list[str], database: Path, tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """Eight trials, of which two each share what they train, straight through in one process."""
    folder = tmp_path_factory.mktemp("truth")
    file, storage = folder / "killed.py", folder / "storage"
    file.write_text(_FILE)
    shutil.copy(database, folder / "empty.db")
    storage.mkdir()
    shutil.copy(database, storage / "mlflow.db")
    options = ["--data", f"midi:{song_folder}", *tiny, "--set", "vae_epochs=6"]
    run_study(*options, "--in-process", storage=storage, file=file)
    return Truth(file, options, storage, records_in(storage), points_in(f"sqlite:///{storage / 'mlflow.db'}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the closing table."""
    if lines := TALLY.table():
        terminalreporter.section("what was killed, and what that cost")
        for line in lines:
            terminalreporter.write_line(line)
