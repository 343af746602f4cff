"""Processes are killed at seeded moments: nothing finished is lost, changed or done again, and MLflow gets in sync."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.clusters import KilledCluster, running_cluster
from tests.faults.judging import Truth
from tests.faults.rounds import Round
from tests.faults.tally import seeds
from tests.support.mlflow_servers import MlflowServer, Postgres, sqlite

_names = (f"round{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def cluster() -> Iterator[KilledCluster]:
    with running_cluster() as made:
        yield made


def _on_sqlite(seed: int, truth: Truth, folder: Path, *more: str) -> None:
    """In one process, with a tracking server on SQLite."""
    server = sqlite(folder / "server", truth.empty)
    server.start()
    try:
        targets = ["driver", "mirror", "server on SQLite", *more]
        Round(
            seed, targets, truth, folder, "--in-process", servers={"server on SQLite": server}, uri=server.uri,
            look=server.database,
        ).play()  # fmt: skip
    finally:
        server.end()


def _on_ray(seed: int, truth: Truth, folder: Path, *more: str) -> None:
    """On a Ray of this machine."""
    Round(seed, ["driver", "worker", *more], truth, folder, "--workers", "2").play()


def _on_cluster(seed: int, truth: Truth, folder: Path, cluster: KilledCluster, postgres: Postgres, *more: str) -> None:
    """On two nodes, with a tracking server on PostgreSQL."""
    database = postgres.database(next(_names))
    server = MlflowServer(folder / "server", database)
    server.start()
    try:
        Round(
            seed, ["node", "worker", "driver", "PostgreSQL", "server on PostgreSQL", *more], truth, folder,
            servers={"node": cluster, "PostgreSQL": postgres, "server on PostgreSQL": server},
            uri=server.uri, look=database, env=cluster.environment,
        ).play()  # fmt: skip
    finally:
        server.end()


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(1, 1))
def test_in_one_process_with_a_server_on_sqlite(seed: int, truth: Truth, tmp_path: Path) -> None:
    _on_sqlite(seed, truth, tmp_path)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("seed", seeds(11, 1))
def test_on_a_ray_of_this_machine(seed: int, truth: Truth, tmp_path: Path) -> None:
    _on_ray(seed, truth, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(21, 1))
def test_on_two_nodes_with_a_server_on_postgresql(
    seed: int, truth: Truth, tmp_path: Path, cluster: KilledCluster, postgres: Postgres
) -> None:
    _on_cluster(seed, truth, tmp_path, cluster, postgres)


@pytest.mark.long
@pytest.mark.parametrize("seed", seeds(1001, 5))
def test_many_in_one_process_with_a_server_on_sqlite(seed: int, truth: Truth, tmp_path: Path) -> None:
    _on_sqlite(seed, truth, tmp_path, "driver", "mirror")


@pytest.mark.long
@pytest.mark.parametrize("seed", seeds(1011, 5))
def test_many_on_a_ray_of_this_machine(seed: int, truth: Truth, tmp_path: Path) -> None:
    _on_ray(seed, truth, tmp_path, "worker", "mirror")


@pytest.mark.long
@pytest.mark.parametrize("seed", seeds(1031, 4))
def test_many_on_a_ray_of_this_machine_whose_raylet_dies(seed: int, truth: Truth, tmp_path: Path) -> None:
    """Alone: its workers may outlive it, and end the study's trials, so that nothing else would be left to kill."""
    Round(seed, ["raylet"], truth, tmp_path, "--workers", "2").play()


@pytest.mark.long
@pytest.mark.parametrize("seed", seeds(1021, 5))
def test_many_on_two_nodes_with_a_server_on_postgresql(
    seed: int, truth: Truth, tmp_path: Path, cluster: KilledCluster, postgres: Postgres
) -> None:
    _on_cluster(seed, truth, tmp_path, cluster, postgres, "worker")
