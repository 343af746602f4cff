"""How many CPUs this process may use."""

import contextlib
import os
from pathlib import Path

# Files with the CPU quota and period of a container: cgroup version 2, then version 1.
_QUOTAS = (
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)


def available_cpus() -> int:
    """How many CPUs this process may run on, or fewer if its container has a CPU quota; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for files in _QUOTAS:
        with contextlib.suppress(OSError, ValueError):  # no such file, or no quota ("max" or -1)
            quota, period = " ".join(Path(file).read_text() for file in files).split()
            if int(quota) > 0:
                allowed = min(allowed, int(quota) // int(period))
    return max(1, allowed)
