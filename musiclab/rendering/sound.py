"""MIDI files as sound, played with the SoundFont that pretty_midi's package carries."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly
from symusic import Score, Synthesizer

from musiclab.rendering.mp3 import RATE, to_mp3

# The SoundFont's own rate. At 22,050 the synthesizer never returns for some keys of the guitar.
_PLAYED_RATE = 44_100
# Full scale is 1. Compression overshoots the peak by a few per cent, hence the headroom; the loudness is that of a
# piece with a peak ten times its root mean square, common for a mix of five tracks.
_PEAK = 0.85
_LOUDNESS = 0.1
# A synthesizer stops dead when the file ends; a fade of this many seconds takes the click away.
_FADE = 0.02
# An MP3 of no samples at all is no file that plays.
_SHORTEST_SILENCE = 1.0


class Player:
    """Plays the few files that belong together, such as a trial's samples, and sounds the same whatever it played.

    It keeps what it made of every key that it has played: the second file of the same music takes a quarter of the
    time, but over many files that comes to hundreds of megabytes. So it is made for a few files and dropped.
    """

    def __init__(self) -> None:
        self._synthesizer = Synthesizer(str(_soundfont()), _PLAYED_RATE, 0)

    def wave(self, midi: bytes) -> np.ndarray:
        """The file played at `RATE`, float32 `(sample,)` between -1 and 1: one channel, the mean of left and right.

        Loudness is evened out: the gain brings the root mean square to 0.1, or the peak to 0.85 where that comes first,
        so that variants heard side by side differ in their music only. A file without notes is silence of its length,
        a second at least.
        """
        score = Score.from_midi(midi)
        seconds = score.to("second").end()  # silence at its end included
        if score.note_num() == 0:
            return np.zeros(round(max(seconds, _SHORTEST_SILENCE) * RATE), dtype=np.float32)
        played = self._synthesizer.render(score, stereo=False)[0]
        wave = _filled(resample_poly(played, RATE, _PLAYED_RATE), round(seconds * RATE))
        wave *= _gain(wave)
        fade = min(round(_FADE * RATE), len(wave))
        wave[len(wave) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
        return wave

    def mp3(self, midi: bytes) -> bytes:
        """The file played, as an MP3 that every browser plays; the same file gives the same bytes."""
        return to_mp3(self.wave(midi))


def _filled(wave: np.ndarray, samples: int) -> np.ndarray:
    """The wave with silence at its end, at least so many samples long; the synthesizer stops after the last note."""
    return np.concatenate([wave, np.zeros(max(samples - len(wave), 0), dtype=wave.dtype)])


def _gain(wave: np.ndarray) -> float:
    """The factor that brings the wave to its loudness, or to its peak where that comes first."""
    peak = float(np.abs(wave).max(initial=0))
    loudness = float(np.sqrt(np.square(wave, dtype=np.float64).mean()))
    return min(_PEAK / peak, _LOUDNESS / loudness) if peak > 0 else 1.0


def _soundfont() -> Path:
    """Where pretty_midi keeps the SoundFont that it ships; the package is located without importing it."""
    package = find_spec("pretty_midi")
    return Path(package.submodule_search_locations[0]) / "TimGM6mb.sf2"
