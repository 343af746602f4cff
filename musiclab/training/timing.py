"""Timing of training steps, for forecasts."""

import statistics
import time
from collections.abc import Callable

import torch

_STEPS = 12


def seconds_a_step(step: Callable[[], None]) -> float:
    """Median seconds of a dozen calls of `step`, on one thread as in a trial.

    The median: the first calls pay for memory and kernels, and others may want the machine at times.
    """
    torch.set_num_threads(1)
    took = []
    for _ in range(_STEPS):
        began = time.perf_counter()
        step()
        took.append(time.perf_counter() - began)
    return statistics.median(took)
