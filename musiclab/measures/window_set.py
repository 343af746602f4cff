"""A set of windows with all that several measures of it share, each worked out once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from musiclab.measures.bins import bin_centres
from musiclab.measures.distributions import features
from musiclab.measures.embedding import embed, embed_tracks
from musiclab.measures.fidelity import scaled
from musiclab.measures.notes import in_blocks
from musiclab.measures.pairs import Pairs, pairs
from musiclab.measures.variety import track_distances


@dataclass(frozen=True)
class WindowSet:
    """Windows to compare with others. What several measures need is computed once and kept.

    Attributes:
        rolls: bool `(n, track, time, pitch)`. Real windows must be in a shuffled order, so that the first ones are a
            random sample.
        songs: `(n,)`, which song each window is from, or which start it continues; any values that can be compared.
        resolution: steps a beat.
        pieces: bool `(track, time, pitch)` each, whole songs or continuations, for `structure_measures`.
    """

    rolls: np.ndarray
    songs: np.ndarray
    resolution: int
    pieces: Sequence[np.ndarray] = ()

    def first(self, count: int) -> "WindowSet":
        """The set of the first `count` windows, with all pieces; the set itself if it has no more."""
        if count >= len(self.rolls):
            return self
        return replace(self, rolls=self.rolls[:count], songs=self.songs[:count])

    @cached_property
    def embedding(self) -> np.ndarray:
        """`embed` of the windows."""
        return in_blocks(lambda rolls: embed(rolls, self.resolution), self.rolls)

    @cached_property
    def track_embeddings(self) -> np.ndarray:
        """`embed_tracks` of the windows."""
        return in_blocks(lambda rolls: embed_tracks(rolls, self.resolution), self.rolls)

    @cached_property
    def features(self) -> np.ndarray:
        """`distributions.features` of the windows."""
        return features(self.rolls, self.resolution)

    @cached_property
    def bin_centres(self) -> np.ndarray:
        """`bins.bin_centres` of the windows, on the scale of their own embedding."""
        return bin_centres(scaled(self.embedding, self.embedding))

    @cached_property
    def pairs(self) -> Pairs:
        """`pairs` of the windows, in groups by song."""
        return pairs(self.rolls, self.songs)

    @cached_property
    def track_distances(self) -> np.ndarray:
        """`sets.track_distances` of the windows."""
        return track_distances(self.rolls)
