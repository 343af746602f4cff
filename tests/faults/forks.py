"""Studies in processes that are forked from one that has imported all there is; see nursery.py."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.faults.judging import Truth
from tests.support.study_processes import ROOT
from tests.support.waiting import outcome

KILLED = -9


class Nursery:
    """Runs the study of `truth` in forked processes; `finished` is the storage of one, `steps` are its writes.

    That one is run `once` for all that have a nursery of its `name`.
    """

    def __init__(self, name: str, truth: Truth, folder: Path, once: Callable[..., Path]) -> None:
        self._truth, self._folder = truth, folder
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nursery.py"))],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.finished = once(name, self._finish)
        self.steps = self.finished.with_suffix(".steps").read_text().splitlines()

    def _finish(self, folder: Path) -> Path:
        storage = self._truth.fresh(folder / "finished")
        self.run(storage, list_steps=True)
        return storage

    def storage(self, name: str) -> Path:
        """A fresh one."""
        return self._truth.fresh(self._folder / name)

    def run(self, storage: Path, die_at: int = 0, list_steps: bool = False) -> int:
        """The study's exit code; it dies before step `die_at` if that is not 0."""
        asked = {
            "file": str(self._truth.file), "options": self._truth.options, "storage": str(storage), "die_at": die_at,
            "log": str(storage.with_suffix(".log")),
            "steps": str(storage.with_suffix(".steps")) if list_steps else None,
        }  # fmt: skip
        self._process.stdin.write(f"{json.dumps(asked)}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def steps_of(self, name: str) -> list[int]:
        """The steps, from 1, of writing files of that name, and those right after."""
        renames = {number for number, step in enumerate(self.steps, 1) if step.endswith(f"/{name}")}
        return sorted(
            {number + more for number in renames for more in (-1, 0, 1) if 0 < number + more <= len(self.steps)}
        )

    def end(self) -> None:
        """No more."""
        outcome(self._process, "the nursery")
