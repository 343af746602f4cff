"""The same studies on Ray: the same records, whatever dies, on a cluster as on this machine; and what it refuses."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.support.nodes import pending, start_node
from tests.support.study_processes import (
    Head,
    Run,
    descendants,
    end,
    ended,
    free_port,
    kill,
    run_study,
    start_study,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.mark.long
def test_a_killed_worker_costs_no_trial_and_no_digit(
    undisturbed: Run, storage: Path, long_study: Path, long_options: list[str]
) -> None:
    process = start_study(*long_options, storage=storage, file=long_study)
    curves = wait_until(lambda: [*storage.glob("stages/*/curves.json")], "a training")[0]
    before = json.loads(curves.read_text())
    workers = descendants(process.pid, "ray::ResourceTrainable")
    assert workers
    kill(*workers)
    run = ended(process, storage)
    assert run.records == undisturbed.records
    assert {cost["pid"] for cost in run.costs}.isdisjoint(workers)
    # The new worker went on from the checkpoint: the points from before the kill still carry their times.
    assert json.loads(curves.read_text())[: len(before)] == before


@pytest.mark.parametrize("gpus", [[], pytest.param(["--gpus-per-trial", "0.5"], marks=pytest.mark.long)])
def test_a_worker_without_the_gpu_that_its_cluster_declares_refuses_the_trial(
    head: Head, storage: Path, options: list[str], gpus: list[str]
) -> None:
    environment = head.environment | {"RAY_ADDRESS": head.address}
    run = run_study(*options, *gpus, storage=storage, code=1, env=environment)
    assert run.records == {}
    assert run.out.count(": The plan asks for a GPU, and this worker has none; give it one, or plan with ") == 4


@pytest.mark.long
def test_a_node_that_comes_takes_the_trials_that_wait_and_one_that_leaves_gives_them_back(
    head: Head, storage: Path, long_study: Path, long_options: list[str]
) -> None:
    def training() -> int:
        return len([*storage.glob("stages/*/curves.json")])

    endless = [*long_options, "--blocks", "2", "--set", "vae_epochs=10000", "--gpus-per-trial", "0"]
    environment = head.environment | {"RAY_ADDRESS": head.address}
    process = start_study(*endless, storage=storage, file=long_study, env=environment)
    node = None
    try:
        wait_until(lambda: training() == 2, "two trainings at the head", process=process)
        assert pending(head.address, head.environment) == 2  # an autoscaler sees both that find no room
        one, *_ = [json.loads(file.read_text())["pid"] for file in storage.glob("studies/*/*/workers/*.json")]
        os.kill(one, signal.SIGTERM)  # a warning to a worker alone: its trial goes on in another
        wait_until(lambda: not Path(f"/proc/{one}").exists(), "the end of the worker", process=process)
        node = start_node(head.folder / "node.log", head.address, cpus=2, environment=head.environment)
        wait_until(lambda: training() == 4, "two more at the node", process=process)
        assert pending(head.address, head.environment) == 0
        node.send_signal(signal.SIGTERM)
        node.wait()  # it ends as soon as its trials have given it up, and waits for nobody else
        wait_until(lambda: pending(head.address, head.environment) == 2, "the two that were put back")
        left = [
            max(point["step"] for point in json.loads(file.read_text())) for file in storage.glob("stages/*/*.json")
        ]
        os.killpg(process.pid, signal.SIGINT)
        stopped = ended(process, storage, code=130)
    finally:
        process.kill()
        if node:
            end(node)
    assert len(left) == 4
    assert stopped.err.count("goes on elsewhere: ") == 3 and "is tried again" not in stopped.err
    resumes = re.search(r"^Stopped: 0 of 4 trials done, 4 resume from epoch (\d+)", stopped.out, re.MULTILINE)
    assert int(resumes[1]) >= min(left)  # no epoch that a trial had at its node is lost
    assert pending(head.address, head.environment) == 0  # nothing is asked for any more


def test_more_gpus_than_there_are_is_one_sentence(head: Head, storage: Path, options: list[str]) -> None:
    environment = head.environment | {"RAY_ADDRESS": head.address}
    refused = run_study(*options, "--gpus-per-trial", "2", storage=storage, code=2, env=environment)
    assert _error(refused) == "error: --gpus-per-trial must be at most what the cluster has, 1; got 2."
    assert refused.records == {}


def test_a_cluster_that_is_not_there_is_one_sentence(storage: Path, options: list[str]) -> None:
    address = f"127.0.0.1:{free_port()}"
    refused = run_study(*options, storage=storage, code=2, env={"RAY_ADDRESS": address})
    assert _error(refused).startswith(f"error: The Ray cluster at RAY_ADDRESS={address} cannot be reached (")
    assert _error(refused).endswith("start it, or unset RAY_ADDRESS to run on this machine.")


@pytest.mark.parametrize(
    "other",
    [
        {"RAY_AUTH_TOKEN": "f" * 32},
        pytest.param({"RAY_AUTH_MODE": "disabled"}, marks=pytest.mark.long),
        {"RAY_AUTH_TOKEN": "", "HOME": "/proc/none"},
    ],
)
def test_another_token_than_the_cluster_s_is_one_sentence(
    other: dict[str, str], head: Head, storage: Path, options: list[str]
) -> None:
    environment = head.environment | {"RAY_ADDRESS": head.address} | other
    refused = run_study(*options, storage=storage, code=2, env=environment)
    said = refused.err.splitlines()[-1]  # Ray's log has a line before it
    assert said.startswith(f"error: The Ray cluster at RAY_ADDRESS={head.address} does not let this process in (")
    assert "set RAY_AUTH_MODE=token here and the same RAY_AUTH_TOKEN or ~/.ray/auth_token, else unset RAY_" in said
    assert "Traceback" not in refused.err


def _error(run: Run) -> str:
    """The one line that an error is."""
    (line,) = [line for line in run.err.splitlines() if "error" in line]
    assert "Traceback" not in run.err
    return line


def test_a_worker_killed_for_memory_is_tried_again_and_named(
    storage: Path, long_study: Path, long_options: list[str]
) -> None:
    # Ray's own memory monitor, told that two per cent of the machine's memory is all there is.
    short_of_memory = {"RAY_memory_usage_threshold": "0.02", "RAY_memory_monitor_refresh_ms": "300"}
    # A training that would not end before the monitor looks.
    options = [*long_options, "--set", "vae_epochs=10000", "--max-failures", "1"]
    run = run_study(*options, storage=storage, file=long_study, code=1, env=short_of_memory)
    reason = "its worker was killed because the machine ran low on memory"
    assert run.err.count(f"is tried again: {reason}") == 2
    failed = re.findall(rf"^failed: latent_dim=\d+, block 0: {reason} \(log: (.*)\)$", run.out, re.MULTILINE)
    assert len(failed) == 2
    assert all("exceeded threshold" in Path(log).read_text() for log in failed)
    assert "Traceback" not in run.err
