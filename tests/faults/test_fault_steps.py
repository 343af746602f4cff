"""A study in one process dies between any two steps of its writing, half through a file too, and is run again."""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from judging import Truth, Watch, faults
from study_processes import ROOT
from tally import TALLY, seeds

from musiclab.study.mirror.follower import Follower
from musiclab.study.storage import Storage

KILLED = -9


class Nursery:
    """Runs studies in forked processes; see nursery.py."""

    def __init__(self, truth: Truth, folder: Path) -> None:
        self._truth, self._folder = truth, folder
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nursery.py"))],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        storage = self.storage("steps")
        self.run(storage, list_steps=True)
        self.steps = storage.with_suffix(".steps").read_text().splitlines()

    def storage(self, name: str) -> Path:
        """A fresh one."""
        return self._truth.fresh(self._folder / name)

    def run(self, storage: Path, die_at: int = 0, list_steps: bool = False) -> int:
        """The study's exit code; it dies before step `die_at` if that is not 0."""
        asked = {
            "file": str(self._truth.file), "options": self._truth.options, "storage": str(storage), "die_at": die_at,
            "log": str(storage.with_suffix(".log")), "steps": str(storage.with_suffix(".steps")) if list_steps else None,
        }  # fmt: skip
        self._process.stdin.write(f"{json.dumps(asked)}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        """No more."""
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def nursery(half: Truth, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    made = Nursery(half, tmp_path_factory.mktemp("nursery"))
    yield made
    made.end()


def test_every_kind_of_step_is_counted(nursery: Nursery) -> None:
    assert {step.split(" /")[0] for step in nursery.steps} == {"open", "half of", "rename", "remove"}
    assert {step.split("/")[1] for step in nursery.steps} >= {"stages", "trials", "studies", "scales", "splits"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(100, 3))
def test_dying_before_a_step_costs_nothing(seed: int, nursery: Nursery, half: Truth) -> None:
    """In the middle of the storage's own files; the seeds take turns with thirds of the steps."""
    third = len(nursery.steps) // 3
    _die(seed % 3 * third + random.Random(seed).randint(1, third), nursery, half)


@pytest.mark.long
@pytest.mark.parametrize("part", range(8))
def test_dying_before_each_step_costs_nothing(part: int, nursery: Nursery, half: Truth) -> None:
    for step in range(part + 1, len(nursery.steps) + 1, 8):
        _die(step, nursery, half)


def _die(step: int, nursery: Nursery, half: Truth) -> None:
    began, storage = time.monotonic(), nursery.storage(f"step-{step}")
    watch = Watch(storage)
    assert nursery.run(storage, die_at=step) == KILLED
    watch.start()
    assert nursery.run(storage) == 0, storage.with_suffix(".log").read_text()
    watch.end()
    (plan,) = storage.glob("studies/*/*/plan.json")
    uri = f"sqlite:///{storage}/mlflow.db"
    Follower(Storage(str(storage)), str(plan.parent.relative_to(storage)), uri).round(last=True)
    found = faults(half, storage, uri, watch)
    TALLY.add(Counter({"between two steps": 1}), 1, found, time.monotonic() - began)
    assert found == Counter(), f"killed before step {step}, {nursery.steps[step - 1]}"
