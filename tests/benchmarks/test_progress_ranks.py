"""The configurations that `benchmarks/progress_ranks.py` draws, and its intervals."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from musiclab.systems import SYSTEMS, find_system


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_is_drawn_fits_the_system_and_differs(benchmark: Callable[[str], ModuleType], name: str) -> None:
    script, system = benchmark("progress_ranks"), find_system(name)
    base = system.config().with_values(system.scales["demo"] | system.forms["mended"])
    configs = [base.with_values(script.drawn(name, number)) for number in range(40)]
    assert len({str(config) for config in configs}) == 40
    assert configs[7] == base.with_values(script.drawn(name, 7))
    for field in script.FIELDS[name]:
        assert len({getattr(config, field) for config in configs}) > 1, field


def test_the_interval_of_a_perfect_ranking_is_one_and_holds_the_correlation(
    benchmark: Callable[[str], ModuleType],
) -> None:
    script = benchmark("progress_ranks")
    one = np.arange(24.0).reshape(12, 2)
    assert script.interval(one, one**3) == pytest.approx((1.0, 1.0))
    other = np.roll(one, 3, axis=0)
    low, high = script.interval(one, other)
    assert -1 <= low < script.correlation(one, other) < high <= 1


def test_asha_saves_training_where_progress_tells_and_nothing_where_it_misleads(
    benchmark: Callable[[str], ModuleType],
) -> None:
    script = benchmark("progress_ranks")
    objective = np.repeat(np.arange(27.0)[:, None], 2, axis=1)
    told = script.saving(np.repeat(objective[..., None], 2, axis=2), objective)
    assert told.winner == told.winner_of_all == 0.0
    assert (told.needed, told.training < 14) == (27, True)
    misled = script.saving(np.repeat(-objective[..., None], 2, axis=2), objective)
    assert misled.needed < misled.training < 14
