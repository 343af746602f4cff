"""What a storage tells of a study that runs: states, workers, processes; each thing that has ended is read once."""

import json
import math
import time
from dataclasses import replace
from pathlib import Path

import pytest

from musiclab.dashboards.live.follower import Follower, newest
from musiclab.dashboards.live.plots import curves_so_far
from musiclab.dashboards.live.searching import search_so_far, seconds_left
from musiclab.dashboards.live.timing import Timer
from musiclab.dashboards.live.words import progress_of, standing
from musiclab.storage import leases
from musiclab.storage.activity import Activity, WorkerState
from musiclab.storage.files import Storage
from musiclab.storage.leases import Lease, ask_to_stop
from musiclab.storage.listing import Listing
from musiclab.storage.records import Records
from tests.support.made_live import CONTROL, DIMS, EPOCHS, MadeLive
from tests.support.made_results import made_study
from tests.support.made_search import made_search
from tests.support.searched_storage import FOLDER, MadeSearch

FOREVER = float("inf")


def _look(follower: Follower, until: float = FOREVER) -> Follower:
    follower.poll(Listing(follower.storage), until)
    return follower


def _followed(folder: Path, study: str = "made") -> Follower:
    return _look(Follower(Storage(str(folder), probe="look"), study))


def _states(follower: Follower, live: MadeLive) -> dict[tuple[int, int], str]:
    return {place: follower.states[spec.key].words for place, spec in live.specs.items()}


def test_every_trial_has_its_state(tmp_path: Path) -> None:
    live = MadeLive(tmp_path)
    with live.begin():
        live.in_the_middle()
        states = _states(_followed(tmp_path), live)
    assert states == {
        (0, 0): "reused", (1, 0): "finished", (2, 0): "finished", (3, 0): "finished",
        (0, 1): "failed", (1, 1): "finished",
        (2, 1): "resumed, vae, epoch 9 of 25", (3, 1): "running, vae, epoch 3 of 25",
        (0, 2): "interrupted, vae, epoch 7 of 25", (1, 2): "waiting", (2, 2): "waiting", (3, 2): "waiting",
    }  # fmt: skip


def test_a_trial_goes_through_its_states(tmp_path: Path) -> None:
    live = MadeLive(tmp_path)
    key = live.specs[0, 0].key
    with live.begin():
        follower = _followed(tmp_path)
        seen = [follower.states[key].words]
        live.work(0, 0, pid=1)
        seen.append(_look(follower).states[key].words)
        live.train(0, 0, 2, at=time.time() + 1)
        seen.append(_look(follower).states[key].words)
        live.storage.write(f"stages/{live.specs[0, 0].stages['vae']}/done", b"")
        seen.append(_look(follower).states[key].words)
        live.fail(0, 0)
        seen.append(_look(follower).states[key].words)
        live.work(0, 0, pid=2, began=time.time() + 1)  # tried again, by another worker
        seen.append(_look(follower).states[key].words)
        live.finish(0, 0, 3.0)
        seen.append(_look(follower).states[key].words)
    assert seen == [
        "waiting", "running, vae", "running, vae, epoch 2 of 25", "running, latent", "failed", "running, latent",
        "finished",
    ]  # fmt: skip
    assert not follower.failures and not follower.workers


def test_values_that_are_not_finite_are_in_no_curve_but_their_epochs_count(tmp_path: Path) -> None:
    live = MadeLive(tmp_path)
    with live.begin():
        live.work(0, 0, pid=1)
        points = [(step, math.nan if step > 3 else 1.0 / step) for step in range(1, 7)]
        curves = [
            {"name": "val/loss.Bass", "step": step, "value": value, "time": time.time()} for step, value in points
        ]
        live.storage.write(f"stages/{live.specs[0, 0].stages['vae']}/curves.json", json.dumps(curves).encode())
        follower = _followed(tmp_path)
        assert follower.states[live.specs[0, 0].key].words == "running, vae, epoch 6 of 25"
        (plot,) = curves_so_far(follower).plots
    assert plot.heading == "val/loss, vae" and "nan" not in plot.svg.lower()


def test_what_an_earlier_run_finished_is_used_again(tmp_path: Path) -> None:
    live = MadeLive(tmp_path)
    live.finish(0, 0, 3.0)
    follower = _followed(tmp_path)
    assert follower.states[live.specs[0, 0].key].state == "finished"
    plan = live.records.plans.get(live.folder)
    assert plan
    live.records.plans.put(live.folder, replace(plan, began=time.time() + 1))
    assert _look(follower).states[live.specs[0, 0].key].state == "reused"


def test_the_version_changes_with_what_is_seen_and_not_otherwise(tmp_path: Path) -> None:
    live = MadeLive(tmp_path)
    with live.begin():
        live.in_the_middle()
        follower = _followed(tmp_path)
        for change in (lambda: live.train(3, 1, 4), lambda: live.finish(3, 1, 2.0), lambda: live.mirrored(5)):
            before = follower.version
            assert _look(follower).version == before
            change()
            assert _look(follower).version > before


def test_what_has_ended_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = MadeLive(tmp_path)
    with live.begin():
        live.in_the_middle()
        follower, read = _followed(tmp_path), Storage.read
        names: list[str] = []

        def noted(storage: Storage, name: str) -> bytes:
            names.append(name)
            return read(storage, name)

        monkeypatch.setattr(Storage, "read", noted)
        _look(follower)
        ended = {spec.key for spec in live.specs.values() if spec.key in follower.records}
        assert len(ended) == 5
        # Only a failure may become something else.
        assert {name for name in names if name.startswith(("trials/", "stages/"))} == {
            f"trials/{live.specs[0, 1].key}/record.json"
        }


def test_a_storage_is_only_read(tmp_path: Path) -> None:
    live = MadeLive(tmp_path)
    live.in_the_middle()

    def content() -> dict[Path, int]:
        return {file: file.stat().st_mtime_ns for file in [tmp_path, *tmp_path.rglob("*")]}

    before = content()
    _look(_followed(tmp_path))
    assert content() == before


def test_much_is_read_bit_by_bit(tmp_path: Path) -> None:
    made_study(tmp_path, {name: [{"set/frechet": 1.0}] * 5 for name in ("a", "b", "c")})
    follower = Follower(Storage(str(tmp_path)), "made")
    looks = 0
    while not follower.is_whole:
        before = len(follower.records)
        _look(follower, time.monotonic() + 1e-4)
        looks += 1
        assert standing(follower).word == "reading" or follower.is_whole
        assert len(follower.records) >= before
        assert looks < 1000
    assert len(follower.records) == 15 and looks > 1


# Processes.


def test_it_says_who_runs_it_and_when_that_one_stops(tmp_path: Path) -> None:
    live = MadeLive(tmp_path)
    assert standing(_followed(tmp_path)).word == "stopped"
    with live.begin() as lease:
        follower = _followed(tmp_path)
        assert standing(follower).word == "running"
        assert follower.runner and "process" in follower.runner.words
        ask_to_stop(live.storage, lease.name)
        assert standing(_look(follower)).word == "stopping"
    assert standing(_look(follower)).word == "stopped"
    with live.begin():
        assert standing(_look(follower)).word == "running"  # the request was another's


def test_a_study_whose_process_was_killed_is_dead_and_its_trials_interrupted(tmp_path: Path) -> None:
    live = MadeLive(tmp_path)
    with live.begin() as lease:
        live.in_the_middle()
        file = tmp_path / lease.name
        state = json.loads(file.read_text())
        follower = _followed(tmp_path)
        assert len(follower.working) == 2
        killed = file.with_name("0.json")
        killed.write_text(json.dumps(state | {"started": "1"}))  # its process is gone, another has its number
        live.lease = killed.relative_to(tmp_path).as_posix()
    found = standing(_look(follower))
    assert found.word == "dead"
    assert found.sentence.startswith("Dead: ") and "the same command goes on from there" in found.sentence
    assert follower.working == [] and follower.workers == {}
    assert _states(follower, live)[2, 1] == "interrupted, vae, epoch 9 of 25"


def test_a_holder_elsewhere_lives_while_its_heartbeat_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = MadeLive(tmp_path)
    now = [1000.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: now[0])
    watch = leases.HolderWatch(live.storage, f"{live.folder}/runner")
    with Lease(live.storage, f"{live.folder}/runner").take() as lease:
        file = tmp_path / lease.name
        state = json.loads(file.read_text()) | {"machine": "elsewhere"}
        other = file.with_name("0.json")

        def beat(number: int) -> None:
            other.write_text(json.dumps(state | {"beat": number}))

        def is_alive() -> bool:
            return next(holder.alive for holder in watch.look() if holder.name.endswith("/0.json"))

        beat(0)
        assert is_alive()
        now[0] += 14
        assert is_alive()
        beat(1)
        now[0] += 14
        assert is_alive()
        now[0] += 16
        assert not is_alive()
        beat(2)  # it was suspended only
        assert is_alive()


@pytest.mark.parametrize("alive", [True, False])
def test_it_says_when_the_mirror_is_behind(tmp_path: Path, alive: bool) -> None:
    live = MadeLive(tmp_path)
    live.mirrored(3, "MLflow does not answer")
    if alive:
        with live.begin():
            (alert,) = standing(_followed(tmp_path)).alerts
        assert alert == "MLflow is behind: MLflow does not answer."
    else:
        (alert,) = standing(_followed(tmp_path)).alerts
        assert alert.startswith("When the study ended, MLflow was behind: MLflow does not answer; `musiclab sync`")


def test_it_says_when_no_mirror_is_at_work(tmp_path: Path) -> None:
    live = MadeLive(tmp_path)
    plan = live.records.plans.get(live.folder)
    assert plan
    with live.begin():
        assert standing(_followed(tmp_path)).alerts == ()  # it has a minute to start
        live.records.plans.put(live.folder, replace(plan, began=time.time() - 90))
        assert standing(_followed(tmp_path)).alerts[0].startswith("No mirror is at work")
        with Lease(live.storage, f"{live.folder}/mirror").take():
            assert standing(_followed(tmp_path)).alerts == ()


# Time and price.


def test_time_left_is_that_of_finished_trials_over_the_workers(tmp_path: Path) -> None:
    live = MadeLive(tmp_path)
    with live.begin():
        follower = _followed(tmp_path)
        assert Timer(follower).now().left is None
        for number in range(len(DIMS)):
            live.finish(number, 0, 3.0)
        live.work(0, 1, pid=1)
        live.train(0, 1, EPOCHS // 5, at=time.time() + 1)
        live.work(1, 1, pid=2)
        now = Timer(_look(follower)).now()
    assert now.spent == 4 * 61
    # Eight trials are left; a fifth of the training of one is done.
    assert now.left == pytest.approx(8 * 61 - 40 / 5)
    assert now.left_text == "about 4 min with 2 workers"
    assert now.price_text == "4 min of workers' time so far, about 12 min in all"


def test_a_training_that_trials_share_counts_once(tmp_path: Path) -> None:
    live = MadeLive(tmp_path)
    plan = live.records.plans.get(live.folder)
    assert plan
    first, *others = plan.trial_specs
    shared = [replace(spec, stages=spec.stages | {"vae": "shared"}) for spec in others]
    live.records.plans.put(live.folder, replace(plan, trial_specs=(first, *shared)))
    live.finish(0, 0, 3.0)
    follower = _followed(tmp_path)
    assert Timer(follower).now().left == pytest.approx(11 * 21 + 40)


# Searches.


def test_a_search_has_the_states_of_its_proposals(tmp_path: Path) -> None:
    made = MadeSearch(tmp_path)
    made.one_of_each()
    follower = _followed(tmp_path)
    words = {number: state.words for number, state in follower.proposal_states.items()}
    assert words == {0: "finished", 1: "pruned", 2: "failed", 3: "failed", 4: "finished", 5: "waiting"}
    assert {number: failure.reason for number, failure in follower.search.failures.items()} == {
        2: "the loss is not finite", 3: "out of memory",
    }  # fmt: skip
    with Lease(made.storage, f"{FOLDER}/runner").take() as lease:
        state = WorkerState(trial=made.proposal(5).key, began=0.0, lease=lease.name, host="a", pid=1)
        Activity(made.storage, FOLDER).put_worker(state)
        _look(follower)
        assert follower.proposal_states[5].words == "running, vae, epoch 2"
        assert [working.name for working in follower.working] == ["proposal 5"]
        made.end(5, "finished", 2.0)
        assert _look(follower).proposal_states[5].words == "finished"
        assert follower.working == []


def test_a_misfit_is_no_progress_and_shows_its_reason(tmp_path: Path) -> None:
    made = MadeSearch(tmp_path)
    made.one_of_each()
    follower = _followed(tmp_path)
    before = progress_of(follower)
    made.pass_over(6)
    _look(follower)
    assert progress_of(follower) == before
    assert "4 of 5 proposals have ended (1 finished, 1 pruned, 1 diverged, 1 failed)" in standing(follower).sentence
    assert follower.proposal_states[6].words == "failed"


def test_an_enlarged_search_is_not_over(tmp_path: Path) -> None:
    made = made_search(tmp_path, 20, confirmed={4: [1.0] * 7}, control=[2.0] * 7)
    follower = _followed(tmp_path)
    assert standing(follower).word == "over"
    budget = {"trials": 60, "wall_hours": None, "worker_hours": None}
    plans = Records(made.storage).plans
    plans.put(FOLDER, replace(made.plan, design=made.plan.design | {"budget": budget}))
    assert standing(_look(follower)).word == "stopped"
    with Lease(made.storage, f"{FOLDER}/runner").take():
        assert standing(_look(follower)).sentence.startswith("Searching: ")
    search = search_so_far(follower)
    assert search and seconds_left(search) == 40 * 12.0


# What is wrong.


@pytest.mark.parametrize("is_removed", [False, True])
def test_a_plan_that_cannot_be_read_for_a_moment_is_read_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_removed: bool
) -> None:
    """If it is removed instead, the edition before it is followed, whose plan was read in the look that failed."""
    live = MadeLive(tmp_path)
    plan, newer, read = live.records.plans.get(live.folder), "studies/made/f", Storage.read
    assert plan
    live.records.plans.put(newer, replace(plan, edition="f", began=plan.began + 9))
    follower = Follower(Storage(str(tmp_path), probe="look"), "made")

    def failing(storage: Storage, name: str) -> bytes:
        if name.startswith(newer):
            raise OSError("Input/output error")
        return read(storage, name)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "read", failing)
        with pytest.raises(OSError, match="Input/output error"):
            _look(follower)
    if is_removed:
        live.storage.remove_folder(newer)
    assert _look(follower).folder == (live.folder if is_removed else newer)


def test_a_damaged_plan_is_a_sentence(tmp_path: Path) -> None:
    MadeLive(tmp_path)
    (tmp_path / "studies" / "made" / "e" / "plan.json").write_text("{")
    follower = _followed(tmp_path)
    assert standing(follower).word == "unreadable"
    assert "studies/made/e/plan.json" in follower.trouble


def test_damaged_files_are_named_until_they_are_written_anew(tmp_path: Path) -> None:
    made = MadeSearch(tmp_path)
    made.one_of_each()
    proposal, end = (tmp_path / FOLDER / "search" / name for name in ("proposals/00001.json", "ends/00002.json"))
    proposal.write_text("{")
    whole = end.read_text()
    end.write_text(whole[:-9])
    follower = _followed(tmp_path)
    assert standing(follower).alerts[0] == (
        f"Damaged and left out: 2 files ({FOLDER}/search/ends/00002.json and {FOLDER}/search/proposals/00001.json)."
    )
    assert 1 not in follower.proposal_states and follower.proposal_states[2].words == "waiting"
    before = follower.version
    end.write_text(whole)
    assert (
        standing(_look(follower)).alerts[0] == f"Damaged and left out: 1 file ({FOLDER}/search/proposals/00001.json)."
    )
    assert follower.version > before and follower.proposal_states[2].words == "failed"


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    live = MadeLive(tmp_path)
    live.finish(0, 0, 3.0)
    name = f"trials/{live.specs[0, 0].key}/record.json"
    (tmp_path / name).write_text("{}")
    follower = _followed(tmp_path)
    assert standing(follower).alerts[0] == f"Damaged and left out: 1 file ({name})."
    live.finish(0, 0, 3.0)
    assert standing(_look(follower)).alerts == ()


def test_the_newest_edition_is_followed(tmp_path: Path) -> None:
    live = MadeLive(tmp_path)
    live.finish(0, 0, 3.0)
    follower = _followed(tmp_path)
    assert len(follower.records) == 1 and follower.folder == live.folder
    plan = live.records.plans.get(live.folder)
    assert plan
    specs = tuple(spec for spec in plan.trial_specs if spec.variant.name == CONTROL)
    live.records.plans.put("studies/made/f", replace(plan, edition="f", began=plan.began + 9, trial_specs=specs))
    assert _look(follower).folder == "studies/made/f"
    assert follower.records == {} and len(follower.states) == 3


def test_a_plan_may_lose_trials_and_get_them_back(tmp_path: Path) -> None:
    live = MadeLive(tmp_path)
    plan = live.records.plans.get(live.folder)
    assert plan
    one_block = tuple(spec for spec in plan.trial_specs if spec.block.index == 0)
    with live.begin():
        live.in_the_middle()
        follower = _followed(tmp_path)
        counts = []
        for later, specs in enumerate((plan.trial_specs, one_block, plan.trial_specs)):
            blocks = len(specs) // len(DIMS)
            live.records.plans.put(
                live.folder, replace(plan, trial_specs=specs, blocks=blocks, began=live.began + later)
            )
            _look(follower)
            counts.append((len(follower.records), len(newest(follower, 99)), len(follower.failures)))
    assert counts == [(5, 5, 1), (4, 4, 0), (5, 5, 1)]
