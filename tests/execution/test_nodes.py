"""Machines that come and leave: how many trials are handed out, what a warned worker does, a cluster that scales."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from musiclab.design.trials import TrialSpec, Variant
from musiclab.execution import ray_nodes, ray_tune, trial
from musiclab.execution.queue import Queue
from musiclab.execution.ray_nodes import Room, is_leaving
from musiclab.execution.ray_tune import _QueueBridge
from musiclab.execution.trial import MachineLeaves, TrialRunner
from musiclab.storage.files import Storage
from musiclab.storage.leases import Lease
from musiclab.training.streams import Block
from tests.support.clusters import Cluster
from tests.support.kept import Kept
from tests.support.nodes import pending
from tests.support.study_processes import Run, ended, kill, start_study
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


@pytest.mark.parametrize("grows", [True, False])
def test_trials_that_find_no_machine_are_said_once_until_one_runs(
    grows: bool, has: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_tune, "_WAIT_S", -1.0)
    monkeypatch.setattr(ray_tune, "resources", lambda: has)
    has["CPU"], said = 2.0, list[str]()
    specs = [TrialSpec(Variant("vae_nn", {}, {}, "d"), Block(0, 0), {"vae": key}) for key in "ab"]
    queue = Queue(specs, finished=lambda key: False)
    bridge = _QueueBridge(queue, Room(gpus=0.25, asked=None, grows=grows), lambda *_: None, said.append)
    bridge.on_step_end(0, [])
    assert said == []  # nothing was handed out
    queue.next()
    for _ in range(3):
        bridge.on_step_end(0, [])
    line = "waiting for a machine: a trial asks for 1 CPU and 0.25 GPU, and the cluster has CPUs 2, GPUs 0 now"
    assert said == [line] * grows
    queue.place("a")
    bridge.on_step_end(0, [])
    queue.done("a")
    queue.next()
    bridge.on_step_end(0, [])
    assert said == [line, line] * grows


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


class ScalingCluster(Cluster):
    """A cluster that may have an autoscaler, and says what of it there is."""

    def start_autoscaling_head(self, nodes: int) -> None:
        """Start the head with an autoscaler that brings up to so many nodes of one CPU, and takes idle ones back."""
        head_id = "f" * 51 + "00000"
        types = {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "small": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": nodes},
        }
        provider = {
            # By its class: the defaults of the type `fake_multinode` are in no wheel.
            "type": "external", "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "launch_multiple": True, "head_node_id": head_id, "gcs_address": self.address,
            "disable_node_updaters": True, "disable_launch_config_check": True,
        }  # fmt: skip
        file = self.folder / "autoscaler.json"
        config = {
            "cluster_name": "fake", "max_workers": nodes, "upscaling_speed": 100, "idle_timeout_minutes": 0.1,
            "provider": provider, "available_node_types": types, "head_node_type": "ray.head.default",
        }  # fmt: skip
        commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
        demanded = ["cluster_synced_files", *(f"{name}_commands" for name in commands)]
        file.write_text(json.dumps(config | {key: [] for key in demanded}))
        self.start_head(
            f"--autoscaling-config={file}", RAY_FAKE_CLUSTER="1", AUTOSCALER_UPDATE_INTERVAL_S="1",
            RAY_enable_autoscaler_v2="1", RAY_CLOUD_INSTANCE_ID=head_id, RAY_OVERRIDE_NODE_ID_FOR_TESTING=head_id,
        )  # fmt: skip

    def nodes(self) -> int:
        """How many nodes are alive, the head included."""
        ask = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
        command = [sys.executable, "-c", ask, self.address]
        return int(subprocess.run(command, env=self.environment, capture_output=True, check=True).stdout)

    def pending(self) -> int:
        """How many trials have no machine."""
        return pending(self.address, self.environment)


@pytest.fixture
def cluster() -> Iterator[ScalingCluster]:
    made = ScalingCluster()
    yield made
    made.end()


def _trained(storage: Path) -> list[Path]:
    """The curves of the trainings that have begun."""
    return [*storage.glob("stages/*/curves.json")]


@pytest.mark.slow
@pytest.mark.long
def test_trials_of_a_node_that_leaves_go_on_at_the_one_that_came_and_lose_nothing(
    cluster: ScalingCluster, undisturbed: Run, storage: Path, long_study: Path, long_options: list[str]
) -> None:
    cluster.start_head()
    process = start_study(*long_options, storage=storage, file=long_study, env=cluster.environment)
    try:
        wait_until(lambda: cluster.pending() == 2, "two trials without a machine", process=process)
        os.killpg(process.pid, signal.SIGINT)
        assert "Stopped: 0 of 2 trials done, 2 new" in ended(process, storage, code=130).out  # it waits for none
        first = cluster.start_node()
        process = start_study(*long_options, storage=storage, file=long_study, env=cluster.environment)
        wait_until(lambda: len(_trained(storage)) == 2, "two trainings", process=process)
        first.send_signal(signal.SIGTERM)
        first.wait()
        curves = {file: json.loads(file.read_text()) for file in _trained(storage)}
        cluster.start_node()
        run = ended(process, storage)
    finally:
        process.kill()
    assert run.records == undisturbed.records
    assert run.err.count(f"goes on elsewhere: {os.uname().nodename} is about to be taken away") == 2
    assert "is tried again" not in run.err
    for file, points in curves.items():
        assert json.loads(file.read_text())[: len(points)] == points  # no epoch was done twice


@pytest.mark.slow
@pytest.mark.long
def test_an_autoscaler_brings_machines_for_all_trials_that_wait_and_takes_them_back(
    cluster: ScalingCluster, storage: Path, long_study: Path, long_options: list[str]
) -> None:
    cluster.start_autoscaling_head(nodes=3)
    assert cluster.nodes() == 1
    endless = [*long_options, "--blocks", "2", "--set", "vae_epochs=10000"]
    process = start_study(*endless, storage=storage, file=long_study, env=cluster.environment)
    try:
        wait_until(lambda: len(_trained(storage)) == 3, "three trainings", process=process)
        assert cluster.pending() == 1  # it may bring three machines, and there are four trials
        kill(process.pid)
        wait_until(lambda: cluster.nodes() == 1, "the end of the nodes that nobody needs", poll_s=2)
    finally:
        process.kill()
    assert cluster.pending() == 0
