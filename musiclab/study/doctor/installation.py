"""Checks of the installation and the machine."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from musiclab import __version__, requirements
from musiclab.cpus import available_cpus
from musiclab.progress import size
from musiclab.study.doctor.finding import FAIL, OK, WARN, Finding

_ENOUGH_BYTES = 3e9  # what a study takes with two workers, most of it their libraries
# A container's limit and what of it is taken, by cgroup version 2 and 1.
_MEMORY_LIMITS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
_GPU_DEVICES = ("/dev/nvidia0", "/dev/kfd")


def versions() -> Iterator[Finding]:
    """Python and all that musiclab requires."""
    problems = requirements.unmet()
    if problems:
        yield Finding(FAIL, "; ".join(problems), requirements.INSTALL)
    else:
        met = len(requirements.required()[1])
        yield Finding(OK, f"Python {platform.python_version()}, musiclab {__version__}, {met} requirements are met")


def gpu() -> Iterator[Finding]:
    """Whether torch sees a GPU, where there is one."""
    import torch  # takes seconds

    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        names = ", ".join(f"{card.name} ({size(card.total_memory)})" for card in cards)
        yield Finding(OK, f"torch {torch.__version__} sees {names}")
    elif any(Path(device).exists() for device in _GPU_DEVICES):
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        yield Finding(
            WARN,
            f"this machine has a GPU, which torch {torch.__version__} ({built}) does not see: trials run on CPUs",
            "update the GPU's driver, or install the torch that is built for it (pytorch.org/get-started)",
        )
    else:
        yield Finding(OK, f"torch {torch.__version__}, no GPU: trials run on CPUs")


def machine() -> Iterator[Finding]:
    """CPUs and memory that are free for us."""
    cpus, memory = available_cpus(), available_memory()
    if memory is None:
        yield Finding(OK, f"CPUs: {cpus}; this system does not say how much memory is free")
    elif memory < _ENOUGH_BYTES:
        yield Finding(
            WARN,
            f"CPUs: {cpus}; only {size(memory)} of memory are free, and a study takes 3 GB with two workers",
            "end other programs, or run studies with --workers 1 or --in-process",
        )
    else:
        yield Finding(OK, f"CPUs: {cpus}; memory free: {size(memory)}")


def available_memory() -> int | None:
    """Bytes that programs may still take, of the machine's or of the container's limit; None where nothing tells."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        try:
            return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError):
            return None
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            numbers = [int(Path("/sys/fs/cgroup", name).read_text()) for name in (limit, used)]
            free = min(free, max(0, numbers[0] - numbers[1]))
        except (OSError, ValueError):  # no such container, or no limit ("max")
            continue
    return free
