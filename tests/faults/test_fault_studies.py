"""Several runs at once, and clocks that go wrong between two: none harms another, and a killed one blocks nobody."""

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from musiclab.cli.sync import sync
from musiclab.execution import trial
from tests.faults.judging import Truth, Watch, faults, records_in
from tests.support.study_processes import copied, ended, files, kill, paused_study, run_study, start_study
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

_CLOCK = """
import os, time
_time = time.time
time.time = lambda: _time() + float(os.environ["CLOCK_IS_OFF_BY_S"])
"""


@pytest.mark.long
def test_of_two_who_start_a_study_one_is_refused_and_goes_on_once_the_other_is_killed(
    half: Truth, tmp_path: Path
) -> None:
    storage = half.fresh(tmp_path / "storage")
    watch, asked = Watch(storage), [*half.options, "--in-process"]
    watch.start()
    first = paused_study(*half.options, storage=storage, file=half.file)
    refused = run_study(*asked, storage=storage, file=half.file, code=1)
    (said,) = [line for line in refused.err.splitlines() if line.startswith("error")]
    assert f"is being run in {storage} by " in said
    assert f"(process {first.pid}, since " in said
    assert "Traceback" not in refused.err
    assert first.poll() is None
    kill(first.pid)
    first.communicate()
    run_study(*asked, storage=storage, file=half.file)
    watch.end()
    assert faults(half, storage, f"sqlite:///{storage}/mlflow.db", watch, in_process=True) == Counter()


def test_two_studies_that_share_stages_and_trials_run_at_once(truth: Truth, half: Truth, tmp_path: Path) -> None:
    storage = truth.fresh(tmp_path / "storage")
    other = tmp_path / "other.py"
    other.write_text(half.file.read_text().replace("name='killed'", "name='other'"))
    watch = Watch(storage)
    watch.start()
    first = start_study(*truth.options, "--in-process", storage=storage, file=other)
    wait_until(lambda: watch.steps, "the first's training")
    second = start_study(*truth.options, "--in-process", storage=storage, file=truth.file)
    for process in (first, second):
        ended(process, storage)
    watch.end()
    assert sync([str(storage)], None) == 0  # one mirror may have waited for the other in vain
    # Both may train a stage at once, each to the same bits.
    assert faults(truth, storage, f"sqlite:///{storage}/mlflow.db", watch, in_process=False) == Counter()


def test_a_trial_that_another_has_ended_meanwhile_is_left_as_it_is(
    truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another study that has it too, or the last worker of a driver that was killed."""
    storage = copied(truth.storage, tmp_path / "storage")
    record = next(storage.glob("trials/*/record.json"))
    data, run = record.read_bytes(), trial._run
    record.unlink()

    def ran_beside_another(*given: object) -> object:
        made = run(*given)
        record.write_bytes(data)
        return made

    monkeypatch.setattr(trial, "_run", ran_beside_another)
    monkeypatch.setattr(trial, "should_continue", lambda *_: True)
    (plan,) = storage.glob("studies/*/*/plan.json")
    (cell,) = [cell for cell in json.loads(plan.read_text())["trials"] if cell["stages"][-1][1] == record.parent.name]
    before = files(record.parent)  # without the record
    trial.TrialRunner(str(storage), "no lease")(cell)
    assert files(record.parent).items() >= before.items()
    assert record.read_bytes() == data


@pytest.mark.long
@pytest.mark.parametrize("shifts", [(7200.0, -7200.0), (-86400.0, 86400.0)])
def test_a_clock_that_was_set_between_two_runs(shifts: tuple[float, float], half: Truth, tmp_path: Path) -> None:
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(_CLOCK)
    storage = half.fresh(tmp_path / "storage")
    path = os.pathsep.join(filter(None, [str(tmp_path / "clock"), os.environ.get("PYTHONPATH")]))
    environments = [{"PYTHONPATH": path, "CLOCK_IS_OFF_BY_S": str(shift)} for shift in shifts]
    watch, asked = Watch(storage), [*half.options, "--in-process"]
    watch.start()
    process = start_study(*asked, storage=storage, file=half.file, env=environments[0])
    wait_until(lambda: records_in(storage), "the first record")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    run_study(*asked, storage=storage, file=half.file, env=environments[1])
    watch.end()
    assert faults(half, storage, f"sqlite:///{storage}/mlflow.db", watch, in_process=True) == Counter()
