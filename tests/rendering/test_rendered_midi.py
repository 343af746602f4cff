"""MIDI files, read back by libraries that did not write them."""

import io
from pathlib import Path

import mido
import muspy
import numpy as np
import pretty_midi
import pytest

from musiclab.data.songs import TRACKS
from musiclab.rendering.midi import from_midi, to_midi

RESOLUTION = 2


def silence(steps: int = 32) -> np.ndarray:
    return np.zeros((5, steps, 128), dtype=bool)


def read_by_mido(midi: bytes) -> mido.MidiFile:
    return mido.MidiFile(file=io.BytesIO(midi))


def roll_of(midi: bytes, resolution: int, steps: int) -> np.ndarray:
    """The roll that a file holds, by mido alone; fails where a note is not on the grid."""
    file = read_by_mido(midi)
    ticks = file.ticks_per_beat // resolution
    roll = np.zeros((5, steps, 128), dtype=bool)
    for track in file.tracks:
        index = TRACKS.index(track.name)
        now, since = 0, {}
        for message in track:
            now += message.time
            if message.type == "note_on" and message.velocity > 0:
                assert message.note not in since and now % ticks == 0
                since[message.note] = now
            elif message.type in ("note_on", "note_off"):
                start = since.pop(message.note)
                assert now % ticks == 0
                roll[index, start // ticks : now // ticks, message.note] = True
        assert not since
    return roll


@pytest.mark.parametrize("resolution", [1, 2, 3, 4, 24])
def test_a_file_holds_exactly_its_roll(piece: np.ndarray, resolution: int) -> None:
    rng = np.random.default_rng(resolution)
    for roll in (piece, rng.random((5, 40, 128)) < 0.3, np.ones((5, 7, 128), dtype=bool)):
        midi = to_midi(roll, resolution)
        np.testing.assert_array_equal(roll_of(midi, resolution, roll.shape[1]), roll)


@pytest.mark.parametrize("resolution", [1, 2, 24])
def test_a_file_read_again_is_what_it_was_made_of(piece: np.ndarray, resolution: int) -> None:
    noise = np.random.default_rng(resolution).random((5, 40, 128)) < 0.3
    for roll, tempo in ((piece, 120.0), (noise, 90.0), (silence(7), 120.0)):
        read, read_resolution, read_tempo = from_midi(to_midi(roll, resolution, tempo))
        np.testing.assert_array_equal(read, roll)
        assert read_resolution == resolution and read_tempo == pytest.approx(tempo)


def test_what_is_no_file_of_a_roll_is_refused(piece: np.ndarray) -> None:
    other = mido.MidiFile()
    other.add_track("Flute").append(mido.MetaMessage("set_tempo"))
    foreign = io.BytesIO()
    other.save(file=foreign)
    renamed = to_midi(piece, RESOLUTION).replace(b"Guitar", b"Zither")
    for midi in (b"", b"junk", foreign.getvalue(), renamed):
        with pytest.raises(ValueError, match="MIDI file of a roll"):
            from_midi(midi)


def test_consecutive_cells_are_one_held_note(piece: np.ndarray) -> None:
    (strings,) = (track for track in read_by_mido(to_midi(piece, RESOLUTION)).tracks if track.name == "Strings")
    notes = [message for message in strings if message.type == "note_on"]
    assert len(notes) == 1 and notes[0].time == 4 * 240


def test_drums_are_on_channel_10_and_the_others_are_not(piece: np.ndarray) -> None:
    midi = to_midi(piece, RESOLUTION)
    for track in read_by_mido(midi).tracks:
        channels = {message.channel for message in track if not message.is_meta}
        assert channels == {9} if track.name == "Drums" else channels and 9 not in channels
    assert b"\x99\x24" in midi or b"\x99\x2a" in midi  # note on, channel 10, 36 or 42


def test_channels_are_not_shared(piece: np.ndarray) -> None:
    file = read_by_mido(to_midi(piece, RESOLUTION))
    channels = [{message.channel for message in track if not message.is_meta} for track in file.tracks]
    assert sorted(channel for used in channels for channel in used) == sorted({c for used in channels for c in used})
    assert len(channels) == 5


def test_programs_and_velocities_are_those_of_lpd_and_of_the_article(piece: np.ndarray) -> None:
    music = pretty_midi.PrettyMIDI(io.BytesIO(to_midi(piece, RESOLUTION)))
    read = {
        track.name: (track.program, track.is_drum, {note.velocity for note in track.notes})
        for track in music.instruments
    }
    assert read == {
        "Drums": (0, True, {102}),
        "Piano": (0, False, {102}),
        "Guitar": (24, False, {102}),
        "Bass": (32, False, {102}),
        "Strings": (48, False, {76}),
    }


@pytest.mark.parametrize("tempo", [60.0, 120.0, 93.7])
def test_tempo_sets_onsets_and_durations_in_seconds(piece: np.ndarray, tempo: float) -> None:
    music = pretty_midi.PrettyMIDI(io.BytesIO(to_midi(piece, RESOLUTION, tempo)))
    assert music.get_tempo_changes()[1] == pytest.approx([tempo], rel=1e-5)
    piano = sorted((note.start, note.end, note.pitch) for note in music.instruments[1].notes)
    step = 60 / tempo / RESOLUTION
    expected = [(8 * bar * step, (8 * bar + 7) * step, root) for bar, root in enumerate((60, 65, 67))]
    np.testing.assert_allclose(piano[::3], expected, rtol=1e-5)


def test_the_default_tempo_is_120(piece: np.ndarray) -> None:
    assert to_midi(piece, RESOLUTION) == to_midi(piece, RESOLUTION, 120.0)


def test_muspy_reads_it_too(piece: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "piece.mid"
    path.write_bytes(to_midi(piece, RESOLUTION))
    music = muspy.read_midi(path)
    assert sorted((track.program, track.is_drum) for track in music.tracks) == [
        (0, False),
        (0, True),
        (24, False),
        (32, False),
        (48, False),
    ]
    assert [(meter.numerator, meter.denominator) for meter in music.time_signatures] == [(4, 4)]


def test_a_file_is_as_long_as_its_roll_silence_at_the_end_included(piece: np.ndarray) -> None:
    # 16 beats of half a second; the end of a track is written one tick after its last event.
    for roll in (piece, silence()):
        assert read_by_mido(to_midi(roll, RESOLUTION)).length == pytest.approx(8, abs=0.01)


def test_the_same_roll_gives_the_same_bytes_and_another_gives_others(piece: np.ndarray) -> None:
    assert to_midi(piece, RESOLUTION) == to_midi(piece.copy(), RESOLUTION)
    other = piece.copy()
    other[1, 31, 60] = True
    assert to_midi(other, RESOLUTION) != to_midi(piece, RESOLUTION)
