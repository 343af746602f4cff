"""Small real files, studies as a user runs them, and an environment that talks to nobody outside."""

import fcntl
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "120"  # a server on a busy machine answers late
os.environ["OMP_NUM_THREADS"] = "1"  # as in a trial; more threads than cores make a loaded machine crawl
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes would each compile musiclab anew
for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
    os.environ.pop(name, None)

from musiclab.data.midi import Midi  # noqa: E402 - after the environment is set, as all below
from musiclab.data.store import WindowStore, build  # noqa: E402
from musiclab.data.windows import WindowSpec  # noqa: E402
from musiclab.rendering.midi import to_midi  # noqa: E402
from musiclab.testing.made import song_roll  # noqa: E402
from tests.support.kept import Kept, empty  # noqa: E402
from tests.support.mlflow_servers import MlflowServer, Postgres, running_postgres, sqlite  # noqa: E402
from tests.support.s3_servers import Moto, S3Server, why_no_moto  # noqa: E402
from tests.support.study_processes import PAUSING, Head, Run, run_study, running_head  # noqa: E402
from tests.support.wheels import built_wheel  # noqa: E402

ROOT = Path(__file__).parents[1]

# How long an example takes is no reason to fail, and each run tries the same ones.
settings.register_profile(
    "unhurried", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """A test that leaves a handler of Ctrl-C behind fails, and not the later ones that need the usual one.

    That of SIGTERM is only put back: Ray leaves its own in each process that it is started in.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    after = signal.getsignal(signal.SIGINT)
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after is before[signal.SIGINT]


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
        roll = song_roll(number, 6 * 32)
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


# Two variants that train for some seconds, so that there is a middle to be killed in.
_LONG = f"""{PAUSING}
from musiclab.study import Grid, Study

if __name__ == "__main__":
    Study(
        name="long", system="vae_nn", space={{"latent_dim": Grid(8, 16)}}, control={{"latent_dim": 16}},
        blocks=1, objective="frechet",
    ).main()
"""


@pytest.fixture(scope="session")
def options(song_folder: Path, tiny: list[str]) -> list[str]:
    """Options of a study whose trials take a second or two."""
    return ["--data", f"midi:{song_folder}", *tiny, "--blocks", "1"]


LONG_EPOCHS = 100


@pytest.fixture(scope="session")
def long_options(options: list[str]) -> list[str]:
    """The same with some seconds of training a trial."""
    return [*options, "--set", f"vae_epochs={LONG_EPOCHS}"]


@pytest.fixture(scope="session")
def long_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study file of two variants, for `long_options`."""
    file = tmp_path_factory.mktemp("studies") / "long.py"
    file.write_text(_LONG)
    return file


@pytest.fixture
def storage(tmp_path: Path, database: Path) -> Path:
    """A storage with nothing in it but MLflow's empty database."""
    folder = tmp_path / "storage"
    folder.mkdir()
    return empty(folder, database)


@pytest.fixture(scope="session")
def finished(options: list[str], database: Path, once: Callable[..., Run]) -> Run:
    """`latent_dim` on one block, run in one process, not to be changed: copy its storage for that."""
    return once("finished", lambda folder: run_study(*options, "--in-process", storage=empty(folder, database)))


@pytest.fixture(scope="session")
def undisturbed(long_study: Path, long_options: list[str], database: Path, once: Callable[..., Run]) -> Run:
    """The long study straight through in one process."""
    asked = [*long_options, "--in-process"]
    return once("undisturbed", lambda folder: run_study(*asked, storage=empty(folder, database), file=long_study))


@pytest.fixture(scope="session")
def own_options(song_folder: Path) -> list[str]:
    """Options of a study of an example's system whose trials take a second or two."""
    fields = "max_train=64 max_eval=32 starts=8 continuation=2"
    sets = [part for assignment in fields.split() for part in ("--set", assignment)]
    return ["--data", f"midi:{song_folder}", "--blocks", "1", *sets]


@pytest.fixture(scope="session")
def own(own_options: list[str], database: Path, once: Callable[..., Run]) -> Run:
    """`examples/own_system.py`, run in one process from a folder of its own that it leaves, not to be changed."""

    def make(folder: Path) -> Run:
        file = folder / "own_system.py"
        shutil.copy(ROOT / "examples" / "own_system.py", file)
        run = run_study(*own_options, "--in-process", storage=empty(folder, database), file=file)
        file.unlink()
        return run

    return once("own", make)


@pytest.fixture
def kept(finished: Run, database: Path, tmp_path: Path) -> Kept:
    """A copy of the finished study's storage that MLflow knows nothing of."""
    return Kept(finished, database, tmp_path / "storage")


@pytest.fixture(scope="session")
def server(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A tracking server that runs all the time, for tests that do not kill it."""
    made = sqlite(tmp_path_factory.mktemp("server") / "mlflow", database)
    made.start()
    yield made
    made.end()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """moto's S3 server, which runs all the time."""
    if why := why_no_moto():
        pytest.skip(why)
    made = Moto(tmp_path_factory.mktemp("s3"))
    made.start()
    yield made
    made.end()


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The same, with the variables by which this process and those that it starts find it."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL; who kills it starts it again."""
    with running_postgres() as made:
        yield made


@pytest.fixture(scope="session")
def head() -> Iterator[Head]:
    """A Ray head node on this machine: two CPUs, one GPU that is only declared, a dashboard where Ray has its parts."""
    with running_head() as made:
        yield made


@pytest.fixture(scope="session")
def wheel(once: Once) -> Path:
    """The wheel of this checkout."""
    return once("wheel", built_wheel)
