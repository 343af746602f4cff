"""Spaces: the variants that a study compares, as crossed grids of fields, an ablation of components, or a list."""

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from musiclab.design.fractional import generators
from musiclab.design.search import Search
from musiclab.errors import UserError
from musiclab.plain import plain
from musiclab.wording import counted

_DESIGNS = ("leave-one-out", "add-one-in", "factorial", "fractional")
_MOST_CROSSED = 10  # components of a factorial or fractional design: 1,024 variants


@dataclass(frozen=True)
class Grid:
    """All the given values of a field; several grids of a space are crossed. Numbers may be of numpy, torch or pandas.

    Nothing is checked here, because a study's file makes its grids on import, when an error would be a traceback.
    """

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        object.__setattr__(self, "values", plain(values))


@dataclass(frozen=True)
class Ablation:
    """Components that are off or on, and which combinations of them are compared.

    As for a grid, nothing is checked before its variants are needed.

    Attributes:
        components: the field's values off and on, by name: `{"ttur": (1.0, 2.0)}`. A component of several fields has
            all of them on both sides: `{"tricks": ({"layers": 1, "norm": "none"}, {"layers": 2, "norm": "batch"})}`.
        design: `leave-one-out`: the full variant, and each that lacks one component. `add-one-in`: the bare variant,
            and each that has one component. `factorial`: all combinations. `fractional`: as few of them as the
            resolution allows.
        resolution: of a fraction. 3 keeps components apart, but confounds them with interactions of two. 4 keeps them
            clear of these interactions, but confounds the interactions with each other. 5 keeps all of them apart.
    """

    components: dict[str, tuple[Any, Any]]
    design: Literal["leave-one-out", "add-one-in", "factorial", "fractional"] = "leave-one-out"
    resolution: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "components", plain(self.components))
        object.__setattr__(self, "resolution", plain(self.resolution))


Space = dict[str, Grid] | list[dict[str, Any]] | Ablation | Search


def combinations(space: Space) -> list[dict[str, Any]]:
    """The values of each variant of a space; a search has none before it has run.

    Returns:
        Of grids, all combinations, with the last field varying fastest. Of an ablation, its control first. Of a list,
        the list.

    Raises:
        UserError: if the space has no variants, or is something else.
    """
    if isinstance(space, Ablation):
        return _ablated(space)
    if isinstance(space, list):
        if not space or not all(isinstance(values, dict) for values in space):
            raise UserError(
                f"space must be grids, or a list of variants such as [{{}}, {{'layers': 2}}]; got {space!r}."
            )
        return space
    if not isinstance(space, dict) or not space:
        raise UserError(f"space must be fields with their grids, such as {{'latent_dim': Grid(8, 16)}}; got {space!r}.")
    for name, grid in space.items():
        if not isinstance(grid, Grid):
            raise UserError(f"space[{name!r}] must be a Grid, such as Grid(8, 16); got {grid!r}.")
        if not grid.values:
            raise UserError(f"space[{name!r}] must have at least one value, such as Grid(8, 16); got Grid().")
        _check_values(f"space[{name!r}]", grid.values)
    return [
        dict(zip(space, values, strict=True)) for values in itertools.product(*(grid.values for grid in space.values()))
    ]


def _check_values(where: str, values: Iterable[Any]) -> None:
    for value in values:
        if not isinstance(value, bool | int | float | str):
            star = "; write Grid(*values)" if where.startswith("space") and isinstance(value, list | range) else ""
            raise UserError(f"{where} must have numbers or texts, such as 8 or 'sample'; got {value!r}{star}.")


def described(space: Space) -> dict[str, Any]:
    """The kind of the space, for a plan, with an ablation's components or a search's fields."""
    if isinstance(space, Search):
        sampler = space.sampler if isinstance(space.sampler, str) else type(space.sampler).__name__
        settings = {"sampler": sampler, "scheduler": space.scheduler, "budget": vars(space.limits)}
        return {"kind": "search"} | space.to_json() | settings
    if isinstance(space, Ablation):
        fields = {component.name: list(component.off) for component in _components(space)}
        return {"kind": space.design, "components": fields, "resolution": space.resolution}
    return {"kind": "list" if isinstance(space, list) else "grid"}


def _ablated(ablation: Ablation) -> list[dict[str, Any]]:
    """The values of each variant of an ablation, the control's first."""
    components = _components(ablation)
    variants = []
    for run in _runs(ablation, len(components)):
        values: dict[str, Any] = {}
        for component, is_on in zip(components, run, strict=True):
            values |= component.on if is_on else component.off
        variants.append(values)
    return variants


def _runs(ablation: Ablation, n: int) -> list[tuple[bool, ...]]:
    """Which of the `n` components are on in each variant, the control's first."""
    only_one = [tuple(place == chosen for place in range(n)) for chosen in range(n)]
    if ablation.design == "leave-one-out":
        return [(True,) * n, *(tuple(not is_on for is_on in run) for run in only_one)]
    if ablation.design == "add-one-in":
        return [(False,) * n, *only_one]
    if n > _MOST_CROSSED:
        raise UserError(
            f"A {ablation.design} design must have at most {_MOST_CROSSED} components; got {n}. Try leave-one-out."
        )
    if ablation.design == "factorial":
        return list(itertools.product((False, True), repeat=n))
    products = generators(n, ablation.resolution or 0)
    if not products:
        raise UserError(
            f"A resolution of {ablation.resolution} needs all {2**n} combinations of {counted(n, 'component')}; give "
            f"design='factorial' or a lower resolution."
        )
    runs = []
    for basic in itertools.product((False, True), repeat=n - len(products)):
        # An odd number of factors that are on switches a product on, so that the bare variant is one of the runs.
        added = (sum(basic[place] for place in factors) % 2 == 1 for factors in products)
        runs.append((*basic, *added))
    return runs


@dataclass(frozen=True)
class _Component:
    """A component's fields with their values off and on."""

    name: str
    off: dict[str, Any]
    on: dict[str, Any]


def _components(ablation: Ablation) -> list[_Component]:
    """The components as declared.

    Raises:
        UserError: if the declaration cannot be right.
    """
    design, resolution, components = ablation.design, ablation.resolution, ablation.components
    if design not in _DESIGNS:
        raise UserError(f"Ablation's design must be one of {', '.join(_DESIGNS)}; got {design!r}.")
    if design == "fractional" and (resolution not in (3, 4, 5) or not isinstance(resolution, int)):
        raise UserError(f"The resolution of a fractional Ablation must be 3, 4 or 5; got {resolution!r}.")
    if design != "fractional" and resolution is not None:
        raise UserError(f"resolution must be left out for design={design!r}; only 'fractional' has one.")
    if not isinstance(components, dict) or not components or not all(isinstance(name, str) for name in components):
        raise UserError(
            f"Ablation's components must be names with values off and on, such as {{'ttur': (1.0, 2.0)}}; got "
            f"{components!r}."
        )
    declared = [_component(name, sides) for name, sides in components.items()]
    times_set = Counter(field for component in declared for field in component.off)
    for field, times in times_set.items():
        if times > 1:
            raise UserError(f"Two components of the Ablation set {field}; a field must belong to one of them.")
    return declared


def _component(name: str, sides: Any) -> _Component:
    if not isinstance(sides, tuple | list) or len(sides) != 2:
        raise UserError(f"components[{name!r}] must be two values, off and on, such as (False, True); got {sides!r}.")
    off, on = sides
    if not isinstance(off, dict) and not isinstance(on, dict):
        off, on = {name: off}, {name: on}
    if not isinstance(off, dict) or not isinstance(on, dict) or off.keys() != on.keys() or not off:
        raise UserError(f"components[{name!r}] must have the same fields off and on; got {sides!r}.")
    _check_values(f"components[{name!r}]", [*off.values(), *on.values()])
    for field in off:
        if off[field] == on[field]:
            raise UserError(
                f"components[{name!r}] must have two different values of {field}; got {on[field]!r} both off and on."
            )
    return _Component(name, off, on)
