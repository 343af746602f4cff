"""Which kind of device a study's trials are planned for."""

import pytest

from musiclab.errors import UserError
from musiclab.execution import ray_tune
from musiclab.execution.device import planned_device


@pytest.fixture(params=[False, True], ids=["no GPU here", "a GPU here"])
def has_gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr("torch.cuda.is_available", lambda: request.param)
    return request.param


@pytest.mark.parametrize("in_process", [False, True])
def test_what_the_user_asks_for_decides(in_process: bool, has_gpu: bool) -> None:
    assert planned_device(in_process, 0.0) == "cpu"
    assert planned_device(in_process, 0.25) == "cuda"
    assert planned_device(in_process, 2.0) == "cuda"


@pytest.mark.parametrize("in_process", [False, True])
def test_without_a_cluster_this_machine_decides(in_process: bool, has_gpu: bool) -> None:
    assert planned_device(in_process, None) == ("cuda" if has_gpu else "cpu")


@pytest.mark.parametrize(("gpus", "device"), [(0.0, "cpu"), (8.0, "cuda")])
def test_a_cluster_decides_for_its_trials_and_not_for_those_of_this_process(
    gpus: float, device: str, has_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    monkeypatch.setattr(ray_tune, "cluster", lambda: {"nodes": 2, "cpus": 4, "gpus": gpus})
    assert planned_device(in_process=False, gpus_per_trial=None) == device
    assert planned_device(in_process=True, gpus_per_trial=None) == ("cuda" if has_gpu else "cpu")


def test_a_cluster_that_cannot_be_reached_is_asked_only_if_it_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable() -> dict[str, float]:
        raise UserError("The Ray cluster cannot be reached.")

    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    monkeypatch.setattr(ray_tune, "cluster", unreachable)
    assert planned_device(in_process=False, gpus_per_trial=0.0) == "cpu"
    with pytest.raises(UserError, match="cannot be reached"):
        planned_device(in_process=False, gpus_per_trial=None)
