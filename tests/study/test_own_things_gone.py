"""A study with a system, a measure and a source in one file of the user's: who reads its storage needs none of them."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from musiclab.analysis.results import Results
from musiclab.cli import main as cli
from musiclab.dashboards.address import Address
from musiclab.dashboards.live.app import Pages, opened
from musiclab.dashboards.live.watcher import Watcher
from musiclab.maintenance.doctor import installation, services
from musiclab.maintenance.doctor.finding import Finding
from musiclab.storage.files import Storage
from musiclab.study import session
from musiclab.user_code import find
from tests.study.test_python import NoMirror
from tests.support.served import ask, serving
from tests.support.study_processes import files

FILE = '''"""Does playing a window again make music that is as full?"""
from dataclasses import dataclass

import numpy as np

from musiclab import Grid, Study
from musiclab.data import Song, Source
from musiclab.measures import measure
from musiclab.systems import Config, System, field


class ScaleSongs(Source):
    kind, suffixes = "scale_songs", (".scale",)

    @classmethod
    def read(cls, name, data):
        return Song.of(name, [("Piano", data[step % len(data)] % 64 + 32, step, 1) for step in range(96)])


@dataclass(frozen=True)
class AgainConfig(Config):
    shift: int = field(0, "generate", "by how many steps a window is moved", low=0)


class Again(System):
    name, config = "again", AgainConfig

    def train(self, stage, run):
        run.files.write("weights", b"none")

    def continuations(self, run, starts):
        return np.roll(starts, run.config.shift, 2)[:, None]


@measure(unit="share", better="real", title="Steps at which something sounds")
def full(rolls):
    return rolls.any((1, 3)).mean()


study = Study(
    name="again", system=Again, data=ScaleSongs("songs"), space={"shift": Grid(0, 1)}, control={"shift": 0}, blocks=2,
    objective=full,
    fixed={"max_train": 16, "max_eval": 16, "starts": 4, "continuation": 1},
)
'''
EVIL = "from pathlib import Path\n\nPath(__file__).with_name('ran').touch()\nAgain = ScaleSongs = full = study = None\n"

pytestmark = pytest.mark.slow  # needs a study that has run


@pytest.fixture(scope="module")
def gone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The storage of the study; in the working directory there is other code under the name of the file that is gone.

    It has run in this process, and no module of it is left.
    """
    folder = tmp_path_factory.mktemp("own")
    file, storage = folder / "own_three.py", folder / "storage"
    file.write_text(FILE)
    (folder / "songs").mkdir()
    for number in range(12):
        notes = np.random.default_rng(number).integers(0, 256, 16, np.uint8).tobytes()
        (folder / "songs" / f"{number}.scale").write_bytes(notes)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", list(sys.path))
        patch.setattr(session, "Mirror", NoMirror)
        results = find("own_three.py:study", "study").run(
            data="own_three.py:ScaleSongs:songs", storage=storage, in_process=True
        )
        assert results.failures == () and "full" in str(results.answer)
        del sys.modules["own_three"]
        shutil.rmtree(folder / "songs")
        file.write_text(EVIL)
        yield storage
        assert "own_three" not in sys.modules and not (folder / "ran").exists()
        find("own_three.py:Again", "system")
        assert (folder / "ran").exists()  # so it would have been seen


def _commanded(*words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    assert not ended.value.code, words


def test_a_report_says_what_was_measured(gone: Path) -> None:
    (page,) = gone.glob("studies/again/*/report.html")
    page.unlink()
    _commanded("report", str(gone))
    text = page.read_text()
    assert "Steps at which something sounds" in text and "own_three.py:ScaleSongs:songs" in text
    results = Results.read(Storage(str(gone)), "again")
    assert len(results.records) == 4 and not results.failures


def test_pages_show_what_was_measured(gone: Path) -> None:
    watcher = Watcher(opened(str(gone)))
    while not watcher.look():
        pass
    with serving(Pages(watcher, Address("127.0.0.1", 0)).server) as url:
        ask(f"{url}studies/again")
        while not watcher.look():
            pass
        answer = ask(f"{url}studies/again")
    assert answer.status == 200
    assert "Over: 4 of 4 trials have ended" in answer.text and "Steps at which something sounds" in answer.text


def test_a_listening_test_is_planned_and_written(
    gone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _commanded("listen", f"{gone}/again", "--plan")
    assert "heard: shift=0 and shift=1" in capsys.readouterr().out
    _commanded("listen", f"{gone}/again", "--offline", str(tmp_path / "test.html"))
    assert (tmp_path / "test.html").stat().st_size > 1000


def test_the_doctor_finds_nothing_and_nothing_is_cleaned_that_is_needed(
    gone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(gone)
    _commanded("clean", str(gone))
    assert files(gone) == before
    capsys.readouterr()
    for name in ("tracking", "cluster"):  # they ask MLflow and Ray
        monkeypatch.setattr(services, name, lambda *_: iter(()))
    monkeypatch.setattr(installation, "code", lambda: iter([Finding("ok", "locked")]))
    _commanded("doctor", str(gone))
    said = capsys.readouterr().out
    assert "4 records" in said and "again: 4 of 4 trials done" in said
