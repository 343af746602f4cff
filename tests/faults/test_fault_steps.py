"""A study in one process dies between any two steps of its writing, half through a file too, and is run again."""

import os
import random
import time
from collections import Counter

import pytest

from musiclab.storage.files import Storage
from musiclab.tracking.reconcile import Reconciler
from tests.faults.forks import KILLED, Nursery
from tests.faults.judging import Truth, Watch, faults
from tests.faults.tally import TALLY, seeds
from tests.support.mlflow_servers import needs_postgres

# The tests that kill a hundred times.
MANY = {
    "test_many_in_one_process_with_a_server_on_sqlite", "test_many_on_a_ray_of_this_machine",
    "test_many_on_a_ray_of_this_machine_whose_raylet_dies", "test_many_on_two_nodes_with_a_server_on_postgresql",
    "test_dying_before_each_step_costs_nothing",
}  # fmt: skip
# What of a study's files counts most.
FILES = ("checkpoint.safetensors", "done", "run.json", "record.json")


@pytest.mark.slow
def test_every_kind_of_step_is_counted(nursery: Nursery) -> None:
    assert {step.split(" /")[0] for step in nursery.steps} == {"open", "half of", "rename to", "remove"}
    assert {step.split("/")[1] for step in nursery.steps} >= {"stages", "trials", "studies", "scales", "splits"}
    for name in FILES:
        assert nursery.steps_of(name), name


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(100, len(FILES)))
def test_dying_before_a_step_costs_nothing(seed: int, nursery: Nursery, half: Truth) -> None:
    _die(random.Random(seed).choice(nursery.steps_of(FILES[seed % len(FILES)])), nursery, half)


@pytest.mark.long
@pytest.mark.parametrize("name", [*FILES, "others"])
def test_dying_before_each_step_costs_nothing(name: str, nursery: Nursery, half: Truth) -> None:
    left = set(range(1, len(nursery.steps) + 1))
    by_file = {}
    for file in FILES:  # what is right after one may be right before another
        by_file[file] = left & set(nursery.steps_of(file))
        left -= by_file[file]
    for step in sorted(left if name == "others" else by_file[name]):
        _die(step, nursery, half)


def _die(step: int, nursery: Nursery, half: Truth) -> None:
    began, storage = time.monotonic(), nursery.storage(f"step-{step}")
    watch = Watch(storage)
    watch.start()
    assert nursery.run(storage, die_at=step) == KILLED
    assert nursery.run(storage) == 0, storage.with_suffix(".log").read_text()
    watch.end()
    (plan,) = storage.glob("studies/*/*/plan.json")
    uri = f"sqlite:///{storage}/mlflow.db"
    Reconciler(Storage(str(storage)), str(plan.parent.relative_to(storage)), uri).round(last=True)
    found = faults(half, storage, uri, watch, in_process=True)
    TALLY.add(Counter({"between two steps": 1}), 1, found, time.monotonic() - began)
    assert found == Counter(), f"killed before step {step}, {nursery.steps[step - 1]}"


@pytest.mark.long
def test_enough_was_killed_in_these_many(request: pytest.FixtureRequest) -> None:
    needs_postgres()
    chosen = {getattr(item, "originalname", "") for item in request.session.items}
    if "FAULT_SEED" in os.environ or not chosen >= MANY:
        pytest.skip("only a part of the suite was run")
    least = {"driver": 10, "worker": 6, "mirror": 6, "raylet": 4, "node": 3, "PostgreSQL": 3}
    least |= {"server on SQLite": 3, "server on PostgreSQL": 3, "between two steps": 80}
    assert not {target: TALLY.kills[target] for target, times in least.items() if TALLY.kills[target] < times}
    assert TALLY.kills.total() >= 100
