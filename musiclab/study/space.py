"""Spaces: which variants a study compares, as crossed grids of fields or as a list."""

import itertools
from dataclasses import dataclass
from typing import Any

from musiclab.errors import UserError


@dataclass(frozen=True)
class Grid:
    """All the given values of a field; several grids of a space are crossed.

    It takes anything: a study's file makes it while it is imported, where an error could only be a traceback.
    """

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        object.__setattr__(self, "values", values)


Space = dict[str, Grid] | list[dict[str, Any]]


def combinations(space: Space) -> list[dict[str, Any]]:
    """The values of each variant: those listed, or every combination of the grids', the last varying fastest.

    UserError for a space that has none, or is of another kind.
    """
    if isinstance(space, list):
        if not space or not all(isinstance(values, dict) for values in space):
            raise UserError(f"space takes grids, or a list of variants such as [{{}}, {{'layers': 2}}], not {space!r}.")
        return space
    if not isinstance(space, dict) or not space:
        raise UserError(f"space takes fields with their grids, such as {{'latent_dim': Grid(8, 16)}}, not {space!r}.")
    for name, grid in space.items():
        if not isinstance(grid, Grid):
            raise UserError(f"space[{name!r}] takes a Grid, such as Grid(8, 16), not {grid!r}.")
        if not grid.values:
            raise UserError(f"space[{name!r}] takes a Grid of at least one value, such as Grid(8, 16).")
    return [
        dict(zip(space, values, strict=True)) for values in itertools.product(*(grid.values for grid in space.values()))
    ]
