"""Samples in every form in which people meet them: MIDI, picture and sound."""

from collections.abc import Iterable, Iterator

import numpy as np

from musiclab.rendering.midi import to_midi
from musiclab.rendering.picture import to_png
from musiclab.rendering.sound import Player

# How many samples one player plays: it is slow at first and large in the end.
_TOGETHER = 8


def render_samples(
    rolls: Iterable[np.ndarray], titles: Iterable[str], resolution: int, tempo: float, start_steps: int
) -> Iterator[dict[str, bytes]]:
    """For each roll in turn the content of the sample's files by their suffix: `mid`, `png` and `mp3`.

    Each is what it would be alone. Together they take less time, the more so the more their music has in common.

    Args:
        rolls: bool `(track, time, pitch)` each, the start window and its continuation.
        titles: above the pictures, one a roll.
        resolution: steps a beat.
        tempo: beats a minute.
        start_steps: length of the start windows in steps; 0 where there are none.
    """
    for number, (roll, title) in enumerate(zip(rolls, titles, strict=True)):
        if number % _TOGETHER == 0:
            player = Player()
        midi = to_midi(roll, resolution, tempo)
        yield {"mid": midi, "png": to_png(roll, resolution, title, start_steps), "mp3": player.mp3(midi)}
