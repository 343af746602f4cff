"""Finding a measure by its name."""

import pytest

from musiclab.errors import UserError
from musiclab.measures.registry import MEASURES, find_measure


def test_a_measure_has_two_names() -> None:
    assert find_measure("frechet") is find_measure("set/frechet")
    assert find_measure("frechet").full_name == "set/frechet"
    assert find_measure("frechet").better == "lower"


def test_names_are_unique_without_their_groups() -> None:
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)


def test_declarations_are_complete() -> None:
    for measure in MEASURES:
        assert measure.group in ("music", "latent", "next", "tokens", "style", "set")
        assert measure.better in ("lower", "higher", "real", "neither")
        assert measure.unit and measure.title


@pytest.mark.parametrize("name", ["freche", "set/frechett", "frechet_dist"])
def test_a_slip_is_met_with_the_nearest_name_and_the_list(name: str) -> None:
    with pytest.raises(UserError) as caught:
        find_measure(name)
    message = str(caught.value)
    assert name in message and "nearest: set/frechet" in message
    assert all(measure.full_name in message for measure in MEASURES)


def test_a_name_like_no_other_gets_the_list_alone() -> None:
    with pytest.raises(UserError, match="Known measures: latent/frame_f1") as caught:
        find_measure("zzz")
    assert "nearest" not in str(caught.value)
