"""A study over songs of a user's own: what its plan says, what runs again after an edit, and the same on Ray."""

import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from musiclab import Float, Search, Study
from musiclab.data import Midi, Song, song_source
from musiclab.design.design import Design
from musiclab.errors import UserError
from musiclab.study import Grid
from musiclab.study.forecast import setting
from musiclab.study.options import design_of, options_of, parse_options
from musiclab.testing import check_source
from tests.support.kept import empty
from tests.support.study_processes import Run, run_study

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_source.py"
SETS = "epochs=1 max_train=64 max_eval=32 starts=4 continuation=1"
TINY = ["--blocks", "1", *(word for assignment in SETS.split() for word in ("--set", assignment))]
READER = '''"""Songs in JSON."""
import json

from musiclab.data import Song, Source


class JsonSongs(Source):
    kind, suffixes = "json_songs", (".json",)

    @classmethod
    def read(cls, name, data):
        song = json.loads(data)
        return Song.of(name, [("Piano", pitch, step, 1) for step, pitch in enumerate(song["scale"])])  # as written
'''
STUDY = '''"""Does a higher temperature help on scales?"""
from pathlib import Path

from musiclab import Grid, Study
from json_songs import JsonSongs

study = Study(
    name="scales", system="note_rnn", data=JsonSongs(Path(__file__).parent / "songs"),
    space={"temperature": Grid(0.8, 1.0)}, control={"temperature": 1.0}, blocks=1, objective="frechet",
    fixed={
        "hidden": 8, "vocabulary": 16, "sequence": 16, "epochs": 1, "max_train": 32, "max_eval": 16, "starts": 4,
        "continuation": 1,
    },
)
if __name__ == "__main__":
    study.main()
'''


@song_source
def scales(steps: str = "64") -> Iterator[Song]:
    for number in range(12):
        yield Song.of(f"scale {number}", [("Piano", 50 + step % 12 + number, step, 1) for step in range(int(steps))])


called = 0


@song_source
def counted() -> Iterator[Song]:
    global called
    called += 1
    return scales.function("64")


def _design(*words: str, **study: object) -> Design:
    fields = {"name": "q", "system": "note_rnn", "space": {"temperature": Grid(0.8, 1.0)}} | study
    asked = Study(**{"control": {"temperature": 1.0}} | fields, blocks=2, objective="frechet", question="?")
    return design_of(asked, parse_options("?", list(words)))


def test_a_study_names_its_data_and_an_option_names_others(song_folder: Path) -> None:
    assert _design().source.spec == "chorales"
    own = _design(data=scales())
    assert setting(own) == "data test_own_data.py: scales, scale demo, form mended"
    by_text = _design(data=f"{__name__}:scales:64")
    assert setting(by_text).startswith(f"data {__name__}:scales:64,")
    assert [trial.key for trial in by_text.trial_specs] == [trial.key for trial in own.trial_specs]
    assert own.code("note_rnn")["data/songs"].hash
    assert _design("--data", f"midi:{song_folder}", data=scales()).source.spec == f"midi:{song_folder}"
    assert options_of({"data": scales()}).data is not None

    assert [trial.key for trial in _design(data=scales).trial_specs] == [trial.key for trial in own.trial_specs]


def test_an_object_s_files_are_in_the_keys_as_they_are_when_a_study_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "songs_that_grow.py").write_text(READER)
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs" / "1.json").write_text("{}")
    source = importlib.import_module("songs_that_grow").JsonSongs(tmp_path / "songs")

    def keys() -> list[str]:
        return [trial.key for trial in _design(data=source).trial_specs]

    first = keys()
    assert keys() == first
    (tmp_path / "songs" / "2.json").write_text("{}")
    assert not {*first} & {*keys()}


def test_a_search_calls_a_function_once_however_many_designs_it_has() -> None:
    before = called
    search = Search({"temperature": Float(0.5, 1.5)}, budget=4, confirm=1)
    design = _design(data=f"{__name__}:counted", space=search)
    confirming = design.confirming({"proposal 3": {"temperature": 0.7}})
    again = confirming.confirming({"proposal 2": {"temperature": 0.8}})
    assert called == before + 1
    assert [list(each.controls) for each in (design, confirming, again)] == [
        ["control"], ["control", "proposal 3"], ["control", "proposal 2"]
    ]  # fmt: skip
    assert design.trial_specs[0].key == confirming.trial_specs[0].key


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "--data must be a text such as 'chorales' or 'midi:PATH', or a source; got None"),
        (5, "--data must be a text such as 'chorales' or 'midi:PATH', or a source; got 5"),
        (Song, "Song must be a subclass of musiclab.data.Source, or a function under @song_source; got a class"),
        (Midi, r"midi.py: Midi must get a path; give Midi\(PATH\)\."),
        (f"{__name__}:scale", "defines no 'scale'; did you mean 'scales'"),
    ],
)
def test_what_is_no_data_is_refused(data: object, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        _design(data=data)


@pytest.mark.slow
def test_an_edited_reader_runs_everything_again_and_an_edited_comment_nothing(tmp_path: Path, database: Path) -> None:
    folder, reader = tmp_path / "own", tmp_path / "own" / "json_songs.py"
    (folder / "songs").mkdir(parents=True)
    for number in range(12):
        scale = [50 + (number + step * (number % 5 + 1)) % 24 for step in range(64)]
        (folder / "songs" / f"{number}.json").write_text(json.dumps({"scale": scale}))
    reader.write_text(READER)
    (folder / "scales.py").write_text(STUDY)

    storage = empty(tmp_path, database)

    def run(option: str) -> Run:
        return run_study(option, storage=storage, file=folder / "scales.py")

    first = run("--in-process")
    assert len(first.records) == 2
    assert f"data json_songs:{folder / 'songs'}, scale demo" in first.out
    reader.write_text(READER.replace("  # as written", "").replace("in JSON", "in JSON, one a file"))
    assert "2 variants x 1 blocks = 2 trials: 2 done, 0 to run" in run("--plan").out
    reader.write_text(READER.replace('"Piano", pitch,', '"Piano", pitch + 1,'))
    plan = run("--plan").out
    assert "2 variants x 1 blocks = 2 trials: 0 done, 2 to run" in plan
    assert "stage train: runs 1 time for 2 trials" in plan
    assert "2 records from an earlier run cannot be reused (they are kept): the code of json_songs.py has" in plan


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example, in a folder of its own."""
    return Path(shutil.copy(EXAMPLE, tmp_path))


def test_the_example_is_short_and_keeps_its_promises() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 60
    check_source(f"{EXAMPLE}:blues")


@pytest.mark.long
def test_the_example_s_records_are_the_same_in_one_process(storage: Path, example: Path, tmp_path: Path) -> None:
    on_ray = run_study(*TINY, "--workers", "2", storage=storage, file=example)
    assert "data own_source.py: blues, scale demo" in on_ray.out
    assert len(on_ray.records) == 2
    (table,) = storage.glob("data/*/songs.json")
    songs = json.loads(table.read_text())["songs"]
    assert (len(songs), songs[0]["title"], songs[0]["artist"], songs[0]["count"]) == (48, "Blues no. 0", "A rule", 6)
    alone = run_study(*TINY, "--in-process", storage=tmp_path / "alone", file=example)
    assert alone.records == on_ray.records
