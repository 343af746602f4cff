"""A search in MLflow: its history, and a run for each trial that was proposed, live and lossless as all runs are."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from musiclab.cli.sync import sync
from musiclab.design.trials import TrialSpec, Variant
from musiclab.storage.files import Storage
from musiclab.tracking.reconcile import Reconciler
from musiclab.training.streams import Block
from tests.support.mlflow_contents import contents, faults, histories, role, study_runs
from tests.support.searched_storage import BEGAN, FOLDER, STUDY, MadeSearch

pytestmark = pytest.mark.slow

_CONTROL = TrialSpec(Variant("vae_nn", {}, {"lr": 1e-3}, "d", label="control"), Block(0, 1), {"measure": "c" * 20})

# The control's run is not finished, because no trial of the confirmation has run.
_UNCONFIRMED = Counter({"runs in a wrong state": 1})


class Mirrored(MadeSearch):
    """A search with an MLflow beside it that knows nothing of it."""

    def __init__(self, folder: Path, database: Path, **plan: Any) -> None:
        super().__init__(folder, trial_specs=(_CONTROL,), controls={"control": "control"}, **plan)
        shutil.copy(database, folder / "mlflow.db")
        self.path, self.uri = folder, f"sqlite:///{folder / 'mlflow.db'}"

    def enlarge(self) -> None:
        """Its plan with twice the budget."""
        design = self.plan.design
        budget = design["budget"] | {"trials": 80}
        self.records.plans.put(FOLDER, replace(self.plan, design=design | {"budget": budget}))

    def follower(self) -> Reconciler:
        """What tells MLflow of it."""
        return Reconciler(Storage(str(self.path)), FOLDER, self.uri)

    def runs(self, kind: str) -> dict[str, Run]:
        """Runs of a role, by name."""
        return {run.info.run_name: run for run in role(study_runs(self.uri, STUDY)[1], kind)}

    def points(self, run: Run) -> dict[str, list[tuple[int, float]]]:
        """Its points, by metric."""
        return histories(MlflowClient(self.uri), run)

    def faults(self) -> Counter[str]:
        """How MLflow differs from it."""
        return faults(self.uri, STUDY, self.path)


@pytest.fixture
def made(tmp_path: Path, database: Path) -> Mirrored:
    """A search with a trial in each state."""
    made = Mirrored(tmp_path / "storage", database)
    made.one_of_each()
    return made


def test_a_search_has_a_run_with_its_history_and_one_of_each_trial(made: Mirrored) -> None:
    assert made.follower().round()[1] == ""
    (search,) = made.runs("search").values()
    (study,) = made.runs("study").values()
    assert search.data.tags["mlflow.parentRunId"] == study.info.run_id
    assert search.data.params == {"sampler": "tpe", "scheduler": "asha", "budget": "40 trials"}
    assert search.info.status == "RUNNING"
    points = made.points(search)
    assert points["best/set/frechet"] == [(step, 3.5) for step in range(1, 6)]
    assert points["count/proposals"] == [(step, step) for step in range(1, 7)]
    assert (points["count/pruned"], points["count/from_again"]) == ([(2, 1)], [(5, 1)])
    assert points["count/finished"] == [(1, 1), (5, 2)]
    proposals = made.runs("proposal")
    assert {name: run.info.status for name, run in proposals.items()} == {
        "proposal 0": "FINISHED", "proposal 1": "KILLED", "proposal 2": "FAILED", "proposal 3": "FAILED",
        "proposal 5": "RUNNING",
    }  # fmt: skip
    assert {run.data.tags["mlflow.parentRunId"] for run in proposals.values()} == {search.info.run_id}
    assert made.faults() == _UNCONFIRMED + Counter({"runs in a wrong state": 2})  # the search's, the one that runs


def test_a_misfit_is_counted_and_has_no_run(made: Mirrored) -> None:
    made.pass_over(6)
    assert made.follower().round()[1] == ""
    assert "proposal 6" not in made.runs("proposal")
    (search,) = made.runs("search").values()
    assert made.points(search)["count/from_misfit"] == [(7, 1)]
    assert made.follower().round(last=True)[1] == ""


def test_a_proposals_run_has_its_values_curve_measures_samples_and_reason(made: Mirrored) -> None:
    made.follower().round()
    runs = made.runs("proposal")
    finished, pruned, diverged = (runs[f"proposal {number}"] for number in range(3))
    assert pruned.data.params == {
        "system": "vae_nn", "lr": str(1e-4 * 1.03), "latent_dim": "3", "peaks": "-1", "spread": str(1 / 7),
    }  # fmt: skip
    assert made.points(pruned) == {"train/loss": [(0, 9.0), (1, 8.0), (2, 7.0)]}
    assert made.points(finished)["set/frechet"] == [(0, 3.5)]
    tags = ("musiclab.state", "musiclab.source", "musiclab.proposal")
    assert [finished.data.tags[tag] for tag in tags] == ["finished", "start", "0"]
    assert diverged.data.tags["musiclab.failure"] == "the loss is not finite"
    client = MlflowClient(made.uri)
    assert {file.path for file in client.list_artifacts(finished.info.run_id)} >= {"record.json", "samples"}
    assert pruned.info.end_time == round(1000 * (BEGAN + 6.5))


def test_a_search_is_followed_while_it_runs_and_closed_when_it_is_over(made: Mirrored) -> None:
    follower = made.follower()
    follower.round()
    made.train(5, epochs=6)
    made.end(5, "finished", 2.0)
    made.propose(6)
    follower.round()
    assert made.runs("search")["search"].info.status == "RUNNING"
    assert made.points(made.runs("search")["search"])["best/set/frechet"][-2:] == [(5, 3.5), (6, 2.0)]
    assert "proposal 6" not in made.runs("proposal")  # it has no curve yet
    made.end(6, "pruned")
    made.confirm(5, 0)
    follower.round(last=True)
    search = made.runs("search")["search"]
    assert (search.info.status, search.data.tags["musiclab.confirmed"]) == ("FINISHED", "proposal 5, proposal 0")
    assert made.runs("proposal")["proposal 6"].info.status == "KILLED"
    made.enlarge()
    follower.round()  # before the first proposal of the rest
    assert made.runs("search")["search"].info.status == "RUNNING"


def test_what_mlflow_missed_comes_later_once(made: Mirrored, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = made.follower()
    follower.round()
    made.end(5, "finished", 2.0)

    def away(*arguments: Any, **rest: Any) -> None:
        raise MlflowException("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", away)
        with pytest.raises(MlflowException):
            follower.round()
        made.propose(6)
        made.train(6)
        made.end(6, "finished", 1.0)
        made.confirm(6)
    follower.round()
    follower.round(last=True)
    assert made.points(made.runs("search")["search"])["best/set/frechet"][-2:] == [(6, 2.0), (7, 1.0)]
    assert made.faults() == _UNCONFIRMED


def test_a_mirror_that_was_killed_doubles_nothing(made: Mirrored, monkeypatch: pytest.MonkeyPatch) -> None:
    made.end(5, "finished", 2.0)
    made.confirm(5)
    create, calls = MlflowClient.create_run, 0

    def cut(*arguments: Any, **rest: Any) -> Any:
        nonlocal calls
        calls += 1
        run = create(*arguments, **rest)
        if calls in (3, 6):  # the search's, a proposal's
            raise KeyboardInterrupt  # as good as a kill: nothing catches it
        return run

    monkeypatch.setattr(MlflowClient, "create_run", cut)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            made.follower().round()
    made.follower().round(last=True)
    assert made.faults() == _UNCONFIRMED
    before = contents(made.uri, STUDY)
    made.follower().round(last=True)
    assert contents(made.uri, STUDY) == before


def test_an_end_that_its_driver_wrote_later_is_told_later(made: Mirrored) -> None:
    """It was killed between a trial's record and the end."""
    end = made.end(5, "finished", 2.0)
    name = f"{FOLDER}/search/ends/00005.json"
    data = made.storage.read(name)
    made.storage.remove(name)
    made.follower().round(last=True)
    assert made.runs("proposal")["proposal 5"].info.status == "FINISHED"
    made.storage.write(name, data)
    made.follower().round(last=True)
    assert made.runs("proposal")["proposal 5"].data.tags["musiclab.state"] == end.state


def test_sync_brings_a_search_up_to_date(made: Mirrored, capsys: Any) -> None:
    made.end(5, "finished", 2.0)
    made.confirm(5)
    assert sync([str(made.path)], None) == 0
    said = capsys.readouterr().out
    assert said.startswith("made: in sync: 5 trials, ")
    assert "added 8 runs, " in said  # the study's, the control's, the search's, five trials'
    assert sync([str(made.path)], None) == 0
    assert "nothing was missing" in capsys.readouterr().out
