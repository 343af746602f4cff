"""Fields of JSON objects: each is read with its type checked, and those that nobody knows are kept aside."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, cast

T = TypeVar("T")
D = TypeVar("D")


class Fields:
    """The fields of one JSON object, each taken once; `rest` holds those that nobody has taken.

    All methods raise ValueError, with one clause about what is wrong.
    """

    def __init__(self, value: object) -> None:
        if not isinstance(value, Mapping):
            raise ValueError(f"it must be an object; got {type(value).__name__}")
        self.rest: dict[str, Any] = dict(value)

    def rename(self, old: str, new: str) -> None:
        """Let a field be found under the name that it has now."""
        if old in self.rest and new not in self.rest:
            self.rest[new] = self.rest.pop(old)

    def take(self, name: str, kind: type[T]) -> T:
        """A field that must be there; an `int` may stand for a `float`."""
        if name not in self.rest:
            raise ValueError(f"it has no {name!r}")
        return _checked(name, self.rest.pop(name), kind)

    def take_or(self, name: str, kind: type[T], default: D) -> T | D:
        """A field that may be missing or null."""
        value = self.rest.pop(name, None)
        return default if value is None else _checked(name, value, kind)

    def table(self, name: str, kind: type[T], default: Mapping[str, T] | None = None) -> dict[str, T]:
        """A field that is an object whose values are all of one kind; it must be there unless it has a default."""
        if default is not None and self.rest.get(name) is None:
            self.rest.pop(name, None)
            return dict(default)
        value = self.take(name, dict)
        return {str(key): _checked(f"{name}.{key}", each, kind) for key, each in value.items()}

    def sequence(self, name: str, kind: type[T], default: tuple[T, ...] | None = None) -> tuple[T, ...]:
        """A field that is a list whose values are all of one kind; it must be there unless it has a default."""
        if default is not None and self.rest.get(name) is None:
            self.rest.pop(name, None)
            return default
        return tuple(_checked(name, each, kind) for each in self.take(name, list))


def known_fields(kind: type, value: object) -> dict[str, Any]:
    """Those fields of a JSON object that the dataclass `kind` has; ValueError if it is no object."""
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: each for name, each in Fields(value).rest.items() if name in names}


def _checked(name: str, value: object, kind: type[T]) -> T:
    kinds = (int, float) if kind is float else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind not in (bool, object)):
        raise ValueError(f"{name!r} must be of type {kind.__name__}; got {type(value).__name__}")
    if kind is float and isinstance(value, int):
        try:
            float(value)
        except OverflowError:
            raise ValueError(f"{name!r} must be of type float; got a whole number that is too large for one") from None
    return cast(T, value)
