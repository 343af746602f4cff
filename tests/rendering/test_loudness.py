"""Loudness as ITU-R BS.1770 has it: sounds that are brought to one level, what is left of peaks, and silence."""

import io

import numpy as np
import pytest
import soundfile

from musiclab.rendering.loudness import TARGET, at_target, loudness, true_peak
from musiclab.rendering.midi import to_midi
from musiclab.rendering.mp3 import RATE, to_mp3
from musiclab.rendering.sound import Player

DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)
RESOLUTION = 2


def decibels(amplitude: float) -> float:
    return 20 * np.log10(amplitude)


def silence(steps: int = 64) -> np.ndarray:
    return np.zeros((5, steps, 128), dtype=bool)


def one_note(track: int, pitch: int, step: int = 0) -> np.ndarray:
    roll = silence()
    roll[track, step, pitch] = True
    return roll


def a_cluster_in_soft_strings() -> np.ndarray:
    roll = silence()
    roll[STRINGS, :, 60] = True
    roll[DRUMS, 20, 35:81] = True
    return roll


# The last one plays much louder for a moment than otherwise.
ROLLS = {
    "a piece": lambda piece: piece,
    "random notes": lambda _: np.random.default_rng(0).random((5, 32, 128)) < 0.01,
    "one hit": lambda _: one_note(DRUMS, 38),
    "one hit of the highest peak": lambda _: one_note(DRUMS, 62),
    "one high note": lambda _: one_note(PIANO, 96, 9),
    "one note of the strings": lambda _: one_note(STRINGS, 60, 9),
    "a cluster in soft strings": lambda _: a_cluster_in_soft_strings(),
}


@pytest.fixture(scope="module")
def player() -> Player:
    return Player()


def test_a_tone_of_full_scale_is_as_loud_as_the_standard_says() -> None:
    # BS.1770-4, annex 1: a sine of 997 Hz at 0 dB in one channel reads -3.01.
    tone = np.sin(2 * np.pi * 997 * np.arange(5 * 48_000) / 48_000)
    assert loudness(tone, 48_000) == pytest.approx(-3.01, abs=0.05)
    assert loudness(tone / 10, 48_000) == pytest.approx(-23.01, abs=0.05)


def test_a_peak_between_two_samples_is_found() -> None:
    # A quarter of the rate, sampled where the sine has 0.7 of its height.
    tone = np.sin(np.pi / 2 * np.arange(1000) + np.pi / 4)
    assert np.abs(tone).max() == pytest.approx(0.707, abs=0.001)
    assert true_peak(tone[100:-100]) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", ROLLS)
def test_whatever_is_played_is_equally_loud_and_does_not_clip(name: str, piece: np.ndarray, player: Player) -> None:
    wave = player.wave(to_midi(ROLLS[name](piece), RESOLUTION))
    matched = at_target(wave, RATE)
    assert matched.dtype == np.float32 and matched.shape == wave.shape
    assert loudness(matched, RATE) == pytest.approx(TARGET, abs=0.2)
    assert decibels(true_peak(matched)) <= -1.99
    with soundfile.SoundFile(io.BytesIO(to_mp3(matched))) as file:
        heard = file.read(dtype="float32")
    assert loudness(heard, RATE) == pytest.approx(TARGET - 0.45, abs=0.3)  # LAME plays all things 5 % quieter
    assert decibels(true_peak(heard)) < -1


def test_a_moment_that_is_too_loud_is_lowered_and_the_rest_is_not() -> None:
    rng = np.random.default_rng(0)
    wave = rng.normal(size=16 * RATE) * 0.001
    wave[5000] = 0.9
    matched = at_target(wave, RATE)
    assert loudness(matched, RATE) == pytest.approx(TARGET, abs=0.2)
    assert decibels(true_peak(matched)) <= -1.99
    far = np.abs(np.arange(len(wave)) - 5000) > 0.02 * RATE
    gains = matched[far] / wave[far]
    assert gains.min() == pytest.approx(gains.max(), rel=1e-5)


def test_silence_stays_silence() -> None:
    matched = at_target(np.zeros(RATE, np.float32), RATE)
    assert loudness(matched, RATE) == -np.inf
    assert not matched.any()


def test_sounds_of_one_length_are_files_of_one_size_with_the_same_headers(piece: np.ndarray, player: Player) -> None:
    rolls = [piece, silence(32), np.random.default_rng(0).random((5, 32, 128)) < 0.01]
    waves = [player.wave(to_midi(roll, RESOLUTION))[: 8 * RATE] for roll in rolls]
    files = [to_mp3(at_target(wave, RATE)) for wave in waves]
    assert len({len(file) for file in files}) == 1
    assert len({file[:208] for file in files}) == 1  # the tag, which tells delay, padding and number of frames
    assert len(set(files)) == 3
