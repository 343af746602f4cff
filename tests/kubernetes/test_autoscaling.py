"""Ray's own autoscaler reads the manifests' RayCluster, and asks for the workers that trials need."""

import pytest
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil

from tests.support.kubernetes import Manifest

_GIB = 2**30


def _config(manifests: dict[str, list[Manifest]], folder: str) -> AutoscalingConfig:
    (cluster,) = [each for each in manifests[folder] if each["kind"] == "RayCluster"]
    return AutoscalingConfig(_derive_autoscaling_config_from_ray_cr(cluster), skip_content_hash=True)


def test_it_sees_a_head_without_cpus_and_groups_that_begin_with_nobody(manifests: dict[str, list[Manifest]]) -> None:
    configs = _config(manifests, "overlays/gpu").get_node_type_configs()
    head, workers = configs["headgroup"], configs["gpu-workers"]
    assert head.resources == {"CPU": 0, "memory": 4 * _GIB}
    assert workers.resources == {"CPU": 4, "GPU": 1, "memory": 8 * _GIB}
    assert (workers.min_worker_nodes, workers.max_worker_nodes) == (0, 4)


@pytest.mark.parametrize(
    ("folder", "trials", "gpus_per_trial", "workers"),
    [
        ("overlays/cpu", 0, 0, 0),
        ("overlays/cpu", 1, 0, 1),
        ("overlays/cpu", 6, 0, 2),
        ("overlays/cpu", 200, 0, 4),
        ("overlays/cpu", 1, 0.25, 0),  # there is no GPU to be had
        ("overlays/s3", 6, 0, 2),
        ("overlays/gpu", 1, 0.25, 1),
        ("overlays/gpu", 6, 0.25, 2),
        ("overlays/gpu", 200, 0.25, 4),
    ],
)
def test_it_asks_for_the_workers_that_pending_trials_need(
    manifests: dict[str, list[Manifest]], folder: str, trials: int, gpus_per_trial: float, workers: int
) -> None:
    config = _config(manifests, folder)
    a_trial = ResourceRequestUtil.make({"CPU": 1} | ({"GPU": gpus_per_trial} if gpus_per_trial else {}))
    request = SchedulingRequest(
        disable_launch_config_check=True,  # as KubeRay's configuration has it
        node_type_configs=config.get_node_type_configs(),
        max_num_nodes=config.get_max_num_nodes(),
        resource_requests=ResourceRequestUtil.group_by_count([a_trial] * trials),
    )
    launched = ResourceDemandScheduler().schedule(request).to_launch
    assert sum(launch.count for launch in launched if launch.instance_type != "headgroup") == workers
