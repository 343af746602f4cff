"""What fuzzing found, each by itself."""

import io
import json
import math
import shutil
import zipfile
from pathlib import Path
from random import Random

import numpy as np
import pytest

from musiclab.data.arrays import read_header
from musiclab.data.lpd5 import Lpd5
from musiclab.data.midi import Midi, file_windows
from musiclab.data.songs import BadSong
from musiclab.data.sources import open_source
from musiclab.data.store import WindowStore, build, open_store
from musiclab.data.windows import WindowSpec
from musiclab.errors import UserError, one_line, printable
from musiclab.process.entry import exit_with
from musiclab.storage.files import Storage
from musiclab.storage.leases import Lease, active_holders, should_continue
from musiclab.storage.records import Records
from musiclab.storage.stages import CurvePoint
from musiclab.study import Claim, Expect, Grid, Study
from musiclab.study.options import design_of, parse_options
from musiclab.systems import find_system
from musiclab.training.tensors import from_bytes
from tests.fuzz import mutators
from tests.support.made_songs import midi_bytes, npz_bytes, write_files, write_zip

SPEC = WindowSpec()


def headed(header: str) -> bytes:
    """A good pianoroll but for the header of one array."""
    with zipfile.ZipFile(io.BytesIO(npz_bytes())) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    head = header.encode()
    members["tempo.npy"] = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head
    return mutators.plain_zip(members)


@pytest.mark.parametrize("shape", ["-" * 9000 + "1", "not " * 2000 + "1", "1if 1else " * 900 + "1", "(1,) * 9**9"])
def test_a_header_that_is_a_program_is_a_bad_song(shape: str, capfd: pytest.CaptureFixture) -> None:
    # numpy's reader runs out of memory on the first, which would end the build, and prints warnings on the others.
    with pytest.raises(BadSong, match="tempo is not a plain list of numbers"):
        Lpd5.parse("x.npz", headed(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({shape},), }}\n"))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("dtype", ["|b1", "|u1", "<i2", ">i4", "<u8", "<f2", "<f4", ">f8"])
@pytest.mark.parametrize("shape", [(0,), (7,), (1, 3), (2, 5, 4, 16)])
def test_headers_are_read_as_numpy_writes_them(dtype: str, shape: tuple[int, ...]) -> None:
    data = mutators.npy(np.zeros(shape, dtype))
    header = read_header(data)
    assert (header.dtype, header.shape, header.end) == (np.dtype(dtype), shape, len(data))


def test_a_header_that_python_2_wrote_is_read_too() -> None:
    data = mutators.npy(np.zeros(7)).replace(b"(7,)", b"(7L,)").replace(b" \n", b"\n")
    assert (read_header(data).shape, read_header(data).end) == ((7,), len(data))


def test_headers_of_anything_else_are_not_read() -> None:
    rng = Random(0)
    good = mutators.npy(np.zeros((3, 2), np.int32))
    assert read_header(good)
    for array in (np.zeros((3, 2), "<U4"), np.zeros(3, "<c16"), np.zeros(3, "M8[s]")):
        assert read_header(mutators.npy(array)) is None
    assert read_header(mutators.npy(np.zeros((3, 2), np.int32, "F"))) is None
    assert read_header(good.replace(b"i4", b"f1")) is None
    for size in (0, 117, 119, 65535):  # it has 118 bytes
        assert read_header(good[:8] + size.to_bytes(2, "little") + good[10:]) is None
    for _ in range(200):
        cut = good[: rng.randrange(127)]
        assert read_header(cut) is None


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Midi:
    files = {f"{number}.mid": midi_bytes([(1, 60 + number, 0, 32)]) for number in range(3)}
    return Midi(write_files(tmp_path_factory.mktemp("songs"), files | {"bad.mid": b"?"}))


@pytest.fixture(scope="module")
def undisturbed(source: Midi, tmp_path_factory: pytest.TempPathFactory) -> WindowStore:
    return build(source, SPEC, tmp_path_factory.mktemp("undisturbed"), 1)


@pytest.fixture
def store(undisturbed: WindowStore, tmp_path: Path) -> WindowStore:
    """A copy that may be damaged."""
    return open_store(shutil.copytree(undisturbed.folder, tmp_path / "store"))


@pytest.fixture(scope="module")
def cut_short(source: Midi, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a build leaves that is cut short after its last part."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    stores = tmp_path_factory.mktemp("cut_short")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("musiclab.data.store._merge", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build(source, SPEC, stores, 1)
    return stores


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("songs", 0, "tempo"), "fast"),
        (("songs", 0, "tempo"), math.nan),
        (("songs", 0, "tempo"), -1),
        (("songs", 0, "bar_ticks"), None),
        (("songs", 1, "first"), 0),
        (("songs", 1, "first"), 10**6),
        (("songs", 1, "count"), 0),
        (("songs", 1, "count"), -1),
        (("songs", 1, "count"), 1.0),
        (("songs", 1, "transposed"), 1.0),
        (("songs", 1, "transposed"), 12),
        (("songs", 1, "transposed"), "up"),
        (("songs", 2, "title"), 5),
        (("songs",), []),
        (("skipped", 0), ["bad.mid", ["?"]]),
        (("skipped", 0), [3, "?"]),
        (("spec", "steps"), 32.0),
        (("spec", "transpose"), "to_d"),
        (("spec", "transpose"), ["to_c"]),
        (("source",), None),
    ],
)
def test_a_table_that_no_build_writes_is_a_damaged_store(store: WindowStore, place: tuple, value: object) -> None:
    file = store.folder / "songs.json"
    table = node = json.loads(file.read_text())
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = value
    file.write_text(json.dumps(table))
    with pytest.raises(UserError, match="is a damaged window store"):
        open_store(store.folder)


def test_a_table_nested_without_end_is_a_damaged_store(store: WindowStore) -> None:
    (store.folder / "songs.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="is a damaged window store"):
        open_store(store.folder)


@pytest.mark.parametrize("damage", ["shorter", "longer", "nested", "objects", "columns"])
def test_windows_that_are_not_what_the_table_says_are_a_damaged_store(store: WindowStore, damage: str) -> None:
    file = store.folder / "windows.npy"
    whole = file.read_bytes()
    file.write_bytes(
        {
            "shorter": whole[:-1],
            "longer": whole + b"?",
            "nested": whole.replace(b"(6,", b"(--6,"),
            "objects": whole.replace(b"'|u1'", b"'|O' "),
            "columns": whole.replace(b"False", b"True "),
        }[damage]
    )
    with pytest.raises(UserError, match=r"is a damaged window store \(windows.npy does not hold"):
        open_store(store.folder)


@pytest.mark.parametrize("name", ["000000.npy", "000000.json"])
@pytest.mark.parametrize("way", ["changed", "cut", "emptied", "nested"])
def test_a_damaged_part_of_a_build_that_was_cut_short_is_made_anew(
    source: Midi, undisturbed: WindowStore, cut_short: Path, tmp_path: Path, name: str, way: str
) -> None:
    stores = shutil.copytree(cut_short, tmp_path / "stores")
    (part,) = stores.glob(f"*.building/{name}")
    whole = part.read_bytes()
    changed = whole[:-30] + b"1" + whole[-29:] if name.endswith("npy") else whole.replace(b"100.0", b"101.0")
    part.write_bytes({"changed": changed, "cut": whole[:-9], "emptied": b"", "nested": b"[" * 100_000}[way])
    store = build(source, SPEC, stores, 1)
    for file in ("songs.json", "windows.npy"):
        assert (store.folder / file).read_bytes() == (undisturbed.folder / file).read_bytes()


def test_a_member_without_a_name_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "songs.zip", {"x": b"?", "a.mid": midi_bytes()})
    data = path.read_bytes()
    # Its name becomes its extra field, in the member's own header and in the directory.
    for mark, names in ((b"PK\x03\x04", 26), (b"PK\x01\x02", 28)):
        place = data.index(mark) + names
        data = data[:place] + b"\x00\x00\x01\x00" + data[place + 4 :]
    path.write_bytes(data)
    source = open_source(f"midi:{path}")
    assert source.count() == 1
    with pytest.raises(UserError, match="its member '' points out of the archive"):
        list(source.items())


def test_a_song_called_like_another_s_second_version_keeps_its_windows(tmp_path: Path) -> None:
    songs = [midi_bytes([(1, 60 + number, 0, 32)]) for number in range(3)]
    path = write_zip(tmp_path / "songs.zip", dict(zip(("a.mid", "a #2.mid", "a.midi"), songs, strict=True)))
    store = build(Midi(path), SPEC, tmp_path / "stores", 1)
    assert [song.id for song in store.songs] == ["a", "a #2", "a #3"]
    assert store.indices(["a", "a #2", "a #3"]).tolist() == list(range(6))


@pytest.mark.parametrize("name", ["a" * 300 + ".mid", "a\x00.mid", "a" * 10_000])
def test_a_file_that_no_system_could_have_is_not_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--start: there is no file"):
        file_windows(name, SPEC, "--start")
    with pytest.raises(UserError, match="does not exist"):
        open_source(f"midi:{tmp_path / name}")


def test_what_is_printed_cannot_rule_a_terminal(capsys: pytest.CaptureFixture) -> None:
    def fail() -> int:
        raise UserError("There is no \x1b[2J\u202e\udc80 field 'é音'\n.")

    with pytest.raises(SystemExit):
        exit_with(fail)
    assert capsys.readouterr().err == "error: There is no \\x1b[2J\\u202e\\udc80 field 'é音'\\n.\n"
    assert printable("as it is, é音\u00a0!") == "as it is, é音\u00a0!"
    assert one_line("two\nlines \x1b[31m" + "x" * 10_000) == "two lines \\x1b[31m" + "x" * 482


@pytest.mark.parametrize("given", [10**400, -(10**400), float("inf"), "1" * 5_000])
def test_a_number_that_no_float_holds_is_no_value(given: object) -> None:
    with pytest.raises(UserError, match="vae_lr must be a number"):
        find_system("vae_nn").config().with_values({"vae_lr": given})


def test_damage_to_weights_is_told_in_plain_words() -> None:
    header = json.dumps({"a\x1b[2J": {"dtype": "\x1b]0;evil\x07", "shape": [1], "data_offsets": [0, 4]}}).encode()
    with pytest.raises(ValueError, match="not a weights file") as refusal:
        from_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert str(refusal.value).isprintable()


EXPECT = Expect("frechet", {"latent_dim": 8}, "above", {"latent_dim": 16})


@pytest.mark.parametrize(
    "fields",
    [
        {"blocks": 10_001},
        {"seed": 10**400},
        {"objective": 0.5},
        {"objective": ["frechet"]},
        {"question": 5},
        {"claims": [Claim(1, "So.", [EXPECT])]},
        {"claims": [Claim("C1", None, [EXPECT])]},
        {"claims": [Claim("C1", "So.", 5)]},
        {"claims": [Claim("C1", "So.", ["frechet"])]},
        {"claims": [Claim("C1", "So.", [Expect(5, {"latent_dim": 8}, "above", 1)])]},
        {"claims": [Claim("C1", "So.", [Expect([], {"latent_dim": 8}, "above", 1)])]},
        {"claims": [Claim("C1", "So.", [Expect("frechet", {"latent_dim": 8}, "above", 10**400)])]},
        {"claims": [Claim("C1", "So.", [Expect("frechet", {"latent_dim": 8}, "above", ["real"])])]},
    ],
)
def test_a_study_s_fields_of_another_kind_are_one_sentence(fields: dict, tmp_path: Path) -> None:
    songs = write_files(tmp_path / "songs", {"1.mid": midi_bytes()})
    options = parse_options("?", ["--data", f"midi:{songs}"])
    good = {"name": "made", "system": "vae_nn", "space": {"latent_dim": Grid(8, 16)}, "control": {"latent_dim": 16}}
    good |= {"blocks": 2, "objective": "frechet", "claims": [Claim("C1", "So.", [EXPECT])], "question": "?"}
    design_of(Study(**good), options)
    with pytest.raises(UserError):
        design_of(Study(**good | fields), options)


@pytest.mark.parametrize(
    "text", ["5", '"text"', "{}", "[5]", '[{"name": "a"}]', "[" * 100_000, "[[]]", '[{"name": 1}]']
)
def test_curves_that_are_none_are_damage(text: str, tmp_path: Path) -> None:
    records = Records(Storage(str(tmp_path)))
    point = {"name": "train/loss", "step": 1, "value": 0.5, "time": 1.0}
    records.storage.write("stages/a/curves.json", json.dumps([point]).encode())
    assert records.stages.curves({"vae": "a"}) == [CurvePoint(**point)]
    records.storage.write("stages/a/curves.json", text.encode())
    assert records.stages.curves({"vae": "a"}) == []
    assert (text == "{}") or list(records.damage) == ["stages/a/curves.json"]


@pytest.mark.parametrize("text", ["5", "{}", "[]", "[" * 100_000, '{"pid": "1"}', "null"])
def test_a_lease_that_is_none_holds_nothing(text: str, tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.write("leases/a.json", text.encode())
    assert not should_continue(storage, "leases/a.json")
    assert active_holders(storage, "leases") == []
    with Lease(storage, "leases").take():
        assert not (tmp_path / "leases/a.json").exists()
