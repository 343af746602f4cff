"""Rendered sound, judged by its samples."""

import io

import numpy as np
import pytest
import soundfile

from musiclab.rendering.midi import to_midi
from musiclab.rendering.sound import RATE, to_sound, to_wave

DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)
RESOLUTION = 2


def silence(steps: int = 32) -> np.ndarray:
    return np.zeros((5, steps, 128), dtype=bool)


def wave_of(roll: np.ndarray) -> np.ndarray:
    return to_wave(to_midi(roll, RESOLUTION))


def loudness(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def onset_times(wave: np.ndarray, rate: int) -> np.ndarray:
    """Where energy rises steeply: frames of 10 ms that hold four times the energy of the one before."""
    frame = rate // 100
    energy = np.square(wave.mean(axis=1)[: len(wave) // frame * frame]).reshape(-1, frame).mean(axis=1)
    before = np.concatenate([[0], energy[:-1]])
    rises = np.flatnonzero((energy > 4 * before) & (energy > 0.01 * energy.max()))
    return rises[np.diff(rises, prepend=-10) > 5] / 100


def test_a_wave_is_audible_even_and_does_not_clip(piece: np.ndarray) -> None:
    wave = wave_of(piece)
    assert wave.dtype == np.float32 and wave.shape[1] == 2
    assert 0.03 < loudness(wave) < 0.11
    assert 0.2 < np.abs(wave).max() < 0.86


def test_everything_at_once_does_not_clip() -> None:
    roll = silence(8)
    roll[:, ::2, 30:90] = True
    assert 0.2 < np.abs(wave_of(roll)).max() < 0.86


def test_one_hit_in_a_long_silence_does_not_clip() -> None:
    roll = silence(64)
    roll[DRUMS, 0, 38] = True
    assert np.abs(wave_of(roll)).max() == pytest.approx(0.85, abs=0.01)


def test_one_soft_note_is_as_loud_as_a_piece() -> None:
    roll = silence(4)
    roll[STRINGS, :, 60] = True
    assert loudness(wave_of(roll)) == pytest.approx(0.1, rel=0.05)


def test_sound_begins_where_the_roll_says() -> None:
    roll = silence()
    steps = np.array([3, 9, 16, 20, 29])
    roll[PIANO, steps, 60] = True
    heard = onset_times(wave_of(roll), RATE)
    np.testing.assert_allclose(heard, steps * 0.25, atol=0.03)


def test_tempo_is_heard() -> None:
    roll = silence()
    roll[DRUMS, [0, 8, 16], 38] = True
    heard = onset_times(to_wave(to_midi(roll, RESOLUTION, tempo=60)), RATE)
    np.testing.assert_allclose(heard, [0, 4, 8], atol=0.03)


def test_pitch_is_heard() -> None:
    roll = silence(8)
    roll[STRINGS, :, 69] = True
    wave = wave_of(roll).mean(axis=1)
    spectrum = np.abs(np.fft.rfft(wave))
    frequencies = np.fft.rfftfreq(len(wave), 1 / RATE)
    near = (frequencies > 400) & (frequencies < 480)
    assert frequencies[near][np.argmax(spectrum[near])] == pytest.approx(440, abs=5)
    assert spectrum[near].max() > 0.2 * spectrum.max()


def test_drums_sound_like_drums_and_not_like_a_piano() -> None:
    drums, piano = silence(8), silence(8)
    drums[DRUMS, ::2, 42] = piano[PIANO, ::2, 42] = True  # a closed hi-hat, or F#2

    def share_of_high_frequencies(roll: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(wave_of(roll).mean(axis=1))) ** 2
        return power[len(power) // 4 :].sum() / power.sum()

    assert share_of_high_frequencies(drums) > 0.3 > 0.01 > share_of_high_frequencies(piano)


def test_a_wave_is_as_long_as_its_roll(piece: np.ndarray) -> None:
    for roll in (piece, silence()):
        assert len(wave_of(roll)) / RATE == pytest.approx(8, abs=0.01)


def test_silence_is_silent_and_lasts() -> None:
    midi = to_midi(silence(), RESOLUTION)
    assert not to_wave(midi).any()
    samples, rate = soundfile.read(io.BytesIO(to_sound(midi)))
    assert np.abs(samples).max() < 1e-3
    assert len(samples) / rate == pytest.approx(8, abs=0.05)


def test_a_file_without_any_time_is_a_second_of_silence() -> None:
    samples, rate = soundfile.read(io.BytesIO(to_sound(to_midi(silence(0), RESOLUTION))))
    assert len(samples) / rate == pytest.approx(1, abs=0.05)


def test_rests_inside_a_piece_are_quiet() -> None:
    roll = silence()
    roll[PIANO, 0:2, 60] = roll[PIANO, 28:30, 60] = True
    wave = wave_of(roll)
    assert loudness(wave[5 * RATE : 6 * RATE]) < 0.001 < 0.05 < loudness(wave[: RATE // 2])


def test_sound_is_an_mp3_of_the_wave(piece: np.ndarray) -> None:
    midi = to_midi(piece, RESOLUTION)
    sound = to_sound(midi)
    with soundfile.SoundFile(io.BytesIO(sound)) as file:
        assert (file.format, file.channels, file.samplerate) == ("MP3", 1, RATE)
        samples = file.read(dtype="float32")
    wave = to_wave(midi).mean(axis=1)
    assert len(samples) == len(wave)
    assert np.abs(samples).max() < 1
    assert np.corrcoef(samples, wave)[0, 1] > 0.97
    assert len(sound) < 100_000  # eight seconds


def test_the_same_file_gives_the_same_sound_whatever_was_played_before(piece: np.ndarray) -> None:
    midi = to_midi(piece, RESOLUTION)
    first = to_sound(midi)
    roll = silence()
    roll[STRINGS, :, 40:80] = True
    other = to_sound(to_midi(roll, RESOLUTION))
    assert to_sound(midi) == first != other
