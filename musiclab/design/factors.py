"""Factors: what varies over a study's variants, and which effects those variants can tell apart."""

import itertools
import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Factor:
    """A field that varies, or several that switch together and so are one; `levels` has its value in each variant.

    Several fields are named and valued together: `norm + layers`, `batch + 2`.
    """

    name: str
    levels: dict[str, Any]

    @property
    def values(self) -> list[Any]:
        """Its different values, in the variants' order."""
        return list(dict.fromkeys(self.levels.values()))

    def at(self, value: Any) -> set[str]:
        """The variants that have the value."""
        return {variant for variant, level in self.levels.items() if level == value}


def factors(variants: dict[str, dict[str, Any]]) -> list[Factor]:
    """The factors of variants (fields' values by name); none where a variant leaves a field open that others vary."""
    fields = dict.fromkeys(field for values in variants.values() for field in values)
    together: dict[tuple[int, ...], list[str]] = {}
    for field in fields:
        if any(field not in values for values in variants.values()):
            return []
        column = [values[field] for values in variants.values()]
        pattern = tuple(map(column.index, column))
        if any(pattern):
            together.setdefault(pattern, []).append(field)
    return [
        Factor(" + ".join(of), {name: _level([values[field] for field in of]) for name, values in variants.items()})
        for of in together.values()
    ]


def _level(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else " + ".join(map(str, values))


def is_crossed(found: list[Factor]) -> bool:
    """Whether the variants are all combinations of the factors' values."""
    return bool(found) and math.prod(len(factor.values) for factor in found) == len(found[0].levels)


def is_fraction(found: list[Factor]) -> bool:
    """Whether they are a regular fraction of two-level factors, so that every pair of levels is there equally often."""
    if len(found) < 2 or is_crossed(found) or any(len(factor.values) != 2 for factor in found):
        return False
    # Regular fractions are what is closed under addition modulo 2, with one of the runs as the origin.
    runs = set(zip(*map(_bits, found), strict=True))
    return all(tuple(a ^ b for a, b in zip(one, other, strict=True)) in runs for one in runs for other in runs)


def tells_effects(found: list[Factor]) -> bool:
    """Whether the variants tell what two or more factors do each, averaged over the others."""
    return len(found) > 1 and (is_crossed(found) or is_fraction(found))


def aliases(found: list[Factor]) -> dict[str, list[str]]:
    """Which main effects and interactions of two a regular fraction confounds; the first of each such group by name,
    with the rest of it. Empty where the variants are no fraction, or tell all of these apart.
    """
    if not is_fraction(found):
        return {}
    groups: dict[tuple[int, ...], list[str]] = {}
    for of in [*((factor,) for factor in found), *itertools.combinations(found, 2)]:
        groups.setdefault(contrast(*of), []).append(" x ".join(factor.name for factor in of))
    return {first: rest for first, *rest in groups.values() if rest}


def contrast(*of: Factor) -> tuple[int, ...]:
    """By variant, whether an odd number of these two-level factors has another value than in the first variant.

    Effects of the same contrast are differences of the same means: they cannot be told apart.
    """
    return tuple(sum(bits) % 2 for bits in zip(*map(_bits, of), strict=True))


def _bits(factor: Factor) -> list[int]:
    return [int(level != factor.values[0]) for level in factor.levels.values()]
