"""Searches whose trials take no time: what is proposed, what survives a kill, what the sampler is told."""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from musiclab import Budget, Categorical, Float, Int, Search, Study
from musiclab.design.design import Design
from musiclab.design.trials import TrialSpec
from musiclab.errors import UserError
from musiclab.execution.executor import InProcess, OnTrialEnd, Say
from musiclab.execution.queue import Queue
from musiclab.execution.trial import TrialRunner
from musiclab.progress import Progress
from musiclab.search.run import SearchRun
from musiclab.storage.files import Storage
from musiclab.storage.leases import Lease
from musiclab.storage.records import Records
from musiclab.storage.search_documents import Decision
from musiclab.study.loop import TrialLoop
from musiclab.study.metrics import study_metrics
from musiclab.study.options import design_of, parse_options
from musiclab.study.plan_file import PlanFile
from musiclab.study.run import StudyRun
from tests.support.asked_again import asked_again
from tests.support.made_records import made_cost, made_record

NUMBERS = {"latent_dim": Int(2, 64, log=True), "noise_sd": Float(0, 2), "beta": Float(1e-3, 10, log=True)}
MIXED = NUMBERS | {
    "alpha_mix": Categorical("per_instrument", "last_window"),
    "peaks": Int(0, 6),
    "contrast": Float(0, 1, when={"alpha_mix": "per_instrument"}),
}
SPACES = {"random": MIXED, "tpe": MIXED, "nsga2": MIXED, "qmc": MIXED, "cmaes": NUMBERS, "gp": NUMBERS}
BUDGETS = {"gp": 14}  # of which it draws ten at random; more take it long


@pytest.fixture
def designed(song_folder: Path) -> Callable[..., Design]:
    def made(space: dict[str, Any] = MIXED, study: dict[str, Any] | None = None, **search: Any) -> Design:
        asked = Study(
            name="q", system="vae_nn", space=Search(space, **{"budget": 12} | search), blocks=3, objective="frechet",
            question="?", **study or {},
        )  # fmt: skip
        return design_of(asked, parse_options("?", ["--data", f"midi:{song_folder}", "--in-process"]))

    return made


def value_of(values: dict[str, Any]) -> float:
    """The best is at latent_dim 16, noise 0.5."""
    return (math.log2(values["latent_dim"]) - 4) ** 2 + (values["noise_sd"] - 0.5) ** 2 + values.get("contrast", 0.2)


def finish(
    run: SearchRun, trial: TrialSpec, value: float | None = None, seconds: float = 0.0, **measures: float
) -> None:
    """Write the trial's record, as a worker does that had it for so long, and note its end."""
    value = value_of(trial.variant.values) if value is None else value
    record = made_record({"set/frechet": value, **measures}, {"set/frechet.random": 300.0}, key=trial.key,
                         config=trial.variant.config, block=trial.block)  # fmt: skip
    run.records.put(trial.key, record, made_cost(), {})
    assert run.on_trial_end(trial, None, seconds) == ""


def proposed(run: SearchRun) -> list[dict[str, Any]]:
    return [proposal.values for proposal in run.proposals.values()]


def storage(folder: Path) -> Records:
    return Records(Storage(str(folder)))


def search_all(
    design: Design, folder: Path, pending: int = 1, kill_at: Callable[[int], bool] = lambda n: False
) -> SearchRun:
    """Run a search with so many trials at a time, the oldest of which ends first; a kill forgets all but the files."""
    run = SearchRun(design, storage(folder))
    run.start()
    running = run.todo
    for n in range(1000):
        if kill_at(n):
            run = SearchRun(design, storage(folder))
            run.start()
            running = run.todo
        while len(running) < pending and (trial := run.propose()):
            running.append(trial)
        if not running:
            break
        finish(run, running.pop(0))
    assert run.is_over
    return run


@pytest.mark.parametrize("sampler", SPACES)
def test_a_kill_between_trials_changes_no_proposal(
    sampler: str, designed: Callable[..., Design], tmp_path: Path
) -> None:
    budget = BUDGETS.get(sampler, 24)
    design = designed(SPACES[sampler], sampler=sampler, budget=budget)
    undisturbed = search_all(design, tmp_path / "one")
    killed = search_all(design, tmp_path / "other", kill_at=lambda n: n in (1, 2, 11, budget - 7, budget - 1))
    assert proposed(killed) == proposed(undisturbed)
    assert killed.notes == []
    assert len({str(values) for values in proposed(killed)}) > budget - 4
    assert [end.told for end in killed.ends.values()] == [end.told for end in undisturbed.ends.values()]


@pytest.mark.parametrize("sampler", SPACES)
def test_with_two_workers_each_proposal_is_reproduced_from_what_had_been_told(
    sampler: str, designed: Callable[..., Design], tmp_path: Path
) -> None:
    budget = BUDGETS.get(sampler, 24)
    design = designed(SPACES[sampler], sampler=sampler, budget=budget)
    before = search_all(design, tmp_path, pending=2)
    assert SearchRun(design, storage(tmp_path)).notes == []
    assert {proposal.told for proposal in before.proposals.values()} == {*range(budget - 1)}
    for number in (5, 12, budget - 1):
        again = asked_again(design.search, [False], design.spec.seed, before.proposals.values(), before.ends, number)
        assert again == before.proposals[number].values


def test_a_proposal_is_kept_before_its_trial_starts(designed: Callable[..., Design], tmp_path: Path) -> None:
    run = SearchRun(designed(), storage(tmp_path))
    run.start()
    trial = run.propose()
    again = SearchRun(designed(), storage(tmp_path))
    assert [each.key for each in again.todo] == [trial.key]
    finish(again, trial)
    assert again.todo == [] and [end.state for end in again.ends.values()] == ["finished"]


def test_a_record_without_an_end_is_told(designed: Callable[..., Design], tmp_path: Path) -> None:
    run = SearchRun(designed(), storage(tmp_path))
    run.start()
    trial = run.propose()
    run.records.put(trial.key, made_record({"set/frechet": 7.0}, key=trial.key), made_cost(), {})
    again = SearchRun(designed(), storage(tmp_path))
    assert again.todo == [] and again.ends[0].told == (7.0,)


def test_starting_points_come_first_the_articles_before_the_control(
    designed: Callable[..., Design], tmp_path: Path
) -> None:
    run = search_all(designed(), tmp_path)
    sources = [proposal.source for proposal in run.proposals.values()]
    assert sources == ["start"] * 2 + ["sampler"] * 10
    article, control = proposed(run)[:2]
    assert (article["peaks"], article["contrast"]) == (0, 0.0)
    nearest = {name: MIXED[name].nearest(run.design.variants[0].config[name]) for name in control}
    assert control == nearest and nearest["peaks"] == 0  # the control's is -1
    given = designed(starts=[{"latent_dim": 3, "alpha_mix": "last_window"}], budget=2)
    first = search_all(given, tmp_path / "given").proposals[0].values
    assert first | {"latent_dim": 3, "alpha_mix": "last_window"} == first and "contrast" not in first


def test_conditions_decide_which_fields_are_proposed(designed: Callable[..., Design], tmp_path: Path) -> None:
    run = search_all(designed(budget=30, sampler="random"), tmp_path)
    kinds = Counter((values["alpha_mix"], "contrast" in values) for values in proposed(run))
    assert set(kinds) == {("per_instrument", True), ("last_window", False)}
    for trial in run._trials.values():
        if trial.variant.values["alpha_mix"] == "last_window":
            assert trial.variant.config["contrast"] == run.design.variants[0].config["contrast"]


def test_more_budget_goes_on_and_another_space_is_another_search(
    designed: Callable[..., Design], tmp_path: Path
) -> None:
    few, many = designed(budget=6), designed(budget=12)
    search_all(few, tmp_path)
    assert proposed(search_all(many, tmp_path)) == proposed(search_all(many, tmp_path / "at once"))
    assert few.folder == many.folder == designed(sampler="random").folder == designed(confirm=2).folder
    assert designed(NUMBERS).folder != few.folder


def test_what_another_sampler_proposed_stays_and_one_sentence_says_so(
    designed: Callable[..., Design], tmp_path: Path
) -> None:
    few, more = designed(budget=12, sampler="qmc"), designed(budget=24, sampler="nsga2")
    for name in ("one", "other"):
        search_all(few, tmp_path / name)
    run = search_all(more, tmp_path / "one")
    (note,) = run.notes
    assert note.startswith("nsga2, asked again, did not make 10 of 12 proposals once more, because another sampler or")
    assert len(run.ends) == 24 and {end.state for end in run.ends.values()} == {"finished"}
    killed = search_all(more, tmp_path / "other", kill_at=lambda n: n in (3, 11))
    assert proposed(killed) == proposed(run) and proposed(run)[:12] == proposed(search_all(few, tmp_path / "few"))
    (note,) = killed.notes
    assert "did not make 10 of 23 proposals once more" in note  # its own it makes again


def test_what_there_is_already_is_told_and_costs_no_budget(designed: Callable[..., Design], tmp_path: Path) -> None:
    design = designed({"latent_dim": Int(2, 4), "noise_sd": Categorical(0.0, 1.0)}, budget=40)
    run = search_all(design, tmp_path)
    assert run.exhausted and run.spent == len(run._numbers) <= 6 + 2
    again = [proposal for proposal in run.proposals.values() if proposal.source == "again"]
    assert len(again) >= 50
    for proposal in again:
        assert run.ends[proposal.number].told == (value_of(proposal.values),)


@pytest.mark.parametrize("sampler", SPACES)
def test_fields_that_do_not_fit_together_are_passed_over(
    sampler: str, designed: Callable[..., Design], tmp_path: Path
) -> None:
    design = designed(NUMBERS | {"resolution": Int(1, 7)}, sampler=sampler, budget=BUDGETS.get(sampler, 24))
    run = search_all(design, tmp_path / "one")
    misfits = [proposal for proposal in run.proposals.values() if proposal.source == "misfit"]
    assert misfits and run.spent == BUDGETS.get(sampler, 24) and not run.exhausted
    assert run.states.keys().isdisjoint(proposal.key for proposal in misfits)
    for proposal in misfits:
        end, resolution = run.ends[proposal.number], proposal.values["resolution"]
        assert end.state == "failed" and resolution in (5, 7)
        assert end.told == ((300.0,) if end.order > 0 else None)  # as bad as noise, once it is known how bad that is
        assert end.reason == f"resolution must be a divisor of 24; got {resolution}."
    killed = search_all(design, tmp_path / "other", kill_at=lambda n: n % 2 == 1)
    assert proposed(killed) == proposed(run) and killed.notes == []


def test_a_misfit_without_an_end_gets_one(designed: Callable[..., Design], tmp_path: Path) -> None:
    design = designed(NUMBERS | {"resolution": Int(1, 7)}, budget=12)
    run = search_all(design, tmp_path)
    last = [number for number, proposal in run.proposals.items() if proposal.source == "misfit"][-1]
    (end,) = tmp_path.glob(f"studies/q/*/search/ends/{last:05}.json")
    end.unlink()
    assert SearchRun(design, storage(tmp_path)).ends[last].state == "failed" and end.exists()


def test_a_space_in_which_nothing_fits_is_exhausted(designed: Callable[..., Design], tmp_path: Path) -> None:
    design = designed({"resolution": Categorical(5, 7)}, budget=12)
    assert design.starts() == []
    run = search_all(design, tmp_path)
    assert run.is_over and run.exhausted and run.spent == 0 and run.best() is None


def test_records_of_a_system_that_has_got_fields_since_are_no_findings(
    designed: Callable[..., Design], tmp_path: Path
) -> None:
    design, records = designed(), storage(tmp_path)
    trial = design.proposed(design.starts()[0])
    config = {name: value for name, value in trial.variant.config.items() if name != "peaks"}
    record = made_record({"set/frechet": 9.0}, key="0123", config=config, block=trial.block)
    records.put("0123", record, made_cost(), {})
    assert {proposal.source for proposal in search_all(design, tmp_path).proposals.values()} == {"start", "sampler"}


def test_an_exhausted_search_is_over_until_it_gets_a_larger_budget(
    designed: Callable[..., Design], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musiclab.search.run._REPEATS", 5)
    space = {"latent_dim": Int(2, 3), "noise_sd": Categorical(0.0, 1.0)}
    run = search_all(designed(space, budget=40, sampler="random"), tmp_path)
    assert run.exhausted and not SearchRun(run.design, storage(tmp_path)).is_over  # it was killed at its end
    run.confirmed()
    again = SearchRun(run.design, storage(tmp_path))
    assert again.is_over and again.propose() is None
    assert proposed(again) == proposed(run) and again.confirmed() == run.confirmed()
    assert not SearchRun(designed(space, budget=41), storage(tmp_path)).is_over


def test_what_another_study_has_finished_is_taken_up_before_the_first_proposal(
    designed: Callable[..., Design], tmp_path: Path
) -> None:
    design, records = designed(), storage(tmp_path)
    values = {"latent_dim": 8, "noise_sd": 1.0, "beta": 1.0, "alpha_mix": "last_window", "peaks": 2}
    inside, elsewhere = design.proposed(values), design.proposed(values | {"latent_dim": 128})
    for trial, block in ((inside, 0), (elsewhere, 0), (design.proposed(values | {"peaks": 3}), 1)):
        record = made_record({"set/frechet": 9.0}, key=trial.key, config=trial.variant.config,
                             block=dataclasses.replace(trial.block, index=block))  # fmt: skip
        records.put(trial.key, record, made_cost(), {})
    run = search_all(design, tmp_path)
    found = [proposal for proposal in run.proposals.values() if proposal.source == "found"]
    assert [proposal.values for proposal in found] == [values] and found[0].number == 0
    assert run.ends[0].told == (9.0,) and run.spent == 12


def test_a_starting_point_that_another_study_has_finished_is_not_proposed_again(
    designed: Callable[..., Design], tmp_path: Path
) -> None:
    design, records = designed(), storage(tmp_path)
    control = design.proposed(design.starts()[1])
    record = made_record({"set/frechet": 9.0}, key=control.key, config=control.variant.config, block=control.block)
    records.put(control.key, record, made_cost(), {})
    run = search_all(design, tmp_path)
    sources = Counter(proposal.source for proposal in run.proposals.values())
    assert sources == {"found": 1, "start": 1, "sampler": 11} and not run.exhausted
    assert SearchRun(design, storage(tmp_path)).is_over


def test_the_leader_is_the_first_of_the_best(designed: Callable[..., Design], tmp_path: Path) -> None:
    run = SearchRun(designed(budget=5), storage(tmp_path))
    run.start()
    assert run.leader() is None
    for value in (math.nan, 3.0, 2.0, 2.0, 4.0):
        finish(run, run.propose(), value)
    for each in (run, SearchRun(run.design, storage(tmp_path))):
        assert each.leader() == "proposal 2 (2)"


STATES = ["finished", "pruned", "diverged", "failed", "finished"]


def ended(design: Design, folder: Path) -> SearchRun:
    """A search whose first trials have ended in STATES."""
    run = SearchRun(design, storage(folder))
    run.start()
    for n, how in enumerate(STATES):
        trial = run.propose()
        if how == "finished":
            finish(run, trial, float(n))
            continue
        if how == "pruned":
            run.files.put_decision(0, Decision(key=trial.key, value=-0.25, beside=5, go_on=False))
        else:
            run.records.put_failure(trial.key, how, "log", again=False, diverged=how == "diverged")
        assert run.on_trial_end(trial, None) == ""
    return run


def test_trials_of_a_search_and_of_its_plan_add_up_in_its_metrics(
    designed: Callable[..., Design], tmp_path: Path
) -> None:
    run = ended(designed(scheduler="asha"), tmp_path)
    assert run.propose()
    assert list(run.states.values()) == [*STATES, None]
    study_run = StudyRun(run.design, run.records)
    loop, mirror = SimpleNamespace(running=1), SimpleNamespace(points_behind=7)
    metrics = study_metrics(PlanFile(study_run), run, loop, mirror)
    planned = {"waiting": len(study_run.trial_specs), "running": 1, "stopped": 0}
    assert metrics.trials == planned | {"finished": 2, "pruned": 1, "failed": 2}
    assert (metrics.failures, metrics.mirror_behind) == (2, 7)


def test_states_as_people_read_them_and_as_the_sampler_is_told(designed: Callable[..., Design], tmp_path: Path) -> None:
    run = ended(designed(scheduler="asha"), tmp_path)
    for each in (run, SearchRun(run.design, storage(tmp_path))):
        assert [end.state for end in each.ends.values()] == STATES
        assert [end.told for end in each.ends.values()] == [(0.0,), None, None, None, (4.0,)]
        told = each._sampler._study.get_trials()
        complete, pruned, fail = (getattr(optuna.trial.TrialState, name) for name in ("COMPLETE", "PRUNED", "FAIL"))
        assert [trial.state for trial in told] == [complete, pruned, pruned, fail, complete]
        assert told[1].intermediate_values == {0: -0.25} and told[2].intermediate_values == {}


@pytest.mark.parametrize("sampler", ["gp", "cmaes", "nsga2"])
def test_who_learns_from_complete_trials_only_is_told_that_divergence_is_as_bad_as_noise(
    sampler: str, designed: Callable[..., Design], tmp_path: Path
) -> None:
    run = SearchRun(designed(NUMBERS, sampler=sampler), storage(tmp_path))
    run.start()
    finish(run, run.propose(), 20.0)
    trial = run.propose()
    run.records.put_failure(trial.key, "diverged: x", "log", again=False, diverged=True)
    run.on_trial_end(trial, None)
    assert (run.ends[1].state, run.ends[1].told) == ("diverged", (300.0,))


def test_a_failure_that_may_pass_is_tried_again(designed: Callable[..., Design], tmp_path: Path) -> None:
    run = SearchRun(designed(), storage(tmp_path), max_failures=1)
    run.start()
    trial = run.propose()
    assert run.on_trial_end(trial, ("its worker died", "log")) == "its worker died"
    assert not run.has_ended(trial)
    assert run.on_trial_end(trial, ("its worker died", "log")) == ""
    assert run.has_ended(trial) and run.ends[0].state == "failed"


def test_a_trial_whose_worker_died_and_that_then_ends_early_has_not_failed(
    designed: Callable[..., Design], tmp_path: Path
) -> None:
    run = SearchRun(designed(scheduler="asha"), storage(tmp_path), max_failures=3)
    run.start()
    trial = run.propose()
    assert run.on_trial_end(trial, ("its worker died", "log")) == "its worker died"
    run.files.put_decision(0, Decision(key=trial.key, value=1.0, beside=5, go_on=False))
    assert run.on_trial_end(trial, None) == ""
    assert run.ends[0].state == "pruned" and run.records.failure(trial.key) is None


def test_a_trial_that_was_stopped_has_no_end(designed: Callable[..., Design], tmp_path: Path) -> None:
    run = SearchRun(designed(), storage(tmp_path))
    run.start()
    trial = run.propose()
    assert run.on_trial_end(trial, None) == "" and not run.has_ended(trial)
    assert [each.key for each in SearchRun(designed(), storage(tmp_path)).todo] == [trial.key]


def test_the_best_are_confirmed_without_the_control(designed: Callable[..., Design], tmp_path: Path) -> None:
    design = designed({"latent_dim": Int(2, 64)}, budget=10, confirm=3)
    run = SearchRun(design, storage(tmp_path))
    run.start()
    control = design.proposed({}).key
    while trial := run.propose():
        finish(run, trial, 0.0 if trial.key == control else float(trial.variant.values["latent_dim"]))
    by_value = sorted((end.scores["set/frechet"], number) for number, end in run.ends.items())
    confirmed = run.confirmed()
    assert [f"proposal {number}" for _, number in by_value[1:4]] == list(confirmed)
    assert run.files.confirmation().numbers == tuple(number for _, number in by_value[1:4])
    larger = SearchRun(designed({"latent_dim": Int(2, 64)}, budget=12, confirm=4), storage(tmp_path))
    larger.start()
    assert larger.confirmed() == confirmed  # not yet over
    while trial := larger.propose():
        finish(larger, trial, -float(trial.variant.values["latent_dim"]))
    assert confirmed.keys() < larger.confirmed().keys()  # what was seen stays in the family


def test_of_two_objectives_the_members_of_the_front_are_spread(designed: Callable[..., Design], tmp_path: Path) -> None:
    run = SearchRun(designed(also=("precision",), budget=14, sampler="nsga2", confirm=3), storage(tmp_path))
    run.start()
    points = [(0, 0), (1, 0.1), (2, 0.5), (3, 0.6), (4, 0.9), (5, 0.95), (5, 0.2), (9, 0.94)]
    for n in range(14):
        distance, precision = points[n % len(points)]
        finish(run, run.propose(), distance + n // len(points) * 10, **{"set/precision": precision})
    assert list(run.confirmed()) == ["proposal 0", "proposal 5", "proposal 2"]


def test_budgets_of_time(designed: Callable[..., Design], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("musiclab.search.run.time.time", lambda: clock[0])

    def go_on(run: SearchRun, trials: int) -> int:
        run.start()
        for n in range(trials):
            if (trial := run.propose()) is None:
                return n
            clock[0] += 600
            finish(run, trial, seconds=600)
        return trials

    wall = designed(budget=Budget(wall_hours=1))
    assert go_on(SearchRun(wall, storage(tmp_path)), 4) == 4
    clock[0] += 1e6  # nobody ran it
    run = SearchRun(wall, storage(tmp_path))
    assert go_on(run, 9) == 2 and run.is_over
    workers = designed(budget=Budget(worker_hours=0.5))
    assert go_on(SearchRun(workers, storage(tmp_path / "w")), 9) == 3


def test_a_search_whose_hours_were_spent_at_its_end_proposes_nothing_more(
    designed: Callable[..., Design], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("musiclab.search.run.time.time", lambda: clock[0])
    run = SearchRun(designed(budget=Budget(wall_hours=1)), storage(tmp_path))
    run.start()
    clock[0] += 3599
    finish(run, run.propose())
    clock[0] += 1
    assert run.propose() is None
    run.confirmed()
    assert SearchRun(run.design, storage(tmp_path)).propose() is None


def test_seconds_of_waiting_are_none_of_a_worker(
    designed: Callable[..., Design], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    run = SearchRun(designed(), storage(tmp_path))

    class OneMachine(InProcess):
        def run(self, queue: Queue, trials: TrialRunner, on_trial_end: OnTrialEnd, say: Say) -> None:
            for trial, seconds in [(queue.next(), 600.0), (queue.next(), 30.0)]:
                queue.place(trial.key)
                clock[0] += seconds
                run.records.put(trial.key, made_record({"set/frechet": 1.0}, key=trial.key), made_cost(), {})
                on_trial_end(queue.done(trial.key), None)

    lease = Lease(run.records.storage, f"{run.design.folder}/runner")
    with lease.take(), Progress("trials", 2) as progress, TrialLoop(OneMachine(), lease, False, progress) as loop:
        run.start()
        loop.run(run, run.propose)
    assert [end.seconds for end in run.ends.values()] == [600.0, 30.0]


def test_the_queue_proposes_while_nothing_is_ready(designed: Callable[..., Design], tmp_path: Path) -> None:
    run = SearchRun(designed(budget=4), storage(tmp_path))
    run.start()
    queue = Queue(run.todo, run.records.stages.done, run.propose)
    handed = [queue.next() for _ in range(4)]
    assert [bool(each) for each in handed] == [True, True, True, False] and queue
    # The second starting point trains what the first trains, and others were proposed meanwhile.
    assert [proposal.source for proposal in run.proposals.values()] == ["start"] * 2 + ["sampler"] * 2
    assert [trial.key for trial in queue.waiting] == [run.proposals[1].key]
    for trial in handed[:3]:
        finish(run, queue.done(trial.key))
    finish(run, queue.done(queue.next().key))
    assert queue.next() is None and not queue


def test_a_sampler_of_the_users_own_goes_on_from_what_was_told(designed: Callable[..., Design], tmp_path: Path) -> None:
    for _ in range(2):  # another process makes it anew
        design = designed(sampler=optuna.samplers.TPESampler(seed=7), budget=12)
        run = SearchRun(design, storage(tmp_path))
        run.start()
        for _ in range(6):
            finish(run, run.propose())
    assert run.is_over and Counter(each.source for each in run.proposals.values()) == {"start": 2, "sampler": 10}


@pytest.fixture
def asked(song_folder: Path) -> Iterator[Callable[..., None]]:
    def ask(sentence: str, space: Any = None, study: dict[str, Any] | None = None, **search: Any) -> None:
        space = {"latent_dim": Int(2, 64)} if space is None else space
        spec = {"name": "q", "system": "vae_nn", "blocks": 3, "objective": "frechet", "question": "?"} | (study or {})
        with pytest.raises(UserError) as caught:
            options = parse_options("?", ["--data", f"midi:{song_folder}", "--in-process"])
            design_of(Study(space=Search(space, **search), **spec), options)
        assert str(caught.value).startswith(sentence), str(caught.value)
        assert "\n" not in str(caught.value)

    yield ask


def test_what_cannot_be_searched_is_one_sentence(asked: Callable[..., None]) -> None:
    asked("Search's space must be fields with ranges, ", {})
    asked("latent_dim must be a Float, Int or Categorical; got (2, 8)", {"latent_dim": (2, 8)})
    asked("latent_dim must have room between low and high; got 8 to 8.", {"latent_dim": Int(8, 8)})
    asked("low of beta must be above 0, because log=True; got 0", {"beta": Float(0, 1, log=True)})
    asked("low of latent_dim must be a whole number; got 1.5.", {"latent_dim": Int(1.5, 8)})
    asked("latent_dim must be an Int, by the type of the field", {"latent_dim": Float(1, 8)})
    asked("latent_dim must be a whole number from 1 to 256; got 0.", {"latent_dim": Int(0, 8)})
    asked("There is no field 'latent_dims' in VaeNNConfig; did you mean", {"latent_dims": Int(1, 8)})
    asked("peaks must have at least two values", {"peaks": Categorical(1)})
    asked("alpha_mix must be one of ", {"alpha_mix": Categorical("per_instrument", "never")})
    asked("The values of peaks must differ; ", {"peaks": Categorical(1, 1)})
    on_peaks = Float(0, 1, when={"peaks": 2})
    asked("when of contrast must name fields of the search; got 'peaks'", {"contrast": on_peaks})
    asked("when of contrast must name fields declared before it; 'peaks' comes later.",
          {"contrast": on_peaks, "peaks": Int(0, 6)})  # fmt: skip
    asked("when of contrast must have values that peaks can take; got 2.",
          {"peaks": Categorical(0, 1), "contrast": on_peaks})  # fmt: skip
    asked("sampler must be one of random, qmc, ", sampler="grid")
    asked("sampler must be one of random, qmc, ", sampler=3)
    asked("sampler must be made, such as TPESampler(); got the class.", sampler=optuna.samplers.TPESampler)
    asked("sampler='cmaes' needs a number that always matters; ", {"peaks": Categorical(0, 1)}, sampler="cmaes")
    asked("sampler='cmaes' takes one objective; ", sampler="cmaes", also=("precision",))
    asked("sampler='gp' takes no conditional fields; use tpe, or leave out when of contrast.",
          {"peaks": Int(0, 6), "contrast": on_peaks}, sampler="gp")  # fmt: skip
    asked("scheduler must be one of none, asha; got 'hyperband'.", scheduler="hyperband")
    asked("scheduler='asha' compares trials on the same windows, but resolution changes them; ",
          {"resolution": Categorical(2, 4)}, scheduler="asha")  # fmt: skip
    asked("scheduler='asha' compares trials by nats a validation window, which tokens changes the meaning of; ",
          {"tokens": Categorical("onsets", "steps")}, {"system": "note_rnn"}, scheduler="asha")  # fmt: skip
    asked("sampler='gp' learns nothing from trials that scheduler='asha' ends early; ", sampler="gp", scheduler="asha")
    asked("when of contrast must have values that peaks can take; got 'two'.",
          {"peaks": Int(0, 6), "contrast": Float(0, 1, when={"peaks": "two"})})  # fmt: skip
    asked("Search's space must have names of fields; got 5.", {5: Int(1, 2)})
    asked("high of latent_dim must be a whole number; got 1000", {"latent_dim": Int(1, 10**400)})
    asked("log of latent_dim must be True or False; got 'x'.", {"latent_dim": Int(1, 8, log="x")})
    asked(
        "also must have each measure once, and not the objective; got precision.", also=("precision", "set/precision")
    )
    asked("also must have each measure once, and not the objective; got frechet.", also=("frechet",))
    asked("wall_hours of the budget must be a number above 0; got nan.", budget=Budget(wall_hours=math.nan))
    asked("wall_hours of the budget must be a number above 0; got inf.", budget=Budget(wall_hours=math.inf))
    asked("also must be a tuple of names of measures, such as ('precision',); got 'precision'.", also="precision")
    asked("budget must be a number of trials or a Budget; got '9'.", budget="9")
    asked("trials of the budget must be a whole number above 0; got 0.", budget=0)
    asked("budget must have trials, wall_hours or worker_hours; ", budget=Budget())
    asked("The budget must allow all 2 starting points; got 1 trials.", MIXED, budget=1)
    asked("confirm must be a whole number of at least 1; got 0.", confirm=0)
    asked("starts must be a list of configurations", starts={"latent_dim": 3})
    asked("Start 1 must have fields of the search only; got 'beta'.", starts=[{"beta": 3}])
    asked("latent_dim of start 2 must be in the range of its search; got 128.", starts=[{}, {"latent_dim": 128}])
    asked("also must be a measure with a better direction, such as frechet; got kl, which has none.", also=("kl",))
    asked("q names no system; ", study={"system": ""})
    asked("q both fixes latent_dim and compares values of it; ", study={"fixed": {"latent_dim": 3}})
