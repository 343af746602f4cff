"""A trial that fails: which try again can help, how often, what is said and kept of it, and that others go on."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from musiclab.errors import UserError
from musiclab.execution import trial
from musiclab.execution.executor import InProcess, OnTrialEnd, Say
from musiclab.execution.queue import Queue
from musiclab.execution.trial import TrialRunner
from musiclab.progress import Progress
from musiclab.storage.files import Storage, StorageFailed
from musiclab.storage.leases import Lease
from musiclab.storage.records import Records
from musiclab.storage.stages import DamagedStage, StopRequested
from musiclab.storage.trial_documents import TrialCost, TrialRecord
from musiclab.study import Grid, Study, session
from musiclab.study.loop import TrialLoop
from musiclab.study.options import design_of, parse_options
from musiclab.study.plan_file import PlanFile
from musiclab.study.run import StudyRun
from musiclab.training.fit import Diverged
from tests.support.made_records import made_cost, made_record

OUT_OF_MEMORY = "[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory: you tried too much"
KEY_8, KEY_16 = "latent_dim=8", "latent_dim=16"


@pytest.fixture
def ran(song_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., StudyRun]:
    """Runs a study of two variants on one block; `ends(name, times)` is what a trial's run raises, if anything."""

    def run(ends: Callable[[str, int], Exception | None], *options: str, executor: object = None) -> StudyRun:
        calls: list[str] = []

        def runs(cell, *_: object) -> tuple[TrialRecord, TrialCost, dict[str, bytes]]:
            calls.append(cell.variant.name)
            if error := ends(cell.variant.name, calls.count(cell.variant.name)):
                raise error
            for stage in cell.stages.values():
                records.storage.write(f"stages/{stage}/done", b"")
            return made_record({"set/frechet": 1.0}), made_cost(), {}

        monkeypatch.setattr(trial, "_run", runs)
        asked = Study(
            name="q", system="vae_nn", space={"latent_dim": Grid(8, 16)}, control={"latent_dim": 16}, blocks=1,
            objective="frechet", question="?",
        )  # fmt: skip
        parsed = parse_options("?", ["--data", f"midi:{song_folder}", "--in-process", *options])
        records = Records(Storage(str(tmp_path)))
        running = StudyRun(design_of(asked, parsed), records, parsed.max_failures)
        running.calls = calls
        lease = Lease(records.storage, f"{running.design.folder}/runner")
        with (
            lease.take(),
            Progress("trials", 2) as progress,
            TrialLoop(executor or InProcess(), lease, parsed.fail_fast, progress) as loop,
        ):
            session.run_trials(running, PlanFile(running), loop, progress)
        return running

    return run


def _names(running: StudyRun) -> tuple[set[str], set[str]]:
    of_key = {cell.key: cell.variant.name for cell in running.design.trial_specs}
    return {of_key[key] for key in running.finished}, {of_key[key] for key in running.failed}


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(OUT_OF_MEMORY), OSError("stale handle"),
     DamagedStage("stages/x/y is not what was written")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_what_may_go_well_the_next_time_is_tried_again_and_leaves_no_trace(ran, error: Exception) -> None:
    running = ran(lambda name, times: error if (name, times) == (KEY_8, 1) else None)
    assert _names(running) == ({KEY_8, KEY_16}, set())
    assert running.calls == [KEY_8, KEY_16, KEY_8]  # the others first: they may need the memory too
    assert [running.records.failure(cell.key) for cell in running.design.trial_specs] == [None, None]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(Diverged("diverged: val/loss is not finite after epoch 3"), "diverged: val/loss is not finite after epoch 3"),
     (UserError("The data is too little."), "The data is too little."),
     (ZeroDivisionError("division\nby zero"),
      "ZeroDivisionError: division by zero (musiclab/execution/trial.py, line ")],
    ids=["diverged", "data", "bug"],
)  # fmt: skip
def test_what_would_only_fail_again_is_not_and_takes_no_other_with_it(ran, error: Exception, reason: str) -> None:
    running = ran(lambda name, _: error if name == KEY_8 else None)
    assert _names(running) == ({KEY_16}, {KEY_8})
    assert running.calls == [KEY_8, KEY_16]
    ((failed, said),) = running.failed.items()
    failure = running.records.failure(failed)
    assert said == failure.reason  # also where another study with that trial tries it again, and forgets it
    assert failure.reason.startswith(reason) and "\n" not in failure.reason
    assert "Traceback" in failure.log and str(error) in failure.log


@pytest.mark.parametrize(("options", "tries"), [((), 4), (("--max-failures", "1"), 2), (("--max-failures", "0"), 1)])
def test_tries_come_to_an_end(ran, options: tuple[str, ...], tries: int) -> None:
    running = ran(lambda name, _: MemoryError() if name == KEY_8 else None, *options)
    assert _names(running) == ({KEY_16}, {KEY_8})
    assert running.calls.count(KEY_8) == tries


def test_fail_fast_starts_nothing_more_and_the_next_run_does(ran) -> None:
    running = ran(lambda name, _: ValueError("no") if name == KEY_8 else None, "--fail-fast")
    assert running.calls == [KEY_8]
    assert _names(running) == (set(), {KEY_8})
    again = ran(lambda *_: None)
    assert _names(again) == ({KEY_8, KEY_16}, set())
    assert again.records.failure(next(iter(running.failed))) is None


def test_fail_fast_waits_for_the_last_try(ran) -> None:
    running = ran(lambda name, times: MemoryError() if name == KEY_8 and times < 3 else None, "--fail-fast")
    assert _names(running) == ({KEY_8, KEY_16}, set())


def test_a_storage_that_fails_ends_the_study_and_no_trial_is_blamed(ran, tmp_path: Path) -> None:
    full = StorageFailed("place", OSError(28, "No space left on device"))
    with pytest.raises(UserError, match="'place' cannot be written to any more: No space left on device") as raised:
        ran(lambda *_: full)
    assert raised.value.exit_code == 1
    assert not [*tmp_path.glob("trials/*/failed.json")]


def test_a_worker_that_does_not_see_the_lease_sees_another_storage(ran, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Workers on other machines do not see --storage .*; name a place that all"):
        ran(lambda *_: StopRequested())
    assert not [*tmp_path.glob("trials/*/failed.json")]  # it has been stopped, not failed


def test_a_run_that_was_taken_for_dead_makes_way(ran, tmp_path: Path) -> None:
    def stopped(*_: object) -> StopRequested:
        (lease,) = tmp_path.glob("studies/q/*/runner/*.json")
        lease.unlink()
        return StopRequested()

    with pytest.raises(UserError, match="Another run of this study has taken over, because"):
        ran(stopped)
    assert not [*tmp_path.glob("trials/*/failed.json")]


def test_a_worker_s_death_is_told_apart_from_what_a_trial_said(ran) -> None:
    class Dies(InProcess):
        def run(self, queue: Queue, trials: TrialRunner, on_trial_end: OnTrialEnd, say: Say) -> None:
            while cell := queue.next():
                on_trial_end(queue.done(cell.key), ("its worker died (end of file)", "all that is known"))

    running = ran(lambda *_: None, "--max-failures", "2", executor=Dies())
    assert len(running.failed) == 2
    for key in running.failed:
        failure = running.records.failure(key)
        assert (failure.reason, failure.log) == ("its worker died (end of file)", "all that is known")


def test_a_worker_that_cannot_open_the_storage_ends_the_study_and_is_no_trial_s_failure(tmp_path: Path) -> None:
    """Its machine does not have that folder, or the disk has turned read-only between two trials."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed, match=r"cannot be written to any more: .*Not a directory; nothing"):
        TrialRunner(str(tmp_path / "file" / "storage"), "no lease")({})
