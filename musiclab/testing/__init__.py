"""Checks for code of one's own: whether a system, a measure or a source of songs keeps what every one promises.

`check_system(MySystem)`, `check_measure(my_measure)` and `check_source(MySource, "songs/")` name all that are broken at
once. The names in `__all__` are public.
"""

from typing import TYPE_CHECKING

from musiclab.on_demand import on_demand

if TYPE_CHECKING:
    from musiclab.testing.measures import check_measure
    from musiclab.testing.promises import BrokenPromises
    from musiclab.testing.sources import check_source
    from musiclab.testing.systems import check_system

__all__ = ["BrokenPromises", "check_measure", "check_source", "check_system"]

# Imported when asked for, because they bring torch.
__getattr__, __dir__ = on_demand(
    __name__,
    {
        "musiclab.testing.measures": ["check_measure"],
        "musiclab.testing.promises": ["BrokenPromises"],
        "musiclab.testing.sources": ["check_source"],
        "musiclab.testing.systems": ["check_system"],
    },
)
