"""Excerpts: what a listening test plays of each condition on each start, as notes and as sound.

All continuations of a test are equally long and equally loud, and their files have the same size, so that nothing but
the music differs.
"""

import numpy as np

from musiclab.analysis.results import Results
from musiclab.data.songs import TRACKS
from musiclab.design.listening import REAL, VARIANT, ListeningTest, Place
from musiclab.errors import UserError
from musiclab.rendering.loudness import at_target
from musiclab.rendering.midi import to_midi
from musiclab.rendering.mp3 import RATE, to_mp3
from musiclab.rendering.sound import player
from musiclab.report.samples import RealMusic, Samples
from musiclab.training.streams import Block

# So many other songs at least lend their tracks to the floor: the tracks of one song would be music.
_LEAST_OTHER_SONGS = 2
# Beats a minute: that of all samples of trials.
_TEMPO = 120.0
_FADE = 0.05  # seconds


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
        steps = self._test.bars * self._music.bar
        played = self._played(place, condition)
        if isinstance(played, np.ndarray) and played.shape[1] >= steps:
            return played[:, :steps]
        raise UserError(
            f"The listening test needs {self._test.bars} bars of {self._test.conditions[condition].name} at block "
            f"{place.block}, start {place.start}: {played if isinstance(played, str) else 'The sample is shorter.'}",
            exit_code=1,
        )

    def _played(self, place: Place, condition: int) -> np.ndarray | str:
        """All that a condition plays after a start, or the sentence that says why there is nothing."""
        kind, name = self._test.conditions[condition].kind, self._test.conditions[condition].name
        if kind == VARIANT:
            sample = self._samples.get(name, place)
            return sample if isinstance(sample, str) else sample.roll[:, sample.start_steps :]
        return self._music.start_and_continuation(place)[1] if kind == REAL else self._shuffled(place)

    def sound(self, roll: np.ndarray) -> bytes:
        """A piece of the test as MP3; pieces of equal length give files of one size that say the same of themselves."""
        wave = player().wave(to_midi(roll, self.resolution, _TEMPO))
        return to_mp3(at_target(_cut(wave, roll.shape[1] / self.resolution * 60 / _TEMPO), RATE))

    def _shuffled(self, place: Place) -> np.ndarray:
        """Each track from another song, no two from one if there are enough; the test's seed decides which ones."""
        block = Block(self._test.seed, place.block)
        rng = block.numpy("listening", "shuffled", f"start {place.start}")
        windows = -(-self._test.bars * self._music.bar // self._music.spec.steps)  # rounded up
        stretches: list[np.ndarray] = []
        for stretch in self._music.elsewhere(place, windows, rng):
            stretches.append(stretch)
            if len(stretches) == len(TRACKS):
                break
        if len(stretches) < _LEAST_OTHER_SONGS:
            raise UserError(
                f"A listening test mixes the tracks of {_LEAST_OTHER_SONGS} other songs or more, and too few have "
                f"{self._test.bars} bars after their first window; use more songs, or longer ones."
            )
        return np.stack([stretches[track % len(stretches)][track] for track in range(len(TRACKS))])


def _cut(wave: np.ndarray, seconds: float) -> np.ndarray:
    """The sound at `RATE` cut to exactly so many seconds, and faded out.

    The synthesizer plays up to some milliseconds more, and how many depends on the last notes.
    """
    exact: np.ndarray = wave[: round(seconds * RATE)]
    fade = round(_FADE * RATE)
    exact[-fade:] *= np.linspace(1, 0, fade, dtype=exact.dtype)
    return exact


def real_music(results: Results, samples: Samples) -> RealMusic:
    """The songs that the starts are from; UserError if they cannot be had."""
    try:
        return RealMusic(results, samples)
    except UserError as error:
        raise UserError(f"A listening test needs real music, but {error}") from None


def longest(samples: Samples, music: RealMusic, variants: list[str]) -> dict[Place, int]:
    """For each start that all of the variants continue, and its own song too: how many whole bars they all do so."""
    bars = {}
    for place, count in samples.places().items():
        pieces = [samples.get(variant, place) for variant in variants] if count >= len(variants) else []
        pieces.append(music.get(place))
        lengths = [piece.roll.shape[1] - piece.start_steps for piece in pieces if not isinstance(piece, str)]
        if len(lengths) == len(variants) + 1 and min(lengths) >= music.bar:
            bars[place] = min(lengths) // music.bar
    return bars
