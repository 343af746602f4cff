"""Machines that come and leave: how many trials are handed out, what a warned worker does, a cluster that scales."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from musiclab.execution import ray_nodes, trial
from musiclab.execution.ray_nodes import Room, is_leaving
from musiclab.execution.trial import MachineLeaves, TrialRunner
from musiclab.storage.files import Storage
from musiclab.storage.leases import Lease
from tests.support.kept import Kept
from tests.support.nodes import pending, start_node
from tests.support.study_processes import Run, end, ended, free_port, start_ray, start_study
from tests.support.waiting import wait_until


@pytest.fixture
def has(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What the cluster has."""
    total: dict[str, float] = {}
    monkeypatch.setattr(ray_nodes, "resources", lambda: total)
    monkeypatch.setattr(ray_nodes, "_ASK_AGAIN_S", -1.0)
    return total


def test_room_follows_the_nodes_that_come_and_leave(has: dict[str, float]) -> None:
    room = Room(gpus=0.25, asked=None, grows=True)
    assert (room.slots, room.workers) == (0, 1)  # a search proposes one, and that brings a machine
    has |= {"CPU": 6.0, "GPU": 1.0}
    assert (room.slots, room.workers, room.most_handed_out) == (4, 4, 204)
    has |= {"CPU": 3.0}
    assert (room.slots, room.workers) == (3, 3)


@pytest.mark.parametrize(("asked", "workers", "most"), [(None, 2, 202), (1, 1, 1), (8, 8, 8)])
def test_on_a_cluster_trials_may_wait_for_machines_up_to_what_is_asked_for(
    asked: int | None, workers: int, most: int, has: dict[str, float]
) -> None:
    has["CPU"] = 2.0
    room = Room(gpus=0.0, asked=asked, grows=True)
    assert (room.workers, room.most_handed_out) == (workers, most)


@pytest.mark.parametrize(("asked", "workers"), [(None, 2), (1, 1), (8, 2)])
def test_on_this_machine_alone_none_waits(asked: int | None, workers: int, has: dict[str, float]) -> None:
    has["CPU"] = 2.0
    room = Room(gpus=0.0, asked=asked, grows=False)
    assert (room.workers, room.most_handed_out) == (workers, workers)


def test_nothing_is_known_to_leave_without_ray() -> None:
    assert not is_leaving()


def test_a_warned_trial_keeps_its_last_epoch_and_goes_on_after_it(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_ASK_EVERY_S", -1.0)
    spec = json.loads(kept.plan.read_text())["trials"][0]
    keys = [key for _, key in spec["stages"]]
    record = kept.path / "trials" / keys[-1] / "record.json"
    before = record.read_bytes()
    record.unlink()
    for key in keys:
        shutil.rmtree(kept.path / "stages" / key, ignore_errors=True)
    epochs: list[str] = []
    with Lease(Storage(str(kept.path)), "studies/latent_dim/runner").take() as lease:
        run = TrialRunner(str(kept.path), lease.name)
        with pytest.raises(MachineLeaves, match=f"{os.uname().nodename} is about to be taken away"):
            run(spec, True, lambda: epochs.append("first"), lambda: len(epochs) == 2)
        assert not record.exists() and not (record.parent / "failed.json").exists()
        run(spec, True, lambda: epochs.append("then"))
    assert epochs == ["first"] * 2 + ["then"] * 3  # three of one training, two of the other: none was done twice
    assert record.read_bytes() == before


# Clusters of their own.


@pytest.mark.slow
@pytest.mark.long
def test_trials_of_a_node_that_leaves_go_on_at_the_one_that_came_and_lose_nothing(
    undisturbed: Run, storage: Path, long_study: Path, long_options: list[str]
) -> None:
    folder, address = Path(tempfile.mkdtemp(prefix="ray-")), f"127.0.0.1:{free_port()}"
    head = start_ray(
        folder / "head.log", "--head", f"--port={address.rpartition(':')[2]}", "--num-cpus=0",
        "--include-dashboard=False", f"--temp-dir={folder}", f"--ray-client-server-port={free_port()}",
        environment=dict(os.environ),
    )  # fmt: skip
    nodes = [start_node(folder / "first.log", address, cpus=2)]
    process = start_study(*long_options, storage=storage, file=long_study, env={"RAY_ADDRESS": address})
    try:
        wait_until(lambda: len([*storage.glob("stages/*/curves.json")]) == 2, "two trainings", process=process)
        nodes.append(start_node(folder / "second.log", address, cpus=2))
        nodes[0].send_signal(signal.SIGTERM)
        nodes[0].wait()
        curves = {file: json.loads(file.read_text()) for file in storage.glob("stages/*/curves.json")}
        run = ended(process, storage)
    finally:
        process.kill()
        for each in (*nodes, head):
            end(each)
        shutil.rmtree(folder, ignore_errors=True)
    assert run.records == undisturbed.records
    assert run.err.count(f"goes on elsewhere: {os.uname().nodename} is about to be taken away") == 2
    assert "is tried again" not in run.err
    for file, points in curves.items():
        assert json.loads(file.read_text())[: len(points)] == points  # no epoch was done twice


@pytest.fixture
def autoscaled() -> Iterator[tuple[str, dict[str, str]]]:
    """Address and environment of a head without CPUs whose autoscaler brings up to three nodes of one CPU each."""
    folder, address = Path(tempfile.mkdtemp(prefix="ray-")), f"127.0.0.1:{free_port()}"
    head_id = "f" * 51 + "00000"
    none = {"file_mounts": {}, "cluster_synced_files": [], "initialization_commands": [], "setup_commands": []}
    config = none | {
        "cluster_name": "fake", "max_workers": 3, "upscaling_speed": 100, "idle_timeout_minutes": 0.05,
        "provider": {
            "type": "fake_multinode", "launch_multiple": True, "head_node_id": head_id, "gcs_address": address,
        },
        "available_node_types": {
            "head": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "small": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 3},
        },
        "head_node_type": "head", "docker": {}, "auth": {"ssh_user": "nobody"}, "rsync_exclude": [],
        "rsync_filter": [], "head_setup_commands": [], "worker_setup_commands": [], "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
    }  # fmt: skip
    (folder / "autoscaler.json").write_text(json.dumps(config))
    environment = os.environ | {
        "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": head_id, "RAY_OVERRIDE_NODE_ID_FOR_TESTING": head_id,
    }  # fmt: skip
    head = start_ray(
        folder / "head.log", "--head", f"--port={address.rpartition(':')[2]}", "--num-cpus=0",
        "--include-dashboard=False", f"--temp-dir={folder}", f"--ray-client-server-port={free_port()}",
        f"--autoscaling-config={folder / 'autoscaler.json'}", environment=environment,
    )  # fmt: skip
    try:
        yield address, dict(os.environ)
    finally:
        end(head)
        shutil.rmtree(folder, ignore_errors=True)


def _nodes(address: str, environment: dict[str, str]) -> int:
    """How many nodes of the cluster are alive, the head included."""
    ask = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
    answer = subprocess.run([sys.executable, "-c", ask, address], env=environment, capture_output=True, check=True)
    return int(answer.stdout)


@pytest.mark.slow
@pytest.mark.long
def test_an_autoscaler_brings_machines_for_all_trials_that_wait_and_takes_them_back(
    autoscaled: tuple[str, dict[str, str]], storage: Path, long_study: Path, long_options: list[str]
) -> None:
    address, environment = autoscaled
    assert _nodes(address, environment) == 1
    endless = [*long_options, "--blocks", "2", "--set", "vae_epochs=10000"]
    process = start_study(*endless, storage=storage, file=long_study, env={"RAY_ADDRESS": address})
    try:
        wait_until(lambda: len([*storage.glob("stages/*/curves.json")]) == 3, "three trainings", process=process)
        assert pending(address, environment) == 1  # it may bring three machines, and there are four trials
        os.killpg(process.pid, signal.SIGINT)
        ended(process, storage, code=130)
        wait_until(lambda: _nodes(address, environment) == 1, "the end of the nodes that nobody needs", poll_s=2)
    finally:
        process.kill()
    assert pending(address, environment) == 0
