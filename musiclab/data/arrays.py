"""Headers of arrays in NumPy's file format, read without trusting them.

NumPy's own reader evaluates a header as Python: a hostile one makes it run out of memory, or print warnings by the
thousand.
"""

import math
import re
from dataclasses import dataclass

import numpy as np

HEADER_BYTES = 512  # more than any header that is read here has

# As NumPy writes it, in Python 2 with an L after a long number; a shape of one to eight numbers below 10^12.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?P<size>..)\{'descr': '(?P<type>[<>|][biuf][1248])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>\d{1,12}L?(?:, \d{1,12}L?){0,7}),?\), *\} *\n",
    re.DOTALL,
)


@dataclass(frozen=True)
class Header:
    """What an array's file claims to hold: numbers of a type in a shape, from byte `begin` on, `end` bytes in all."""

    dtype: np.dtype
    shape: tuple[int, ...]
    begin: int

    @property
    def end(self) -> int:
        return self.begin + self.dtype.itemsize * math.prod(self.shape)


def read_header(data: bytes) -> Header | None:
    """The header of the array whose file begins with `data`.

    None where it is no array of numbers or booleans, of one dimension at least, in C order.
    """
    found = _HEADER.match(data[:HEADER_BYTES])
    if found is None or found.end() != 10 + int.from_bytes(found["size"], "little"):
        return None
    try:
        dtype = np.dtype(found["type"].decode())
    except TypeError:  # such as a float of one byte
        return None
    return Header(dtype, tuple(int(number) for number in re.findall(rb"\d+", found["shape"])), found.end())
