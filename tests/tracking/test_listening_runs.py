"""Listening tests in MLflow: ballots come once, after a kill or an outage too, and `musiclab sync` notices new ones."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from musiclab.analysis.results import Results
from musiclab.cli.sync import sync
from musiclab.design.listening import RATINGS
from musiclab.storage.ballots import Ballots
from musiclab.storage.files import Storage
from musiclab.tracking.listening_runs import listening_state
from musiclab.tracking.reconcile import Reconciler
from tests.support.kept import empty
from tests.support.mlflow_contents import contents, faults, histories, role, study_runs
from tests.support.simulated_listeners import fixed_ballots, listen, made_music

pytestmark = pytest.mark.slow

_SHORT = {"presentations": 12, "repeats": 2, "warm_ups": 0}


class Heard:
    """A study with a listening test, beside an MLflow that knows nothing of it."""

    def __init__(self, folder: Path, database: Path) -> None:
        self.results: Results = made_music(folder, blocks=2)
        self.path, self.uri = empty(folder, database), f"sqlite:///{folder / 'mlflow.db'}"
        self.ballots: Ballots = fixed_ballots(self.results, **_SHORT)

    def follower(self) -> Reconciler:
        """What tells MLflow of it."""
        return Reconciler(Storage(str(self.path)), self.results.folder, self.uri)

    def runs(self, kind: str) -> dict[str, Run]:
        """Runs of a role, by name."""
        return {run.info.run_name: run for run in role(study_runs(self.uri, "made")[1], kind)}

    @property
    def study(self) -> Run:
        """The study's run."""
        (run,) = self.runs("study").values()
        return run

    def artifact(self) -> dict[str, Any]:
        """The ballots as MLflow has them."""
        path = MlflowClient(self.uri).download_artifacts(self.study.info.run_id, "ballots.json")
        found: dict[str, Any] = json.loads(Path(path).read_text())
        return found

    def is_whole(self) -> bool:
        """Whether MLflow has every ballot of every session once, and no run or point twice."""
        kept = [each for each in self.ballots.sessions() if not each.withdrawn]
        sent = [each for each in self.artifact()["pairs"]["sessions"] if not each["withdrawn"]]
        answers = [sorted((ballot["number"], ballot["answer"]) for ballot in each["ballots"]) for each in sent]
        own = [sorted((number, ballot.answer) for number, ballot in each.ballots.items()) for each in kept]
        return answers == own and not faults(self.uri, "made", self.path)


@pytest.fixture
def heard(tmp_path: Path, database: Path) -> Heard:
    folder = tmp_path / "storage"
    folder.mkdir()
    return Heard(folder, database)


def test_strengths_intervals_verdicts_and_ballots_are_there_and_labelled(heard: Heard) -> None:
    sessions = listen(heard.ballots, 3)
    assert heard.follower().round(last=True)[1] == ""
    found = Results.read(heard.results.storage, "made").listening
    assert found and found.pairs
    variant = heard.runs("variant")["latent_dim=8"]
    strength, compared = found.pairs.strengths["latent_dim=8"], found.pairs.comparisons["latent_dim=8"]
    metrics = variant.data.metrics
    for name, interval in (
        ("share", strength.share),
        ("strength", strength.logit),
        ("against_control", compared.share),
    ):
        shown = [metrics[f"by_ear/{name}{end}"] for end in ("", ".low", ".high")]
        assert shown == pytest.approx([interval.mean, interval.low, interval.high], rel=1e-9)
    assert metrics["by_ear/p_holm"] == pytest.approx(compared.p_holm)
    assert variant.data.tags["musiclab.by_ear"] == f"{compared.verdict} (simulated listeners)"
    study = heard.study
    assert study.data.metrics["by_ear/real.share"] == pytest.approx(
        found.pairs.strengths["real continuation"].share.mean
    )
    assert study.data.metrics["by_ear/listeners"] == 3
    assert study.data.tags["musiclab.by_ear"].startswith("All these listeners are simulated: ")
    assert "All these listeners are simulated: " in study.data.tags["mlflow.note.content"]
    assert heard.is_whole()
    text = json.dumps(heard.artifact())
    assert not any(session.id in text for session in sessions), "whoever knows an id can withdraw its session"
    assert all(each["simulated"] for each in heard.artifact()["pairs"]["sessions"])


def test_sync_notices_new_ballots_and_then_nothing(heard: Heard, capsys: Any) -> None:
    assert sync([str(heard.path)], None) == 0
    capsys.readouterr()
    listen(heard.ballots, 2)
    assert sync([str(heard.path)], None) == 0
    assert "points, " in capsys.readouterr().out
    before = contents(heard.uri, "made")
    assert sync([str(heard.path)], None) == 0
    assert "nothing was missing" in capsys.readouterr().out
    assert contents(heard.uri, "made") == before
    listen(heard.ballots, 1)
    assert sync([str(heard.path)], None) == 0
    assert heard.is_whole()
    points = histories(MlflowClient(heard.uri), heard.runs("variant")["latent_dim=8"])["by_ear/answers"]
    assert points == [(24, 24), (36, 36)]


def test_an_answer_that_mlflow_has_lost_comes_again_with_what_listeners_said(heard: Heard) -> None:
    listen(heard.ballots, 1)
    heard.follower().round(last=True)
    (answer,) = heard.path.glob("mlflow-artifacts/*/artifacts/answer.txt")
    before, note = answer.read_text(), heard.study.data.tags["mlflow.note.content"]
    assert "By ear (" in before
    answer.unlink()
    heard.follower().round(last=True)
    assert (answer.read_text(), heard.study.data.tags["mlflow.note.content"]) == (before, note)


def test_what_an_outage_kept_from_mlflow_comes_later_once(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = heard.follower()
    follower.round()
    listen(heard.ballots, 2)
    log, calls = MlflowClient.log_batch, 0

    def away(client: MlflowClient, run: str, metrics: Any = (), **rest: Any) -> None:
        nonlocal calls
        if any(metric.key.startswith("by_ear/") for metric in metrics):
            calls += 1
            if calls == 2:  # after the first variant's
                raise MlflowException("no answer")
        log(client, run, metrics=metrics, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", away)
        with pytest.raises(MlflowException):
            follower.round(last=True)
    follower.round(last=True)
    assert heard.is_whole()
    for run in heard.runs("variant").values():
        assert histories(MlflowClient(heard.uri), run)["by_ear/answers"] == [(24, 24)]


def test_a_mirror_that_was_killed_on_the_way_doubles_nothing(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    listen(heard.ballots, 2)
    tag = MlflowClient.set_tag

    def cut(client: MlflowClient, run: str, key: str, value: str) -> None:
        if key == "musiclab.ballots":
            raise KeyboardInterrupt  # as good as a kill: nothing catches it
        tag(client, run, key, value)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_tag", cut)
        with pytest.raises(KeyboardInterrupt):
            heard.follower().round(last=True)
    heard.follower().round(last=True)
    assert heard.is_whole()
    before = contents(heard.uri, "made")
    heard.follower().round(last=True)
    assert contents(heard.uri, "made") == before


def test_a_withdrawn_sessions_answers_are_taken_out(heard: Heard) -> None:
    first, _ = listen(heard.ballots, 2)
    heard.follower().round(last=True)
    heard.ballots.withdraw(first.id)
    heard.follower().round(last=True)
    (withdrawn,) = [each for each in heard.artifact()["pairs"]["sessions"] if each["withdrawn"]]
    assert withdrawn["ballots"] == []
    assert heard.is_whole()
    assert heard.runs("variant")["latent_dim=8"].data.metrics["by_ear/answers"] == 12


def test_if_all_have_withdrawn_no_share_of_votes_is_left(heard: Heard) -> None:
    sessions = listen(heard.ballots, 2)
    heard.follower().round(last=True)
    assert heard.runs("variant")["latent_dim=8"].data.metrics["by_ear/share.low"] > 0
    for session in sessions:
        heard.ballots.withdraw(session.id)
    heard.follower().round(last=True)
    metrics = heard.runs("variant")["latent_dim=8"].data.metrics
    assert metrics["by_ear/answers"] == metrics["by_ear/votes"] == 0
    left = {"by_ear/answers", "by_ear/votes", "by_ear/won"}
    numbers = {name for name, value in metrics.items() if name.startswith("by_ear/") and not math.isnan(value)}
    assert numbers == left
    assert {name for name in metrics if name.startswith("by_ear/")} > left
    before = repr(contents(heard.uri, "made"))  # in which NaN equals itself
    heard.follower().round(last=True)
    assert repr(contents(heard.uri, "made")) == before
    listen(heard.ballots, 1)
    heard.follower().round(last=True)
    assert heard.runs("variant")["latent_dim=8"].data.metrics["by_ear/share"] > 0


def test_ratings_have_metrics_of_their_own(heard: Heard) -> None:
    listen(fixed_ballots(heard.results, RATINGS, **_SHORT), 2)
    heard.follower().round(last=True)
    metrics = heard.runs("variant")["latent_dim=8"].data.metrics
    assert {"by_ear_ratings/coherence", "by_ear_ratings/musicality.low"} <= set(metrics)
    assert "by_ear/share" not in metrics
    assert len(heard.artifact()["ratings"]["sessions"]) == 2


def test_a_study_that_nobody_has_heard_looks_as_before(heard: Heard) -> None:
    assert listening_state(heard.results.storage, heard.results.folder) == ""
    heard.follower().round(last=True)
    assert not any(name.startswith("by_ear") for name in heard.study.data.metrics)
    assert "musiclab.by_ear" not in heard.study.data.tags
