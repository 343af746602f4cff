"""Learning rates that change from step to step."""

import math

_WARM_UP = 0.1  # share of the steps in which the rate rises


def warm_cosine(highest: float, step: int, steps: int) -> float:
    """The rate at a step of so many: a straight rise over the first tenth, then half a cosine down to 0."""
    rise = max(1, round(_WARM_UP * steps))
    if step < rise:
        return highest * (step + 1) / rise
    return highest * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
