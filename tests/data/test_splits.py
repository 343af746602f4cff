import json

import numpy as np
import pytest

from musiclab.data.splits import Split, split_songs
from musiclab.errors import UserError

IDS = [f"song {number}" for number in range(40)]


def alone(ids: list[str]) -> dict[str, str]:
    """Every song a work of its own."""
    return {song: song for song in ids}


def test_every_song_is_in_exactly_one_part() -> None:
    split = split_songs(alone(IDS), np.random.default_rng(0))
    assert sorted(split.train + split.validation + split.test) == sorted(IDS)
    assert (len(split.train), len(split.validation), len(split.test)) == (32, 4, 4)
    assert all(list(part) == sorted(part) for part in (split.train, split.validation, split.test))


def test_the_order_of_the_ids_does_not_matter_and_the_seed_does() -> None:
    split = split_songs(alone(IDS), np.random.default_rng(3))
    assert split_songs(alone(IDS[::-1]), np.random.default_rng(3)) == split
    assert split_songs(alone(IDS), np.random.default_rng(4)) != split


@pytest.mark.parametrize("count", [10, 11, 14, 15])
def test_no_part_is_empty(count: int) -> None:
    split = split_songs(alone(IDS[:count]), np.random.default_rng(0), (0.98, 0.01, 0.01))
    assert (len(split.train), len(split.validation), len(split.test)) == (count - 2, 1, 1)
    assert len(split_songs(alone(IDS[:count]), np.random.default_rng(0), (0.01, 0.495, 0.495)).train) >= 1


def test_extreme_fractions_lose_and_double_no_song() -> None:
    split = split_songs(alone(IDS[:10]), np.random.default_rng(0), (0.04, 0.48, 0.48))
    assert sorted(split.train + split.validation + split.test) == sorted(IDS[:10])


def test_too_few_songs_say_how_many_are_needed() -> None:
    with pytest.raises(UserError, match=r"9 different songs.*at least 10"):
        split_songs(alone(IDS[:9]), np.random.default_rng(0))


@pytest.mark.parametrize("fractions", [(0.8, 0.1, 0.2), (1.0, 0.0, 0.0), (1.2, -0.1, -0.1)])
def test_fractions_must_make_sense(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="fractions"):
        split_songs(alone(IDS), np.random.default_rng(0), fractions)


def test_a_split_survives_json() -> None:
    split = split_songs(alone(IDS), np.random.default_rng(0))
    assert Split.from_json(json.loads(json.dumps(split.to_json()))) == split


@pytest.mark.parametrize("seed", range(5))
def test_songs_of_one_work_stay_together(seed: int) -> None:
    works = {f"song {number} {version}": f"{number % 20}" for number in range(60) for version in range(number % 3 + 1)}
    split = split_songs(works, np.random.default_rng(seed))
    parts = [{works[song] for song in part} for part in (split.train, split.validation, split.test)]
    assert list(map(len, parts)) == [16, 2, 2]
    assert len(set.union(*parts)) == 20
    assert sorted((*split.train, *split.validation, *split.test)) == sorted(works)


def test_what_a_work_is_called_does_not_matter() -> None:
    works = {song: f"{number // 2}" for number, song in enumerate(IDS)}
    others = {song: f"{99 - number // 2}" for number, song in enumerate(IDS)}
    assert split_songs(works, np.random.default_rng(0)) == split_songs(others, np.random.default_rng(0))


def test_too_few_works_of_many_songs_say_how_many_are_needed() -> None:
    works = {song: f"{number % 9}" for number, song in enumerate(IDS)}
    with pytest.raises(UserError, match=r"9 different songs.*at least 10"):
        split_songs(works, np.random.default_rng(0))
