"""Keeps memory that a training step has freed for the next one, instead of giving it back to the kernel."""

import ctypes

# Of glibc's <malloc.h>, with values that a C int holds: blocks of up to 1 GiB from the heap, which is never trimmed and
# grows by 256 MiB.
_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = (-3, 1 << 30), (-1, (1 << 31) - 1), (-2, 1 << 28)


def keep_freed_memory() -> bool:
    """Tell the C library of this process; whether it obeys. A library other than glibc may not know the request.

    glibc maps each tensor of a few MB anew and gives it back when it is freed, so that every step pays for pages full
    of zeros: up to a third of the time of the smallest networks.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(option, value) == 1 for option, value in (_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD))
