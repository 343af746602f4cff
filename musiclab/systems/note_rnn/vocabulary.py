"""What a token is: a set of pitches of one instrument that start, or that sound, at one step."""

import json
from collections import Counter
from collections.abc import Iterable

import numpy as np

from musiclab.data.windows import PITCH_BYTES, PITCHES, pack, unpack
from musiclab.systems.note_rnn.config import STEPS

UNKNOWN = 0


class Vocabulary:
    """Which sets of pitches are tokens: UNKNOWN (0), then `chords` from the most frequent on, then `start`.

    A set is 16 packed bytes. `counts` says how often each token was read in the training songs; it has no `start`.
    """

    def __init__(self, chords: list[bytes], counts: list[int]) -> None:
        self.chords, self.counts = chords, np.array(counts)
        self.start = len(chords) + 1
        self._tokens = {chord: number for number, chord in enumerate(chords, 1)}

    @classmethod
    def of(cls, songs: list[list[bytes]], size: int) -> "Vocabulary":
        """The `size` most frequent sets of pitches in songs; a song is a list of sets."""
        frequent = sorted(
            Counter(chord for song in songs for chord in song).items(), key=lambda item: (-item[1], item[0])
        )
        uncounted = cls([chord for chord, _ in frequent[:size]], [])
        tokens = np.concatenate([np.zeros(0, np.int64), *(uncounted.read(song)[1:] for song in songs)])
        return cls(uncounted.chords, np.bincount(tokens, minlength=uncounted.start).tolist())

    def read(self, song: Iterable[bytes]) -> np.ndarray:
        """Sets of pitches as tokens `(1 + sets,)` int64; the first is `start`."""
        return np.array([self.start, *map(self._token, song)], np.int64)

    def _token(self, chord: bytes) -> int:
        known = self._tokens.get(chord)
        return self._tokens.get(_highest_note(chord), UNKNOWN) if known is None else known

    def rolls(self, tokens_NT: np.ndarray) -> np.ndarray:
        """Tokens as pitches `(n, tokens, 128)` bool."""
        silence = bytes(PITCH_BYTES)
        table = np.frombuffer(b"".join([silence, *self.chords, silence]), np.uint8).reshape(-1, PITCH_BYTES)
        rolls: np.ndarray = unpack(table)[tokens_NT]
        return rolls

    def unigram_nats(self, tokens: np.ndarray) -> float:
        """Sum of -log p of tokens, with p from their counts in training plus one (add-one smoothing)."""
        p = (self.counts + 1) / (self.counts + 1).sum()
        return float(-np.log(p)[tokens].sum())

    def to_bytes(self) -> bytes:
        """The vocabulary as JSON: the pitches of each chord, and counts."""
        pitches = [np.flatnonzero(roll).tolist() for roll in self.rolls(np.arange(1, self.start))]
        return json.dumps({"chords": pitches, "counts": self.counts.tolist()}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Vocabulary":
        """The vocabulary that `to_bytes` wrote."""
        content = json.loads(data)
        rolls = np.zeros((len(content["chords"]), PITCHES), bool)
        for roll, pitches in zip(rolls, content["chords"], strict=True):
            roll[pitches] = True
        return cls([row.tobytes() for row in pack(rolls)], content["counts"])


def pitch_sets(packed_T16: np.ndarray, tokens: str) -> list[bytes]:
    """The sets of pitches that become tokens, of one track `(time, 16)` packed; a set is 16 packed bytes.

    With `tokens` "steps" it is what sounds at each step, the empty set of a rest included. With "onsets" it is what
    starts at each step; steps without a start have none.
    """
    if tokens == STEPS:
        return [row.tobytes() for row in packed_T16]
    before = np.concatenate([np.zeros((1, PITCH_BYTES), np.uint8), packed_T16[:-1]])
    starting = packed_T16 & ~before
    return [row.tobytes() for row in starting[starting.any(axis=1)]]


def _highest_note(chord: bytes) -> bytes:
    bits = int.from_bytes(chord, "big")
    return (bits & -bits).to_bytes(PITCH_BYTES, "big")  # the highest pitch is in the lowest bit
