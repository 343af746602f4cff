"""The decorator that makes a user's function a measure."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from musiclab.measures.registry import OWN, Better, Measure
from musiclab.user_code import described, remember

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

_DECLARED = "musiclab_measure"


@overload
def measure(
    *, unit: str, better: Better, title: str, needs: Sequence[str] = ()
) -> Callable[[FunctionT], FunctionT]: ...
@overload
def measure(function: FunctionT, /) -> FunctionT: ...
def measure(function: Any = None, /, *, unit: Any = "", better: Any = "", title: Any = "", needs: Any = ()) -> Any:
    """Make a function a measure, which a study takes like any of musiclab's, as `own/` and the function's name.

    The function itself stays as it is. It takes what it names as parameters, and returns one number, NaN if there is
    none:

    - `rolls`: windows, bool `(n, track, step, pitch)`; as many of real music as are generated;
    - `resolution`: steps a beat;
    - `songs`: `(n,)`, which song each window is from, or which start it continues;
    - `pieces`: bool `(track, step, pitch)` each, whole continuations, or whole songs of real music;
    - `reference`: real windows of held-out songs, bool `(m, track, step, pitch)`, for what compares with real music.
      Then real music has no value of its own; other real songs have one, the floor.

    Windows and pieces come in no particular order. Other parameters need a default, which they get.

    Args:
        unit: of the number, for tables and plots.
        better: `lower`, `higher`, `real` (closest to the value of real music), or `neither` (the measure describes).
        title: one line for a table or a chart.
        needs: what a system must generate from so that it has a value: some of `start`, `piano`, `target`, `noise`.
    """
    if function is not None:  # the decorator stands bare, and its function is no measure
        return function
    needed = tuple(needs) if isinstance(needs, list | set) else needs

    def declare(function: FunctionT) -> FunctionT:
        # Unchecked, because an error on import would be a traceback.
        name, place = getattr(function, "__name__", ""), described(function)
        setattr(function, _DECLARED, Measure(name, OWN, unit, better, title, needs=needed, place=place))
        remember(function)
        return function

    return declare


def declared(function: Any) -> Measure | None:
    """What the number of a function means; None if it is no measure."""
    found = getattr(function, _DECLARED, None)
    return found if isinstance(found, Measure) else None
