import importlib
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

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
END_MARK = b"\x00\xff\x2f\x00"
ONE_NOTE = [(0, False, 60, 0, 96)]


def track(events: list[tuple[int, bytes]], size: int | None = None, end: bytes = END_MARK) -> bytes:
    """A track chunk that claims `size` bytes (default: those that it has) and ends in `end`."""
    body = midi_track(events)[8:].removesuffix(END_MARK) + end
    return b"MTrk" + (len(body) if size is None else size).to_bytes(4) + body


def riff(data: bytes, before: bytes = b"", form: bytes = b"RMID") -> bytes:
    """The file wrapped in RIFF, with other chunks before it."""
    chunk = b"data" + len(data).to_bytes(4, "little") + data + b"\0" * (len(data) % 2)
    return b"RIFF" + (4 + len(before) + len(chunk)).to_bytes(4, "little") + form + before + chunk


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


META = {
    "text": b"\xff\x01\x01%",
    "empty text": b"\xff\x01\x00",
    "odd encoding": b"\xff\x05\x03\xff\xfe\xe9",
    "name": b"\xff\x03\x04solo",
    "tempo": b"\xff\x51\x03\x09\x27\xc0",
    "short tempo": b"\xff\x51\x02\x09\x27",
    "meter": b"\xff\x58\x04\x03\x02\x18\x08",
    "short meter": b"\xff\x58\x01\x03",
    "key": b"\xff\x59\x02\x00\x00",
    "key that there is not": b"\xff\x59\x02\x0f\x07",
    "port": b"\xff\x21\x00",
    "unknown": b"\xff\x70\x03\x90\x3c\x5a",
    "type with a high bit": b"\xff\x85\x01x",
    "long": b"\xff\x7f\x81\x00" + bytes(128),
}
SYSTEM = {
    "sysex": b"\xf0\x03\x01\x02\xf7",
    "continued sysex": b"\xf7\x02\x01\xf7",
    "quarter frame": b"\xf1\x01",
    "song position": b"\xf2\x01\x01",
    "song select": b"\xf3\x01",
    "tune request": b"\xf6",
    **{f"real time {status:X}": bytes([status]) for status in (0xF8, 0xFA, 0xFB, 0xFC, 0xFE)},
}


@pytest.mark.parametrize("first", [b"\x90", b"\x80", b"\xa0", b"\xb0", b"\xe0", b"\xc0", b"\xd0"])
@pytest.mark.parametrize("between", META.values(), ids=META)
def test_a_running_status_goes_on_after_a_meta_event(between: bytes, first: bytes) -> None:
    data_bytes = b"\x40" if first in (b"\xc0", b"\xd0") else b"\x40\x00"
    plain = [(0, ON), (48, first + data_bytes), (60, first + data_bytes), (96, OFF)]
    running = [(0, ON), (48, first + data_bytes), (50, between), (60, data_bytes), (96, OFF)]
    (written,) = read_events(midi_file([midi_track(plain)])).notes
    assert read_events(midi_file([midi_track(running)])).notes == [written]


@pytest.mark.parametrize("between", [ON, *SYSTEM.values()], ids=["nothing", *SYSTEM])
def test_a_note_runs_through_meta_events_and_system_messages(between: bytes) -> None:
    events = [(0, ON)] + [(at, meta) for at, meta in enumerate(META.values(), 1)] + [(96, b"\x3c\x00")]
    assert read_events(midi_file([midi_track(events)])).notes == ONE_NOTE
    events = [(0, ON), (48, between), (96, OFF)]
    assert read_events(midi_file([midi_track(events)])).notes == ONE_NOTE


@pytest.mark.parametrize("between", SYSTEM.values(), ids=SYSTEM)
@pytest.mark.parametrize("meta", [b"", META["text"]])
def test_no_status_runs_on_after_a_system_message(between: bytes, meta: bytes) -> None:
    events = [(0, ON), (48, between), *([(50, meta)] if meta else []), (96, b"\x3c\x00")]
    with pytest.raises(BadSong, match="a data byte where a message should begin"):
        read_events(midi_file([midi_track(events)]))


def test_no_status_runs_from_one_track_into_the_next() -> None:
    with pytest.raises(BadSong, match="a data byte where a message should begin"):
        read_events(midi_file([midi_track([(0, ON), (96, OFF)]), midi_track([(0, b"\x3c\x5a")])]))


FAR = 120_000 * 96
STRAYS = {
    "tempo": META["tempo"],
    "text": META["text"],
    "meter": META["meter"],
    "control": b"\xb0\x07\x40",
    "end of no note": b"\x80\x30\x00",
    "note without an end": ON,
    "sysex": SYSTEM["sysex"],
}


@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
@pytest.mark.parametrize("alone", [True, False], ids=["in a track of its own", "behind the notes"])
def test_only_notes_decide_how_long_a_song_is(stray: bytes, alone: bool) -> None:
    music, end = [(0, ON), (96, OFF)], [(FAR, stray)]
    tracks = [midi_track(end), midi_track(music)] if alone else [midi_track(music + end)]
    song = Midi.parse("x.mid", midi_file(tracks))
    assert song.notes.tolist() == [[1, 60, 0, 24]]
    assert (song.length, song.bars.tolist(), song.tempo) == (96, [0], 120.0)


def test_the_last_of_the_tempos_and_meters_at_one_time_holds() -> None:
    def tempo(micros: int) -> bytes:
        return b"\xff\x51\x03" + micros.to_bytes(3)

    head = [(0, tempo(1_000_000)), (0, tempo(300_000)), (0, tempo(600_000)), (48, tempo(200_000))]
    head += [(0, META["meter"]), (0, b"\xff\x58\x04\x02\x02\x18\x08")]
    song = Midi.parse("x.mid", midi_file([midi_track(head), midi_track([(0, ON), (384, OFF)])]))
    assert song.tempo == 100.0
    assert song.bars.tolist() == [0, 48]


LONE, SECOND = midi_track([(0, ON), (96, OFF)]), midi_track([(0, b"\x91\x40\x5a"), (96, b"\x81\x40\x00")])
WHOLE = midi_file([LONE])


@pytest.mark.parametrize(
    "data",
    [
        midi_file([LONE], kind=0),
        midi_file([LONE], kind=2),
        midi_file([LONE]) + SECOND,  # the header says how many tracks there are
        midi_file([LONE]) + b"junk behind the last track",
        WHOLE[:7] + b"\x0a" + WHOLE[8:14] + b"more" + WHOLE[14:],  # a header of ten bytes
        midi_file([track([(0, ON), (96, OFF)], end=b"")]),  # no end mark
        midi_file([track([(0, ON), (96, OFF)], size=8)]),  # the end mark stands behind the track
        midi_file([track([(0, ON), (96, OFF)], size=1000)]),  # an end mark, but not where the track says
        midi_file([track([(0, ON), (96, OFF)], end=END_MARK + b"\xff\xff\xffjunk")]),
        midi_file([track([(0, ON), (96, OFF)], end=END_MARK + b"\x00\x90\x50\x5a\x60\x50\x00")]),
        midi_file([midi_track([]), b"MTrk\0\0\0\0", LONE]),
        WHOLE[:14] + b"XFIH\0\0\0\4MTrk" + WHOLE[14:],  # a chunk of an unknown kind
        riff(WHOLE),
        riff(WHOLE, b"LIST\5\0\0\0INFO?\0"),
        riff(WHOLE, b"LIST\4\0\0\0data") + b"DLS \4\0\0\0more",
    ],
)
def test_one_note_in_files_of_every_build(data: bytes) -> None:
    assert read_events(data).notes == ONE_NOTE


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_all_tracks_are_played_at_once_whatever_the_format(kind: int) -> None:
    assert read_events(midi_file([LONE, SECOND], kind=kind)).notes == [*ONE_NOTE, (0, False, 64, 0, 96)]


@pytest.mark.parametrize("name", ["x.mid", "x.rmi", "x.kar", "x"])
def test_the_first_bytes_tell_how_a_file_is_wrapped(name: str) -> None:
    assert Midi.parse(name, riff(midi_bytes())).notes.tolist() == Midi.parse(name, midi_bytes()).notes.tolist()
    for wrong in (riff(midi_bytes(), form=b"WAVE"), b"\0" + riff(midi_bytes()), midi_bytes()[4:]):
        with pytest.raises(BadSong, match=r"not a (MIDI|\.mid) file"):
            Midi.parse(name, wrong)


def test_overlapping_notes_end_in_the_order_in_which_they_began() -> None:
    events = [(0, ON), (16, ON), (32, ON), (32, OFF), (48, OFF), (96, b"\x90\x3c\x00"), (99, OFF)]
    assert [note[3:] for note in read_events(midi_file([midi_track(events)])).notes] == [(0, 32), (16, 48), (32, 96)]
    assert [note[3:] for note in read_events(midi_file([midi_track([(5, ON), (5, OFF)])])).notes] == [(5, 5)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"RIFF" + bytes(100), "no MThd"),
        (b"RIFF\x0c\0\0\0RMIDLIST\0\0\0\0", "a RIFF file without a MIDI file in it"),
        (midi_file([midi_track([])], kind=3), "format 3, not 0, 1 or 2"),
        (b"MThd\0\0\0\4" + midi_file([midi_track([(0, ON), (9, OFF)])])[8:], "its header has 4 bytes, not 6"),
        (midi_file([midi_track([])], resolution=0), "not counted in beats"),
        (midi_file([midi_track([])], resolution=0xE728), "not counted in beats"),
        (midi_file([midi_track([])]), "no notes"),
        (midi_file([midi_track([(0, ON), (9, OFF)])])[:-4], "a track ends early"),
        (midi_file([midi_track([(0, ON), (9, OFF)])])[:-6], "a track ends in the middle of a message"),
        (midi_file([track([(0, ON), (9, b"\x80\x3c")], end=b"")]), "a track ends in the middle of a message"),
        (midi_file([midi_track([(0, ON), (9, OFF)]), b""]), "ends early: it has 1 of 2 tracks"),
        (midi_file([midi_track([(0, ON), (9, OFF)]), b"MTrk\0\0"]), "ends early: it has 1 of 2 tracks"),
        (midi_file([midi_track([(0, ON), (9, OFF)]), b"junk", midi_track([])]), "ends early: it has 1 of 3 tracks"),
        (midi_file([midi_track([(0, b"\x90\xff\x5a")])]), "broken data byte"),
        (midi_file([midi_track([(0, b"\xc0\xff")])]), "broken data byte"),
        (midi_file([midi_track([(0, b"\x3c\x5a")])]), "where a message should begin"),
        (midi_file([midi_track([(0, b"\xff\x01\xff\xff\xff\xff\x7f")])]), "more than four bytes"),
        (midi_file([midi_track([(0, b"\xff\x01\x7fabc")])]), "a message ends early"),
        (midi_file([midi_track([(0, b"\xf4")])]), "a message of no kind"),
        (
            midi_file([midi_track([(0, ON), (1 << 27, OFF)])]),
            "longer than 100,000 beats: a note ends at beat 1,398,101",
        ),
        (midi_file([midi_track([(0, ON), (9, OFF), (1 << 26, ON), (1 << 26, OFF)])]), "a note ends at beat 699,050"),
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


@pytest.fixture(scope="module")
def comparison() -> Iterator[ModuleType]:
    """The benchmark that compares readers; its child processes can import it too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
        yield importlib.import_module("midi_readers")


def test_every_reason_for_another_reading_is_documented(comparison: ModuleType) -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    rows = {line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith("| ")}
    assert len(reasons(comparison)) == 14
    assert reasons(comparison) <= rows


def reasons(comparison: ModuleType) -> set[str]:
    return {*comparison.REFUSALS.values()}.union(*comparison.RULES.values())


DIFFERENT = {
    "overlap": [(0, ON), (16, ON), (32, OFF), (48, OFF)],
    "no length": [(0, ON), (0, OFF), (16, ON), (32, OFF)],
    "program": [(0, ON), (16, b"\xc0\x20"), (32, OFF)],
    "end mark": [(0, ON), (16, OFF), (16, END_MARK[1:]), (32, ON), (48, OFF)],
    "0xF7": [(0, ON), (16, b"\xf7\x02\x01\xf7"), (32, OFF), (48, ON), (64, OFF)],
    "high bit": [(0, b"\xb0\x07\xff"), (0, ON), (16, OFF)],
    "high bit in a sysex": [(0, b"\xf0\x02\x81\xf7"), (0, ON), (16, OFF)],
    "key": [(0, META["key that there is not"]), (0, ON), (16, OFF)],
    "tempo": [(0, META["short tempo"]), (0, ON), (16, OFF)],
    "far": [(0, ON), (16, OFF), (FAR, META["text"])],
    "status": [(0, ON), (16, b"\xf8"), (32, b"\x3c\x00")],
    "long number": [(0, ON), (16, b"\xff\x01\x80\x80\x80\x80\x01%"), (32, OFF)],
}
ODD_FILES = {name: midi_file([midi_track(events)]) for name, events in DIFFERENT.items()} | {
    "early": midi_file([LONE, SECOND])[:-9],
    "track missing": midi_file([LONE, b""]),
    "empty track": midi_file([b"MTrk\0\0\0\0", LONE]),
    "other chunk": midi_file([b"XFIH\0\0\0\0" + LONE]),
    "frames": midi_file([LONE], resolution=0xE728),
    "no unit": midi_file([LONE], resolution=0),
    "format 3": midi_file([LONE], kind=3),
    "long header": WHOLE[:7] + b"\x0a" + WHOLE[8:14] + b"more" + WHOLE[14:],
    "junk": midi_file([track([(0, ON), (96, OFF)], end=END_MARK + b"\xff\xff\xffjunk")]),
}


def test_every_difference_from_other_readers_has_a_reason(comparison: ModuleType) -> None:
    readers = {name: comparison.Child(name) for name in comparison.READERS}
    tally = comparison.Tally()
    for name, data in ODD_FILES.items():
        tally.add(name, data, {reader: child.read(data) for reader, child in readers.items()})
    for child in readers.values():
        child.process.kill()
    assert tally.unexplained == []
    assert {reason for _, _, reason in tally.reasons} == reasons(comparison)


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
