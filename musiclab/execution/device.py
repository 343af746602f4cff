"""The kind of device that a study's trials are planned for: it is in their keys, so it is decided before they start."""

import os

from musiclab.training.runtime import Device


def planned_device(in_process: bool, gpus_per_trial: float | None) -> Device:
    """`cuda` if GPUs are asked for or, unless the user says otherwise, if the machine or cluster has any; else `cpu`.

    UserError if the cluster of RAY_ADDRESS cannot be reached.
    """
    if gpus_per_trial is not None:
        return "cuda" if gpus_per_trial else "cpu"
    if os.environ.get("RAY_ADDRESS") and not in_process:
        from musiclab.execution.ray_tune import cluster

        return "cuda" if cluster()["gpus"] else "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
