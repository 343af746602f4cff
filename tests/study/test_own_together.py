"""A system, a measure and a source of one's own in one file: the same on Ray as in one process, and searched."""

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from musiclab import Float, Search
from musiclab.generation import GenerateRequest, generate
from musiclab.storage.documents import verified
from musiclab.storage.files import Storage
from musiclab.storage.search_documents import SearchFiles
from musiclab.study import session
from tests.support.no_mirror import NoMirror
from tests.support.study_processes import Run, run_study

FILE = '''"""How many notes should sound?"""
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lying_beside import shares
from musiclab import Grid, Study
from musiclab.data import Song, Source
from musiclab.measures import measure
from musiclab.systems import Config, System, field


class Lines(Source):
    kind, suffixes = "lines", (".json",)

    @classmethod
    def read(cls, name, data):
        return Song.of(name, [("Piano", pitch, beat, 1) for beat, pitch in enumerate(json.loads(data))])


@measure(unit="share", better="real", title="Cells that sound")
def sounding(rolls):
    return rolls.mean()


@dataclass(frozen=True)
class ShareConfig(Config):
    level: float = field(1.0, "generate", "how many cells sound, for one in real music", low=0.0)


class Share(System):
    name, config, conditions = "share", ShareConfig, ("noise",)

    def train(self, stage, run):
        run.files.write("shares", shares(run.rolls("train")).tobytes())

    def continuations(self, run, starts):
        kept = np.frombuffer(run.files.product("train").read("shares")).reshape(5, 1, 128)
        size = len(starts), run.config.continuation, 5, run.config.steps, 128
        return run.block.numpy("noise").random(size) < run.config.level * kept


def study():
    return Study(
        name="together", system=Share, data=Lines(Path(__file__).parent / "songs"), objective=sounding,
        space={"level": Grid(0.5, 1.0)}, control={"level": 1.0}, blocks=2,
        fixed={"max_train": 32, "max_eval": 16, "starts": 4, "continuation": 1},
    )


if __name__ == "__main__":
    study().main()
'''


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    (folder / "songs").mkdir()
    for number in range(12):
        pitches = [50 + (number + beat * (number % 5 + 1)) % 24 for beat in range(64)]
        (folder / "songs" / f"{number}.json").write_text(json.dumps(pitches))
    (folder / "lying_beside.py").write_text("def shares(rolls):\n    return rolls.mean((0, 2))\n")
    (folder / "own_together.py").write_text(FILE)
    return folder / "own_together.py"


@pytest.fixture
def module(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The file as a module of this process, which leaves MLflow out."""
    monkeypatch.setattr(session, "Mirror", NoMirror)
    monkeypatch.syspath_prepend(file.parent)
    yield importlib.import_module(file.stem)
    for name in (file.stem, "lying_beside"):
        del sys.modules[name]


@pytest.mark.slow
def test_all_three_run_on_ray_as_in_one_process(file: Path, module: Any, storage: Path, tmp_path: Path) -> None:
    on_ray = run_study("--workers", "2", storage=storage, file=file)
    assert f"data lines:{file.parent / 'songs'}, scale demo" in on_ray.out
    assert "\nown/sounding" in on_ray.out and "On sounding (share, " in on_ray.out
    alone = module.study().run(in_process=True, storage=tmp_path / "alone")
    assert alone.failures == ()
    assert len(on_ray.records) == 4
    # Four trials in at most two processes: torch is imported once a worker, not once a trial.
    assert 1 <= len({cost["pid"] for cost in on_ray.costs}) <= 2
    assert on_ray.records == Run(0, "", "", tmp_path / "alone").records
    record = json.loads(next(iter(on_ray.records.values())))
    assert record["system"] == "share" and record["measures"]["own/sounding"] > 0
    (plan,) = storage.glob("studies/together/*/plan.json")
    code = verified(plan.read_bytes())["code"]
    assert {"share/train", "own/sounding", "data/lines"} <= code.keys()
    assert {"share: own_together.py", "own/sounding: own_together.py", "data/lines: own_together.py"} <= code.keys()
    assert "share: lying_beside.py" in code


@pytest.mark.slow
def test_an_own_system_is_searched_for_an_own_measure_and_generates(module: Any, file: Path, tmp_path: Path) -> None:
    space = Search({"level": Float(0.25, 1.5)}, budget=4, confirm=1)
    study = replace(module.study(), space=space, control={}, blocks=2)
    results = study.run(in_process=True, storage=tmp_path)
    assert results.failures == ()
    assert list(results.frame()["status"]) == ["finished"] * 4  # the control and the best, on two fresh blocks
    assert results.frame()["own/sounding"].notna().all()
    (folder,) = tmp_path.glob("studies/together/*/search")
    files = SearchFiles(Storage(str(tmp_path)), str(folder.parent.relative_to(tmp_path)))
    assert [end.state for end in files.ends().values()] == ["finished"] * 4
    records = sorted(tmp_path.glob("trials/*/record.json"))
    assert len(records) == 8
    before = {each: each.stat().st_mtime_ns for each in records}
    assert study.run(in_process=True, storage=tmp_path).answer == results.answer
    assert {each: each.stat().st_mtime_ns for each in tmp_path.glob("trials/*/record.json")} == before
    out = tmp_path / "out"
    generate(GenerateRequest(storage=str(tmp_path), system=f"{file}:Share", study="together", samples=1, out=out))
    assert (out / "share-1.mid").read_bytes()[:4] == b"MThd"
