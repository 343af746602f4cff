"""A sample in all its forms."""

import numpy as np

from musiclab.rendering.midi import to_midi
from musiclab.rendering.picture import to_png
from musiclab.rendering.sample import render_sample
from musiclab.rendering.sound import to_sound


def test_a_sample_is_one_roll_in_three_forms(piece: np.ndarray) -> None:
    sample = render_sample(piece, 2, 90.0, "a title", 16)
    midi = to_midi(piece, 2, 90.0)
    assert sample == {"mid": midi, "png": to_png(piece, 2, "a title", 16), "mp3": to_sound(midi)}
