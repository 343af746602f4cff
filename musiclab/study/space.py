"""Spaces: which values of which fields a study compares."""

import itertools
from dataclasses import dataclass
from typing import Any

from musiclab.errors import UserError


@dataclass(frozen=True)
class Grid:
    """All the given values of a field; several grids of a space are crossed."""

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        if not values:
            raise UserError("Grid() needs at least one value.")
        if len(set(map(repr, values))) < len(values):
            raise UserError(f"Grid{values} holds a value twice; each may stand once.")
        object.__setattr__(self, "values", values)


def grid_variants(space: dict[str, Grid]) -> list[dict[str, Any]]:
    """Every combination of the grids' values, the last field varying fastest."""
    for name, grid in space.items():
        if not isinstance(grid, Grid):
            raise UserError(f"space[{name!r}] takes a Grid, such as Grid(8, 16), not {grid!r}.")
    return [
        dict(zip(space, values, strict=True)) for values in itertools.product(*(grid.values for grid in space.values()))
    ]
