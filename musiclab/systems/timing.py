"""Timing of training steps, for forecasts."""

import statistics
import time
from collections.abc import Callable

import torch

_STEPS, _SECONDS = 12, 5.0


def seconds_a_step(step: Callable[[], object]) -> float:
    """Median seconds of a dozen calls of `step`, or of fewer if they take long, on one thread as in a trial.

    The median, because the first calls pay for memory and kernels, and other processes may interrupt some calls.
    """
    torch.set_num_threads(1)
    durations: list[float] = []
    while len(durations) < _STEPS and sum(durations) < _SECONDS:
        began = time.perf_counter()
        step()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations)
