"""Effects of single fields in crossed grids: what a value does, averaged over all values of the other fields."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

from musiclab.study.statistics import Interval, holm, mean_interval, sign_flip_p


@dataclass(frozen=True)
class Effect:
    """`value` of `field` less its `control`: the objective's paired difference, averaged over the other fields."""

    field: str
    value: Any
    control: Any
    difference: Interval
    p_holm: float


def field_effects(
    variants: dict[str, dict[str, Any]], controls: dict[str, str], judged: dict[str, dict[int, float]]
) -> list[Effect]:
    """The effects of every field, where the variants are two or more crossed grids with one control; else none.

    Args:
        variants: the fields' values by variant.
        controls: the variant that each is compared with.
        judged: the objective by variant and block; a block that lacks a variant is left out.

    Returns:
        One for each value that is not the control's; all of them are one family of tests (sign flips over blocks,
        Holm). With a field's values in all combinations each has as many trials behind it as a study of that field
        alone would give it in all blocks together.
    """
    levels: dict[str, list[Any]] = {}
    for values in variants.values():
        for field, value in values.items():
            if value not in levels.setdefault(field, []):
                levels[field].append(value)
    levels = {field: of for field, of in levels.items() if len(of) > 1}
    crossed = math.prod(map(len, levels.values())) == len(variants) and all(
        levels.keys() <= values.keys() for values in variants.values()
    )
    if len(levels) < 2 or not crossed or len(set(controls.values())) > 1:
        return []
    names = {tuple(values[field] for field in levels): name for name, values in variants.items()}
    control = variants[next(iter(controls.values()))]
    compared = [(field, value) for field, of in levels.items() for value in of if value != control[field]]
    differences = [_differences(field, value, control[field], levels, names, judged) for field, value in compared]
    p = holm([sign_flip_p(each) for each in differences])
    return [
        Effect(field, value, control[field], mean_interval(each), adjusted)
        for (field, value), each, adjusted in zip(compared, differences, p, strict=True)
    ]


def _differences(
    field: str,
    value: Any,
    control: Any,
    levels: dict[str, list[Any]],
    names: dict[tuple, str],
    judged: dict[str, dict[int, float]],
) -> list[float]:
    """By block: the mean, over all values of the other fields, of `value` less `control`."""
    place = list(levels).index(field)
    pairs = []
    for rest in itertools.product(*(of for other, of in levels.items() if other != field)):
        with_value, with_control = ((*rest[:place], each, *rest[place:]) for each in (value, control))
        pairs.append((judged[names[with_value]], judged[names[with_control]]))
    blocks = set.intersection(*(set(a) & set(b) for a, b in pairs))
    means = [sum(a[block] - b[block] for a, b in pairs) / len(pairs) for block in sorted(blocks)]
    return [mean for mean in means if not math.isnan(mean)]
