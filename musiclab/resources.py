"""How many CPUs there are for us."""

import contextlib
import os
from pathlib import Path

# Quota and period of a container, by cgroup version 2 and 1.
_QUOTAS = (
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)


def available_cpus() -> int:
    """CPUs that this process may use: those it may run on, or fewer where its container has a quota; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for files in _QUOTAS:
        with contextlib.suppress(OSError, ValueError):  # no such container, or no quota ("max", -1)
            quota, period = " ".join(Path(file).read_text() for file in files).split()
            if int(quota) > 0:
                allowed = min(allowed, int(quota) // int(period))
    return max(1, allowed)
