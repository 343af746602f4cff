"""Scores that other libraries read: what becomes of instruments, repeats, ties, drums and bars; and hostile files."""

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import pytest

from musiclab.data import BadSong, Song, song_of_music21, song_of_muspy
from musiclab.data.describe import describe
from musiclab.data.scores import Abc, MusicXml, MusPy
from musiclab.data.songs import TRACKS
from musiclab.data.store import build
from musiclab.data.windows import WindowSpec
from tests.support.made_songs import MUSIC, abc_bytes, musicxml_bytes, muspy_bytes, mxl_bytes, write_files


def voices(song: Song) -> dict[str, list[tuple[float, ...]]]:
    """(pitch, start, end) in beats of the notes of each track that plays."""
    found = {
        name: sorted((p, a / 24, b / 24) for t, p, a, b in song.notes.tolist() if t == track)
        for track, name in enumerate(TRACKS)
    }
    return {name: notes for name, notes in found.items() if notes}


def score(parts: dict[str, str], measures: dict[str, str], title: str = "Made") -> bytes:
    """A MusicXML file: what stands in each part's `score-part`, and its measures."""
    listed = "".join(
        f'<score-part id="{part}"><part-name>{part}</part-name>{text}</score-part>' for part, text in parts.items()
    )
    played = "".join(f'<part id="{part}">{text}</part>' for part, text in measures.items())
    work = f"<work><work-title>{title}</work-title></work>"
    return f"<score-partwise>{work}<part-list>{listed}</part-list>{played}</score-partwise>".encode()


ATTRIBUTES = "<divisions>1</divisions><time><beats>4</beats><beat-type>4</beat-type></time>"
NOTE = "<note><pitch><step>C</step><octave>5</octave></pitch><duration>4</duration></note>"


def instrument(name: str, program: int, channel: int = 1, unpitched: int | None = None) -> str:
    drum = f"<midi-unpitched>{unpitched}</midi-unpitched>" if unpitched else ""
    return (
        f'<score-instrument id="{name}"><instrument-name>{name}</instrument-name></score-instrument>'
        f'<midi-instrument id="{name}"><midi-channel>{channel}</midi-channel>'
        f"<midi-program>{program}</midi-program>{drum}</midi-instrument>"
    )


def bars(number: int, attributes: str = ATTRIBUTES, note: str = NOTE) -> str:
    return f"<measure><attributes>{attributes}</attributes>{note}</measure>" + f"<measure>{note}</measure>" * (
        number - 1
    )


@pytest.mark.parametrize(
    ("program", "track"), [(1, "Piano"), (8, "Piano"), (25, "Guitar"), (32, "Guitar"), (33, "Bass"), (41, "Strings")]
)
def test_instruments_go_where_lpd_5_merges_their_programs(program: int, track: str) -> None:
    song = MusicXml.parse("x.musicxml", score({"P": instrument("Any", program)}, {"P": bars(4)}))
    assert voices(song) == {track: [(72, 4 * bar, 4 * bar + 4) for bar in range(4)]}


def test_an_instrument_of_no_track_is_left_out() -> None:
    parts = {"P": instrument("Any", 1), "Q": instrument("Rain", 97)}
    assert set(voices(MusicXml.parse("x.xml", score(parts, {"P": bars(4), "Q": bars(4)})))) == {"Piano"}


def test_drums_sound_as_their_midi_instruments_and_not_as_they_are_written() -> None:
    drums = instrument("Kick", 1, 10, unpitched=37) + instrument("Hat", 1, 10, unpitched=43)
    unpitched = "<unpitched><display-step>F</display-step><display-octave>4</display-octave></unpitched>"
    hit = f'<note>{unpitched}<duration>2</duration><instrument id="Kick"/></note>'
    hat = f'<note>{unpitched}<duration>2</duration><instrument id="Hat"/></note>'
    song = MusicXml.parse("x.xml", score({"P": drums}, {"P": bars(1, note=hit + hat)}))
    assert voices(song) == {"Drums": [(36, 0, 1 / 24), (42, 2, 2 + 1 / 24)]}


def test_a_transposing_instrument_is_heard_where_it_sounds() -> None:
    transpose = "<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose>"
    song = MusicXml.parse("x.xml", score({"P": instrument("Clarinet", 72)}, {"P": bars(4, ATTRIBUTES + transpose)}))
    assert {pitch for pitch, *_ in voices(song)["Strings"]} == {70}


def test_ties_pickups_and_repeats_of_a_score() -> None:
    song = MusicXml.parse("x.musicxml", musicxml_bytes(pickup=1, bars=4, repeat=True))
    piano = [note for note in voices(song)["Piano"] if note[0] == 72]
    once = [(0, 1), (1, 3), (3, 7), (7, 9), (9, 11), (11, 13), (13, 15), (15, 17)]
    assert piano == [(72, *times) for times in [*once, *((17 + a, 17 + b) for a, b in once)]]
    assert (song.bars / 24).tolist() == [1, 5, 9, 13, 18, 22, 26, 30]
    assert song.length == 2 * 17 * 24
    assert song.title == "Made"


def test_a_compressed_score_is_the_same_song() -> None:
    plain, packed = MusicXml.parse("x.musicxml", musicxml_bytes()), MusicXml.parse("x.mxl", mxl_bytes())
    assert (plain.notes == packed.notes).all()


class Quartets(MusicXml):
    tracks: ClassVar = {"P": "Bass", "Q": None}


def test_parts_are_mapped_by_name() -> None:
    song = Quartets.parse("x.xml", score({"P": "", "Q": "", "R": ""}, {"P": bars(4), "Q": bars(4), "R": bars(4)}))
    assert set(voices(song)) == {"Bass", "Piano"}


def _bomb() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "META-INF/container.xml", '<container><rootfiles><rootfile full-path="s"/></rootfiles></container>'
        )
        archive.writestr("s", bytes(33 << 20))
    return file.getvalue()


LAUGHS = '<!DOCTYPE s [<!ENTITY a "lol">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<score-timewise/>", "an XML file of <score-timewise>, not of <score-partwise>"),
        (b"<html></html>", "an HTML page, not a .musicxml file"),
        (b"<score-partwise/>", "."),
        (score({"P": ""}, {"P": "<measure/>"}), "no notes"),
        (score({"P": ""}, {"P": bars(1, note=NOTE.replace("<octave>5", "<octave>500"))}), "a note must have a pitch"),
        (
            score({"P": ""}, {"P": bars(1, note=NOTE.replace("<duration>4", "<duration>99999999"))}),
            "longer than 100,000",
        ),
        (score({"P": ""}, {"P": bars(1, "<divisions>0</divisions>")}), "damaged or not a .musicxml file"),
        (score({"P": ""}, {"P": bars(1, note=NOTE.replace("<duration>4", "<duration>many"))}), "damaged or not"),
        (_bomb(), "unpacks to"),
        (f"{LAUGHS}]><score-partwise>&j;</score-partwise>".encode(), "damaged or not a .musicxml file"),
        (
            b'<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><score-partwise>&x;</score-partwise>',
            "damaged or not",
        ),
        (b"<score-partwise>" + b"<a>" * 100_000, "damaged or not"),
    ],
)
def test_a_hostile_score_is_a_bad_song(data: bytes, reason: str) -> None:
    with pytest.raises(BadSong, match=reason):
        MusicXml.parse("x.musicxml", data)


def test_a_tune_in_abc_begins_at_its_first_whole_bar() -> None:
    song = Abc.parse("x.abc", abc_bytes(bars=4))
    assert voices(song)["Piano"][:3] == [(60, 1, 2), (60, 5, 6), (60, 9, 10)]
    assert (song.bars / 24).tolist() == [1, 5, 9, 13]
    assert song.length == 17 * 24


def test_repeats_endings_chords_and_chord_symbols_of_abc() -> None:
    text = 'X:1\nT:Reel\nC:Trad.\nM:2/4\nL:1/4\nQ:1/4=90\nK:G\n|:"Am"[CE]G|1F2:|2"D7"^F/2^F/2z|]\n'
    song = Abc.parse("x.abc", text.encode())
    assert voices(song)["Piano"] == sorted(
        [(60, 0, 1), (64, 0, 1), (67, 1, 2), (66, 2, 4), (60, 4, 5), (64, 4, 5), (67, 5, 6), (66, 6, 6.5), (66, 6.5, 7)]
    )
    assert (song.title, song.artist, song.tempo) == ("Reel", "Trad.", 90.0)
    assert (song.bars / 24).tolist() == [0, 2, 4, 6]


def test_each_tune_of_a_file_is_a_song_with_the_fields_that_hold_for_all(tmp_path: Path) -> None:
    tunes = b"M:3/4\nL:1/4\n%%scale 1\nsome text\n\n" + b"\n".join(
        f"X:{number}\nT:Tune {number}\nK:C\n{'CDE|' * 12}]\n".encode() for number in (7, 7, 9)
    )
    source = Abc(
        write_files(tmp_path / "tunes", {"all.abc": tunes, "one.abc": abc_bytes(), "odd.abc": b"X:1\n\nX:2\n"})
    )
    store = build(source, WindowSpec(), tmp_path / "stores", workers=1)
    assert [(song.id, song.title, song.bar_ticks) for song in store.songs] == [
        ("all.abc 1", "Tune 7", 72),
        ("all.abc 2", "Tune 7", 72),
        ("all.abc 3", "Tune 9", 72),
        ("one.abc", "Made", 96),
    ]
    assert store.skipped == [(f"odd.abc {number}", "no tune in ABC: it has no key (K:)") for number in (1, 2)]
    assert "no tune in ABC" in describe(store)


@pytest.mark.parametrize(
    "text",
    [
        "X:1\nK:C\n", "X:1\nM:0/0\nK:C\nCDEF|\n", "X:1\nL:1/0\nK:C\nC|\n", "X:1\nK:C\n(3\n", "X:1\nK:C\n[[[[\n",
        "X:1\nK:C\nC99999999999|\n", "X:1\nK:C\n" + "(" * 5000,
    ],
)  # fmt: skip
def test_an_odd_tune_is_read_or_named_but_never_a_traceback(text: str) -> None:
    try:
        song = Abc.parse("x.abc", text.encode())
    except BadSong as reason:
        assert 0 < len(str(reason)) < 300
    else:
        assert len(song.notes)


def test_what_muspy_saved_is_the_song_that_it_was() -> None:
    song = MusPy.parse("x.json", muspy_bytes())
    tracks = ["Drums", "Piano", "Guitar", "Bass", "Strings"]
    expected: dict[str, list[tuple[float, ...]]] = {name: [] for name in tracks}
    for track, pitch, start, end in MUSIC:
        expected[tracks[track]].append((pitch, start, end if track else start + 1 / 24))
    assert voices(song) == {name: sorted(notes) for name, notes in expected.items()}
    assert (song.title, song.artist, song.tempo) == ("Made", "Somebody", 100.0)
    assert (song.bars / 24).tolist() == [4 * bar for bar in range(10)]


def test_music_without_bar_lines_has_those_of_its_time_signatures() -> None:
    meters = [{"time": 0, "numerator": 3, "denominator": 4}, {"time": 12 * 24, "numerator": 6, "denominator": 8}]
    song = MusPy.parse("x.json", muspy_bytes(barlines=[], time_signatures=meters))
    assert (song.bars / 24).tolist()[:6] == [0, 3, 6, 9, 12, 15]
    bare = MusPy.parse("x.json", muspy_bytes(barlines=[], time_signatures=[]))
    assert (bare.bars / 24).tolist() == [4 * bar for bar in range(10)]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"resolution": 0}, "a resolution of 0, not a whole number above 0"),
        ({"resolution": "many"}, "a resolution of 'many'"),
        ({"tracks": []}, "no notes"),
        ({"tracks": 5}, "damaged or not a .json file"),
        (
            {"tracks": [{"program": 0, "is_drum": False, "notes": [{"time": 0, "pitch": 300, "duration": 1}]}]},
            "a note must have a pitch",
        ),
        (
            {"tracks": [{"program": 0, "is_drum": False, "notes": [{"time": 1e300, "pitch": 3, "duration": 1}]}]},
            "longer than 100,000",
        ),
        (
            {
                "tracks": [
                    {"program": 0, "is_drum": False, "notes": [{"time": float("nan"), "pitch": 3, "duration": 1}]}
                ]
            },
            "longer than",
        ),
        (
            {"tracks": [{"program": 0, "is_drum": False, "notes": [{"time": "x", "pitch": 3, "duration": 1}]}]},
            "damaged or not",
        ),
        ({"time_signatures": [{"time": 0, "numerator": 4, "denominator": 0}]}, "damaged or not"),
        ({"barlines": [{"time": 1e12}]}, "longer than 100,000 beats"),
    ],
)
def test_hostile_music_of_muspy_is_a_bad_song(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadSong, match=reason):
        MusPy.parse("x.json", muspy_bytes(**fields))


@pytest.mark.parametrize("data", [b"{}", b"[]", b"null", json.dumps({"config": 1}).encode(), b"[" * 100_000])
def test_other_json_is_no_music(data: bytes) -> None:
    with pytest.raises(BadSong):
        MusPy.parse("x.json", data)


def test_a_data_set_of_muspy_is_read_where_it_keeps_what_it_has_converted(tmp_path: Path) -> None:
    files = {"_converted/0.json": muspy_bytes(), "_converted/.muspy.success": b"", "settings.json": b"{}"}
    source = MusPy(write_files(tmp_path / "data", files))
    assert [name for name, _ in source.items()] == ["0.json"]
    assert source.spec == f"muspy:{tmp_path / 'data'}"


def test_objects_of_both_libraries_become_songs() -> None:
    import muspy
    from music21 import converter

    stream = converter.parseData("tinynotation: 3/4 c4 d e f2. g4 a b c'2.")
    song = song_of_music21("tiny", stream)
    assert voices(song)["Piano"][0] == (60, 0, 1)
    assert (song.bars / 24).tolist() == [0, 3, 6, 9]
    assert len(song_of_music21("score", stream.makeMeasures()).notes) == 8
    music = muspy.Music.from_dict(json.loads(muspy_bytes()))
    assert len(song_of_muspy("x", music).notes) == len(MUSIC)
    with pytest.raises(BadSong, match="a collection of 2 pieces; give one of its scores at a time"):
        song_of_music21("opus", converter.parseData((abc_bytes() + b"\n" + abc_bytes(number=2)).decode(), format="abc"))
