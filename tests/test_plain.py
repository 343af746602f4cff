"""Values of numpy, torch, pandas and the standard library become Python's plain ones."""

import enum
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from musiclab.plain import plain


class _Text(enum.StrEnum):
    FIRST = "a"


class _Whole(enum.IntEnum):
    FIRST = 3


WHOLE = [
    *(np.dtype(kind).type(8) for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")),
    np.array(8),
    *(torch.tensor(8, dtype=kind) for kind in (torch.uint8, torch.int16, torch.int32, torch.int64)),
    pd.Series([8])[0],
    pd.Series([8, None], dtype="Int64")[0],
    Decimal(8),
    Decimal("8.0"),
    Fraction(16, 2),
]
TENTHS = [
    *(np.dtype(kind).type(0.1) for kind in ("f2", "f4", "f8", "longdouble")),
    np.array(0.1, dtype=np.float32),
    *(torch.tensor(0.1, dtype=kind) for kind in (torch.float16, torch.float32, torch.float64)),
    torch.tensor(0.1, requires_grad=True),
    pd.Series([0.1])[0],
    Decimal("0.1"),
    Fraction(1, 10),
]


@pytest.mark.parametrize("value", WHOLE, ids=repr)
def test_a_whole_number_becomes_an_int(value: Any) -> None:
    assert repr(plain(value)) == "8"


@pytest.mark.parametrize("value", TENTHS, ids=repr)
def test_any_other_number_becomes_the_float_that_is_written_alike(value: Any) -> None:
    assert repr(plain(value)) == "0.1"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(8), "8.0"),
        (np.float32(8), "8.0"),
        (torch.tensor(8.0), "8.0"),
        (np.bool_(1), "True"),
        (np.array(False), "False"),
        (torch.tensor(True), "True"),
        (np.str_("a"), "'a'"),
        (np.array("a"), "'a'"),
        (_Text.FIRST, "'a'"),
        (_Whole.FIRST, "3"),
        (np.float32("inf"), "inf"),
        (np.arange(3), "[0, 1, 2]"),
        (np.array([0.1, 0.2], dtype=np.float32), "[0.1, 0.2]"),
        (torch.tensor([0.1]), "[0.1]"),
        (pd.Series([1, 2]), "[1, 2]"),
        ({np.str_("a"): [np.int64(1), (np.float32(0.2), None)]}, "{'a': [1, (0.2, None)]}"),
    ],
)
def test_floats_stay_floats_and_what_holds_values_is_made_plain_too(value: Any, expected: str) -> None:
    assert repr(plain(value)) == expected


class _Broken:
    """Has a kind of value, and fails when asked for it."""

    @property
    def dtype(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "value",
    [pd.NA, pd.NaT, 1j, range(3), object(), Decimal("sNaN"), Decimal("1e500"), Fraction(10**400, 3), _Broken()],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_plain_value_stays_what_it_is(value: Any) -> None:
    assert plain(value) is value
