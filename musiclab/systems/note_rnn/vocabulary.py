"""What a token is: a set of pitches of one instrument that start, or that sound, at one step."""

import json
import math
from collections import Counter
from collections.abc import Iterable

import numpy as np

from musiclab.data.windows import PITCH_BYTES, PITCHES, pack, unpack
from musiclab.systems.note_rnn.config import ONSETS, STEPS

UNKNOWN = 0


class Vocabulary:
    """Which sets of pitches are tokens: UNKNOWN (0), then `chords` from the most frequent on, then `start`.

    A set is 16 packed bytes. `counts` says how often each token was read in the training songs; it has no `start`.
    `tokens` is that of the config; it decides how a set is read that is no token.
    """

    def __init__(self, chords: list[bytes], counts: list[int], tokens: str = ONSETS) -> None:
        self.chords, self.counts, self.tokens = chords, np.array(counts), tokens
        self.start = len(chords) + 1
        self._table_V16 = np.frombuffer(b"".join(chords), np.uint8).reshape(-1, PITCH_BYTES)
        self._sizes_V = np.bitwise_count(self._table_V16).sum(axis=1, dtype=np.int64)
        self._tokens = {chord: number for number, chord in enumerate(chords, 1)}

    @classmethod
    def of(cls, songs: list[list[bytes]], size: int, tokens: str = ONSETS) -> "Vocabulary":
        """The `size` most frequent sets of pitches in songs; a song is a list of sets."""
        frequent = sorted(
            Counter(chord for song in songs for chord in song).items(), key=lambda item: (-item[1], item[0])
        )
        uncounted = cls([chord for chord, _ in frequent[:size]], [], tokens)
        read = np.concatenate([np.zeros(0, np.int64), *(uncounted.read(song)[1:] for song in songs)])
        return cls(uncounted.chords, np.bincount(read, minlength=uncounted.start).tolist(), tokens)

    def read(self, song: Iterable[bytes]) -> np.ndarray:
        """Sets of pitches as tokens `(1 + sets,)` int64; the first is `start`."""
        return np.array([self.start, *map(self._token, song)], np.int64)

    def _token(self, chord: bytes) -> int:
        if chord not in self._tokens:  # kept, because songs repeat themselves
            rare = self._largest_within(chord) if self.tokens == STEPS else _highest_note(chord)
            self._tokens[chord] = self._tokens.get(rare, UNKNOWN)
        return self._tokens[chord]

    def _largest_within(self, chord: bytes) -> bytes:
        """The largest set in the chord that is a token, and of these the most frequent; the chord itself if none is."""
        outside_V = (self._table_V16 & ~np.frombuffer(chord, np.uint8)).any(axis=1)
        sizes_V = np.where(outside_V, 0, self._sizes_V)
        return self.chords[sizes_V.argmax()] if sizes_V.any() else chord

    def rolls(self, tokens_NT: np.ndarray) -> np.ndarray:
        """Tokens as pitches `(n, tokens, 128)` bool."""
        silence = np.zeros((1, PITCH_BYTES), np.uint8)
        rolls: np.ndarray = unpack(np.concatenate([silence, self._table_V16, silence]))[tokens_NT]
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
    def from_bytes(cls, data: bytes, tokens: str = ONSETS) -> "Vocabulary":
        """The vocabulary that `to_bytes` wrote."""
        content = json.loads(data)
        rolls = np.zeros((len(content["chords"]), PITCHES), bool)
        for roll, pitches in zip(rolls, content["chords"], strict=True):
            roll[pitches] = True
        return cls([row.tobytes() for row in pack(rolls)], content["counts"], tokens)


def reading_nats(vocabulary: Vocabulary, training: list[list[bytes]], songs: list[list[bytes]]) -> float:
    """Nats that tell the sets of songs from the tokens that they are read as.

    For each set this is whether it is a token, by how often sets of the training songs are, and, if it is none, which
    pitches it has, by how often each is in sets of the training songs. All counts are counted plus one.
    """
    known = set(vocabulary.chords)
    heard = [chord for song in training for chord in song]
    rare = [chord for song in songs for chord in song if chord not in known]
    sets, rare_heard = sum(map(len, songs)), sum(chord not in known for chord in heard)
    rare_share = (rare_heard + 1) / (len(heard) + 2)
    which = -len(rare) * math.log(rare_share) - (sets - len(rare)) * math.log(1 - rare_share)
    shares_P = (_pitch_counts(heard) + 1) / (len(heard) + 2)
    counts_P = _pitch_counts(rare)
    return which - float((counts_P * np.log(shares_P) + (len(rare) - counts_P) * np.log(1 - shares_P)).sum())


def _pitch_counts(chords: list[bytes]) -> np.ndarray:
    """In how many of the sets each pitch is, `(128,)`."""
    counts: np.ndarray = unpack(np.frombuffer(b"".join(chords), np.uint8).reshape(-1, PITCH_BYTES)).sum(axis=0)
    return counts


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
