"""Samples as MIDI, picture and sound."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from musiclab.rendering.midi import to_midi
from musiclab.rendering.picture import to_png
from musiclab.rendering.sound import player


def render_samples(
    rolls: Iterable[npt.NDArray[np.bool_]],
    titles: Iterable[str],
    resolution: int,
    tempo: float,
    start_steps: int,
    sounds: int | None = None,
) -> Iterator[dict[str, bytes]]:
    """For each roll in turn, the content of its sample's files by their suffix: `mid`, `png` and `mp3`.

    A sample does not depend on the others.

    Args:
        rolls: bool `(track, time, pitch)` each, the start window and its continuation.
        titles: one for each roll, shown above its picture.
        resolution: steps a beat.
        tempo: beats a minute.
        start_steps: length of the start windows in steps; 0 if there are none.
        sounds: how many of the first rolls get an `mp3`, which takes most of the time; None is all.
    """
    for number, (roll, title) in enumerate(zip(rolls, titles, strict=True)):
        midi = to_midi(roll, resolution, tempo)
        files = {"mid": midi, "png": to_png(roll, resolution, title, start_steps)}
        yield files | ({"mp3": player().mp3(midi)} if sounds is None or number < sounds else {})
