"""Metrics of a study: epochs are counted once, and whatever goes wrong with metrics is one line and no more."""

import json
import shutil
import threading
from typing import Any

import pytest

from musiclab.execution import ray_metrics, trial
from musiclab.execution.metrics import STATES, StudyMetrics
from musiclab.execution.ray_metrics import MetricsExporter
from musiclab.execution.trial import TrialRunner
from musiclab.storage.files import Storage
from musiclab.storage.leases import Lease
from tests.support.kept import Kept
from tests.support.waiting import wait_until


def test_an_epoch_is_counted_once_although_its_trial_stops_after_it_and_resumes(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_ASK_EVERY_S", -1.0)
    spec = json.loads(kept.plan.read_text())["trials"][0]
    stages = dict(spec["stages"])
    record = kept.path / "trials" / list(stages.values())[-1] / "record.json"
    record.unlink()
    for key in stages.values():
        shutil.rmtree(kept.path / "stages" / key, ignore_errors=True)
    counted = 0
    for stop_at, is_finished in ((2, False), (0, True)):
        with Lease(Storage(str(kept.path)), "studies/latent_dim/runner").take() as lease:

            def on_epoch(stop_at: int = stop_at, lease: Lease = lease) -> None:
                nonlocal counted
                counted += 1
                if counted == stop_at:
                    lease.stop()

            TrialRunner(str(kept.path), lease.name)(spec, True, on_epoch)
        assert record.exists() == is_finished
        assert counted == stop_at or is_finished
    curves = [kept.path / "stages" / key / "curves.json" for key in stages.values()]
    trained = [json.loads(file.read_text()) for file in curves if file.exists()]
    assert counted == sum(max(point["step"] for point in points) for points in trained) == 3 + 2


def test_what_is_left_when_a_run_is_over_is_stopped() -> None:
    trials = dict.fromkeys(STATES, 0) | {"waiting": 3, "running": 2, "finished": 4, "failed": 1}
    over = StudyMetrics(trials, 1, None).over
    assert over.trials == dict.fromkeys(STATES, 0) | {"finished": 4, "failed": 1, "stopped": 5}
    assert (over.failures, over.mirror_behind) == (1, None)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics are exported all the time."""
    monkeypatch.setattr(ray_metrics, "_EVERY_S", 0.01)


def test_an_error_is_told_once_and_the_next_metrics_are_exported(often: None, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    calls, exported = 0, list[tuple[Any, ...]]()

    class Recorded:
        def __init__(self, name: str, *_: object) -> None:
            self.name = name

        def set(self, value: float | None, tags: dict[str, str]) -> None:
            exported.append((self.name, value, tags["study"], tags.get("state")))

    def read() -> StudyMetrics:
        nonlocal calls
        calls += 1
        if calls < 4:
            raise RuntimeError("dictionary changed\nsize")
        return StudyMetrics(dict.fromkeys(STATES, calls), 0, 7)

    monkeypatch.setattr(ray_metrics, "Gauge", Recorded)
    exporter = MetricsExporter("q", read, said.append)
    with exporter:
        wait_until(lambda: calls > 5, "metrics")
    exporter._thread.join()
    assert said == ["metrics cannot be exported (dictionary changed size); the study goes on"]
    assert ("musiclab_trials", 4, "q", "running") in exported
    assert ("musiclab_mirror_behind_points", 7, "q", None) in exported
    # The last word: nothing waits or runs.
    assert ("musiclab_trials", 0, "q", "running") in exported
    assert ("musiclab_trials", 2 * calls, "q", "stopped") in exported


def test_nobody_waits_for_metrics_that_hang(often: None) -> None:
    asked, hang = threading.Event(), threading.Event()

    def read() -> StudyMetrics:
        asked.set()
        hang.wait()
        raise RuntimeError

    exporter = MetricsExporter("q", read, print)
    with exporter:
        asked.wait()
    assert exporter._thread.is_alive()
    hang.set()
    exporter._thread.join()
