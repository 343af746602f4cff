"""Corrupt files among 400 good songs: the build ends with all the others, and names each bad one with its reason."""

import io
import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from musiclab.cli import main as cli
from musiclab.data.lpd5 import Lpd5
from musiclab.data.midi import Midi
from musiclab.data.store import build
from musiclab.data.windows import WindowSpec
from tests.fuzz.mutators import Evil
from tests.support.made_songs import (
    csc,
    midi_bytes,
    midi_file,
    midi_track,
    npz,
    npz_bytes,
    write_files,
    write_tar,
    write_zip,
)

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "lpd_5_sample.tar.gz"
SONGS = 400


def music(number: int) -> list[tuple[int, int, float, float]]:
    return [(1, 40 + number % 50, 0, 20), (2, 70, 4, 8 + number % 7), (0, 36, 0, 0.25)]


def pianoroll(number: int) -> bytes:
    return npz_bytes(music(number), beats=20, resolution=4)


def flipped(data: bytes) -> bytes:
    """A bit of compressed content is another: nothing but its checksum tells."""
    with np.load(io.BytesIO(data)) as _:
        at = data.index(b"pianoroll_1_csc_indices.npy") + 60
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


def arrays(**changes: object) -> bytes:
    """A pianoroll with one thing wrong in its arrays, or, under `info`, in its info.json."""
    roll = np.zeros((80, 128), np.uint8)
    roll[:, 60] = 90
    info = {"beat_resolution": 4, "0": {"program": 0, "is_drum": False}} | changes.pop("info", {})
    return npz(
        csc("pianoroll_0_csc", roll) | {f"pianoroll_0_csc_{name}": array for name, array in changes.items()}, info
    )


def headed(header: str) -> bytes:
    """A pianoroll one of whose arrays has such a header."""
    import zipfile

    file = io.BytesIO(arrays())
    with zipfile.ZipFile(file) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    head = header.encode()
    members["pianoroll_0_csc_data.npy"] = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(80)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def encrypted(data: bytes) -> bytes:
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.index(mark) + at
        data = data[:place] + b"\x01" + data[place + 1 :]
    return data


def objects() -> np.ndarray:
    evil = np.empty(80, object)
    evil[:] = [Evil() for _ in range(80)]
    return evil


Damage = dict[str, Callable[[bytes], bytes]]
ANY: Damage = {
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "text": lambda data: b"<html>404 Not Found</html>" * 20,
    "pickle": lambda data: pickle.dumps(Evil()),
    "beginning lost": lambda data: data[7:],
}
NPZ: Damage = ANY | {
    "bit flipped": flipped,
    "end lost": lambda data: data[:-30],
    "objects": lambda data: arrays(data=objects()),
    "words": lambda data: arrays(data=np.array(["a"] * 80)),
    "bomb": lambda data: arrays(data=np.zeros(40 << 20, np.uint8)),
    "huge shape": lambda data: arrays(shape=np.array([2**40, 128])),
    "negative shape": lambda data: arrays(shape=np.array([-1, 128])),
    "times outside": lambda data: arrays(indices=np.arange(80) + 2**30),
    "times negative": lambda data: arrays(indices=np.arange(80) - 5),
    "index broken": lambda data: arrays(indptr=np.arange(129)[::-1].copy()),
    "claims petabytes": lambda data: headed(
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1125899906842624,), }\n"
    ),
    "header nested": lambda data: headed(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({'-' * 9000}1,), }}\n"),
    "no resolution": lambda data: arrays(info={"beat_resolution": None}),
    "resolution NaN": lambda data: arrays(info={"beat_resolution": float("nan")}),
    "resolution huge": lambda data: arrays(info={"beat_resolution": 10**30}),
    "program a list": lambda data: arrays(info={"0": {"program": [], "is_drum": False}}),
    "info nested": lambda data: npz({}, "[" * 100_000),
    "info no object": lambda data: npz({}, "7"),
    "encrypted": encrypted,
    "silent": lambda data: npz_bytes([], beats=20, resolution=4),
    "short": lambda data: npz_bytes([(1, 60, 0, 4)], beats=4, resolution=4),
}
MIDI: Damage = ANY | {
    "format 3": lambda data: data[:9] + b"\x03" + data[10:],
    "no resolution": lambda data: data[:12] + b"\x00\x00" + data[14:],
    "seconds": lambda data: data[:12] + b"\xe7\x28" + data[14:],
    "track missing": lambda data: data[:10] + b"\x00\x63" + data[12:],
    "track length": lambda data: data[:18] + b"\x7f\xff\xff\xff" + data[22:],
    "data byte": lambda data: midi_file([midi_track([(0, b"\x90\xff\x5a")])]),
    "long number": lambda data: midi_file([midi_track([(0, b"\xff\x01\xff\xff\xff\xff\x7f")])]),
    "message cut": lambda data: midi_file([midi_track([(0, b"\xff\x01\x7fabc")])]),
    "a year": lambda data: midi_file([midi_track([(0, b"\x90\x3c\x5a"), (1 << 27, b"\x80\x3c\x00")])]),
    "silent": lambda data: midi_bytes([]),
    "short": lambda data: midi_bytes([(1, 60, 0, 4)]),
}
KINDS = {
    "lpd5": (Lpd5, "npz", pianoroll, NPZ),
    "midi": (Midi, "mid", lambda number: midi_bytes(music(number)), MIDI),
}


def corrupted(files: dict[str, bytes], ways: Damage, each: int) -> tuple[dict[str, bytes], dict[str, str]]:
    """The files with `each` of them damaged in each way, from all over; and which way by name."""
    names = list(files)
    places = np.random.default_rng(0).permutation(len(names))[: each * len(ways)]
    damaged = {names[place]: way for place, way in zip(places, list(ways) * each, strict=True)}
    return {name: ways[damaged[name]](data) if name in damaged else data for name, data in files.items()}, damaged


@pytest.fixture(scope="module", params=KINDS)
def songs(request: pytest.FixtureRequest) -> tuple[type, dict[str, bytes], dict[str, str]]:
    source, suffix, good, ways = KINDS[request.param]
    contents = [good(number) for number in range(50)]
    files = {f"artist {number % 9}/song {number:03}.{suffix}": contents[number % 50] for number in range(SONGS)}
    return source, *corrupted(files, ways, each=2)


@pytest.mark.parametrize("place", ["folder", "tar", "zip"])
def test_all_but_the_corrupt_songs_are_there_and_those_are_named(songs: tuple, place: str, tmp_path: Path) -> None:
    source, files, damaged = songs
    write = {"folder": write_files, "tar": write_tar, "zip": write_zip}[place]
    store = build(source(write(tmp_path / "songs", files)), WindowSpec(), tmp_path / "stores", workers=2)
    assert len(damaged) >= 2 * len(ANY)
    assert len(store.songs) == SONGS - len(damaged)
    reasons = dict(store.skipped)
    assert {name: damaged[name] for name in reasons} == damaged
    assert len(store.skipped) == len(damaged)
    assert all(reason.isprintable() and 5 < len(reason) < 250 for reason in reasons.values())
    stems = {name.rpartition(".")[0] for name in set(files) - set(damaged)}
    assert {song.id for song in store.songs} == (stems if source is Midi else {stem.split("/")[1] for stem in stems})
    assert not [path for path in Path.cwd().iterdir() if path.name == "unpickled"]


def test_describe_names_each_corrupt_song_below_its_reason(
    songs: tuple, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    source, files, damaged = songs
    folder = write_files(tmp_path / "songs", files)
    with pytest.raises(SystemExit) as ended:
        cli.main(["data", "describe", f"{source.kind}:{folder}", "--storage", str(tmp_path / "storage")])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"Songs     {SONGS - len(damaged)} (and {len(damaged)} skipped)" in text
    lines = text.partition("Skipped songs by reason:\n")[2].splitlines()
    assert sorted(line.strip() for line in lines if line.startswith(" " * 12)) == sorted(damaged)


@pytest.mark.skipif(not SAMPLE.is_file(), reason="the sample archive beside the repository is absent")
def test_corrupt_files_among_400_real_songs(tmp_path: Path) -> None:
    with tarfile.open(SAMPLE) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive if member.name.endswith(".npz")}
    assert len(files) == SONGS
    ways = {name: way for name, way in NPZ.items() if name != "bit flipped"}  # made for the files of this module
    files, damaged = corrupted(files, ways, each=1)
    store = build(Lpd5(write_files(tmp_path / "songs", files)), WindowSpec(), tmp_path / "stores", workers=2)
    assert len(store.songs) == SONGS - len(damaged)
    assert {name for name, _ in store.skipped} == set(damaged)
    assert json.loads((store.folder / "songs.json").read_text())["skipped"]
