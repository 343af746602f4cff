"""A study on a real S3 server whose workers share no disk with it: whatever is killed, the records are the same."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from musiclab.cli.main import run as command
from musiclab.storage.files import Storage
from musiclab.storage.leases import active_holders
from tests.faults.clusters import KilledCluster, running_cluster
from tests.support.s3_servers import Ceph, Moto, S3Server, why_no_moto
from tests.support.study_processes import Run, descendants, kill, start_study
from tests.support.waiting import outcome, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module", params=[Ceph, Moto])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server of each kind that can be had."""
    why = why_no_moto() if request.param is Moto else Ceph.lacking() and f"{Ceph.lacking()} is not installed"
    if why:
        pytest.skip(why)
    made = request.param(tmp_path_factory.mktemp(request.param.name))
    made.start()
    yield made
    made.end()


@pytest.fixture
def cluster(server: S3Server, tmp_path: Path) -> Iterator[KilledCluster]:
    """A cluster whose node sees nothing of the folders of this test: neither songs nor caches nor the study's file."""
    hidden = tmp_path.parents[1]
    inside = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {hidden} && exec "$@"', "sh"]
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("only root can hide a folder from a process")
    with running_cluster(server.environment | {"XDG_CACHE_HOME": str(hidden / "cache")}, inside) as made:
        yield made


def test_workers_and_the_driver_are_killed_and_the_records_are_those_of_a_local_study(
    undisturbed: Run, server: S3Server, cluster: KilledCluster, long_study: Path, long_options: list[str],
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    cache = tmp_path / "cache"
    (cache / "musiclab").mkdir(parents=True)
    shutil.copy(database, cache / "musiclab" / "mlflow.db")
    for name, value in (server.environment | {"XDG_CACHE_HOME": str(cache)}).items():
        monkeypatch.setenv(name, value)
    storage = Storage(server.root())
    environment = cluster.environment | {"XDG_CACHE_HOME": str(cache)}

    def start() -> subprocess.Popen:
        return start_study(*long_options, storage=storage.root, file=long_study, env=environment)

    def curves() -> dict[str, float]:
        files = storage.files("stages").items()
        return {name: info.written for name, info in files if name.endswith("curves.json")}

    process = start()
    began = wait_until(curves, "a training", curves, process, poll_s=1)
    before = {name: json.loads(storage.read(name)) for name in began}
    workers = descendants(cluster.process.pid, "ray::ResourceTrainable")
    assert workers
    kill(*workers)
    wait_until(lambda: max(curves().values()) > max(began.values()) + 3, "the training to go on", curves, process, 1)
    kill(process.pid)
    process.wait()
    process = start()
    out, err = outcome(process, "the study", curves)
    assert process.returncode == 0, f"{out}\n{err}"
    assert "resume" in out
    keys = storage.names("trials")
    assert {key: storage.read(f"trials/{key}/record.json") for key in keys} == undisturbed.records
    for name, points in before.items():  # trainings went on from their checkpoints
        assert json.loads(storage.read(name))[: len(points)] == points
    (edition,) = storage.names("studies/long")
    for kind in ("runner", "mirror"):
        assert active_holders(storage, f"studies/long/{edition}/{kind}") == []
    # The node has copied the windows; nobody else can see its copy.
    windows = [name.split("/")[1] for name in storage.files("data") if name.endswith("songs.json")]
    raylet = descendants(cluster.process.pid, "raylet/raylet")[0]
    of_node = Path(f"/proc/{raylet}/root{tmp_path.parents[1]}/cache/musiclab/data")
    assert [folder.name for folder in of_node.iterdir()] == windows
    assert not (tmp_path.parents[1] / "cache").exists()
    assert command(["sync", f"{storage.root}/long"]) == 0
    assert command(["clean", storage.root, "--remove"]) == 0
    assert {key: storage.read(f"trials/{key}/record.json") for key in keys} == undisturbed.records
    capsys.readouterr()
    command(["doctor", storage.root])
    said = capsys.readouterr().out
    assert "damaged" not in said and "cannot be checked" not in said
