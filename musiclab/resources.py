"""How many CPUs and how much memory this process may use."""

import contextlib
import os
from pathlib import Path

# Files with the CPU quota and period of a container: cgroup version 2, then version 1.
_QUOTAS = (
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)
# A container's memory limit and how much of it is in use, likewise.
_MEMORY_LIMITS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
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


def available_memory() -> int | None:
    """Bytes of free memory on the machine, or fewer if its container has a limit; None if the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        try:
            return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError):
            return None
    for limit, used in _MEMORY_LIMITS:
        try:
            numbers = [int(Path("/sys/fs/cgroup", name).read_text()) for name in (limit, used)]
            free = min(free, max(0, numbers[0] - numbers[1]))
        except (OSError, ValueError):  # no such container, or no limit ("max")
            continue
    return free
