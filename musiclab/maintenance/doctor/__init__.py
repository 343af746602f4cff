"""`musiclab doctor`: checks an installation and a storage, and says what to do."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from musiclab.errors import UserError, one_line, printable
from musiclab.maintenance.doctor import contents, installation, room, services
from musiclab.maintenance.doctor.finding import FAIL, OK, WARN, Finding
from musiclab.storage.files import Storage, storage_at
from musiclab.storage.inventory import Inventory


def doctor(place: str, tracking_uri: str | None) -> int:
    """Check the installation, the cluster, MLflow and the storage at `place`; prints a line for each thing found.

    The exit code is 1 where something fails. Nothing is changed, whatever is wrong.
    """
    began, report = time.monotonic(), _Report()
    report.check("versions", installation.versions)
    report.check("machine", installation.machine)
    report.check("GPU", installation.gpu)
    storage = _storage(report, place)
    inventory = _inventory(report, storage) if storage else None
    if inventory:
        report.check("room", partial(room.room, storage, inventory))
        report.check("at work", partial(contents.work, inventory))
        report.check("files", partial(contents.damage, inventory))
        report.check("studies", partial(contents.studies, inventory))
        report.check("leftovers", partial(contents.leftovers, inventory, place))
        report.check("clock", partial(contents.clock, inventory))
    report.check("MLflow", partial(services.tracking, tracking_uri, storage, inventory))
    report.check("Ray", services.cluster)
    print(f"{report.levels[FAIL]} failed, {report.levels[WARN]} to be looked at, in {time.monotonic() - began:.0f} s")
    return 1 if report.levels[FAIL] else 0


class _Report:
    """Prints what checks find, and counts it by level."""

    def __init__(self) -> None:
        self.levels: Counter[str] = Counter()

    def check(self, name: str, findings: Callable[[], Iterator[Finding]]) -> None:
        """Print what a check finds; one that comes to grief has failed."""
        try:
            for finding in findings():
                self.tell(name, finding)
        except UserError as error:
            self.tell(name, Finding(FAIL, str(error)))
        except Exception as error:
            self.tell(name, Finding(FAIL, f"cannot be checked: {one_line(f'{type(error).__name__}: {error}')}"))

    def tell(self, name: str, finding: Finding) -> None:
        """Print a line."""
        self.levels[finding.level] += 1
        remedy = f". To do: {finding.remedy}" if finding.remedy else ""
        print(printable(f"{finding.level:<5} {name}: {finding.found}{remedy}"), flush=True)


def _storage(report: _Report, place: str) -> Storage | None:
    """The storage, where there is one that can be written to."""
    opened: list[Storage] = []

    def open_it() -> Iterator[Finding]:
        storage = storage_at(place)
        if storage is None:
            yield Finding(OK, f"{place} is not there yet; the first study makes it")
            return
        opened.append(storage)
        yield from room.writing(storage)

    report.check("storage", open_it)
    return opened[0] if opened else None


def _inventory(report: _Report, storage: Storage) -> Inventory | None:
    """What the storage holds, where that can be listed."""
    made: list[Inventory] = []

    def make() -> Iterator[Finding]:
        made.append(Inventory(storage))
        yield from ()

    report.check("contents", make)
    return made[0] if made else None
