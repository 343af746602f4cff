"""Small real files that tests write themselves, and an environment that talks to nobody outside."""

import fcntl
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ["OMP_NUM_THREADS"] = "1"  # as in a trial; more threads than cores make a loaded machine crawl
for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
    os.environ.pop(name, None)

from musiclab.data.midi import Midi  # noqa: E402 - after the environment is set, as all below
from musiclab.data.store import WindowStore, build  # noqa: E402
from musiclab.data.windows import WindowSpec  # noqa: E402
from musiclab.rendering.midi import to_midi  # noqa: E402

ROOT = Path(__file__).parents[1]


Once = Callable[[str, Callable[[Path], Any]], Any]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """`once(name, make)` is what `make(folder)` returns, made by one process for all that run tests at the time.

    `folder`, of that name, is fresh; who uses it does not change it.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once(name: str, make: Callable[[Path], Any]) -> Any:
        folder, made = base / name, base / f"{name}.made"
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of one who failed
                folder.mkdir()
                made.write_bytes(pickle.dumps(make(folder)))
        return pickle.loads(made.read_bytes())

    return once


@pytest.fixture(scope="session")
def song_folder(once: Once) -> Path:
    """Twenty short songs as MIDI files: scales over triads, a bass, a beat; strings are silent."""
    return once("songs", _write_songs)


def _write_songs(folder: Path) -> Path:
    for number in range(20):
        rng = np.random.default_rng(number)
        roll = np.zeros((5, 6 * 32, 128), bool)
        root = 48 + int(rng.integers(12))
        for step in range(0, roll.shape[1], 2):
            degree = int(rng.choice([0, 2, 4, 5, 7, 9, 11]))
            roll[0, step, [36, 42] if step % 4 else [38]] = True
            roll[1, step : step + 2, root + 12 + degree] = True
            roll[2, step : step + 2, [root, root + 4, root + 7]] = True
            roll[3, step, root - 12] = True
        (folder / f"song {number:02}.mid").write_bytes(to_midi(roll, 2, 120.0))
    return folder


@pytest.fixture(scope="session")
def store(song_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> WindowStore:
    """The window store of `song_folder`: six windows a song."""
    return build(Midi(song_folder), WindowSpec(), tmp_path_factory.mktemp("stores"), workers=1)


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Options that make a study of `vae_nn` take a second or two a trial."""
    fields = "width=4 vae_epochs=3 vae_batch=16 vae_lr=0.001 latent_epochs=2 max_eval=32 starts=8 continuation=2"
    return [part for assignment in fields.split() for part in ("--set", assignment)]


@pytest.fixture(scope="session")
def database(once: Once) -> Path:
    """An empty MLflow database, to be copied: making one takes MLflow ten seconds."""
    return once("database", _make_database)


def _make_database(folder: Path) -> Path:
    file = folder / "mlflow.db"
    make = "import sys, mlflow; mlflow.MlflowClient(sys.argv[1]).get_experiment_by_name('none')"
    subprocess.run([sys.executable, "-c", make, f"sqlite:///{file}"], cwd=file.parent, check=True, capture_output=True)
    return file
