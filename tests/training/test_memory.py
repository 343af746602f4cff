import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from musiclab.training.memory import keep_freed_memory

# The pages that a process is given while it makes and drops 20 tensors of 40 MiB, more than glibc ever keeps by itself.
SCRIPT = """
import resource, sys
import torch
from musiclab.training.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
for number in range(30):
    if number == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(10 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _pages(kept: str) -> int:
    return int(subprocess.check_output([sys.executable, "-c", SCRIPT, kept]))


def test_freed_memory_is_used_again() -> None:
    """Not by time, but by pages, which the kernel hands out anew unless they are kept; they may be of any size."""
    try:
        ctypes.CDLL(None).gnu_get_libc_version()
    except AttributeError:
        pytest.skip("the C library is not glibc")
    assert 20 * _pages("kept") < _pages("given back")


@pytest.mark.parametrize("library", [SimpleNamespace(), SimpleNamespace(mallopt=lambda option, value: 0)])
def test_a_library_that_does_not_know_the_request_is_left_alone(
    library: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert not keep_freed_memory()
