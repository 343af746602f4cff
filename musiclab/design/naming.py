"""The systems of a study by name: what a study names, or gives as a class, becomes a name and an instance."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from musiclab.design.space import Ablation, Grid, Space
from musiclab.design.spec import StudySpec
from musiclab.design.trials import SYSTEM
from musiclab.systems.own import given_system
from musiclab.user_code import check_different

if TYPE_CHECKING:
    from musiclab.systems.base import System


def with_named_systems(spec: StudySpec) -> tuple[StudySpec, "dict[str, System[Any]]"]:
    """The spec with the name of each system in place of a class or a reference to one; and the systems by name.

    Raises:
        UserError: one is no system, or two have one name.
    """
    systems: dict[str, System[Any]] = {}
    names: dict[Any, str] = {}

    def named(given: Any) -> Any:
        if not given or isinstance(given, bool | int | float | list | tuple | dict):
            return given  # refused when its variant is made
        if given not in names:
            system = systems.get(given) if isinstance(given, str) else None  # the name of a class that came before
            system = system or given_system(given)
            if type(systems.get(system.name)) is not type(system):
                check_different(
                    {name: type(each) for name, each in systems.items()}, "system", system.name, type(system)
                )
                systems[system.name] = system
            names[given] = system.name
        return names[given]

    def values(given: Any) -> Any:
        if not isinstance(given, dict) or SYSTEM not in given:
            return given
        return given | {SYSTEM: named(given[SYSTEM])}

    def space(given: Space) -> Space:
        if isinstance(given, list):
            return [values(each) for each in given]
        if isinstance(given, dict) and isinstance(grid := given.get(SYSTEM), Grid):
            return given | {SYSTEM: Grid(*map(named, grid.values))}
        if isinstance(given, Ablation) and isinstance(given.components, dict):
            return replace(given, components={name: both(name, sides) for name, sides in given.components.items()})
        return given

    def both(name: str, sides: Any) -> Any:
        if not isinstance(sides, tuple):
            return sides
        return tuple(named(side) if name == SYSTEM else values(side) for side in sides)

    changed = replace(spec, system=named(spec.system), space=space(spec.space), control=values(spec.control))
    return changed, systems
