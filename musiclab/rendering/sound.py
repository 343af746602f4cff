"""A MIDI file as sound, played with the SoundFont that pretty_midi's package carries."""

import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile
from symusic import Score, Synthesizer

# The SoundFont's own rate. At 22,050 the synthesizer never returns for some keys of the guitar.
RATE = 44_100
# Full scale is 1. Compression overshoots the peak by a few per cent, hence the headroom; the loudness is that of a
# piece with a peak ten times its root mean square, common for a mix of five tracks.
_PEAK = 0.85
_LOUDNESS = 0.1
# LAME's variable bit rate, about 55 kbit/s for one channel: a player embeds dozens of these in one page.
_COMPRESSION = 0.7
# A synthesizer stops dead when the file ends; a fade of this many seconds takes the click away.
_FADE = 0.02
# An MP3 of no samples at all is no file that plays.
_SHORTEST_SILENCE = 1.0


def to_wave(midi: bytes) -> np.ndarray:
    """The file played at `RATE`, float32 `(sample, channel)` with two channels, between -1 and 1.

    Loudness is evened out: the gain brings the root mean square to 0.1, or the peak to 0.85 where that comes first, so
    that variants heard side by side differ in their music only. A file without notes is silence of its length,
    a second at least.
    """
    score = Score.from_midi(midi)
    if score.note_num() == 0:
        return np.zeros((round(max(_seconds(score), _SHORTEST_SILENCE) * RATE), 2), dtype=np.float32)
    # A new one a file: a synthesizer keeps what it made of every key that it has played, hundreds of megabytes in time.
    played = Synthesizer(str(_soundfont()), RATE, 0).render(score, stereo=True)
    wave = _filled(np.array(played.T, dtype=np.float32, order="C"), round(_seconds(score) * RATE))
    wave *= _gain(wave)
    fade = min(round(_FADE * RATE), len(wave))
    wave[len(wave) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)[:, None]
    return wave


def to_sound(midi: bytes) -> bytes:
    """The file played, as a mono MP3 that every browser plays; the same file gives the same bytes."""
    file = io.BytesIO()
    soundfile.write(
        file,
        to_wave(midi).mean(axis=1),
        RATE,
        format="MP3",
        bitrate_mode="VARIABLE",
        compression_level=_COMPRESSION,
    )
    return file.getvalue()


def _seconds(score: Score) -> float:
    """Length of the file, silence at its end included."""
    return score.to("second").end()


def _filled(wave: np.ndarray, samples: int) -> np.ndarray:
    """The wave with silence at its end, at least so many samples long; the synthesizer stops after the last note."""
    missing = max(samples - len(wave), 0)
    return np.concatenate([wave, np.zeros((missing, wave.shape[1]), dtype=wave.dtype)])


def _gain(wave: np.ndarray) -> float:
    """The factor that brings the wave to its loudness, or to its peak where that comes first."""
    peak = float(np.abs(wave).max(initial=0))
    loudness = float(np.sqrt(np.square(wave, dtype=np.float64).mean()))
    return min(_PEAK / peak, _LOUDNESS / loudness) if peak > 0 else 1.0


def _soundfont() -> Path:
    """Where pretty_midi keeps the SoundFont that it ships; the package is located without importing it."""
    package = find_spec("pretty_midi")
    return Path(package.submodule_search_locations[0]) / "TimGM6mb.sf2"
