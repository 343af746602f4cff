"""One sample in every form in which people meet it: MIDI, picture and sound."""

import numpy as np

from musiclab.rendering.midi import to_midi
from musiclab.rendering.picture import to_png
from musiclab.rendering.sound import to_sound


def render_sample(roll: np.ndarray, resolution: int, tempo: float, title: str, start_steps: int) -> dict[str, bytes]:
    """The content of the sample's files by their suffix: `mid`, `png` and `mp3`.

    Args:
        roll: bool `(track, time, pitch)`, the start window and its continuation.
        resolution: steps a beat.
        tempo: beats a minute.
        title: above the picture.
        start_steps: length of the start window in steps; 0 where there is none.
    """
    midi = to_midi(roll, resolution, tempo)
    return {"mid": midi, "png": to_png(roll, resolution, title, start_steps), "mp3": to_sound(midi)}
