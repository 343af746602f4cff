"""MIDI files as sound, played with the SoundFont that the package pretty_midi ships."""

import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly
from symusic import Score, Synthesizer

from musiclab.errors import UserError
from musiclab.rendering.mp3 import RATE, to_mp3

# The SoundFont's own rate. At 22,050 the synthesizer never ends some keys of the guitar.
_PLAYED_RATE = 44_100
# A loop of the SoundFont ends this many samples before its sound does, or nearer. Where it is nearer, the synthesizer
# resamples the sound to fewer samples than the loop has, and plays what lies behind them in memory: long high notes of
# the strings then sound differently each time, and may be no numbers at all. The samples are there in the SoundFont.
_AFTER_LOOP = 8
# The header of a sound in a SoundFont 2; positions in samples from the beginning of all sounds.
_HEADER = np.dtype(
    [("name", "S20"), ("start", "<u4"), ("end", "<u4"), ("loop_start", "<u4"), ("loop_end", "<u4"), ("rest", "V10")]
)
# Full scale is 1. MP3 compression overshoots the peak by a few per cent, hence the headroom. The loudness is the root
# mean square; in a mix of five tracks the peak is often ten times that.
_PEAK = 0.85
_LOUDNESS = 0.1
# In seconds. The synthesizer stops abruptly at the end of the file; the fade prevents a click.
_FADE = 0.02
# In seconds. An MP3 without samples does not play.
_SHORTEST_SILENCE = 1.0
# So many keys may stay in a player; chorales have about 100. A few files that play more share them all the same, unless
# they are as dense as random notes: then a worker would keep most of a gigabyte.
_MOST_KEYS, _FILES_AT_LEAST, _DENSE_KEYS = 150, 8, 300


class Player:
    """Plays any number of files. A file sounds the same in every process, whatever was played before.

    The synthesizer keeps the sound of every key that it has played, up to 2 MB each: further files with the same keys
    take a quarter of the time. After a few files that play many keys it is made anew.
    """

    def __init__(self) -> None:
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._synthesizer, self._files, self._keys = _synthesizer(), 0, set[tuple[bool, int, int]]()

    def _play(self, score: Any) -> npt.NDArray[np.float32]:
        """The sound of a score at `_PLAYED_RATE`, `(sample,)`."""
        if len(self._keys) > (_MOST_KEYS if self._files >= _FILES_AT_LEAST else _DENSE_KEYS):
            self._start_afresh()
        self._files += 1
        self._keys |= {(track.is_drum, track.program, note.pitch) for track in score.tracks for note in track.notes}
        played: npt.NDArray[np.float32] = self._synthesizer.render(score, stereo=False)[0]
        return played

    def wave(self, midi: bytes) -> npt.NDArray[np.float32]:
        """The sound of a MIDI file at `RATE`, float32 `(sample,)` between -1 and 1: the mean of left and right.

        All files are equally loud, so that variants heard side by side differ in their music only: the gain brings the
        root mean square to 0.1, or the peak to 0.85 if that takes less gain. A file without notes is silence of its
        length, at least one second.
        """
        score = Score.from_midi(midi)
        seconds = score.to("second").end()  # with the silence at its end
        if score.note_num() == 0:
            return np.zeros(round(max(seconds, _SHORTEST_SILENCE) * RATE), dtype=np.float32)
        resampled: npt.NDArray[np.float32] = resample_poly(self._play(score), RATE, _PLAYED_RATE)
        wave = _filled(resampled, round(seconds * RATE))
        wave *= _gain(wave)
        fade = min(round(_FADE * RATE), len(wave))
        wave[len(wave) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
        return wave

    def mp3(self, midi: bytes) -> bytes:
        """The sound of a MIDI file as an MP3 that every browser plays; the same file gives the same bytes."""
        return to_mp3(self.wave(midi))


@cache
def player() -> Player:
    """The player of this process."""
    return Player()


def _filled(wave: npt.NDArray[np.float32], samples: int) -> npt.NDArray[np.float32]:
    """The wave, made at least `samples` long by silence at its end: the synthesizer stops after the last note."""
    return np.concatenate([wave, np.zeros(max(samples - len(wave), 0), dtype=wave.dtype)])


def _gain(wave: npt.NDArray[np.float32]) -> float:
    """The factor that brings the wave to the loudness wanted, or to the largest peak allowed if that is smaller."""
    peak = float(np.abs(wave).max(initial=0))
    loudness = float(np.sqrt(np.square(wave, dtype=np.float64).mean()))
    return min(_PEAK / peak, _LOUDNESS / loudness) if peak > 0 else 1.0


def _synthesizer() -> Any:
    with tempfile.NamedTemporaryFile(suffix=".sf2") as file:
        file.write(_soundfont())
        file.flush()
        return Synthesizer(file.name, _PLAYED_RATE, 0)  # reads the whole file


@cache
def _soundfont() -> bytes:
    """The SoundFont that pretty_midi ships, with `_AFTER_LOOP` samples after each loop.

    The package is located without being imported.
    """
    package = find_spec("pretty_midi")
    if package is None or not package.submodule_search_locations:
        raise UserError("Sound needs the package pretty_midi, because it ships the SoundFont; install it.")
    soundfont = bytearray((Path(package.submodule_search_locations[0]) / "TimGM6mb.sf2").read_bytes())
    chunk = soundfont.rindex(b"shdr")  # the last one of the file: its name, its size, and the headers
    size = int.from_bytes(soundfont[chunk + 4 : chunk + 8], "little")
    headers = np.frombuffer(soundfont, _HEADER, size // _HEADER.itemsize, chunk + 8)[:-1]  # the last one is no sound
    headers["end"] = np.maximum(headers["end"], headers["loop_end"] + _AFTER_LOOP)
    return bytes(soundfont)
