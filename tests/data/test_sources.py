"""What every source must do, and the option --data."""

import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from musiclab.data.chorales import Chorales
from musiclab.data.lpd5 import Lpd5
from musiclab.data.midi import Midi
from musiclab.data.songs import BadSong
from musiclab.data.sources import Source, open_source
from musiclab.data.store import build
from musiclab.data.windows import WindowSpec
from musiclab.errors import UserError
from tests.support.made_songs import midi_bytes, mxl_bytes, npz_bytes, write_files, write_tar, write_zip


class ChoralesElsewhere(Chorales):
    """The source of chorales over another folder than the corpus."""

    def __init__(self, path: Path) -> None:
        Source.__init__(self, path)


@dataclass(frozen=True)
class Kind:
    source: type[Source]
    suffix: str
    song: Callable[[], bytes]


KINDS = {
    "lpd5": Kind(Lpd5, ".npz", npz_bytes),
    "midi": Kind(Midi, ".mid", midi_bytes),
    "chorales": Kind(ChoralesElsewhere, ".mxl", mxl_bytes),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def files(kind: Kind) -> dict[str, bytes]:
    return {f"{name}{kind.suffix}": kind.song() for name in ("b/2", "a/1", "c")} | {"notes.txt": b"no song"}


def test_a_folder_gives_its_songs_sorted(kind: Kind, files: dict[str, bytes], tmp_path: Path) -> None:
    source = kind.source(write_files(tmp_path / "data", files))
    songs = sorted(name for name in files if name != "notes.txt")
    assert [name for name, _ in source.items()] == songs
    assert list(source.items()) == list(source.items())
    assert source.count() == 3


@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_an_archive_gives_the_same_songs_in_its_order(
    kind: Kind, files: dict[str, bytes], write: Callable, tmp_path: Path
) -> None:
    source = kind.source(write(tmp_path / "archive", files))
    assert list(source.items()) == [(name, data) for name, data in files.items() if name != "notes.txt"]
    assert source.count() in (3, None)


def test_a_folder_s_fingerprint_is_of_names_and_content_alone(
    kind: Kind, files: dict[str, bytes], tmp_path: Path
) -> None:
    first = kind.source(write_files(tmp_path / "one", files)).fingerprint()
    again = write_files(tmp_path / "elsewhere" / "two", dict(reversed(files.items())))
    os.utime(again / f"c{kind.suffix}", (1, 1))
    assert kind.source(again).fingerprint() == first
    (again / "notes.txt").write_bytes(b"changed, and no song")
    assert kind.source(again).fingerprint() == first
    (again / f"c{kind.suffix}").write_bytes(b"changed")
    changed = kind.source(again).fingerprint()
    (again / f"c{kind.suffix}").rename(again / f"d{kind.suffix}")
    assert len({first, changed, kind.source(again).fingerprint()}) == 3


def test_an_archive_s_fingerprint_is_of_its_content_alone(kind: Kind, files: dict[str, bytes], tmp_path: Path) -> None:
    path = write_zip(tmp_path / "one", files)
    first = kind.source(path).fingerprint()
    (tmp_path / "elsewhere").mkdir()
    copied = Path(shutil.copy(path, tmp_path / "elsewhere" / "two"))
    os.utime(copied, (1, 1))
    assert kind.source(copied).fingerprint() == first
    assert kind.source(write_zip(path, files | {"new": b""})).fingerprint() != first


def test_parse_is_pure_and_can_be_sent(kind: Kind) -> None:
    parse = pickle.loads(pickle.dumps(kind.source.parse))
    name, data = f"x/song{kind.suffix}", kind.song()
    song, again = kind.source.parse(name, data), parse(name, data)
    assert np.array_equal(song.notes, again.notes)
    assert np.array_equal(song.bars, again.bars)
    assert (song.id, song.artist, song.title, song.length, song.tempo) == (
        again.id,
        again.artist,
        again.title,
        again.length,
        again.tempo,
    )


def test_songs_are_well_formed(kind: Kind) -> None:
    song = kind.source.parse(f"song{kind.suffix}", kind.song())
    track, pitch, start, end = song.notes.T
    assert song.notes.dtype == np.int32
    assert set(track) <= set(range(5))
    assert pitch.min() >= 0
    assert pitch.max() < 128
    assert start.min() >= 0
    assert (end > start).all()
    assert end.max() <= song.length
    assert (np.diff(song.bars) > 0).all()
    assert song.tempo > 0


@pytest.mark.parametrize(
    "data", [b"", b"garbage" * 100, bytes(5000), b"PK\x03\x04", b"MThd\0\0\0\x06\0\1\0\1\0\x60MTrk"]
)
def test_what_is_no_song_is_a_bad_song(kind: Kind, data: bytes) -> None:
    with pytest.raises(BadSong) as reason:
        kind.source.parse(f"song{kind.suffix}", data)
    assert 0 < len(str(reason.value)) < 300
    assert "\n" not in str(reason.value)


def test_a_truncated_song_is_a_bad_song(kind: Kind) -> None:
    data = kind.song()
    for kept in (0.2, 0.5, 0.9):
        with pytest.raises(BadSong):
            kind.source.parse(f"song{kind.suffix}", data[: int(len(data) * kept)])


def test_a_file_that_is_too_large_is_a_bad_song(kind: Kind) -> None:
    with pytest.raises(BadSong, match=r"larger than \d+ MiB"):
        kind.source.parse(f"song{kind.suffix}", bytes(kind.source.max_bytes + 1))


def test_a_damaged_song_among_good_ones_is_skipped_and_named(
    kind: Kind, files: dict[str, bytes], tmp_path: Path
) -> None:
    damaged = files | {f"damaged{kind.suffix}": kind.song()[:100]}
    source = kind.source(write_files(tmp_path / "data", damaged))
    store = build(source, WindowSpec(), tmp_path / "stores", workers=1)
    assert len(store.songs) == 3
    assert [name for name, _ in store.skipped] == [f"damaged{kind.suffix}"]


@pytest.mark.parametrize("error", [OSError, MemoryError])
def test_a_full_disk_or_memory_is_not_the_song_s_fault(
    kind: Kind, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str, data: bytes) -> None:
        raise error("full")

    monkeypatch.setattr(kind.source, "read", fail)
    with pytest.raises(error, match="full"):
        kind.source.parse(f"song{kind.suffix}", kind.song())


@pytest.mark.parametrize("spec", ["", "nothing", "lpd5", "lpd5:", "chorales:x", "wav:x", "midi"])
def test_a_spec_that_names_no_data_says_what_would(spec: str) -> None:
    with pytest.raises(UserError, match="must be chorales, lpd5:PATH or midi:PATH; got "):
        open_source(spec)


def test_specs_open_their_sources(tmp_path: Path) -> None:
    (tmp_path / "1.mid").write_bytes(midi_bytes())
    (tmp_path / "1.npz").write_bytes(npz_bytes())
    assert type(open_source("chorales")) is Chorales
    for kind, source in (("midi", Midi), ("lpd5", Lpd5)):
        opened = open_source(f"{kind}:{tmp_path}")
        assert type(opened) is source
        assert opened.spec == f"{kind}:{tmp_path}"


@pytest.mark.parametrize("kind", ["lpd5", "midi"])
def test_a_path_without_songs_says_what_would_be_right(kind: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("no archive" * 1000)
    (tmp_path / "void").write_bytes(b"")
    write_zip(tmp_path / "songless.zip", {"readme": b""})
    for name, message in (
        ("missing", "does not exist"),
        ("empty", "holds no"),
        ("songless.zip", "holds no"),
        ("text.txt", "must be a folder or a whole tar or zip archive"),
        ("void", "must be a folder or a whole tar or zip archive"),
    ):
        with pytest.raises(UserError, match=message) as error:
            open_source(f"{kind}:{tmp_path / name}")
        assert str(error.value).startswith(f"--data: {tmp_path / name}")
