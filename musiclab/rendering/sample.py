"""Samples as MIDI, picture and sound."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from musiclab.rendering.midi import to_midi
from musiclab.rendering.picture import to_png
from musiclab.rendering.sound import Player

# How many samples one player plays: its first sample is slow, and it grows with each.
_SAMPLES_A_PLAYER = 8


def render_samples(
    rolls: Iterable[npt.NDArray[np.bool_]], titles: Iterable[str], resolution: int, tempo: float, start_steps: int
) -> Iterator[dict[str, bytes]]:
    """For each roll in turn, the content of its sample's files by their suffix: `mid`, `png` and `mp3`.

    A sample does not depend on the others. Rendering several together takes less time than one by one, above all if
    they share notes.

    Args:
        rolls: bool `(track, time, pitch)` each, the start window and its continuation.
        titles: one for each roll, shown above its picture.
        resolution: steps a beat.
        tempo: beats a minute.
        start_steps: length of the start windows in steps; 0 if there are none.
    """
    for number, (roll, title) in enumerate(zip(rolls, titles, strict=True)):
        if number % _SAMPLES_A_PLAYER == 0:
            player = Player()
        midi = to_midi(roll, resolution, tempo)
        yield {"mid": midi, "png": to_png(roll, resolution, title, start_steps), "mp3": player.mp3(midi)}
