"""Splits by song, so that held-out songs are never trained on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from musiclab.errors import UserError

MIN_SONGS = 10


@dataclass(frozen=True)
class Split:
    """The song ids of the three parts, sorted. No song is in two parts."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def to_json(self) -> dict[str, list[str]]:
        """The ids by part, JSON-serialisable."""
        return {"train": list(self.train), "validation": list(self.validation), "test": list(self.test)}

    @classmethod
    def from_json(cls, ids: dict[str, list[str]]) -> "Split":
        """The split that `to_json` was called on."""
        return cls(train=tuple(ids["train"]), validation=tuple(ids["validation"]), test=tuple(ids["test"]))


def split_songs(
    works: Mapping[str, str], rng: np.random.Generator, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
) -> Split:
    """Split songs at random into three parts of about the given fractions of works, none of them empty.

    The same works and random stream give the same split, whatever their order.

    Args:
        works: by the id of each song, its work. Songs of one work, such as copies, stay together.
        rng: what the split is drawn from.
        fractions: of training, validation and test.

    Raises:
        UserError: there are fewer than 10 works.
        ValueError: the fractions are not all positive or do not add up to 1.
    """
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"fractions must be positive and add up to 1; got {fractions}")
    ids_by_work: dict[str, list[str]] = {}
    for song in sorted(works):
        ids_by_work.setdefault(works[song], []).append(song)
    groups = list(ids_by_work.values())
    if len(groups) < MIN_SONGS:
        raise UserError(
            f"The data has {len(groups)} different songs, and a split by song needs at least {MIN_SONGS}; give more "
            "songs."
        )
    validation, test = (max(1, round(fraction * len(groups))) for fraction in fractions[1:])
    train = max(1, len(groups) - validation - test)
    shuffled = [groups[index] for index in rng.permutation(len(groups))]

    def sorted_ids(part: list[list[str]]) -> tuple[str, ...]:
        return tuple(sorted(song for group in part for song in group))

    return Split(
        train=sorted_ids(shuffled[:train]),
        validation=sorted_ids(shuffled[train : len(groups) - test]),
        test=sorted_ids(shuffled[len(groups) - test :]),
    )
