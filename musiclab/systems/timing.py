"""Timing of training steps, for forecasts."""

import statistics
import time
from collections.abc import Callable

import torch

_STEPS, _SECONDS = 12, 5.0


def seconds_a_step(step: Callable[[], None]) -> float:
    """Median seconds of a dozen calls of `step`, of fewer where they take long, on one thread as in a trial.

    The median: the first calls pay for memory and kernels, and others may want the machine at times.
    """
    torch.set_num_threads(1)
    took: list[float] = []
    while len(took) < _STEPS and sum(took) < _SECONDS:
        began = time.perf_counter()
        step()
        took.append(time.perf_counter() - began)
    return statistics.median(took)
