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
    one = np.arange(12.0)
    assert script.interval(one, one**3) == pytest.approx((1.0, 1.0))
    low, high = script.interval(one, np.roll(one, 3))
    assert -1 <= low < script.spearmanr(one, np.roll(one, 3)).statistic < high <= 1
