"""Studies as a user runs them, as processes of their own, and the servers that they talk to."""

import importlib.util
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kept import Kept, empty
from mlflow_servers import MlflowServer, Postgres, running_postgres, sqlite
from study_processes import Head, Run, end, free_port, run_study, start_ray, wait_for

# Two variants that train for some seconds, so that there is a middle to be killed in.
_LONG = """
from musiclab.study import Grid, Study

if __name__ == "__main__":
    Study(
        name="long", system="vae_nn", space={"latent_dim": Grid(8, 16)}, control={"latent_dim": 16},
        blocks=1, objective="frechet",
    ).main()
"""


@pytest.fixture(scope="session")
def options(song_folder: Path, tiny: list[str]) -> list[str]:
    """Options of a study whose trials take a second or two."""
    return ["--data", f"midi:{song_folder}", *tiny, "--blocks", "1"]


@pytest.fixture(scope="session")
def long_options(options: list[str]) -> list[str]:
    """The same with some seconds of training a trial."""
    return [*options, "--set", "vae_epochs=25"]


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
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL; who kills it starts it again."""
    with running_postgres() as made:
        yield made


@pytest.fixture(scope="session")
def head() -> Iterator[Head]:
    """A Ray head node on this machine: two CPUs, one GPU that is only declared, a dashboard where Ray has its parts."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: Ray puts sockets under it, whose paths may not be long
    port, dashboard = free_port(), free_port()
    with_dashboard = importlib.util.find_spec("aiohttp_cors") is not None  # of ray[default]
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # a job's `python` is the head's
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
    }
    process = start_ray(
        folder / "head.log", "--head", f"--port={port}", "--num-cpus=2", "--num-gpus=1", f"--temp-dir={folder}",
        f"--include-dashboard={with_dashboard}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}",
        f"--ray-client-server-port={free_port()}", environment=environment,
    )  # fmt: skip
    try:
        made = Head(
            f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}" if with_dashboard else None, folder, environment
        )
        if with_dashboard:
            wait_for(made.takes_jobs, 120, "Ray's dashboard")
        yield made
    finally:
        end(process)
        shutil.rmtree(folder, ignore_errors=True)
