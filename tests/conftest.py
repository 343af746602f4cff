"""Small real files that tests write themselves, and an environment that talks to nobody outside."""

import os
import subprocess
import sys
from pathlib import Path

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


@pytest.fixture(scope="session")
def song_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty short songs as MIDI files: scales over triads, a bass, a beat; strings are silent."""
    folder = tmp_path_factory.mktemp("songs")
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
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database, to be copied: making one takes MLflow ten seconds."""
    file = tmp_path_factory.mktemp("database") / "mlflow.db"
    make = "import sys, mlflow; mlflow.MlflowClient(sys.argv[1]).get_experiment_by_name('none')"
    subprocess.run([sys.executable, "-c", make, f"sqlite:///{file}"], cwd=file.parent, check=True, capture_output=True)
    return file
