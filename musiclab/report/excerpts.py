"""Excerpts: what a listening test plays of each condition on each start, as notes and as sound.

All continuations of a test are equally long and equally loud, and their files have the same size, so that nothing but
the music differs.
"""

from collections.abc import Iterator

import numpy as np

from musiclab.analysis.results import Results
from musiclab.design.listening import REAL, VARIANT, ListeningTest, Place
from musiclab.errors import UserError
from musiclab.hashing import content_hash
from musiclab.rendering.loudness import at_target
from musiclab.rendering.midi import to_midi
from musiclab.rendering.mp3 import RATE, to_mp3
from musiclab.rendering.sound import player
from musiclab.report.samples import RealMusic, Samples

# So many other songs at least lend their tracks to the floor: the tracks of one song would be music.
_LEAST_OTHER_SONGS = 2


class Excerpts:
    """The notes and the sounds of one listening test.

    Every sound is made when it is asked for, always the same from the same samples.

    Raises:
        UserError: real music cannot be had, because windows are gone or the variants cut songs differently.
    """

    def __init__(self, results: Results, test: ListeningTest) -> None:
        self._test = test
        self._samples = Samples(results)
        self._music = real_music(results, self._samples)

    @property
    def resolution(self) -> int:
        """Steps a beat."""
        return self._music.spec.resolution

    def start(self, place: Place) -> np.ndarray:
        """The last bars of a start window, bool `(track, time, pitch)`: what is heard before the continuations."""
        steps = min(self._test.start_bars * self._music.bar, self._music.spec.steps)
        start: np.ndarray = self._music.start_and_continuation(place)[0][:, self._music.spec.steps - steps :]
        return start

    def continuation(self, place: Place, condition: int) -> np.ndarray:
        """What a condition, given by its index, plays after a start, bool `(track, time, pitch)`.

        Raises:
            UserError: the sample is no longer what it was when the test was planned; the message names it.
        """
        kind, name = self._test.conditions[condition].kind, self._test.conditions[condition].name
        steps = self._test.bars * self._music.bar
        if kind == VARIANT:
            sample = self._samples.get(name, place)
            lack = sample if isinstance(sample, str) else ""
            roll = np.empty((0, 0, 0), bool) if isinstance(sample, str) else sample.roll[:, sample.start_steps :]
        elif kind == REAL:
            roll, lack = self._music.start_and_continuation(place)[1], ""
        else:
            roll, lack = self._shuffled(place, steps), ""
        if lack or roll.shape[1] < steps:
            raise UserError(
                f"The listening test needs {self._test.bars} bars of {name} at block {place.block}, start "
                f"{place.start}: {lack or 'The sample is shorter.'}",
                exit_code=1,
            )
        return roll[:, :steps]

    def sound(self, roll: np.ndarray) -> bytes:
        """A piece of the test as MP3; pieces of one length give files of one size."""
        return to_mp3(at_target(player().wave(to_midi(roll, self.resolution)), RATE))

    def _shuffled(self, place: Place, steps: int) -> np.ndarray:
        """Each track from the real continuation of another start of the block, no two from one song if they suffice.

        The test's seed decides which ones.
        """
        others = list(_others(self._music, place, steps))
        if len(others) < _LEAST_OTHER_SONGS:
            raise UserError(f"Block {place.block} has too few songs to shuffle the tracks of.", exit_code=1)
        drawn = sorted(others, key=lambda each: content_hash([self._test.seed, *place, "shuffled", *each]))
        rolls = [self._music.start_and_continuation(each)[1] for each in drawn]
        tracks = rolls[0].shape[0]
        return np.stack([rolls[track % len(rolls)][track, :steps] for track in range(tracks)])


def real_music(results: Results, samples: Samples) -> RealMusic:
    """The songs that the starts are from; UserError if they cannot be had."""
    try:
        return RealMusic(results, samples)
    except UserError as error:
        raise UserError(f"A listening test needs real music, but {error}") from None


def longest(samples: Samples, music: RealMusic, variants: list[str]) -> dict[Place, int]:
    """For each start that every one of the variants has continued, how many whole bars all conditions play after it."""
    found = {}
    for place, count in samples.places().items():
        pieces = [samples.get(variant, place) for variant in variants] if count >= len(variants) else []
        continued = [piece.roll.shape[1] - piece.start_steps for piece in pieces if not isinstance(piece, str)]
        real = music.get(place)
        if not continued or len(continued) < len(variants) or isinstance(real, str):
            continue
        steps = min(*continued, real.roll.shape[1] - real.start_steps)
        while steps >= music.bar and len(list(_others(music, place, steps))) < _LEAST_OTHER_SONGS:
            steps -= music.bar
        if steps >= music.bar:
            found[place] = steps // music.bar
    return found


def _others(music: RealMusic, place: Place, steps: int) -> Iterator[Place]:
    """One start of each other song of the block whose real continuation is long enough."""
    songs = {music.work(place)}
    for start in range(1, music.starts(place.block) + 1):
        other = Place(place.block, start)
        if music.work(other) not in songs and music.start_and_continuation(other)[1].shape[1] >= steps:
            songs.add(music.work(other))
            yield other
