"""Sources of a user's own: found by a reference, keyed by their code or their songs, and refused in one sentence."""

import json
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from musiclab.data import BadSong, MusicXml, Song, Source, song_source
from musiclab.data.describe import describe
from musiclab.data.midi import Midi
from musiclab.data.sources import open_source
from musiclab.data.store import WindowStore, build, code_of_windows, store_fingerprint
from musiclab.data.windows import WindowSpec
from musiclab.errors import UserError
from musiclab.user_code import code_of
from tests.support.made_songs import midi_bytes, musicxml_bytes, write_files

SPEC = WindowSpec()
READER = '''
"""Songs in JSON."""
import json
from musiclab.data import Song, Source
from {helper} import raised


class JsonSongs(Source):
    kind, suffixes = "json_songs", (".json",)

    @classmethod
    def read(cls, name, data):
        song = json.loads(data)
        notes = [(track, raised(pitch), start, beats) for track, pitch, start, beats in song["notes"]]
        return Song.of(name, notes, title=song["title"])
'''
HELPER = "def raised(pitch):\n    return pitch + 0  # as it is\n"
TABLE = """
import json
from musiclab.data import BadSong, Song, song_source


@song_source
def table(path):
    for row in json.load(open(path)):
        try:
            yield Song.of(row["name"], row["notes"], title=row["title"])
        except BadSong as reason:
            yield reason


@song_source
def scale():
    for number in range(3):
        yield Song.of(f"scale {number}", [("Piano", 60 + step % 12 + number, step, 1) for step in range(32)])
"""


def notes(pitch: int) -> list[list[object]]:
    return [["Piano", pitch, 0, 16], ["Bass", pitch - 24, 0, 32]]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder with a reader, what it imports, a table of songs and a folder of songs, under names of its own."""
    number = abs(hash(request.node.nodeid)) % 10**9  # a module is imported once, whatever folder it is in
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # else edits within a second may be unseen
    folder = tmp_path / f"own{number}"
    songs = {
        f"songs/{pitch}.json": json.dumps({"title": f"No. {pitch}", "notes": notes(pitch)}) for pitch in (60, 62, 64)
    }
    rows = [{"name": f"row {pitch}", "title": f"No. {pitch}", "notes": notes(pitch)} for pitch in (60, 300, 64)]
    files = {
        f"reader{number}.py": READER.format(helper=f"helper{number}"),
        f"helper{number}.py": HELPER,
        f"table{number}.py": TABLE,
        "rows.json": json.dumps(rows),
        **songs,
    }
    write_files(folder, {name: text.encode() for name, text in files.items()})
    yield folder
    for name in [name for name in sys.modules if name.endswith(str(number))]:
        del sys.modules[name]


def reference(own: Path, what: str) -> str:
    number = own.name.removeprefix("own")
    return {
        "reader": f"{own}/reader{number}.py:JsonSongs:{own}/songs",
        "table": f"{own}/table{number}.py:table:{own}/rows.json",
        "scale": f"{own}/table{number}.py:scale",
    }[what]


def built(spec: str, folder: Path, workers: int = 1) -> WindowStore:
    return build(open_source(spec), SPEC, folder, workers)


def test_a_class_of_a_file_reads_the_files_of_a_folder(own: Path, tmp_path: Path) -> None:
    store = built(reference(own, "reader"), tmp_path / "stores")
    assert [(song.id, song.title) for song in store.songs] == [
        (f"{pitch}.json", f"No. {pitch}") for pitch in (60, 62, 64)
    ]
    assert store.source == reference(own, "reader")
    assert store.batch(np.array([0]))[0, 1, :, 60].all()
    assert f"Data      {reference(own, 'reader')}" in describe(store)


def test_a_function_of_a_file_yields_the_songs_of_a_table(own: Path, tmp_path: Path) -> None:
    store = built(reference(own, "table"), tmp_path / "stores")
    assert [song.id for song in store.songs] == ["row 60", "row 64"]
    assert [(name, reason.partition(";")[0]) for name, reason in store.skipped] == [
        (
            "song 2",
            "a note must have a pitch from 0 to 127, a start and a length of 0 or more, and end before beat 100,000",
        )
    ]
    assert len(built(reference(own, "scale"), tmp_path / "stores").songs) == 3


@pytest.mark.parametrize("what", ["reader", "table"])
def test_builds_of_one_and_of_two_processes_are_equal(own: Path, tmp_path: Path, what: str) -> None:
    one, two = (built(reference(own, what), tmp_path / f"{workers}", workers) for workers in (1, 2))
    assert one.fingerprint == two.fingerprint
    assert all((two.folder / path.name).read_bytes() == path.read_bytes() for path in one.folder.iterdir())


def _edited(own: Path, what: str, old: str, new: str) -> None:
    path = own / f"{what}{own.name.removeprefix('own')}.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def _fingerprint(own: Path, what: str) -> str:
    """As a new process would find it."""
    for name in [name for name in sys.modules if name.endswith(own.name.removeprefix("own"))]:
        del sys.modules[name]
    return store_fingerprint(open_source(reference(own, what)), SPEC)


def test_processes_that_cut_windows_run_what_was_hashed(own: Path, tmp_path: Path) -> None:
    source = open_source(reference(own, "reader"))
    fingerprint = store_fingerprint(source, SPEC)
    _edited(own, "helper", "pitch + 0", "pitch + 1")
    store = build(source, SPEC, tmp_path / "stores", workers=2)
    assert store.fingerprint == fingerprint
    assert store.batch(np.array([0]))[0, 1, :, 60].all()
    with pytest.raises(UserError, match=r"helper\d+.py has changed since it was imported; restart the process"):
        code_of.__wrapped__(type(source))


def test_the_reader_s_code_is_in_the_key_and_its_comments_are_not(own: Path) -> None:
    first = _fingerprint(own, "reader")
    _edited(own, "reader", '"""Songs in JSON."""', '"""Songs in JSON, one a file."""  # and more')
    _edited(own, "helper", "  # as it is", "")
    assert _fingerprint(own, "reader") == first
    _edited(own, "helper", "pitch + 0", "pitch + 1")
    second = _fingerprint(own, "reader")
    _edited(own, "reader", 'title=song["title"]', 'title=song["title"].upper()')
    assert len({first, second, _fingerprint(own, "reader")}) == 3


def test_a_function_s_songs_are_in_the_key_and_its_code_is_not(own: Path) -> None:
    first = _fingerprint(own, "scale")
    _edited(own, "table", "for number in range(3):", "for number in (0, 1, 2):")
    assert _fingerprint(own, "scale") == first
    _edited(own, "table", "step % 12 + number", "step % 12 - number")
    assert _fingerprint(own, "scale") != first
    rows = _fingerprint(own, "table")
    (own / "rows.json").write_text((own / "rows.json").read_text().replace("No. 64", "No. 65"))
    assert _fingerprint(own, "table") != rows


def test_a_damaged_file_is_named_with_the_line_that_failed(own: Path, tmp_path: Path) -> None:
    write_files(own / "songs", {"bad.json": b"{", "empty.json": b"", "nameless.json": b"{}", "sound.json": b"ID3\x04"})
    store = built(reference(own, "reader"), tmp_path / "stores")
    reasons = dict(store.skipped)
    reader = f"reader{own.name.removeprefix('own')}.py"
    assert reasons["nameless.json"] == f"damaged or not a .json file (KeyError: 'notes'; {reader}, line 14)"
    assert reasons["bad.json"].startswith("damaged or not a .json file (JSONDecodeError: ")
    assert reasons["empty.json"] == "an empty file"
    assert "sound.json" in reasons
    assert len(store.songs) == 3


class Silent(Source):
    kind, suffixes = "silent", (".mid",)

    @classmethod
    def read(cls, name: str, data: bytes) -> Song:
        return None  # type: ignore[return-value]


def test_a_reader_that_returns_no_song_is_told_so(tmp_path: Path) -> None:
    source = open_source(Silent(write_files(tmp_path / "songs", {"x.mid": midi_bytes()})))
    with pytest.raises(UserError, match=r"all 1 were skipped, 1 of them as: a NoneType instead of a Song\."):
        build(source, SPEC, tmp_path / "stores", workers=1)


def test_an_object_is_a_source_as_its_reference_is(tmp_path: Path) -> None:
    files = write_files(tmp_path / "songs", {"x.mid": midi_bytes()})
    assert open_source(Silent(files)).code
    assert open_source(Midi(files)).code == ""
    assert code_of_windows(open_source(Midi(files))).name == "data/midi"


def test_what_only_this_process_would_know_is_refused(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(open_source(reference(own, "reader")))
    source = kind(own / "songs")
    sentence = "JsonSongs: {} must be set in the body of a class, because the code of a class is what keys are made of"
    for thing, name, value in (
        (source, "limit", 100),
        (kind, "read", kind.parse),
        (kind, "suffixes", (".txt",)),
        (kind, "title", "new"),
    ):
        with monkeypatch.context() as patch, pytest.raises(UserError, match=sentence.format(name)):
            patch.setattr(thing, name, value, raising=False)
            open_source(source)
    assert open_source(source).code


def test_an_object_sees_its_files_as_they_are_at_each_run(own: Path, tmp_path: Path) -> None:
    source = type(open_source(reference(own, "reader")))(own / "songs")
    table = open_source(reference(own, "table"))
    before = [store_fingerprint(open_source(each), SPEC) for each in (source, table)]
    assert [store_fingerprint(open_source(each), SPEC) for each in (source, table)] == before
    write_files(own / "songs", {"65.json": json.dumps({"title": "No. 65", "notes": notes(65)}).encode()})
    (own / "rows.json").write_text((own / "rows.json").read_text().replace("No. 64", "No. 65"))
    after = [store_fingerprint(open_source(each), SPEC) for each in (source, table)]
    assert not {*before} & {*after}
    assert [song.id for song in build(open_source(source), SPEC, tmp_path, workers=1).songs] == [
        "60.json", "62.json", "64.json", "65.json"
    ]  # fmt: skip


def test_songs_that_change_during_a_run_are_not_kept_under_the_key_of_others(tmp_path: Path) -> None:
    files = write_files(tmp_path / "songs", {"1.mid": midi_bytes()})
    source = open_source(Midi(files))
    fingerprint = store_fingerprint(source, SPEC)
    write_files(files, {"2.mid": midi_bytes()})
    with pytest.raises(UserError, match=r"--data midi:.*songs must not change while a study runs; run it again\."):
        build(source, SPEC, tmp_path / "stores", workers=1)
    (files / "2.mid").unlink()
    assert build(source, SPEC, tmp_path / "stores", workers=1).fingerprint == fingerprint


def test_a_file_with_a_source_is_imported_where_its_songs_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("of_a_worker")
    monkeypatch.chdir(tmp_path)
    exec(f"from {__name__} import Fine\ngiven = Fine('songs/')\n", vars(module))
    with pytest.raises(UserError, match=r"--data: songs does not exist; give a folder or an archive of .x files\."):
        open_source(module.given)
    write_files(tmp_path / "songs", {"a.x": b"x"})
    assert open_source(module.given).count() == 1


class Keeping(Silent):
    kind = "keeping"

    def items(self) -> Iterator[tuple[str, Any]]:
        self.seen = list(super().items())  # what it keeps in itself lasts for a run
        yield from self.seen


class Indexing(Silent):
    kind = "indexing"
    index: ClassVar[dict[str, int]] = {}

    def items(self) -> Iterator[tuple[str, Any]]:
        for name, content in super().items():
            self.index[name] = len(content)
            yield name, content


def test_what_items_keeps_is_allowed_in_an_object_and_refused_at_once_in_a_class(tmp_path: Path) -> None:
    files = write_files(tmp_path / "songs", {"x.mid": midi_bytes()})
    source = Keeping(files)
    for _ in range(2):
        assert len(list(open_source(source).items())) == 1
    with pytest.raises(UserError, match=r"Indexing: index must be set in the body .*a cache may stand outside"):
        build(open_source(Indexing(files)), SPEC, tmp_path / "stores", workers=1)
    assert not list((tmp_path / "stores").glob("*/songs.json"))


class Raw(Source):
    kind, suffixes = "raw", (".x",)

    @classmethod
    def read(cls, name: str, data: bytes) -> Song:
        if data == b"full":
            raise MemoryError
        return Song("x", "", "", SONG.notes, SONG.bars, np.int64(768), np.float32(120))  # type: ignore[arg-type]


def test_numbers_of_other_types_become_pythons_own(tmp_path: Path) -> None:
    files = write_files(tmp_path / "songs", {"1.x": b"x"})
    songs = [
        build(open_source(source), SPEC, tmp_path / "stores", workers=1).songs
        for source in (Raw(files), song_source(_yields(Raw.read("1.x", b"")))())  # type: ignore[arg-type]
    ]
    assert [(song.tempo, song.bar_ticks) for (song,) in songs] == [(120.0, 96)] * 2


def test_a_reader_that_wants_too_much_memory_is_named() -> None:
    with pytest.raises(UserError, match=r"test_own_sources.py: Raw failed at 1.x: MemoryError"):
        Raw.parse("1.x", b"full")


class Faulty(Raw):
    kind = "faulty"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if path == "made":
            raise KeyError(path)

    def items(self) -> Iterator[tuple[str, Any]]:
        yield "1.x", b"x"
        if self.path.name == "items":
            raise SystemExit(1)
        yield "2.x", {"content": (self.path / "none").read_bytes()} if self.path.name == "read" else None

    def content(self) -> str:
        return {}["content"] if self.path.name == "content" else "content"

    def count(self) -> int | None:
        return int("many") if self.path.name == "count" else None


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("made", r"KeyError: 'made' \(test_own_sources.py, line \d+\)\.$"),
        ("items", "it ends the process"),
        ("read", r"FileNotFoundError: .* \(test_own_sources.py, line \d+\)\.$"),
        ("content", r"KeyError: 'content' \(test_own_sources.py, line \d+\)\.$"),
        ("count", r"ValueError: .*'many' \(test_own_sources.py, line \d+\)\.$"),
        ("none of these", "TypeError: "),
    ],
)
def test_whatever_fails_in_a_source_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f"^test_own_sources.py: Faulty failed: {sentence}") as error:
        build(open_source(f"{__name__}:Faulty:{name}"), SPEC, tmp_path / "stores", workers=1)
    assert "\n" not in str(error.value)


def test_tracks_of_a_class_of_musiclab_s_are_not_set_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = write_files(tmp_path, {"1.xml": musicxml_bytes()})
    open_source(Quartets(scores))
    monkeypatch.setitem(Quartets.tracks, "Viola", "Piano")
    with pytest.raises(UserError, match=r"test_own_sources.py: Quartets: tracks must be set in the body of a class"):
        open_source(Quartets(scores))
    monkeypatch.setattr(MusicXml, "tracks", {"Violin I": "Piano"}, raising=False)
    with pytest.raises(UserError, match=r"scores.py: MusicXml: tracks must be set in the body of a class"):
        open_source(MusicXml(scores))


class Quartets(MusicXml):
    kind = "quartets"
    tracks: ClassVar[dict[str, Any]] = {"Violin I": "Piano"}


class Reading(Source):
    kind, suffixes = "reading", (".x",)

    @classmethod
    def read(cls, name: str, data: bytes) -> Song:
        if data == b"ends":
            sys.exit(1)
        return Song.of(name, [("Piano", len((Path(name).parent / "lyrics").read_text()), 0, 32)])


def test_a_reader_that_ends_its_process_or_reads_other_files_does_not_pass_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(BadSong, match=r"damaged or not a .x file \(SystemExit: 1; test_own_sources.py, line \d+\)"):
        Reading.parse("1.x", b"ends")
    source = open_source(Reading(write_files(tmp_path / "songs", {"1.x": b"x"})))
    with pytest.raises(
        UserError,
        match=r"^test_own_sources.py: Reading failed at 1.x: FileNotFoundError: .* \(test_own_sources.py, line ",
    ):
        build(source, SPEC, tmp_path / "stores", workers=1)


def test_a_module_of_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"module_here.py": TABLE, "folder_here/within.py": TABLE, "empty_here/songs": ""}
    write_files(tmp_path, {name: text.encode() for name, text in files.items()})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    for place in ("module_here", "folder_here.within"):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "path", list(sys.path))
            assert open_source(f"{place}:scale").spec == f"{place}:scale"
    for kind in ("json", "empty_here", "midy"):
        with pytest.raises(UserError, match=f"--data must be chorales, KIND:PATH where KIND is .*; got '{kind}:songs'"):
            open_source(f"{kind}:songs")


class Unnamed(Source):
    suffixes = (".x",)

    @classmethod
    def read(cls, name: str, data: bytes) -> Song: ...


class Taken(Unnamed):
    kind = "midi"


class Spaced(Unnamed):
    kind = "my songs"


class Suffixless(Source):
    kind = "suffixless"

    @classmethod
    def read(cls, name: str, data: bytes) -> Song: ...


class OneSuffix(Unnamed):
    kind, suffixes = "one", ".x"  # type: ignore[assignment]


class Readerless(Source):
    kind, suffixes = "readerless", (".x",)


class Method(Source):
    kind, suffixes = "method", (".x",)

    def read(self, name: str, data: bytes) -> Song: ...  # type: ignore[override]


class Misread(Unnamed):
    kind = "misread"

    @classmethod
    def read(cls, data: bytes) -> Song: ...  # type: ignore[override]


class Fine(Unnamed):
    kind = "fine"


def no_source() -> None:
    """A function without the decorator."""


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Unnamed:x", r"Unnamed must say its kind, such as kind = 'unnamed'\."),
        ("Taken:x", "Taken must have a kind of its own; 'midi' is a source of musiclab's"),
        ("Spaced:x", "Spaced must have a kind of letters, digits and '_', such as kind = 'my_source'"),
        (
            "Suffixless:x",
            "Suffixless must say the suffixes of its files in a tuple, each with its dot and in lower case, ",
        ),
        ("OneSuffix:x", r"such as suffixes = \('.json',\); got '.x'\."),
        ("Readerless:x", r"Readerless must define read\(cls, name, data\) under @classmethod, which returns a Song\."),
        ("Method:x", r"Method must define read\(cls, name, data\) under @classmethod, which returns a Song\."),
        ("Misread:x", r"Misread must define read\(cls, name, data\); got read\(cls, data"),
        ("Fine", "Fine must get a path; give --data tests.data.test_own_sources:Fine:PATH"),
        ("Fine:/no/such/folder", "--data: /no/such/folder does not exist; give a folder or an archive of .x files"),
        (
            "no_source",
            "no_source must be a subclass of musiclab.data.Source, or a function under @song_source; got a fun",
        ),
        ("SPEC", "must be a subclass of musiclab.data.Source, or a function under @song_source; got a WindowSpec"),
        ("nothing", "defines no 'nothing'"),
    ],
)
def test_what_is_no_source_is_refused_in_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as error:
        open_source(f"{__name__}:{name}")
    assert "\n" not in str(error.value)


def test_a_class_inside_of_a_function_cannot_be_sent(tmp_path: Path) -> None:
    class Inside(Unnamed):
        kind = "inside"

    with pytest.raises(UserError, match="Inside must have a name at the top level of its file"):
        open_source(Inside(write_files(tmp_path, {"a.x": b"x"})))


def test_a_source_of_an_installed_package_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    points = metadata.EntryPoints(
        metadata.EntryPoint(name, f"{__name__}:{name}", "musiclab.sources") for name in ("failing", "Fine")
    )
    monkeypatch.setattr(metadata, "entry_points", lambda **choice: points.select(**choice))
    assert open_source("failing").spec == "failing"
    with pytest.raises(UserError, match="/no/such/folder does not exist; give a folder or an archive"):
        open_source("Fine:/no/such/folder")
    with pytest.raises(UserError, match="--data must be chorales"):
        open_source("finer:/no/such/folder")


CELL = """
from musiclab.data import Song, Source, song_source

class Cell(Source):
    kind, suffixes = "cell", (".x",)
    @classmethod
    def read(cls, name, data): ...

@song_source
def cell():
    yield Song.of("x", [("Piano", 60, 0, 32)])
"""


def test_in_a_notebook_s_cell_a_function_works_and_a_class_is_told_where_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("notebook_cell")
    monkeypatch.setitem(sys.modules, "notebook_cell", module)
    exec(CELL, vars(module))
    source = open_source(module.cell)
    assert source.spec == "notebook_cell: cell"
    assert [source.parse(*item).id for item in source.items()] == ["x"]
    with pytest.raises(UserError, match=r"Cell must be in a file, .* write the cell with %%writefile mine.py"):
        open_source(module.Cell(write_files(tmp_path, {"a.x": b"x"})))


def _yields(*songs: object) -> Callable[[], Iterator[object]]:
    def function() -> Iterator[object]:
        yield from songs

    return function


SONG = Song.of("x", [("Piano", 60, 0, 32)])


@pytest.mark.parametrize(
    ("songs", "sentence"),
    [
        ((), r"function must yield at least one song; it yielded none\."),
        ((SONG, {"notes": []}), r"must yield songs that Song.of makes; song 2 is wrong: a dict instead of a Song\."),
        ((SONG, None), "song 2 is wrong: a NoneType instead of a Song"),
    ],
)
def test_a_function_that_yields_no_songs_is_told_so(songs: tuple[object, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        open_source(song_source(_yields(*songs))()).fingerprint()  # type: ignore[arg-type]


@song_source
def failing() -> Iterator[Song]:
    yield SONG
    yield Song.of("y", [("Piano", 600, 0, 1)])


@song_source
def broken() -> Iterator[Song]:
    yield {}["song"]


def test_a_function_that_fails_is_named_with_its_file_and_line() -> None:
    with pytest.raises(UserError, match=r"failing failed at song 2: a note must .*test_own_sources.py, line \d+\)\.$"):
        open_source(failing()).fingerprint()
    with pytest.raises(UserError, match=r"failed at song 1: KeyError: 'song' \(test_own_sources.py, line \d+\)\.$"):
        open_source(broken()).fingerprint()
    with pytest.raises(UserError, match="failing must get the arguments that it takes"):
        open_source(f"{__name__}:failing:path")
    given = failing("path")  # in a study's file, where an error would be a traceback
    with pytest.raises(UserError, match="failing must get the arguments that it takes"):
        open_source(given)


counted = 0


@song_source
def changing() -> Iterator[Song]:
    global counted
    counted += 1
    yield Song.of(f"song {counted}", [("Piano", 60, 0, 32)])


def test_a_function_that_yields_other_songs_each_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="changing must yield the same songs each time it is called"):
        build(open_source(changing()), SPEC, tmp_path / "stores", workers=1)


def test_a_song_comes_through_the_processes_as_it_was() -> None:
    song = Song.of("é/x", [("Piano", 60, 0, 32), ("Drums", 36, 1, 1)], title="T", artist="A", bars=3, tempo=99.5)
    source = open_source(song_source(_yields(song, BadSong("why")))())  # type: ignore[arg-type]
    (name, content), bad = source.items()
    assert bad == ("song 2", "why")
    again = source.parse(name, content)
    assert (again.notes == song.notes).all()
    assert (again.bars == song.bars).all()
    assert (again.id, again.title, again.artist, again.length, again.tempo) == ("é/x", "T", "A", song.length, 99.5)
