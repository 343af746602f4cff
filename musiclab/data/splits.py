"""Splits by song: held-out songs are never trained on."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from musiclab.errors import UserError

MIN_SONGS = 10


@dataclass(frozen=True)
class Split:
    """Sorted song ids of the three parts, which share none."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def to_json(self) -> dict[str, list[str]]:
        """The parts as JSON-serialisable lists."""
        return {"train": list(self.train), "validation": list(self.validation), "test": list(self.test)}

    @classmethod
    def from_json(cls, parts: dict[str, list[str]]) -> "Split":
        """The split that `to_json` gave."""
        return cls(*(tuple(parts[name]) for name in ("train", "validation", "test")))


def split_songs(
    ids: Iterable[str], rng: np.random.Generator, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
) -> Split:
    """Song ids drawn into three parts of about the given fractions, none of them empty.

    The same ids and random stream give the same split, in whatever order the ids come. Versions of one song, whose ids
    differ in a ` #2` at the end only, stay together. UserError for fewer than 10
    songs, ValueError for fractions that do not add up to 1 or are not all positive.
    """
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"fractions must be positive and add up to 1, got {fractions}")
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
    cuts = shuffled[:train], shuffled[train : len(songs) - test], shuffled[len(songs) - test :]
    return Split(*(tuple(sorted(version for song in part for version in versions[song])) for part in cuts))
