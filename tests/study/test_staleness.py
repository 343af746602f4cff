"""Which records of earlier runs no longer apply, and the reason that is given."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from musiclab import Int, Search
from musiclab.design.design import Design
from musiclab.design.trials import TrialSpec
from musiclab.measures import measure
from musiclab.search.run import SearchRun
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.study import Grid, Study, staleness
from musiclab.study.options import design_of, parse_options
from musiclab.study.plan_file import PlanFile
from musiclab.study.run import StudyRun
from musiclab.study.search_forecast import search_forecast
from musiclab.study.staleness import outdated
from musiclab.systems.vae_nn.system import VaeNN
from musiclab.training import runtime
from musiclab.user_code import code_of
from tests.support.made_records import made_cost, made_record

Made = Callable[..., Design]


@pytest.fixture
def designed(song_folder: Path) -> Made:
    def made(
        *options: str,
        values: tuple[int, ...] = (8, 16),
        folder: Path = song_folder,
        device: str = "cpu",
        **study: object,
    ) -> Design:
        asked = Study(**{
            "name": "q", "system": "vae_nn", "space": {"latent_dim": Grid(*values)}, "control": {"latent_dim": 16},
            "blocks": 3, "objective": "frechet", "question": "?",
        } | study)  # fmt: skip
        return design_of(asked, parse_options("?", ["--data", f"midi:{folder}", *options]), device)

    return made


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(Storage(str(tmp_path)))


def _run(design: Design, records: Records, cells: list[TrialSpec] | None = None) -> None:
    PlanFile(StudyRun(design, records)).write()
    for cell in design.trial_specs if cells is None else cells:
        records.put(cell.key, made_record({}), made_cost(), {})


def _said(design: Design, records: Records) -> list[str]:
    return outdated(design, records, StudyRun(design, records).todo)


def test_nothing_is_said_where_nothing_was_or_all_still_applies(designed: Made, records: Records) -> None:
    assert _said(designed(), records) == []
    _run(designed(), records)
    for same in (designed(), designed("--blocks", "5"), designed(values=(8, 16, 32)), designed(objective="recall"),
                 designed("--workers", "1", margin=3.0)):  # fmt: skip
        assert _said(same, records) == []
    more = StudyRun(designed("--blocks", "5", values=(8, 16, 32)), records)
    assert (len(more.finished), len(more.todo)) == (6, 9)
    assert len(StudyRun(designed(objective="recall"), records).todo) == 0


def test_a_field(designed: Made, records: Records) -> None:
    _run(designed(), records, designed().trial_specs[:4])
    (said,) = _said(designed("--set", "beta=0.25"), records)
    assert said == "4 records from an earlier run cannot be reused (they are kept): beta was 1.0, is 0.25."


def test_the_data(designed: Made, records: Records, song_folder: Path, tmp_path: Path) -> None:
    _run(designed(), records)
    other = tmp_path / "other"
    other.mkdir()
    for song in sorted(song_folder.iterdir())[1:]:
        (other / song.name).write_bytes(song.read_bytes())
    (said,) = _said(designed(folder=other), records)
    assert said.endswith(f": the data was midi:{song_folder}, is midi:{other}.")
    _run(designed(folder=other), records)
    (other / song.name).unlink()
    (said,) = _said(designed(folder=other), records)
    assert said.startswith("6 records") and said.endswith(f": the songs of midi:{other} have changed.")


def test_the_seed(designed: Made, records: Records) -> None:
    _run(designed(), records)
    (said,) = _said(designed(seed=1), records)
    assert said.endswith(": the seed was 0, is 1.")


def test_the_code(designed: Made, records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(designed(), records)
    with monkeypatch.context() as patch:
        patch.setattr(VaeNN, "stages", VaeNN.stages | {"latent": 99})
        (said,) = _said(designed(), records)
    assert said.startswith("6 records") and said.endswith(": the code of vae_nn/latent has changed.")
    plan = records.plans.get(designed().folder)
    records.plans.put(designed().folder, replace(plan, code={"musiclab.training": "0123456789ab"}))
    monkeypatch.setattr(VaeNN, "stages", VaeNN.stages | {"latent": 99})
    (said,) = _said(designed(), records)
    assert said.endswith(": they come from an earlier version of musiclab, which did not know revisions of code.")


@measure(unit="share", better="higher", title="Cells that sound")
def sounding(rolls):
    return rolls.mean()


def test_a_search_that_begins_anew(designed: Made, records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    def search(*options: str, **fields: Any) -> Design:
        space = Search({"latent_dim": Int(2, 64)}, budget=4, confirm=1, **fields)
        return designed(*options, space=space, control={}, measures=(sounding,))

    def said(design: Design) -> list[str]:
        assert design.search
        lines = search_forecast(StudyRun(design, records), design.search, parse_options("?", [])).splitlines()
        return [line for line in lines if "reused" in line]

    assert said(search()) == []
    first = search()
    PlanFile(StudyRun(first, records)).write()
    run = SearchRun(first, records)
    run.start()
    assert run.propose() and run.propose()
    assert said(first) == []
    begins = "2 proposals of an earlier search cannot be reused (they are kept): "
    assert said(search("--set", "beta=0.25")) == [f"{begins}beta was 1.0, is 0.25."]
    assert said(search(also=("precision",))) == [f"{begins}it asked something else."]
    edited = replace(code_of(sounding), parts={"": "edited"})
    monkeypatch.setattr("musiclab.design.own_measures.code_of", lambda function: edited)
    assert said(search()) == [f"{begins}the code of own/sounding has changed."]


def test_stages_are_told_beside_a_users_files() -> None:
    changed = ["vae_nn/vae", "mine/train", "mine: helper.py", "own/leap", "own/leap: helper.py", "measures"]
    assert staleness._told(changed) == ["vae_nn/vae", "measures", "helper.py"]
    assert staleness._told(["mine/train", "own/leap"]) == ["mine/train", "own/leap"]


def test_what_it_is_to_run_on(designed: Made, records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(designed(), records)
    monkeypatch.setattr(runtime, "_torch_version", lambda: "2.99")
    (said,) = _said(designed(device="cuda"), records)
    assert said.endswith(
        f": PyTorch was {'.'.join(torch.__version__.split('.')[:2])}, is 2.99, the device was cpu, is cuda."
    )


def test_the_newest_predecessor_is_compared_with(designed: Made, records: Records) -> None:
    _run(designed(), records)
    _run(designed("--set", "beta=0.5"), records)
    (said,) = _said(designed("--set", "beta=0.25"), records)
    assert said.endswith(": beta was 0.5, is 0.25.")


def test_the_newest_plan_is_known_whatever_the_clock_was_set_to(
    designed: Made, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(designed(), records)
    monkeypatch.setattr("time.time", lambda: 1.0)
    _run(designed("--set", "beta=0.5"), records)
    assert _said(designed("--set", "beta=0.25"), records)[0].endswith(": beta was 0.5, is 0.25.")


def test_one_record(designed: Made, records: Records) -> None:
    _run(designed(), records, designed().trial_specs[:1])
    (said,) = _said(designed("--set", "beta=0.25"), records)
    assert said.startswith("1 record from an earlier run cannot be reused (it is kept): ")
