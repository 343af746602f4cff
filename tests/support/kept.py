"""A finished study's storage with an empty MLflow, which tests bring up to date in every way that can go wrong."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from musiclab.maintenance.doctor import services
from musiclab.storage.documents import verified, with_checksum
from musiclab.storage.files import Storage
from musiclab.storage.inventory import Inventory
from musiclab.tracking import Mirror
from musiclab.tracking.reconcile import Reconciler
from tests.support.mlflow_contents import faults
from tests.support.study_processes import Run, copied

NOTHING = Counter[str]()


def empty(folder: Path, database: Path) -> Path:
    """The folder, as a storage with nothing in it but MLflow's empty database."""
    shutil.copy(database, folder / "mlflow.db")
    return folder


def doctor(storage: Path, option: str | None = None) -> list[str]:
    """What the doctor says of a storage's MLflow, asked in this process: a child would import it for seconds."""

    def ask(module: str, function: str, _: float, *arguments: Any, **environment: str) -> Any:
        for name, value in environment.items():
            patch.setenv(name, value)
        return getattr(import_module(module), function)(*arguments)

    place = Storage(str(storage))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "call_in_child", ask)
        return [finding.line("MLflow") for finding in services.tracking(option, place, Inventory(place))]


class Kept:
    """A copy of the finished study's storage, with an MLflow beside it that knows nothing of it."""

    def __init__(self, finished: Run, database: Path, storage: Path) -> None:
        copied(finished.storage, storage, "mlflow*")
        self.path, self.uri = empty(storage, database), f"sqlite:///{storage / 'mlflow.db'}"
        (self.plan,) = storage.glob("studies/latent_dim/*/plan.json")
        self.folder = str(self.plan.parent.relative_to(storage))
        self.keys = sorted(finished.records)

    def follower(self, uri: str = "") -> Reconciler:
        """What tells MLflow of it, in this process."""
        return Reconciler(Storage(str(self.path)), self.folder, uri or self.uri)

    def mirror(self, uri: str = "") -> Mirror:
        """The same in a process of its own, not started yet."""
        return Mirror(str(self.path), self.folder, uri or self.uri)

    def faults(self, uri: str = "") -> Counter[str]:
        """How MLflow differs from it."""
        return faults(uri or self.uri, "latent_dim", self.path)

    def write_plan(self, **fields: Any) -> None:
        """Change fields of its plan."""
        self.write(self.plan, **fields)

    @staticmethod
    def write(plan: Path, **fields: Any) -> None:
        """Change fields of a plan."""
        plan.write_bytes(with_checksum(verified(plan.read_bytes()) | fields, sort_keys=False))

    def stage(self, key: str) -> Path:
        """The folder of the trial's first stage."""
        plan = verified(self.plan.read_bytes())
        (stages,) = [cell["stages"] for cell in plan["trials"] if cell["stages"][-1][1] == key]
        return self.path / "stages" / stages[0][1]

    def under_way(self, of: float = 0.5) -> Callable[[], None]:
        """Make the trials look as if they had come so far; what makes them finished again."""
        whole = self.path.with_name("whole")
        if not whole.exists():
            shutil.copytree(self.path, whole, ignore=shutil.ignore_patterns("mlflow*", "data"))
        for file in whole.glob("stages/*/curves.json"):
            points = json.loads(file.read_text())
            (self.path / file.relative_to(whole)).write_text(json.dumps(points[: int(of * len(points))]))
        for key in self.keys:
            (self.path / "trials" / key / "record.json").unlink(missing_ok=True)

        def finish() -> None:
            shutil.copytree(whole, self.path, dirs_exist_ok=True)

        return finish
