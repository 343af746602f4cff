"""Factors: the fields that vary over a study's variants, and the effects that the variants can tell apart."""

import itertools
import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Factor:
    """A field that varies, or several fields that always switch together and so are one factor.

    Attributes:
        name: the field; several fields are joined: `norm + layers`.
        levels: the value in each variant, by name; values of several fields are joined: `batch + 2`.
    """

    name: str
    levels: dict[str, Any]

    @property
    def values(self) -> list[Any]:
        """The different values, in the order of variants."""
        return list(dict.fromkeys(self.levels.values()))

    def at(self, value: Any) -> set[str]:
        """The variants that have the value."""
        return {variant for variant, level in self.levels.items() if level == value}


def factors(variants: dict[str, dict[str, Any]]) -> list[Factor]:
    """The factors of variants, given as values by field; none if a variant lacks a field that others have."""
    fields = dict.fromkeys(field for values in variants.values() for field in values)
    # Fields that take a new value in the same variants switch together.
    fields_by_pattern: dict[tuple[int, ...], list[str]] = {}
    for field in fields:
        if any(field not in values for values in variants.values()):
            return []
        column = [values[field] for values in variants.values()]
        pattern = tuple(map(column.index, column))
        if any(pattern):
            fields_by_pattern.setdefault(pattern, []).append(field)
    return [
        Factor(
            name=" + ".join(joined),
            levels={name: _level([values[field] for field in joined]) for name, values in variants.items()},
        )
        for joined in fields_by_pattern.values()
    ]


def _level(values: list[Any]) -> Any:
    """The level of fields that switch together: the value of one field, or the joined values of several."""
    return values[0] if len(values) == 1 else " + ".join(map(str, values))


def is_crossed(all_factors: list[Factor]) -> bool:
    """Whether the variants are all combinations of the factors' values."""
    if not all_factors:
        return False
    return math.prod(len(factor.values) for factor in all_factors) == len(all_factors[0].levels)


def is_fraction(all_factors: list[Factor]) -> bool:
    """Whether the variants are a regular fraction of two-level factors: all pairs of levels are equally frequent."""
    if len(all_factors) < 2 or is_crossed(all_factors) or any(len(factor.values) != 2 for factor in all_factors):
        return False
    # A fraction is regular if it is closed under addition modulo 2, with one of its runs as the origin.
    runs = set(zip(*map(_bits, all_factors), strict=True))
    return all(tuple(a ^ b for a, b in zip(one, other, strict=True)) in runs for one in runs for other in runs)


def tells_effects(all_factors: list[Factor]) -> bool:
    """Whether the variants show the effect of each of two or more factors, averaged over the other factors."""
    return len(all_factors) > 1 and (is_crossed(all_factors) or is_fraction(all_factors))


def aliases(all_factors: list[Factor]) -> dict[str, list[str]]:
    """The main effects and two-factor interactions that a regular fraction confounds.

    Returns:
        Groups of effects that cannot be told apart: the name of the first effect of each group, and the names of the
        others. Empty if the variants are not a fraction, or if they tell all these effects apart.
    """
    if not is_fraction(all_factors):
        return {}
    groups: dict[tuple[int, ...], list[str]] = {}
    for effect in [*((factor,) for factor in all_factors), *itertools.combinations(all_factors, 2)]:
        groups.setdefault(contrast(*effect), []).append(" x ".join(factor.name for factor in effect))
    return {first: rest for first, *rest in groups.values() if rest}


def contrast(*effect: Factor) -> tuple[int, ...]:
    """The contrast of a main effect (one two-level factor) or of an interaction (several), by variant.

    It is 1 if an odd number of the factors has another value than in the first variant, else 0. Effects with equal
    contrasts are differences of the same means, so they cannot be told apart.
    """
    return tuple(sum(bits) % 2 for bits in zip(*map(_bits, effect), strict=True))


def _bits(factor: Factor) -> list[int]:
    """By variant, 1 if a two-level factor has another value than in the first variant, else 0."""
    return [int(level != factor.values[0]) for level in factor.levels.values()]
