"""Values of numpy, torch, pandas and the standard library as Python's plain ones: equal values are written alike."""

import math
from contextlib import suppress
from decimal import Decimal
from numbers import Integral, Rational
from typing import Any


def plain(value: Any) -> Any:
    """The value as a plain bool, int, float or str; what is none of these is returned as it is.

    A whole number of any kind becomes an int, and any other number a float: `np.int64(8)`, `torch.tensor(8)` and
    `Decimal(8)` are 8, `np.linspace(0, 1, 3)[1]` is 0.5. A number of fewer bits than a float has becomes the float that
    is written alike: `np.float32(0.1)` is 0.1, not 0.10000000149011612. Dicts, lists and tuples become dicts, lists and
    tuples of plain values, and an array or a series a list of them. It raises nothing.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, dict):
        return {plain(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return (list if isinstance(value, list) else tuple)(map(plain, value))
    if isinstance(value, str):  # of numpy, or of an enumeration
        return str.__str__(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Decimal | Rational):
        return _number(value)
    if isinstance(value, float):
        return float(value)
    with suppress(Exception):  # of any library, and so of any behaviour
        if hasattr(value, "dtype"):
            return list(map(plain, value)) if getattr(value, "shape", ()) else _scalar(value)
    return value


def _number(value: Decimal | Rational) -> Any:
    """A decimal number or a fraction as an int if it is whole, else as a float; itself if no float is as large."""
    with suppress(ArithmeticError, ValueError):
        number = float(value)
        if math.isfinite(number):
            whole = math.trunc(value)
            return whole if value == whole else number
    return value


def _scalar(value: Any) -> Any:
    """The one value of a scalar, array or tensor without dimensions."""
    kind = str(value.dtype).removeprefix("torch.")
    if kind in ("float16", "float32"):
        import numpy as np  # not above, because a file that only defines a study does without

        # numpy writes as many digits as tell the number from its neighbours.
        return float(str(getattr(np, kind)(value.item())))
    item = value.item()
    return float(value) if type(item) is type(value) else plain(item)  # more bits than a float has
