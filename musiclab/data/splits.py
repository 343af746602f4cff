"""Splits by song, so that held-out songs are never trained on."""

from collections.abc import Iterable
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
    ids: Iterable[str], rng: np.random.Generator, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
) -> Split:
    """Split songs at random into three parts of about the given fractions, none of them empty.

    The same ids and random stream give the same split, whatever the order of the ids. Versions of one song stay
    together: their ids differ only in a ` #2` at the end.

    Raises:
        UserError: there are fewer than 10 songs.
        ValueError: the fractions are not all positive or do not add up to 1.
    """
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"fractions must be positive and add up to 1; got {fractions}")
    versions: dict[str, list[str]] = {}
    for song in sorted(set(ids)):
        versions.setdefault(song.partition(" #")[0], []).append(song)
    songs = list(versions)
    if len(songs) < MIN_SONGS:
        raise UserError(
            f"The data has {len(songs)} usable songs, and a split by song needs at least {MIN_SONGS}; give more songs."
        )
    validation, test = (max(1, round(fraction * len(songs))) for fraction in fractions[1:])
    train = max(1, len(songs) - validation - test)
    shuffled = [songs[index] for index in rng.permutation(len(songs))]

    def sorted_ids(part: list[str]) -> tuple[str, ...]:
        return tuple(sorted(version for song in part for version in versions[song]))

    return Split(
        train=sorted_ids(shuffled[:train]),
        validation=sorted_ids(shuffled[train : len(songs) - test]),
        test=sorted_ids(shuffled[len(songs) - test :]),
    )
