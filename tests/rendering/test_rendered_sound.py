"""Rendered sound, judged by its samples."""

import ctypes
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import soundfile
from symusic import Score, Synthesizer

from musiclab.rendering import sound
from musiclab.rendering.midi import to_midi
from musiclab.rendering.mp3 import RATE, to_mp3
from musiclab.rendering.sound import Player

DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)
RESOLUTION = 2


def silence(steps: int = 32) -> np.ndarray:
    return np.zeros((5, steps, 128), dtype=bool)


def wave_of(roll: np.ndarray) -> np.ndarray:
    return Player().wave(to_midi(roll, RESOLUTION))


def decoded(mp3: bytes) -> np.ndarray:
    """The samples of a file of one channel at `RATE`, as a library reads them that did not write it."""
    with soundfile.SoundFile(io.BytesIO(mp3)) as file:
        assert (file.format, file.channels, file.samplerate) == ("MP3", 1, RATE)
        return file.read(dtype="float32")


def loudness(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def onset_times(wave: np.ndarray, rate: int) -> np.ndarray:
    """Where energy rises steeply: frames of 10 ms that hold four times the energy of the one before."""
    frame = rate // 100
    energy = np.square(wave[: len(wave) // frame * frame]).reshape(-1, frame).mean(axis=1)
    before = np.concatenate([[0], energy[:-1]])
    rises = np.flatnonzero((energy > 4 * before) & (energy > 0.01 * energy.max()))
    return rises[np.diff(rises, prepend=-10) > 5] / 100


def test_a_wave_is_audible_even_and_does_not_clip(piece: np.ndarray) -> None:
    wave = wave_of(piece)
    assert wave.dtype == np.float32 and wave.ndim == 1
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
    heard = onset_times(Player().wave(to_midi(roll, RESOLUTION, tempo=60)), RATE)
    np.testing.assert_allclose(heard, [0, 4, 8], atol=0.03)


def test_pitch_is_heard() -> None:
    roll = silence(8)
    roll[STRINGS, :, 69] = True
    wave = wave_of(roll)
    spectrum = np.abs(np.fft.rfft(wave))
    frequencies = np.fft.rfftfreq(len(wave), 1 / RATE)
    near = (frequencies > 400) & (frequencies < 480)
    assert frequencies[near][np.argmax(spectrum[near])] == pytest.approx(440, abs=5)
    assert spectrum[near].max() > 0.2 * spectrum.max()


def test_drums_sound_like_drums_and_not_like_a_piano() -> None:
    drums, piano = silence(8), silence(8)
    drums[DRUMS, ::2, 42] = piano[PIANO, ::2, 42] = True  # a closed hi-hat, or F#2

    def share_of_high_frequencies(roll: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(wave_of(roll))) ** 2
        return power[len(power) // 2 :].sum() / power.sum()

    assert share_of_high_frequencies(drums) > 0.3 > 0.01 > share_of_high_frequencies(piano)


def test_what_is_too_high_for_the_rate_is_left_out_and_not_folded_back() -> None:
    roll = silence(8)
    roll[DRUMS, ::2, 42] = True
    soundfont = Path(pretty_midi.__file__).with_name("TimGM6mb.sf2")
    midi = to_midi(roll, RESOLUTION)
    left, right = Synthesizer(str(soundfont), 2 * RATE, 0).render(Score.from_midi(midi), stereo=True)
    wave = Player().wave(midi)
    spectrum = np.fft.rfft(left + right, 2 * len(wave))[: len(wave) // 2 + 1]
    assert np.corrcoef(np.fft.irfft(spectrum, len(wave)), wave)[0, 1] > 0.998


def test_a_wave_is_as_long_as_its_roll(piece: np.ndarray) -> None:
    for roll in (piece, silence()):
        assert len(wave_of(roll)) / RATE == pytest.approx(8, abs=0.01)


def test_silence_is_silent_and_lasts() -> None:
    midi = to_midi(silence(), RESOLUTION)
    assert not Player().wave(midi).any()
    samples = decoded(Player().mp3(midi))
    assert np.abs(samples).max() < 1e-3
    assert len(samples) == 8 * RATE


def test_a_file_without_any_time_is_a_second_of_silence() -> None:
    assert len(decoded(Player().mp3(to_midi(silence(0), RESOLUTION)))) == RATE


def test_rests_inside_a_piece_are_quiet() -> None:
    roll = silence()
    roll[PIANO, 0:2, 60] = roll[PIANO, 28:30, 60] = True
    wave = wave_of(roll)
    assert loudness(wave[5 * RATE : 6 * RATE]) < 0.001 < 0.05 < loudness(wave[: RATE // 2])


def test_sound_is_an_mp3_of_the_wave(piece: np.ndarray) -> None:
    midi = to_midi(piece, RESOLUTION)
    sound, wave = Player().mp3(midi), Player().wave(midi)
    samples = decoded(sound)
    assert len(samples) == len(wave)
    assert np.abs(samples).max() < 1
    assert np.corrcoef(samples, wave)[0, 1] > 0.97
    assert len(sound) < 45_000  # eight seconds


@pytest.mark.parametrize("samples", [1, 575, 576, 577, 1152, 22_050, 100_001])
def test_an_mp3_is_as_long_as_its_samples_and_on_time(samples: int) -> None:
    wave = 0.5 * np.sin(np.cumsum(np.linspace(0, 1, samples)))  # a tone that rises
    read = decoded(to_mp3(wave))
    assert len(read) == samples
    if samples > 2000:
        lags = (-1105, -576, -529, -1, 0, 1, 529, 576, 1105)
        fits = [np.dot(np.roll(wave, lag), read.astype(float)) for lag in lags]
        assert lags[np.argmax(fits)] == 0


def test_samples_beyond_full_scale_do_not_wrap_around() -> None:
    wave = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE) * 1.2
    assert np.corrcoef(decoded(to_mp3(wave)), wave)[0, 1] > 0.97


def test_the_same_file_gives_the_same_sound_whatever_was_played_before(piece: np.ndarray) -> None:
    midi = to_midi(piece, RESOLUTION)
    roll = silence()
    roll[STRINGS, :, 40:80] = roll[DRUMS, ::2, 35:60] = roll[PIANO, 1::2, 60] = True
    player = Player()
    first, other = player.mp3(midi), player.mp3(to_midi(roll, RESOLUTION))
    assert player.mp3(midi) == Player().mp3(midi) == first != other


def test_a_player_forgets_if_it_has_played_many_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "_MOST_KEYS", 20)
    few, many = silence(2), silence(2)
    few[PIANO, :, 60:70] = True
    many[PIANO, :, 60:70] = many[GUITAR, :, 60:71] = True  # as many keys as may stay, and one more
    player = Player()
    first = player._synthesizer
    for _ in range(3 * sound._FILES_AT_LEAST):
        player.wave(to_midi(few, RESOLUTION))
    assert player._synthesizer is first
    player.wave(to_midi(many, RESOLUTION))
    assert player._synthesizer is first
    player.wave(to_midi(few, RESOLUTION))
    second = player._synthesizer
    assert second is not first
    for _ in range(sound._FILES_AT_LEAST - 1):
        player.wave(to_midi(many, RESOLUTION))
    assert player._synthesizer is second, "files of one trial share what they play, however much that is"
    player.wave(to_midi(many, RESOLUTION))
    assert player._synthesizer is not second


def test_a_player_forgets_music_as_dense_as_noise_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "_DENSE_KEYS", 20)
    dense = silence(2)
    dense[PIANO, :, 60:70] = dense[GUITAR, :, 60:71] = True
    player = Player()
    first = player._synthesizer
    player.wave(to_midi(dense, RESOLUTION))
    assert player._synthesizer is first
    player.wave(to_midi(dense, RESOLUTION))
    assert player._synthesizer is not first


@pytest.fixture
def perturb() -> Iterator[Callable[[int], object]]:
    """A function that has the C library fill memory that it hands out or takes back; as it was after the test."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        pytest.skip("only glibc fills memory when asked to")
    yield lambda byte: mallopt(-6, byte)  # M_PERTURB
    mallopt(-6, 0)


@pytest.mark.parametrize("track", [DRUMS, PIANO, GUITAR, BASS, STRINGS])
@pytest.mark.parametrize("steps", [1, 8])
def test_sound_does_not_depend_on_what_lies_in_memory(track: int, steps: int, perturb: Callable[[int], object]) -> None:
    """Every third key of a track alone: the synthesizer reads beyond a sound's end if a loop ends there."""
    keys = range(60, 128, 3)
    roll = silence(len(keys) * (steps + 1))
    for number, key in enumerate(keys):
        roll[track, number * (steps + 1) :][:steps, key] = True
    midi = to_midi(roll, RESOLUTION)
    waves = []
    for byte in (0xFF, 0x01, 0x41):
        perturb(byte)
        waves.append(Player().wave(midi))
    assert np.isfinite(waves[0]).all()
    for wave in waves[1:]:
        np.testing.assert_array_equal(wave, waves[0])


@pytest.mark.parametrize("density", [0.1, 0.38])
def test_dense_music_sounds_the_same_each_time(density: float) -> None:
    roll = np.random.default_rng(0).random((5, 24, 128)) < density
    roll[STRINGS, :, 90:] = True
    midi = to_midi(roll, RESOLUTION)
    player = Player()
    assert len({player.mp3(midi), player.mp3(midi), Player().mp3(midi), Player().mp3(midi)}) == 1
