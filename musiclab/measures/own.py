"""A user's own measure at work: what its function is given, and what counts as a number."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from musiclab.errors import UserError
from musiclab.user_errors import how_failed, why_failed

if TYPE_CHECKING:
    from musiclab.measures.registry import Measure
    from musiclab.measures.window_set import WindowSet
    from musiclab.sending import Sent

# What a function may take, by the names of its parameters.
INPUTS = ("rolls", "resolution", "songs", "pieces", "reference")


@dataclass(frozen=True)
class OwnMeasure:
    """A user's own measure, as a worker needs it.

    Attributes:
        measure: what its number means.
        sent: the function, which gets what it takes of INPUTS and returns a number.
        code: hash of its code.
    """

    measure: "Measure"
    sent: "Sent"
    code: str

    @property
    def name(self) -> str:
        """The full name of the measure."""
        return self.measure.full_name

    @property
    def function(self) -> Callable[..., Any]:
        """The function, imported if it was sent; UserError if it cannot be, in a sentence with file and function."""
        try:
            function: Callable[..., Any] = self.sent.load()
        except Exception as error:  # of whatever a user wrote
            lacks = "; install it on all machines that run trials" if isinstance(error, ModuleNotFoundError) else ""
            raise UserError(f"{self.measure.place} cannot be imported: {why_failed(error)}{lacks}.") from error
        return function

    @property
    def compares(self) -> bool:
        """Whether it compares with real music, so that real music has no value of its own."""
        return "reference" in taken(self.function)

    def value(self, windows: "WindowSet", reference: "WindowSet") -> float:
        """Its value of some windows; NaN if there are no windows, or if it says so.

        Raises:
            UserError: it raises, or returns what is no finite number; the sentence names file and function.
        """
        if not len(windows.rolls):
            return math.nan
        inputs = {
            "rolls": windows.rolls,
            "resolution": windows.resolution,
            "songs": windows.songs,
            "pieces": windows.pieces,
            "reference": reference.rolls,
        }
        function = self.function
        given = {name: _locked(inputs[name]) for name in taken(function)}
        try:
            value = function(**given)
        except (MemoryError, KeyboardInterrupt):
            raise  # it may be tried again
        except BaseException as error:
            raise UserError(f"{self.measure.place} {how_failed(error)}.") from error
        if wrong := wrong_number(value):
            raise UserError(f"{self.measure.place} {wrong}.")
        return float(value)


def taken(function: Callable[..., Any]) -> list[str]:
    """Which of INPUTS a function takes by name."""
    parameters = inspect.signature(function).parameters.values()
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = {parameter.name for parameter in parameters if parameter.kind in by_name}
    return [name for name in INPUTS if name in named]


def wrong_number(value: Any) -> str:
    """What is wrong with what a measure returned, in a clause; empty if it is a number that a record can hold."""
    if not isinstance(value, Real) or isinstance(value, bool):
        shown = f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)[:80]
        return f"must return a number; got {shown}"
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    return f"must return a finite number, or NaN if there is none; got {number}" if math.isinf(number) else ""


def _locked(value: Any) -> Any:
    """The same arrays, but they cannot be written to, because other measures get them too."""
    if isinstance(value, np.ndarray):
        value = value.view()
        value.flags.writeable = False
        return value
    return list(map(_locked, value)) if isinstance(value, list | tuple) else value
