"""A pianoroll as a MIDI file, and back."""

import numpy as np
import numpy.typing as npt
from symusic import Note, Score, Tempo, TextMeta, TimeSignature, Track

from musiclab.data.notes import notes
from musiclab.data.songs import PROGRAMS, TRACKS

# The article plays every note at 0.8 of full velocity and lowers the strings to 0.75 of that.
VELOCITIES = {"Drums": 102, "Piano": 102, "Guitar": 102, "Bass": 102, "Strings": 76}
_TICKS_PER_STEP = 120


def to_midi(roll: npt.NDArray[np.bool_], resolution: int, tempo: float = 120.0) -> bytes:
    """The roll as a MIDI file in 4/4 with one track for each of `TRACKS`; the same roll gives the same bytes.

    A marker at the end of the roll makes the file as long as the roll, even if it ends in silence.

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
    midi: bytes = score.dumps_midi()
    return midi


def from_midi(midi: bytes) -> tuple[npt.NDArray[np.bool_], int, float]:
    """The roll `(track, time, pitch)`, resolution and tempo that `to_midi` was given.

    Raises:
        ValueError: `to_midi` did not write this file.
    """
    try:
        score = Score.from_midi(midi)
        tempo, end = score.tempos[0].qpm, score.markers[0].time
    except (RuntimeError, IndexError) as error:
        raise ValueError("no MIDI file of a roll") from error
    roll = np.zeros((len(TRACKS), end // _TICKS_PER_STEP, 128), dtype=bool)
    for track in score.tracks:
        if track.name not in TRACKS:
            raise ValueError(f"the MIDI file of a roll has no track {track.name!r}")
        cells = roll[TRACKS.index(track.name)]
        for note in track.notes:
            cells[note.time // _TICKS_PER_STEP : note.end // _TICKS_PER_STEP, note.pitch] = True
    return roll, score.ticks_per_quarter // _TICKS_PER_STEP, tempo
