"""Spaces: which variants a study compares, as crossed grids of fields, as an ablation of components, or as a list."""

import itertools
from dataclasses import dataclass
from typing import Any, Literal

from musiclab.design.fractional import generators
from musiclab.errors import UserError

_DESIGNS = ("leave-one-out", "add-one-in", "factorial", "fractional")
_MOST = 10  # components that are crossed: 1,024 variants


@dataclass(frozen=True)
class Grid:
    """All the given values of a field; several grids of a space are crossed.

    It takes anything: a study's file makes it while it is imported, where an error could only be a traceback.
    """

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        object.__setattr__(self, "values", values)


@dataclass(frozen=True)
class Ablation:
    """Components that are off or on, and which combinations of them are compared.

    Like a grid it takes anything, and is checked when its variants are asked for.

    Attributes:
        components: by name, the field's values off and on, `{"ttur": (1.0, 2.0)}`; a component of several fields has
            all of them on both sides, `{"tricks": ({"layers": 1, "norm": "none"}, {"layers": 2, "norm": "batch"})}`.
        design: `leave-one-out`, the full variant and each that lacks one component; `add-one-in`, the bare one and each
            that has one; `factorial`, all combinations; `fractional`, as few of them as the resolution allows.
        resolution: of a fraction. 3 keeps the components apart, but confounds them with interactions of two; 4 keeps
            them clear of those, which are confounded with one another; 5 keeps all these apart.
    """

    components: dict[str, tuple[Any, Any]]
    design: Literal["leave-one-out", "add-one-in", "factorial", "fractional"] = "leave-one-out"
    resolution: int | None = None


Space = dict[str, Grid] | list[dict[str, Any]] | Ablation


def combinations(space: Space) -> list[dict[str, Any]]:
    """The values of each variant: those listed, every combination of the grids', the last varying fastest, or an
    ablation's, what the others are compared with first.

    UserError for a space that has none, or is of another kind.
    """
    if isinstance(space, Ablation):
        components = _components(space)
        return [
            {field: value for sides, on in zip(components, run, strict=True) for field, value in sides[on].items()}
            for run in _runs(space, len(components))
        ]
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


def described(space: Space) -> dict[str, Any]:
    """The space's kind, as a plan keeps it: `grid`, `list`, or an ablation's design with the fields of its components
    and its resolution.
    """
    if isinstance(space, Ablation):
        components = dict(zip(space.components, ([*off] for off, _ in _components(space)), strict=True))
        return {"kind": space.design, "components": components, "resolution": space.resolution}
    return {"kind": "list" if isinstance(space, list) else "grid"}


def _runs(ablation: Ablation, n: int) -> list[tuple[bool, ...]]:
    """Which of the `n` components are on in each variant, the control's first."""
    each = [tuple(place == one for place in range(n)) for one in range(n)]
    if ablation.design == "leave-one-out":
        return [(True,) * n, *(tuple(not on for on in one) for one in each)]
    if ablation.design == "add-one-in":
        return [(False,) * n, *each]
    if n > _MOST:
        raise UserError(f"A {ablation.design} design takes at most {_MOST} components, not {n}; try leave-one-out.")
    if ablation.design == "factorial":
        return list(itertools.product((False, True), repeat=n))
    sets = generators(n, ablation.resolution or 0)
    if not sets:
        raise UserError(
            f"{n} component{'' if n == 1 else 's'} take all {2**n} combinations for resolution {ablation.resolution}; "
            f"give design='factorial', or a lower resolution."
        )
    # With the bare variant in it: a product's sign is chosen so that nothing on leaves it off.
    basic = itertools.product((False, True), repeat=n - len(sets))
    return [(*run, *(sum(run[place] for place in of) % 2 == 1 for of in sets)) for run in basic]


def _components(ablation: Ablation) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The fields' values off and on of each component; UserError for a declaration that cannot be right."""
    design, resolution, components = ablation.design, ablation.resolution, ablation.components
    if design not in _DESIGNS:
        raise UserError(f"Ablation's design takes one of {', '.join(_DESIGNS)}, not {design!r}.")
    if design == "fractional" and (resolution not in (3, 4, 5) or not isinstance(resolution, int)):
        raise UserError(f"A fractional Ablation takes a resolution of 3, 4 or 5, not {resolution!r}.")
    if design != "fractional" and resolution is not None:
        raise UserError(f"resolution is for design='fractional'; leave it out for {design}.")
    if not isinstance(components, dict) or not components or not all(isinstance(name, str) for name in components):
        raise UserError(
            f"Ablation's components take names with values off and on, such as {{'ttur': (1.0, 2.0)}}, not "
            f"{components!r}."
        )
    sides = [_sides(name, given) for name, given in components.items()]
    names = [field for off, _ in sides for field in off]
    for field in names:
        if names.count(field) > 1:
            raise UserError(f"Two components of the Ablation set {field}; a field belongs to one of them.")
    return sides


def _sides(name: str, given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A component's fields off and on."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise UserError(f"components[{name!r}] takes two values, off and on, such as (False, True), not {given!r}.")
    off, on = given
    if not isinstance(off, dict) and not isinstance(on, dict):
        off, on = {name: off}, {name: on}
    if not isinstance(off, dict) or not isinstance(on, dict) or off.keys() != on.keys() or not off:
        raise UserError(f"components[{name!r}] takes the same fields off and on, not {given!r}.")
    for field in off:
        if off[field] == on[field]:
            raise UserError(f"components[{name!r}] has {field}={on[field]!r} both off and on; it takes two values.")
    return off, on
