"""What musiclab gives to code of users: it enters keys by revisions, and by its text only where there are none."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from musiclab import code_lock, user_code
from musiclab.code_lock import LOCK, StageCode, behind_door
from musiclab.data.store import code_of_windows
from musiclab.interfaces import INTERFACES, taken_of_musiclab
from musiclab.user_code import UserCode, find

MINE = """from musiclab import Grid, Study
from musiclab.data import BadSong, Song, Source
from musiclab.measures import measure
from musiclab.systems import Config, System, field, system
from musiclab.training import Epoch, Learner, load_weights, save_weights, shuffled


class Mine(System):
    name, config = "mine", Config

    def train(self, stage, run):
        save_weights(shuffled, Epoch, Learner)

    def continuations(self, run, starts):
        return load_weights

    def own_measures(self, run):
        return {}


@system
def chain(data, *, order=2):
    return data.starts


@measure(unit="share", better="real", title="What sounds")
def sounding(rolls):
    return rolls.mean()


class Lines(Source):
    kind, suffixes = "lines", (".txt",)

    @classmethod
    def read(cls, name, data):
        raise BadSong("none") if Song else None
"""
GIVEN = {"Mine": "own-system", "chain": "own-system", "sounding": "own-measure", "Lines": "own-source"}


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., UserCode]]:
    """The code of an object of `MINE`, with changes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def made(name: str, old: str = "", new: str = "", measuring: bool = True) -> UserCode:
        assert old in MINE
        sys.modules.pop("given_mine", None)
        importlib.invalidate_caches()
        (tmp_path / "given_mine.py").write_text(MINE.replace(old, new) if old else MINE)
        return user_code.code_of.__wrapped__(find(f"given_mine.py:{name}", "system"), measuring)

    yield made
    sys.modules.pop("given_mine", None)


def _lock(monkeypatch: pytest.MonkeyPatch, **hashes: str) -> None:
    """Have the lock hold the interfaces as they are, or under other hashes."""
    held = {each.name: (each.revision, hashes.get(each.name[4:], each.code.hash)) for each in INTERFACES}
    monkeypatch.setattr(code_lock, "locked", lambda: held)


def test_the_revision_of_what_musiclab_gives_is_all_that_counts_of_it(
    code: Callable[..., UserCode], monkeypatch: pytest.MonkeyPatch
) -> None:
    _lock(monkeypatch)
    before = {name: code(name) for name in GIVEN}
    for name, interface in GIVEN.items():
        assert before[name].musiclab == {interface: "revision 1"}, name
        assert [each.name for each in before[name].interfaces] == [interface]
        assert not any(module.startswith("musiclab") for module in before[name].parts)
    # So a text of musiclab's that is worded otherwise, and locked again under its revision, changes no key ...
    reworded, base = dict(code_lock.locked()), LOCK.parent / "user_code.py"
    kept = code_lock.file_hash
    monkeypatch.setattr(code_lock, "file_hash", lambda path: "reworded" if path == base else kept(path))
    code_lock.code_hash.cache_clear()
    try:
        hashes = {each.name: each.code.hash for each in INTERFACES}
        assert all(hashes[name] != reworded[name][1] for name in hashes)
        _lock(monkeypatch)
        assert {name: code(name).hash for name in GIVEN} == {name: before[name].hash for name in GIVEN}
        # ... and one that is not locked, or has another revision, changes those that it belongs to.
        _lock(monkeypatch, system="another")
        changed = {name for name in GIVEN if code(name).hash != before[name].hash}
        assert changed == {"Mine", "chain"}
    finally:
        code_lock.code_hash.cache_clear()


def test_windows_of_a_source_are_cut_by_what_its_code_holds(code: Callable[..., UserCode]) -> None:
    lines = code("Lines")
    source: Any = SimpleNamespace(code=lines.hash, kind="lines", revision=2)
    assert code_of_windows(source) == StageCode("data/lines", 2, lines.hash)
    (interface,) = (each for each in INTERFACES if each.name in lines.musiclab)
    assert {"musiclab.data.store", "musiclab.data.windows", "musiclab.data.workers"} <= interface.covered


@pytest.mark.parametrize(
    ("line", "interfaces", "texts", "not_texts"),
    [
        ("from musiclab.systems.base import System", {"own-system"}, {"systems.base"}, {"systems.config"}),
        ("import musiclab.systems as given", {"own-system"}, {"systems"}, {"systems.base"}),
        ("from musiclab import systems", {"own-system"}, {"systems"}, {"systems.base"}),
        ("from musiclab.data import TRACKS", {"own-system", "own-source"}, set(), {"data.songs"}),
        ("from musiclab.data.windows import unpack", {"own-system"}, {"data.windows"}, {"data.arrays"}),
        ("from musiclab.measures.tonality import *", {"own-system"}, {"measures.tonality"}, {"user_code"}),
        ("from musiclab.data import Parquet", {"own-system"}, {"data.parquet"}, {"data.source", "user_code"}),
        ("from musiclab import UserError", {"own-system"}, set(), {"errors", ""}),
    ],
)
def test_what_is_taken_from_elsewhere_counts_by_its_text(
    code: Callable[..., UserCode], line: str, interfaces: set[str], texts: set[str], not_texts: set[str]
) -> None:
    found = code(
        "Mine", "        return load_weights", f"        {line}\n\n        return load_weights".replace("*", "x")
    )
    assert {each.name for each in found.interfaces} == interfaces
    modules = found.musiclab.keys() - interfaces
    assert modules >= {f"musiclab.{name}" for name in texts}
    assert not modules & {f"musiclab.{name}".rstrip(".") for name in not_texts}
    assert found.hash != code("Mine").hash or not (texts or interfaces - {"own-system"})


def test_what_only_measures_counts_for_measuring_alone(code: Callable[..., UserCode]) -> None:
    line = "        from musiclab.measures.tonality import x\n\n        return {}"
    measuring, training = (code("Mine", "        return {}", line, measuring) for measuring in (True, False))
    assert "musiclab.measures.tonality" in measuring.musiclab
    assert training.musiclab.keys() == {"own-system"}


def test_every_name_that_users_write_with_belongs_to_an_interface() -> None:
    house = {"SYSTEMS", "find_system"}  # they look up the article's
    names = {
        package: set(importlib.import_module(f"musiclab.{package}").__all__) - house
        for package in ("systems", "training", "measures")
    }
    names["data"] = {"BadSong", "Song", "Source", "TRACKS", "song_source"}  # the others are readers and converters
    for package, given in names.items():
        door = f"musiclab.{package}"
        assert taken_of_musiclab([(door,)], ())[0], door  # the package as a whole
        for name in given:
            interfaces, files = taken_of_musiclab([(*behind_door(door, name), f"{door}.{name}", door)], ())
            assert len(interfaces) == 1 and not files, name
