"""The table of where the seconds of a study's workers go, on made trials."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


def test_every_second_of_every_worker_is_in_one_row(benchmark: Callable[[str], ModuleType], tmp_path: Path) -> None:
    script = benchmark("study_v_sweep")
    # Two workers; the study began at 100 and ended at 140.
    trials = [
        (1, 104, 110, {"vae": 4.0, "measure": 1.0, "baselines": 0.5}),
        (1, 111, 120, {"vae": 5.0, "measure": 1.0, "samples": 2.0}),
        (2, 106, 130, {"vae": 20.0, "measure": 3.0}),
    ]
    for number, (pid, began, ended, seconds) in enumerate(trials):
        (tmp_path / f"trials/{number}").mkdir(parents=True)
        cost = {"host": "here", "pid": pid, "began": began, "ended": ended, "seconds": seconds}
        (tmp_path / f"trials/{number}/run.json").write_text(json.dumps(cost))
    rows = dict(script.where_it_goes(tmp_path, script.Took(100.0, 140.0, 40.0)))
    assert rows == pytest.approx({
        "stage vae": 29, "stage measure": 5, "baselines": 0.5, "samples": 2,
        "reading windows, writing records": 39 - 36.5,
        "between the trials of a worker": 1,
        "start: command, Ray, imports of workers": 4 + 6,
        "waiting for the last trial of another worker": 10,
        "end: answer, report, MLflow": 20,
    })  # fmt: skip
    assert sum(rows.values()) == pytest.approx(2 * 40)
