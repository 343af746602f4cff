"""Checks of the installation and the machine."""

import platform
from collections.abc import Iterator
from pathlib import Path

from musiclab import __version__, requirements
from musiclab.code_lock import LOCK, locked
from musiclab.maintenance.doctor.finding import FAIL, OK, WARN, Finding
from musiclab.resources import available_cpus, available_memory
from musiclab.wording import counted, listing, size

_ENOUGH_BYTES = 3e9  # what a study with two workers needs, most of it for libraries
_GPU_DEVICES = ("/dev/nvidia0", "/dev/kfd")


def versions() -> Iterator[Finding]:
    """Python and all that musiclab requires."""
    problems = requirements.unmet()
    if problems:
        yield Finding(FAIL, "; ".join(problems), requirements.INSTALL)
    else:
        met = counted(len(requirements.required()[1]), "requirement")
        yield Finding(OK, f"Python {platform.python_version()}, musiclab {__version__}, {met} met")


def code() -> Iterator[Finding]:
    """Whether the code of each stage is what the lock holds."""
    from musiclab.systems.codes import stage_codes  # torch, which takes seconds

    codes = stage_codes()
    names = [stage.name for stage in codes if stage.name in locked() and not stage.is_locked]
    if names:
        yield Finding(
            WARN,
            f"the code of {listing(names)} differs from {LOCK.name}, so new results get keys of their own",
            "to reuse earlier results, run `make relock` (it compares the bits), or check out the locked code",
        )
    else:
        yield Finding(OK, f"the code of {counted(len(codes), 'stage')} is what {LOCK.name} holds")


def gpu() -> Iterator[Finding]:
    """Whether torch sees the GPU, if there is one."""
    import torch  # takes seconds

    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        names = ", ".join(f"{card.name} ({size(card.total_memory)})" for card in cards)
        yield Finding(OK, f"torch {torch.__version__} sees {names}")
    elif any(Path(device).exists() for device in _GPU_DEVICES):
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        yield Finding(
            WARN,
            f"torch {torch.__version__} ({built}) does not see the GPU of this machine, so trials run on CPUs",
            "update the GPU's driver, or install the torch that is built for it (pytorch.org/get-started)",
        )
    else:
        yield Finding(OK, f"torch {torch.__version__}; there is no GPU, so trials run on CPUs")


def machine() -> Iterator[Finding]:
    """The CPUs and the memory that studies may use."""
    cpus, memory = available_cpus(), available_memory()
    if memory is None:
        yield Finding(OK, f"CPUs: {cpus}; this system does not say how much memory is free")
    elif memory < _ENOUGH_BYTES:
        yield Finding(
            WARN,
            f"CPUs: {cpus}; only {size(memory)} of memory are free, and a study with two workers takes 3 GB",
            "end other programs, or run studies with --workers 1 or --in-process",
        )
    else:
        yield Finding(OK, f"CPUs: {cpus}; memory free: {size(memory)}")
