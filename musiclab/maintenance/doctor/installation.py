"""Checks of the installation and the machine."""

import platform
from collections.abc import Iterator
from pathlib import Path

from musiclab import __version__, requirements
from musiclab.maintenance.doctor.finding import FAIL, OK, WARN, Finding
from musiclab.resources import available_cpus, available_memory
from musiclab.wording import size

_ENOUGH_BYTES = 3e9  # what a study takes with two workers, most of it their libraries
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
