"""A safe reader for the headers of arrays in NumPy's file format.

NumPy's own reader evaluates a header as Python code, so a hostile header makes it run out of memory or print thousands
of warnings.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

HEADER_BYTES = 512  # longer than any header that is accepted here

# As NumPy writes it (Python 2 put an L after a long number); the shape has up to eight numbers below 10^12.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?P<size>..)\{'descr': '(?P<type>[<>|][biuf](?:[1248]|16))', "
    rb"'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>(?:\d{1,12}L?(?:, \d{1,12}L?){0,7},?)?)\), *\} *\n",
    re.DOTALL,
)


@dataclass(frozen=True)
class Header:
    """What an array's file claims to hold: `dtype` and `shape`; the data are bytes `begin` to `end` of the file.

    The shape of a single number is ().
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int

    @property
    def end(self) -> int:
        return self.begin + self.dtype.itemsize * math.prod(self.shape)


def read_header(data: bytes) -> Header | None:
    """The header of the array whose file begins with `data`.

    None unless it is an array of numbers or booleans in C order. Fortran order passes too if at most one dimension is
    longer than 1, because the bytes are the same then.
    """
    match = _HEADER.match(data[:HEADER_BYTES])
    if match is None or match.end() != 10 + int.from_bytes(match["size"], "little"):
        return None
    try:
        dtype: np.dtype[Any] = np.dtype(match["type"].decode())
    except TypeError:  # such as a float of one byte
        return None
    shape = tuple(int(number) for number in re.findall(rb"\d+", match["shape"]))
    if match["fortran"] == b"True" and sum(length > 1 for length in shape) > 1:
        return None
    return Header(dtype, shape, match.end())
