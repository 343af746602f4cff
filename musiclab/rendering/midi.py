"""A pianoroll as a MIDI file."""

import numpy as np
from symusic import Note, Score, Tempo, TextMeta, TimeSignature, Track

from musiclab.data.notes import notes
from musiclab.data.songs import PROGRAMS, TRACKS

# The article plays every note at 0.8 of full velocity and lowers the strings to 0.75 of that.
VELOCITIES = {"Drums": 102, "Piano": 102, "Guitar": 102, "Bass": 102, "Strings": 76}
_TICKS_PER_STEP = 120


def to_midi(roll: np.ndarray, resolution: int, tempo: float = 120.0) -> bytes:
    """The roll as a MIDI file in 4/4 with one track for each of `TRACKS`; the same roll gives the same bytes.

    A marker stands at the end of the roll, so that a file that ends in silence, or is silent throughout, is as long as
    its roll.

    Args:
        roll: bool `(track, time, pitch)`.
        resolution: steps a beat.
        tempo: beats a minute.
    """
    score = Score(_TICKS_PER_STEP * resolution)
    score.tempos.append(Tempo(0, tempo))
    score.time_signatures.append(TimeSignature(0, 4, 4))
    score.markers.append(TextMeta(roll.shape[1] * _TICKS_PER_STEP, "end"))
    for name, cells in zip(TRACKS, roll, strict=True):
        track = Track(name, PROGRAMS[name], name == "Drums")
        track.notes.extend(
            Note(int(start) * _TICKS_PER_STEP, int(length) * _TICKS_PER_STEP, int(pitch), VELOCITIES[name])
            for start, length, pitch in notes(cells)
        )
        score.tracks.append(track)
    return score.dumps_midi()
