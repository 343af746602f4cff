"""Packages that import their public names when they are asked for, so that nobody waits for what he does not use."""

import importlib
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any


def on_demand(
    package: str, names: Mapping[str, Collection[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions `__getattr__` and `__dir__` of a package.

    For type checkers, and for who reads it, the package also imports the names in an `if TYPE_CHECKING:`.

    Args:
        package: its name.
        names: those that it gives, by the module that has them.
    """
    modules = {name: module for module, given in names.items() for name in given}

    def value(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(modules[name]), name)

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return value, listed
