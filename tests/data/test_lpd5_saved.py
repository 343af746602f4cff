"""What pypianoroll reads, writes and takes, beside our reader; and where bars go on if a file marks few downbeats."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pypianoroll
import pytest

from musiclab.data.lpd5 import Lpd5
from musiclab.data.midi import Midi
from musiclab.data.songs import BadSong, Song
from musiclab.data.windows import WindowSpec, cut
from tests.support.made_songs import csc, midi_bytes, npz, npz_bytes

PIANO = [(0, True), (0, False)]  # `midi_bytes` writes music on track 1 as a piano
BEATS = 192


def saved(folder: Path, multitrack: pypianoroll.Multitrack, compressed: bool = True) -> bytes:
    multitrack.save(folder / "saved.npz", compressed=compressed)
    return (folder / "saved.npz").read_bytes()


def read_and_saved(folder: Path, midi: bytes, **options: object) -> bytes:
    """The .npz file that pypianoroll makes of a MIDI file."""
    (folder / "song.mid").write_bytes(midi)
    return saved(folder, pypianoroll.read(folder / "song.mid", **options))


def flat(data: bytes) -> bytes:
    """The same file as the old pypianoroll wrote it: its own name for the resolution, and arrays of one dimension."""
    with np.load(io.BytesIO(data)) as loaded:
        info = json.loads(loaded["info.json"])
        arrays = {name: loaded[name].reshape(-1) for name in loaded.files if name != "info.json"}
    info["beat_resolution"] = info.pop("resolution")
    return npz(arrays, info)


def melody(beats: int) -> list[tuple[int, int, float, float]]:
    return [(1, 60 + beat % 12, beat, beat + 0.9) for beat in range(beats)]


def window_count(song: Song) -> int:
    return len(cut(song, WindowSpec()))


def window_starts(song: Song) -> list[int]:
    """In beats, of windows of 16 beats on bar lines."""
    starts = []
    for bar in song.bars.tolist():
        if bar + 16 * 24 <= song.length and (not starts or bar >= 24 * (starts[-1] + 16)):
            starts.append(bar // 24)
    return starts


FOUR, THREE, TWO, ONE = (4, 2), (3, 2), (2, 2), (1, 2)
# Meters as (beat, (numerator, power of two)). In these songs the downbeats that pypianoroll marks tell all bars, or all
# windows at least.
TOLD = {
    "4/4": [(0, FOUR)],
    "4/4 twice": [(0, FOUR), (16, FOUR)],
    "4/4 at the second bar": [(0, FOUR), (4, FOUR)],
    "4/4 at each bar": [(beat, FOUR) for beat in range(0, BEATS, 4)],
    "4/4 at the last bar": [(0, FOUR), (188, FOUR)],
    "3/4 twice": [(0, THREE), (30, THREE)],
    "5/4 twice": [(0, (5, 2)), (20, (5, 2))],
    "two bars of 2/4 first": [(0, TWO), (4, FOUR)],
    "two bars of 3/4 between": [(0, FOUR), (48, THREE), (54, FOUR)],
    "one bar of 3/4 between, 4/4 twice": [(0, FOUR), (48, THREE), (51, FOUR), (71, FOUR)],
    "pickup, 4/4 twice": [(0, ONE), (1, FOUR), (33, FOUR)],
    "pickup of two, 3/4 twice": [(0, TWO), (2, THREE), (32, THREE)],
    "3/4 for the last bars": [(0, FOUR), (180, THREE)],
}
# In these they do not: the last meter is not marked and is not that of most bars before, or a beat is no quarter.
NOT_TOLD = {
    "3/4": [(0, THREE)],
    "4/4, 3/4": [(0, FOUR), (32, THREE)],
    "3/4, 4/4": [(0, THREE), (30, FOUR)],
    "one bar of 2/4 between": [(0, FOUR), (48, TWO), (50, FOUR)],
    "one bar of 2/4 first": [(0, TWO), (2, FOUR)],
    "pickup": [(0, ONE), (1, FOUR)],
    "6/8": [(0, (6, 3))],
    "6/8 twice": [(0, (6, 3)), (36, (6, 3))],
    "9/8 twice": [(0, (9, 3)), (45, (9, 3))],
    "12/8 twice": [(0, (12, 3)), (48, (12, 3))],
    "2/2 twice": [(0, (2, 1)), (64, (2, 1))],
    "7/8, 4/4": [(0, (7, 3)), (35, FOUR)],
    "4/4, 6/8, 4/4": [(0, FOUR), (32, (6, 3)), (62, FOUR)],
}


def with_meters(meters: list[tuple[int, tuple[int, int]]], beats: int = BEATS) -> bytes:
    return midi_bytes(melody(beats), programs=PIANO, meters=[(beat, *meter) for beat, meter in meters])


@pytest.mark.parametrize("layout", [bytes, flat])
@pytest.mark.parametrize("meters", TOLD.values(), ids=TOLD)
def test_windows_are_those_of_the_midi_file_that_the_roll_was_made_of(layout, meters, tmp_path: Path) -> None:
    midi = with_meters(meters)
    song = Lpd5.parse("x.npz", layout(read_and_saved(tmp_path, midi)))
    expected = Midi.parse("x.mid", midi)
    assert window_starts(song) == window_starts(expected)
    assert window_count(song) == window_count(expected)


@pytest.mark.parametrize("meters", NOT_TOLD.values(), ids=NOT_TOLD)
def test_if_the_marks_do_not_tell_the_bars_no_music_is_lost(meters, tmp_path: Path) -> None:
    song = Lpd5.parse("x.npz", read_and_saved(tmp_path, with_meters(meters)))
    starts = window_starts(song)
    assert len(starts) == window_count(song)
    assert starts[0] == 0
    longest = 7 if meters is NOT_TOLD["7/8, 4/4"] else 4
    assert np.diff([*starts, song.length // 24]).max() < 2 * 16 + longest
    assert np.diff(starts).max() < 16 + longest


@pytest.mark.parametrize("left", [1, 2, 3])
def test_a_roll_that_ends_within_a_bar_fills_the_bar_as_midi_does(left: int, tmp_path: Path) -> None:
    midi = with_meters([(0, FOUR)], BEATS - left)
    song = Lpd5.parse("x.npz", read_and_saved(tmp_path, midi))
    assert song.length == Midi.parse("x.mid", midi).length == BEATS * 24
    assert window_count(song) == BEATS // 16


@pytest.mark.parametrize(
    ("marks", "bars"),
    [
        ([], range(0, 48, 4)),
        ([0], range(0, 48, 4)),
        ([2], range(2, 48, 4)),
        ([0, 4, 8], range(0, 48, 4)),
        ([0, 3], range(0, 48, 3)),
        ([1, 4, 7], range(1, 48, 3)),
        ([0, 4, 8, 10], [0, 4, 8, 10, *range(12, 48, 4)]),
        ([0, 4, 8, 10, 12], [0, 4, 8, 10, 12, *range(14, 48, 2)]),
        ([0, 4, 8, 12, 14, 16], [0, 4, 8, 12, 14, 16, *range(18, 48, 4)]),
        ([20], range(0, 48, 4)),
        ([22, 25, 28], range(1, 48, 3)),
        ([0, 32], range(0, 48, 4)),
        ([0, 3, 6, 30, 33], range(0, 48, 3)),
        ([0, 6], range(0, 48, 2)),
        ([0, 9], range(0, 48, 3)),
        ([0, 12], range(0, 48, 4)),
        ([0, 8], range(0, 48, 8)),
        (range(48), range(48)),
        (range(0, 48, 4), range(0, 48, 4)),
        ([47], range(3, 48, 4)),
    ],
)
def test_where_downbeats_are_not_marked_bars_go_on(marks, bars) -> None:
    song = Lpd5.parse("x.npz", npz_bytes(melody(48), 48, downbeat=[24 * beat for beat in marks]))
    beats, rest = np.divmod(song.bars, 24)
    assert not rest.any()
    # The last bar may begin before the end of the roll and end behind it.
    assert beats.tolist() == list(bars)


def test_downbeats_behind_the_end_of_the_roll_count_for_nothing() -> None:
    data = npz_bytes(melody(48), 48)
    with np.load(io.BytesIO(data)) as loaded:
        arrays = {name: loaded[name] for name in loaded.files if name != "info.json"}
        info = json.loads(loaded["info.json"])
    longer = npz(arrays | {"downbeat": np.isin(np.arange(9000), [0, 96, 5000, 5001])}, info)
    assert Lpd5.parse("x.npz", longer).bars.tolist() == list(range(0, 48 * 24, 96))


STEPS = 40 * 24


def roll() -> np.ndarray:
    cells = np.zeros((STEPS, 128), np.uint8)
    for beat in range(40):
        cells[24 * beat : 24 * beat + 20, 60 + beat % 12] = 90
    return cells


def as_set(song: Song) -> set[tuple[int, ...]]:
    return set(map(tuple, song.notes.tolist()))


def expected_notes(track: int) -> set[tuple[int, ...]]:
    return {(track, 60 + beat % 12, 24 * beat, 24 * beat + 20) for beat in range(40)}


TRACKS = {
    "standard": lambda: pypianoroll.StandardTrack(program=0, is_drum=False, pianoroll=roll()),
    "binary": lambda: pypianoroll.BinaryTrack(program=0, is_drum=False, pianoroll=roll() > 0),
} | {
    dtype: lambda dtype=dtype: pypianoroll.Track(program=0, is_drum=False, pianoroll=roll().astype(dtype))
    for dtype in ("i1", "i2", "i4", "i8", "u2", "u4", "u8", "f4", "f8", "g")
}


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("track", TRACKS.values(), ids=TRACKS)
def test_every_track_that_pypianoroll_saves_is_read(track, compressed: bool, tmp_path: Path) -> None:
    silent = [pypianoroll.Track(), pypianoroll.StandardTrack(pianoroll=np.zeros((0, 128), np.uint8))]
    multitrack = pypianoroll.Multitrack(tracks=[track(), *silent])
    song = Lpd5.parse("x.npz", saved(tmp_path, multitrack, compressed))
    assert as_set(song) == expected_notes(1)
    assert song.length == STEPS
    assert song.tempo == 120.0


@pytest.mark.parametrize("layout", [bytes, flat])
@pytest.mark.parametrize("shape", [(STEPS,), (STEPS, 1), (1,), (1, 1), ()])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "u1", "f2", "g"])
def test_tempo_may_have_any_shape_and_type(layout, shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    multitrack = pypianoroll.Multitrack(tempo=np.full(shape, 90, dtype), tracks=[TRACKS["standard"]()])
    song = Lpd5.parse("x.npz", layout(saved(tmp_path, multitrack)))
    assert song.tempo == 90.0
    assert as_set(song) == expected_notes(1)


def test_a_tempo_that_no_float_holds_is_passed_over(recwarn: pytest.WarningsRecorder) -> None:
    tempo = np.array([np.nan, 0, -1, np.longdouble("1e1000"), 90])
    data = npz(csc("pianoroll_0_csc", roll()) | {"tempo": tempo}, {"resolution": 24, "0": {}})
    assert Lpd5.parse("x.npz", data).tempo == 90.0
    assert not recwarn.list


@pytest.mark.parametrize("shape", [(STEPS,), (STEPS, 1)])
@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f8"])
def test_downbeats_may_have_any_shape_and_type(shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    marks = np.isin(np.arange(STEPS), range(0, STEPS, 72)).astype(dtype).reshape(shape)
    arrays = csc("pianoroll_0_csc", roll()) | {"downbeat": marks}
    song = Lpd5.parse("x.npz", npz(arrays, {"resolution": 24, "name": None, "0": {"program": 0, "is_drum": False}}))
    assert song.bars.tolist() == list(range(0, STEPS, 72))
    track = TRACKS["standard"]()
    again = pypianoroll.Multitrack(downbeat=marks, tracks=[track])
    assert Lpd5.parse("x.npz", saved(tmp_path, again)).bars.tolist() == song.bars.tolist()


def test_a_single_downbeat_is_the_first_bar() -> None:
    arrays = csc("pianoroll_0_csc", roll()) | {"downbeat": np.array(True)}
    song = Lpd5.parse("x.npz", npz(arrays, {"resolution": 24, "0": {}}))
    assert song.bars.tolist() == list(range(0, STEPS, 96))


@pytest.mark.parametrize(
    ("info", "track"),
    [
        ({"resolution": 24, "0": {"program": 0, "is_drum": False}}, 1),
        ({"resolution": 24.0, "0": {"program": 25.0, "is_drum": 0}}, 2),
        ({"beat_resolution": None, "resolution": 24, "0": {"program": None, "is_drum": None}}, 1),
        ({"beat_resolution": 24, "resolution": None, "0": {"name": "piano"}}, 1),
        ({"beat_resolution": 12, "resolution": 24, "0": {}}, 1),
        ({"resolution": 24, "name": "no track 0", "3": {"program": 33, "is_drum": False}}, 3),
        ({"resolution": 24, "200": {"program": 50, "is_drum": False}}, 4),
    ],
)
def test_what_info_json_leaves_out_is_as_in_pypianoroll(info: dict, track: int) -> None:
    number = next(key for key in info if key.isdecimal())
    song = Lpd5.parse("x.npz", npz(csc(f"pianoroll_{number}_csc", roll()), info))
    assert as_set(song) == expected_notes(track)


def test_a_song_may_have_more_than_128_tracks() -> None:
    arrays, info = {}, {"resolution": 24}
    for number in range(200):
        cells = np.zeros((96, 128), np.uint8)
        cells[:24, number % 128] = 1
        arrays |= csc(f"pianoroll_{number}_csc", cells)
        info[str(number)] = {"program": 0 if number < 128 else 48, "is_drum": False}
    song = Lpd5.parse("x.npz", npz(arrays, info))
    assert as_set(song) == {(1, pitch, 0, 24) for pitch in range(128)} | {(4, pitch, 0, 24) for pitch in range(72)}


def changed(name: str, values: np.ndarray) -> bytes:
    arrays = csc("pianoroll_0_csc", roll()) | {f"pianoroll_0_csc_{name}": values}
    return npz(arrays, {"resolution": 24, "name": None, "0": {"program": 0, "is_drum": False}})


PARTS = {name.rsplit("_", 1)[1]: values for name, values in csc("pianoroll_0_csc", roll()).items()}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *[("indices", dtype) for dtype in ("i2", "u2", "i4", "u4", "i8", "u8", ">i4", "f4", "f8")],
        *[("indptr", dtype) for dtype in ("i2", "i8", "u8", ">i8", "f8")],
        *[("shape", dtype) for dtype in ("i2", "i4", "u8", ">i4")],
        *[("data", dtype) for dtype in ("?", "i1", ">i2", "u8", ">f8", "f4", "g")],
    ],
)
def test_every_type_of_a_sparse_array_that_pypianoroll_loads_is_read(name: str, dtype: str, tmp_path: Path) -> None:
    data = changed(name, PARTS[name].astype(dtype))
    (tmp_path / "x.npz").write_bytes(data)
    loaded = pypianoroll.load(tmp_path / "x.npz").tracks[0].pianoroll
    assert np.array_equal(loaded > 0, roll() > 0)
    assert as_set(Lpd5.parse("x.npz", data)) == expected_notes(1)


def test_room_behind_the_last_cell_is_left_alone() -> None:
    arrays = csc("pianoroll_0_csc", roll())
    for name in ("data", "indices"):
        arrays[f"pianoroll_0_csc_{name}"] = np.append(arrays[f"pianoroll_0_csc_{name}"], [1, 30_000, 7])
    assert as_set(Lpd5.parse("x.npz", npz(arrays, {"resolution": 24, "0": {}}))) == expected_notes(1)


@pytest.mark.parametrize(("name", "shape"), [("tempo", (STEPS,)), ("tempo", (STEPS, 1)), ("downbeat", (STEPS,))])
def test_the_order_of_dimensions_does_not_matter_if_there_is_one(name: str, shape: tuple[int, ...]) -> None:
    # Writers in Julia say Fortran order of a list, too.
    header, values = io.BytesIO(), np.ones(shape, "<f8")
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": True, "shape": shape})
    file = io.BytesIO(npz(csc("pianoroll_0_csc", roll()), {"resolution": 24, "0": {}}))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(f"{name}.npy", header.getvalue() + values.tobytes())
    song = Lpd5.parse("x.npz", file.getvalue())
    assert as_set(song) == expected_notes(1)
    assert song.tempo == (1.0 if name == "tempo" else 120.0)


def test_the_order_of_dimensions_matters_if_there_are_two() -> None:
    tempo = np.asfortranarray(np.ones((STEPS, 2)))
    with pytest.raises(BadSong, match="tempo is not a plain list"):
        Lpd5.parse("x.npz", npz(csc("pianoroll_0_csc", roll()) | {"tempo": tempo}, {"resolution": 24, "0": {}}))


@pytest.mark.parametrize("resolution", [1, 2, 3, 4, 6, 8])
def test_on_a_coarse_grid_each_cell_of_a_drum_is_a_hit(resolution: int, tmp_path: Path) -> None:
    music = [(0, 42, beat, beat + 1 / 48) for beat in np.arange(0, 40, 1 / resolution)]
    music += [(0, 36, beat, beat + 1 / 48) for beat in range(0, 40, 2)]
    midi = midi_bytes(music, programs=PIANO, meters=[(0, *FOUR)])
    song = Lpd5.parse("x.npz", read_and_saved(tmp_path, midi, resolution=resolution))
    expected = Midi.parse("x.mid", midi)
    assert np.array_equal(cut(song, WindowSpec()), cut(expected, WindowSpec()))
    assert len(song.notes) == len(music)


def test_on_a_fine_grid_a_run_of_a_drum_is_one_hit() -> None:
    data = npz_bytes([(1, 60, 0, 4)], 4)
    assert as_set(Lpd5.parse("x.npz", data)) == {(1, 60, 0, 96)}
    cells = np.zeros((96, 128), np.uint8)
    cells[24:36, 36] = 90
    song = Lpd5.parse("x.npz", npz(csc("pianoroll_0_csc", cells), {"resolution": 24, "0": {"is_drum": True}}))
    assert as_set(song) == {(0, 36, 24, 25)}


def test_a_silent_track_does_not_lengthen_the_song(tmp_path: Path) -> None:
    # pypianoroll resamples the tracks that sound, and leaves the others as long as they were.
    silent = pypianoroll.StandardTrack(program=32, is_drum=False, pianoroll=np.zeros((STEPS, 128), np.uint8))
    multitrack = pypianoroll.Multitrack(tracks=[TRACKS["standard"](), silent], resolution=24)
    song = Lpd5.parse("x.npz", saved(tmp_path, multitrack.set_resolution(4)))
    assert song.length == STEPS
