"""Samples in all their forms."""

import numpy as np
import pytest

from musiclab.rendering import sound
from musiclab.rendering.midi import to_midi
from musiclab.rendering.picture import to_png
from musiclab.rendering.sample import render_samples
from musiclab.rendering.sound import Player


def test_a_sample_is_one_roll_in_three_forms_whatever_comes_before_it(piece: np.ndarray) -> None:
    rolls = [piece, np.roll(piece, 5, axis=2), np.roll(piece, 3, axis=1)]
    samples = list(render_samples(rolls, ["a", "b", "c"], 2, 90.0, 16))
    for roll, title, sample in zip(rolls, "abc", samples, strict=True):
        midi = to_midi(roll, 2, 90.0)
        assert sample == {"mid": midi, "png": to_png(roll, 2, title, 16), "mp3": Player().mp3(midi)}


def test_only_so_many_are_played(piece: np.ndarray) -> None:
    samples = list(render_samples([piece] * 3, ["a"] * 3, 2, 120.0, 0, sounds=1))
    assert [set(sample) for sample in samples] == [{"mid", "png", "mp3"}, {"mid", "png"}, {"mid", "png"}]


def test_all_samples_of_a_process_have_one_player(piece: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    players = []

    class Counted(Player):
        def __init__(self) -> None:
            super().__init__()
            players.append(self)

    sound.player.cache_clear()
    monkeypatch.setattr(sound, "Player", Counted)
    for _ in range(3):
        list(render_samples([piece[:, :2]] * 2, ["a"] * 2, 2, 120.0, 0))
    assert len(players) == 1
    sound.player.cache_clear()
