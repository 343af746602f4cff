"""Spaces, cells, keys and the queue, all without starting anything."""

import json
from dataclasses import replace

import pytest

from musiclab.design.space import Grid, combinations
from musiclab.design.trials import TrialSpec, Variant, edition, trial_specs
from musiclab.errors import UserError
from musiclab.execution.queue import Queue
from musiclab.study.forecast import sharing
from musiclab.systems.vae_nn.config import VaeNNConfig
from musiclab.systems.vae_nn.system import VaeNN
from musiclab.training.runtime import Runtime
from musiclab.training.streams import Block

SYSTEM, RUNTIME = VaeNN(), Runtime("2.13", "cpu")


def _cells(field: str, values: list, blocks: int, data: str = "d", runtime: Runtime = RUNTIME) -> list[TrialSpec]:
    variants = [Variant("vae_nn", {field: value}, VaeNNConfig(**{field: value}).to_json(), data) for value in values]
    return trial_specs({"vae_nn": SYSTEM}, variants, [Block(0, index) for index in range(blocks)], runtime)


def test_grids_are_crossed_in_order() -> None:
    assert combinations({"a": Grid(1, 2), "b": Grid("x", "y")}) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]


def test_wrong_grids_are_refused() -> None:
    with pytest.raises(UserError, match="at least one"):
        combinations({"a": Grid(1), "b": Grid()})
    with pytest.raises(UserError, match="must be fields"):
        combinations({})
    with pytest.raises(UserError, match="must be a Grid"):
        combinations({"a": [1, 2]})


def test_keys_depend_on_all_that_makes_a_trial_and_on_nothing_else() -> None:
    base = _cells("latent_dim", [16], 1)[0]
    assert base.key == _cells("latent_dim", [16], 3)[0].key
    others = [
        _cells("latent_dim", [8], 1)[0],
        _cells("latent_dim", [16], 2)[1],
        _cells("latent_dim", [16], 1, data="other")[0],
        _cells("noise_sd", [0.7], 1)[0],
        _cells("max_eval", [99], 1)[0],
        _cells("latent_dim", [16], 1, runtime=Runtime("2.14", "cpu"))[0],
        _cells("latent_dim", [16], 1, runtime=Runtime("2.13", "cuda"))[0],
    ]
    assert len({base.key, *(cell.key for cell in others)}) == 8


def test_a_field_changes_its_own_stage_and_later_ones_only() -> None:
    quiet, loud = _cells("noise_sd", [0.1, 0.9], 1)
    assert quiet.stages["vae"] == loud.stages["vae"]
    assert quiet.stages["latent"] == loud.stages["latent"]
    assert quiet.stages["generate"] != loud.stages["generate"]
    narrow, wide = _cells("width", [8, 16], 1)
    assert set(narrow.stages.values()).isdisjoint(wide.stages.values())


def test_code_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _cells("latent_dim", [16], 1)[0].key
    monkeypatch.setattr("musiclab.systems.base.code_hash", lambda *modules, measuring=True: "another")
    assert _cells("latent_dim", [16], 1)[0].key != before


def test_adding_blocks_or_variants_adds_cells_only() -> None:
    small = {cell.key for cell in _cells("latent_dim", [8, 16], 2)}
    large = {cell.key for cell in _cells("latent_dim", [8, 16, 32], 3)}
    assert small < large
    one, two = (
        edition("s", "set/frechet", cells[:1]) for cells in (_cells("beta", [1.0, 2.0], 2), _cells("beta", [2.0], 2))
    )
    assert one == edition("s", "set/frechet", _cells("beta", [1.0], 1))
    assert len({one, two, edition("s", "latent/frame_f1", _cells("beta", [1.0], 1))}) == 3


def test_cells_travel_as_json() -> None:
    cell = _cells("latent_dim", [8], 1)[0]
    assert TrialSpec.from_json(json.loads(json.dumps(cell.to_json()))) == cell


def test_queue_never_runs_two_makers_of_one_stage() -> None:
    queue = Queue(_cells("noise_sd", [0.1, 0.5, 0.9], 2), finished=lambda key: False)
    first, second = queue.next(), queue.next()
    assert (first.block.index, second.block.index) == (0, 1)
    assert queue.next() is None
    assert queue


def test_queue_releases_followers_when_the_stage_is_there() -> None:
    finished: set[str] = set()
    queue = Queue(_cells("noise_sd", [0.1, 0.5, 0.9], 1), finished=finished.__contains__)
    leader = queue.next()
    finished |= {leader.stages["vae"], leader.stages["latent"], leader.stages["generate"]}
    queue.done(leader.key)
    followers = [queue.next(), queue.next()]
    assert {cell.variant.name for cell in followers} == {"noise_sd=0.5", "noise_sd=0.9"}
    assert queue  # one of them may come back
    queue.waiting.append(queue.done(followers[0].key))
    assert queue.next() == followers[0]
    for cell in followers:
        queue.done(cell.key)
    assert not queue


def test_queue_releases_followers_before_the_leader_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    finished: set[str] = set()
    asked: list[str] = []

    def exists(key: str) -> bool:
        asked.append(key)
        return key in finished

    queue = Queue(_cells("noise_sd", [0.1, 0.5], 1), exists)
    monkeypatch.setattr("time.monotonic", lambda: now)
    now = 0.0
    leader = queue.next()
    assert leader and queue.next() is None
    finished |= {leader.stages["vae"], leader.stages["latent"]}
    asked.clear()
    assert queue.next() is None and not asked, "the storage is not asked at every call"
    now = 1.0
    follower = queue.next()
    assert follower and follower.variant.name == "noise_sd=0.5"
    assert set(asked) == set(leader.stages.values()), "only what is being made can be there now"
    queue.done(leader.key)
    assert queue.next() is None and queue


def test_the_first_trial_of_a_block_leads() -> None:
    cells = _cells("latent_dim", [8, 16], 2)
    longer = replace(cells[1].variant, config=cells[1].variant.config | {"continuation": 9})
    cells.append(replace(cells[1], variant=longer, stages={"measure": "longer"}))
    queue, led = Queue(cells, lambda key: False), []
    while spec := queue.next():
        led.append((spec.block.index, queue.leads(spec)))
    assert led == [(0, True), (0, False), (1, True), (1, False), (0, True)], (
        "another number of windows, so another floor"
    )


def test_a_closed_queue_hands_out_nothing() -> None:
    queue = Queue(_cells("latent_dim", [8, 16], 1), finished=lambda key: False)
    queue.next()
    queue.closed = True
    assert queue.next() is None
    assert not queue


def test_a_trial_that_is_put_back_comes_next_and_lets_no_other_make_its_stage() -> None:
    queue = Queue(_cells("noise_sd", [0.1, 0.5], 2), finished=lambda key: False)
    first, second = queue.next(), queue.next()
    for key in (first.key, second.key):
        queue.place(key)
    assert queue.put_back(second.key) == second
    assert [*queue.placed] == [first.key] and list(queue.running) == [first.key]
    assert queue.next() == second
    assert queue.next() is None


def test_seconds_are_those_of_all_tries_and_none_of_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    (cell,) = _cells("latent_dim", [8], 1)
    queue = Queue([cell], finished=lambda key: False)
    for waits, runs in ((100.0, 7.0), (200.0, 5.0)):
        assert queue.next() == cell
        now += waits
        queue.place(cell.key)
        now += runs
        queue.put_back(cell.key)
    assert queue.seconds == {cell.key: 12.0} and not queue.placed


def test_a_trial_is_proposed_only_if_it_may_be() -> None:
    waiting, proposed = _cells("latent_dim", [8, 16], 1)
    queue = Queue([waiting], finished=lambda key: False, propose=iter([proposed, None]).__next__)
    assert queue.next(may_propose=False) == waiting
    assert queue.next(may_propose=False) is None and queue
    assert queue.next() == proposed


def test_queue_goes_on_when_a_leader_failed() -> None:
    queue = Queue(_cells("noise_sd", [0.1, 0.5], 1), finished=lambda key: False)
    queue.done(queue.next().key)
    assert queue.next().variant.name == "noise_sd=0.5"


def test_independent_cells_all_run_at_once() -> None:
    queue = Queue(_cells("latent_dim", [8, 16, 32], 1), finished=lambda key: False)
    assert [queue.next() is not None for _ in range(3)] == [True] * 3


def test_sharing_counts_stages_once() -> None:
    todo = _cells("noise_sd", [0.1, 0.5, 0.9], 2)
    assert sharing(todo, lambda key: False)["vae_nn", "vae"] == (2, 6)
    assert sharing(todo, lambda key: key == todo[0].stages["vae"])["vae_nn", "vae"] == (1, 6)
    assert sharing(todo, lambda key: False)["vae_nn", "generate"] == (6, 6)


def test_control_of_another_block_is_another_cell() -> None:
    cell = _cells("latent_dim", [16], 1)[0]
    assert replace(cell, block=Block(1, 0)) != cell


def test_a_revision_changes_the_keys_of_its_stage_and_of_later_ones_only(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _cells("latent_dim", [16], 1)[0].stages
    for number, stage in enumerate(SYSTEM.stages):
        with monkeypatch.context() as patch:
            patch.setattr(VaeNN, "stages", SYSTEM.stages | {stage: 99})
            after = _cells("latent_dim", [16], 1)[0].stages
        changed = [name for name in before if before[name] != after[name]]
        assert changed == list(before)[number:]


def test_a_measure_with_a_new_revision_trains_nothing_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _cells("latent_dim", [16], 1)[0].stages
    monkeypatch.setattr("musiclab.measures.REVISION", 99)
    after = _cells("latent_dim", [16], 1)[0].stages
    assert [name for name in before if before[name] != after[name]] == ["measure"]
