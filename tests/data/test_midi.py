import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musiclab.data.midi import Midi, read_events
from musiclab.data.songs import BadSong
from musiclab.data.windows import WindowSpec, cut
from tests.support.made_songs import MUSIC, midi_bytes, midi_file, midi_track

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "midi_songs.tar.xz"
ON, OFF = b"\x90\x3c\x5a", b"\x80\x3c\x00"


@pytest.mark.parametrize("resolution", [24, 96, 480, 1024])
def test_notes_are_those_that_were_written(resolution: int) -> None:
    song = Midi.parse("ABBA/SOS.mid", midi_bytes(resolution=resolution))
    written = {(t, p, round(24 * a), round(24 * a) + 1 if t == 0 else round(24 * b)) for t, p, a, b in MUSIC}
    assert set(map(tuple, song.notes.tolist())) == written
    assert (song.id, song.artist, song.title) == ("ABBA/SOS", "ABBA", "SOS")
    assert song.tempo == 100.0
    assert song.length == 960
    assert song.bars.tolist() == list(range(0, 960, 96))


def test_a_file_outside_of_any_folder_has_no_artist() -> None:
    assert Midi.parse("SOS.mid", midi_bytes()).artist == ""


def test_bars_follow_the_time_signatures() -> None:
    # 3/4 for two bars, 6/8 from beat 6, and 4/4 in the middle of a bar, at beat 10.5
    song = Midi.parse("x.mid", midi_bytes([(1, 60, 0, 18)], meters=[(0, 3, 2), (6, 6, 3), (10.5, 4, 2)]))
    assert (song.bars / 24).tolist() == [0, 3, 6, 9, 10.5, 14.5]
    assert song.length == 18.5 * 24


def test_the_last_bar_is_whole() -> None:
    assert Midi.parse("x.mid", midi_bytes([(1, 60, 0, 4.25)])).length == 8 * 24
    assert Midi.parse("x.mid", midi_bytes([(1, 60, 0, 8)])).length == 8 * 24


def test_running_status_velocity_zero_and_program_changes() -> None:
    body = [
        (0, b"\xc0\x18"),  # guitar
        (0, ON),
        (96, b"\x3c\x00"),  # running status, velocity 0: an end
        (96, b"\x40\x5a"),
        (192, b"\xc0\x22"),  # bass, while a guitar's note sounds
        (192, b"\x80\x40\x00"),
        (192, b"\xf0\x03abc"),
        (192, ON),
        (288, OFF),
        (288, ON),  # never ends
    ]
    events = read_events(midi_file([midi_track(body)], kind=0))
    assert events.notes == [(24, False, 60, 0, 96), (24, False, 64, 96, 192), (34, False, 60, 192, 288)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"RIFF" + bytes(100), "no MThd"),
        (midi_file([midi_track([])], kind=2), "format 2"),
        (midi_file([midi_track([])], resolution=0), "not counted in beats"),
        (midi_file([midi_track([])], resolution=0xE728), "not counted in beats"),
        (midi_file([midi_track([])]), "no notes"),
        (midi_file([midi_track([(0, ON)])])[:-6], "ends early"),
        (midi_file([midi_track([(0, ON), (9, OFF)]), b""]), "1 tracks are missing"),
        (midi_file([midi_track([(0, b"\x90\xff\x5a")])]), "broken data byte"),
        (midi_file([midi_track([(0, b"\xc0\xff")])]), "broken data byte"),
        (midi_file([midi_track([(0, b"\x3c\x5a")])]), "where a message should begin"),
        (midi_file([midi_track([(0, b"\xff\x01\xff\xff\xff\xff\x7f")])]), "more than four bytes"),
        (midi_file([midi_track([(0, b"\xff\x01\x7fabc")])]), "a message ends early"),
        (midi_file([midi_track([(0, ON), (1 << 27, OFF)])]), "longer than 100,000 beats"),
        (midi_bytes(programs=[(100, False)], music=[(0, 60, 0, 1)]), "no notes"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(data: bytes, reason: str) -> None:
    with pytest.raises(BadSong, match=reason):
        Midi.parse("x.mid", data)


def test_nonsense_meters_and_tempos_are_passed_over() -> None:
    nonsense = [(0, 0, 2), (0, 4, 200), (0, 255, 2)]
    song = Midi.parse("x.mid", midi_bytes([(1, 60, 0, 8)], meters=nonsense, micros=0))
    assert song.bars.tolist() == [0, 96]
    assert song.tempo == 120.0


@settings(max_examples=200)
@given(st.data())
def test_any_bytes_give_a_song_or_a_reason(data: st.DataObject) -> None:
    changed = bytearray(midi_bytes(MUSIC[38:], meters=[(0, 3, 2), (6, 4, 2)]))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(changed) - 1))
        if data.draw(st.booleans()):
            changed[at] = data.draw(st.integers(0, 255))
        else:
            changed[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    try:
        song = Midi.parse("x.mid", bytes(changed))
    except BadSong:
        return
    assert (song.notes[:, 3] > song.notes[:, 2]).all()
    assert song.notes[:, 1].min() >= 0
    assert song.notes[:, 3].max() <= song.length
    assert (np.diff(song.bars) > 0).all()
    if song.length < 24 * 1000:
        cut(song, WindowSpec())


@pytest.mark.skipif(not SAMPLE.is_file(), reason="the sample data beside the repository is absent")
def test_real_files_give_the_notes_that_symusic_reads() -> None:
    from symusic import Score

    with tarfile.open(SAMPLE) as archive:
        files = [archive.extractfile(member).read() for member, _ in zip(archive, range(120), strict=False)]
    for data in files[::10]:
        ours = Counter(read_events(data).notes)
        theirs: Counter = Counter()
        for track in Score.from_midi(data).tracks:
            notes = track.notes.numpy()
            for start, size, pitch in zip(notes["time"], notes["duration"], notes["pitch"], strict=True):
                theirs[(track.program, track.is_drum, int(pitch), int(start), int(start + size))] += 1
        # A drum kit has a number too, which symusic and we may give differently; nothing depends on it.
        assert _without_kits(ours) == _without_kits(theirs)


def _without_kits(notes: Counter) -> Counter:
    merged: Counter = Counter()
    for (program, is_drum, *rest), count in notes.items():
        merged[(0 if is_drum else program, is_drum, *rest)] += count
    return merged
