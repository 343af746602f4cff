"""What every source must do, and the option --data."""

import bz2
import gzip
import lzma
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
from musiclab.data.scores import Abc, MusicXml, MusPy
from musiclab.data.songs import BadSong
from musiclab.data.sources import Source, open_source
from musiclab.data.store import build
from musiclab.data.windows import WindowSpec
from musiclab.errors import UserError
from tests.support.made_songs import (
    abc_bytes,
    midi_bytes,
    musicxml_bytes,
    muspy_bytes,
    mxl_bytes,
    npz_bytes,
    write_files,
    write_tar,
    write_zip,
)


class ChoralesElsewhere(Chorales):
    """The source of chorales over another folder than the corpus."""

    def __init__(self, path: Path) -> None:
        Source.__init__(self, path)


@dataclass(frozen=True)
class Kind:
    """A source with a song of its own: whether songs are text, are songs without their ends too, are many in a file."""

    source: type[Source]
    suffix: str
    song: Callable[[], bytes]
    title: str = "Made"
    is_text: bool = False
    may_end_early: bool = False
    are_many: bool = False


KINDS = {
    "lpd5": Kind(Lpd5, ".npz", npz_bytes, "good"),
    "midi": Kind(Midi, ".mid", midi_bytes, "good"),
    "chorales": Kind(ChoralesElsewhere, ".mxl", mxl_bytes),
    "musicxml": Kind(MusicXml, ".musicxml", musicxml_bytes, is_text=True),
    "abc": Kind(Abc, ".abc", abc_bytes, is_text=True, may_end_early=True, are_many=True),
    "muspy": Kind(MusPy, ".json", muspy_bytes, is_text=True),
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
    assert source.count() == (None if kind.are_many else 3)


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
    if kind.may_end_early:
        pytest.skip("half a song of this kind is a shorter song")
    data = kind.song()
    for kept in (0.2, 0.5, 0.9):
        with pytest.raises(BadSong):
            kind.source.parse(f"song{kind.suffix}", data[: int(len(data) * kept)])


def test_a_file_that_is_too_large_is_a_bad_song(kind: Kind) -> None:
    with pytest.raises(BadSong, match=r"larger than \d+ MiB"):
        kind.source.parse(f"song{kind.suffix}", kind.song().ljust(kind.source.max_bytes + 1, b"\x01"))
    with pytest.raises(BadSong, match="an MP3 file"):
        kind.source.parse(f"song{kind.suffix}", MP3.ljust(kind.source.max_bytes + 1, b"\x01"))


def test_a_damaged_song_among_good_ones_is_skipped_and_named(
    kind: Kind, files: dict[str, bytes], tmp_path: Path
) -> None:
    if kind.may_end_early:
        pytest.skip("half a song of this kind is a shorter song")
    damaged = files | {f"damaged{kind.suffix}": kind.song()[:100]}
    source = kind.source(write_files(tmp_path / "data", damaged))
    store = build(source, WindowSpec(), tmp_path / "stores", workers=1)
    assert len(store.songs) == 3
    assert [name for name, _ in store.skipped] == [f"damaged{kind.suffix}"]


WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40)
MP3 = b"ID3\x04" + bytes(100)
PAGE = b"<!DOCTYPE html>\n<title>404 Not Found</title>"


@pytest.mark.parametrize("place", ["folder", "tar", "zip"])
def test_whatever_bears_a_song_s_name_is_named_with_what_it_is(kind: Kind, place: str, tmp_path: Path) -> None:
    song, suffix = kind.song(), kind.suffix
    other = midi_bytes() if suffix != ".mid" else npz_bytes()
    what_else = "a MIDI file" if suffix != ".mid" else "a zip archive"
    unpack = "; unpack it" if suffix == ".mid" else ""
    odd = {
        f"song{suffix}.gz": (gzip.compress(song), f"a gzip file, not a {suffix} file; unpack it"),
        f"song{suffix}.bz2": (bz2.compress(song), f"a bzip2 file, not a {suffix} file; unpack it"),
        f"song{suffix.upper()}.XZ": (lzma.compress(song), f"an xz file, not a {suffix} file; unpack it"),
        f"packed{suffix}": (gzip.compress(song), f"a gzip file, not a {suffix} file; unpack it"),
        f"empty{suffix}": (b"", "an empty file"),
        f"zeros{suffix}": (bytes(3000), f"nothing but zeros, not a {suffix} file"),
        f"sound{suffix}": (MP3, f"an MP3 file, not a {suffix} file"),
        f"wave{suffix}": (WAV, f"a WAV file, not a {suffix} file"),
        f"page{suffix}": (PAGE, f"an HTML page, not a {suffix} file"),
        f"print{suffix}": (b"%PDF-1.7 ...", f"a PDF file, not a {suffix} file"),
        f"other{suffix}": (other, f"{what_else}, not a {suffix} file{unpack}"),
        f"__MACOSX/._song{suffix}": (
            b"\x00\x05\x16\x07" + bytes(50),
            f"a companion file of macOS, not a {suffix} file",
        ),
        f"lfs{suffix}": (b"version https://git-lfs.github.com/spec/v1\n", f"a pointer of Git LFS, not a {suffix} file"),
    }
    if not kind.is_text:
        odd[f"text{suffix}"] = (b"see the other folder\n", f"a text file, not a {suffix} file")
    files = {f"good{suffix}": song, "notes.txt": b"no song", "cover.gz": b""} | {
        name: data for name, (data, _) in odd.items()
    }
    write = {"folder": write_files, "tar": write_tar, "zip": write_zip}[place]
    source = kind.source(write(tmp_path / "data", files))
    assert source.count() in (len(odd) + 1, None)
    store = build(source, WindowSpec(), tmp_path / "stores", workers=1)
    assert [song.title for song in store.songs] == [kind.title]
    assert dict(store.skipped) == {name: reason for name, (_, reason) in odd.items()}


def test_a_damaged_song_keeps_its_reader_s_reason(kind: Kind) -> None:
    if kind.may_end_early:
        pytest.skip("half a song of this kind is a shorter song")
    data = kind.song()
    with pytest.raises(BadSong) as reason:
        kind.source.parse(f"song{kind.suffix}", data[: len(data) // 2])
    assert f"not a {kind.suffix} file; unpack it" not in str(reason.value)


@pytest.mark.parametrize("name", ["a.mid", "a.midi", "a.MID", "a.kar", "a.Kar", "a.b.mid"])
def test_midi_files_have_several_names(name: str, tmp_path: Path) -> None:
    store = build(Midi(write_files(tmp_path / "songs", {name: midi_bytes()})), WindowSpec(), tmp_path / "stores", 1)
    assert [song.id for song in store.songs] == [name.rpartition(".")[0]]


def test_links_pipes_and_folders_among_the_songs_are_followed_or_named(
    kind: Kind, files: dict[str, bytes], tmp_path: Path
) -> None:
    songs = write_files(tmp_path / "songs", files)
    data = write_files(tmp_path / "data", {f"own{kind.suffix}": kind.song(), f"folder{kind.suffix}/notes.txt": b""})
    (data / "here").symlink_to(songs)
    (data / "there").symlink_to(songs)
    (songs / "back").symlink_to(data)
    (data / "gone").symlink_to("nowhere")
    os.mkfifo(data / f"pipe{kind.suffix}")
    source = kind.source(data)
    items = list(source.items())
    assert [name for name, _ in items] == sorted(name for name, _ in items)
    assert source.count() == (None if kind.are_many else len(items))
    assert {name for name, content in items if isinstance(content, bytes)} == {
        f"own{kind.suffix}",
        *(f"here/{name}" for name in files if name != "notes.txt"),
    }
    store = build(source, WindowSpec(), tmp_path / "stores", workers=1)
    assert len(store.songs) == 4
    assert store.skipped == [
        (f"folder{kind.suffix}", "a folder, not a file"),
        ("gone", "a link that leads nowhere"),
        (f"pipe{kind.suffix}", "a pipe, not a file"),
    ]


def test_a_folder_of_links_has_the_fingerprint_of_the_files(
    kind: Kind, files: dict[str, bytes], tmp_path: Path
) -> None:
    songs = write_files(tmp_path / "songs", {f"here/{name}": data for name, data in files.items()})
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "here").symlink_to(songs / "here")
    assert kind.source(linked).fingerprint() == kind.source(songs).fingerprint()
    (songs / "here" / f"c{kind.suffix}").write_bytes(b"changed")
    assert kind.source(linked).fingerprint() == kind.source(songs).fingerprint()
    before = kind.source(linked).fingerprint()
    (linked / "further").symlink_to(tmp_path / "further")
    dangling = kind.source(linked).fingerprint()  # its store names the link
    write_files(tmp_path / "further", {f"more{kind.suffix}": kind.song()})
    assert len({before, dangling, kind.source(linked).fingerprint()}) == 3


def test_a_folder_with_nothing_usable_says_why(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "here").symlink_to("nowhere")
    with pytest.raises(
        UserError, match=r"no usable song: all 1 were skipped, 1 of them as: a link that leads nowhere\."
    ):
        build(kind.source(tmp_path / "data"), WindowSpec(), tmp_path / "stores", workers=1)


def test_a_pipe_is_no_data_and_is_not_opened(kind: Kind, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="must be a folder or a whole tar or zip archive; got a pipe, not a file"):
        kind.source(tmp_path / "pipe").opened()


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_that_ends_with_songs_which_are_zips_has_them_all(kind: Kind, mode: str, tmp_path: Path) -> None:
    files = {f"{number}{kind.suffix}": kind.song() for number in range(3)} | {"extra.zip": npz_bytes()}
    source = kind.source(write_tar(tmp_path / "songs.zip", files, mode))
    assert [name for name, _ in source.items()] == [f"{number}{kind.suffix}" for number in range(3)]


@pytest.mark.parametrize("error", [OSError, MemoryError])
def test_a_full_disk_or_memory_is_not_the_song_s_fault(
    kind: Kind, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str, data: bytes) -> None:
        raise error("full")

    monkeypatch.setattr(kind.source, "read", fail)
    with pytest.raises((error, UserError), match="full"):  # of a user's reader a UserError names its file
        kind.source.parse(f"song{kind.suffix}", kind.song())


@pytest.mark.parametrize("spec", ["", "nothing", "lpd5", "lpd5:", "chorales:x", "wav:x", "midi"])
def test_a_spec_that_names_no_data_says_what_would(spec: str) -> None:
    with pytest.raises(UserError, match=r"must be chorales, KIND:PATH where KIND is lpd5, midi, .*:PATH for .*; got "):
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
