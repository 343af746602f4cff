"""Processes are killed at seeded moments: nothing finished is lost, changed or done again, and MLflow gets level."""

from collections import Counter
from pathlib import Path

import pytest
from judging import Truth
from rounds import Round
from tally import seeds

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", seeds(1, 1))
def test_in_one_process(seed: int, truth: Truth, tmp_path: Path) -> None:
    played = Round(seed, ["driver", "driver", "mirror"], truth, tmp_path, "--in-process")
    assert played.play() == Counter()
    assert set(played.kills) == {"driver", "mirror"}


@pytest.mark.parametrize("seed", seeds(11, 1))
def test_on_a_ray_of_this_machine(seed: int, truth: Truth, tmp_path: Path) -> None:
    played = Round(seed, ["driver", "worker", "mirror"], truth, tmp_path, "--workers", "2")
    assert played.play() == Counter()
    assert set(played.kills) == {"driver", "worker", "mirror"}
