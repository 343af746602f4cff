"""The kind of device that a study's trials are planned for; it is decided before they start, because keys hold it."""

import os

from musiclab.training.runtime import Device


def planned_device(in_process: bool, gpus_per_trial: float | None) -> Device:
    """Choose `cuda` or `cpu`.

    Args:
        in_process: trials run in this process, so a cluster does not matter.
        gpus_per_trial: what the user asks for: `cpu` if 0, `cuda` if more. If None, `cuda` is chosen if the cluster of
            RAY_ADDRESS, or else this machine, has a GPU.

    Raises:
        UserError: the cluster cannot be reached.
    """
    if gpus_per_trial is not None:
        return "cuda" if gpus_per_trial else "cpu"
    if os.environ.get("RAY_ADDRESS") and not in_process:
        from musiclab.execution.ray_tune import cluster

        return "cuda" if cluster()["gpus"] else "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
