"""The backlog of the mirror: what MLflow lacks is counted without it, and is nothing once it has all."""

import json
import math
import shutil

import pytest

from musiclab.storage.files import Storage
from musiclab.tracking.backlog import Backlog
from musiclab.tracking.reconcile import Reconciler
from tests.support.kept import NOTHING, Kept
from tests.support.waiting import wait_until


def _curve_points(kept: Kept) -> int:
    """The points in all files of curves."""
    points = [point for file in kept.path.glob("stages/*/curves.json") for point in json.loads(file.read_text())]
    return sum(not math.isnan(point["value"]) for point in points)


def _backlog(kept: Kept, reconciler: Reconciler) -> Backlog:
    return Backlog(Storage(str(kept.path)), kept.folder, reconciler.sent)


@pytest.mark.slow
def test_the_backlog_grows_with_what_is_stored_and_is_nothing_after_a_round(kept: Kept) -> None:
    finish, follower = kept.under_way(), kept.follower()
    backlog = _backlog(kept, follower)
    before = _curve_points(kept)
    assert before > 0
    assert backlog.count() == before
    follower.round()
    assert backlog.count() == 0
    finish()
    # Results beside curves: every measure, what real music scores on it, and the trial's seconds.
    records = [json.loads((kept.path / "trials" / key / "record.json").read_text()) for key in kept.keys]
    results = [[*record["measures"].values(), *record["baselines"].values(), 0.0] for record in records]
    added = _curve_points(kept) - before + sum(value is not None for values in results for value in values)
    assert backlog.count() == added
    follower.round(last=True)
    assert backlog.count() == 0
    assert kept.faults() == NOTHING
    # A new process knows nothing of what MLflow has, before its first round.
    assert _backlog(kept, kept.follower()).count() == before + added


@pytest.mark.slow
def test_a_mirror_that_counts_tells_the_study_how_far_it_is_behind_and_when_no_more(kept: Kept) -> None:
    database = kept.path / "mlflow.db"
    whole = shutil.copy(database, kept.path / "whole.db")
    database.write_bytes(b"no database" * 1000)
    mirror = kept.mirror()
    said: list[str] = []
    mirror.start(said.append, counting=True)
    assert mirror.points_behind is None
    try:
        stored = _backlog(kept, kept.follower()).count()
        assert wait_until(lambda: mirror.points_behind, "the backlog") == stored
        shutil.copy(whole, database)
        wait_until(lambda: mirror.points_behind == 0, "an update")
        assert len(said) == 1
    finally:
        assert mirror.stop().startswith("MLflow: ")
