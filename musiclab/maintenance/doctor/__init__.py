"""The doctor: checks an installation and a storage, and says what to do. It changes nothing."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

from musiclab.errors import UserError, one_line
from musiclab.maintenance.doctor import contents, installation, room, services
from musiclab.maintenance.doctor.finding import FAIL, OK, WARN, Finding
from musiclab.storage.files import Storage, storage_at
from musiclab.storage.inventory import Inventory
from musiclab.systems.codes import present_code

__all__ = ["FAIL", "OK", "WARN", "Finding", "examine"]


def examine(place: str, tracking_uri: str | None) -> Iterator[tuple[str, Finding]]:
    """Check the installation, the cluster, MLflow and the storage at `place`.

    Yields the name of each check with what it finds, as soon as it is found. Nothing is raised: a check that cannot be
    done has failed.
    """
    yield from _check("versions", installation.versions)
    yield from _check("code", installation.code)
    yield from _check("machine", installation.machine)
    yield from _check("GPU", installation.gpu)
    opened: list[Storage] = []
    yield from _check("storage", partial(_open, place, opened))
    storage = opened[0] if opened else None
    listed: list[Inventory] = []
    if storage:
        yield from _check("contents", partial(_list, storage, listed))
    inventory = listed[0] if listed else None
    if storage and inventory:
        yield from _check("room", partial(room.room, storage, inventory))
        yield from _check("at work", partial(contents.work, inventory))
        yield from _check("files", partial(contents.damage, inventory))
        yield from _check("studies", partial(contents.studies, inventory))
        yield from _check("leftovers", partial(contents.leftovers, inventory, place))
        yield from _check("clock", partial(contents.clock, inventory))
    yield from _check("MLflow", partial(services.tracking, tracking_uri, storage, inventory))
    yield from _check("Ray", partial(services.cluster, tracking_uri, storage, inventory))


def _check(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[tuple[str, Finding]]:
    """What a check finds, with its name; a check that raises has failed."""
    try:
        for finding in check():
            yield name, finding
    except UserError as error:
        yield name, Finding(FAIL, str(error))
    except Exception as error:
        yield name, Finding(FAIL, f"cannot be checked: {one_line(f'{type(error).__name__}: {error}')}")


def _open(place: str, opened: list[Storage]) -> Iterator[Finding]:
    """Add the storage to `opened` if there is one that can be written to."""
    storage = storage_at(place)
    if storage is None:
        yield Finding(OK, f"{place} does not exist yet; the first study creates it")
        return
    opened.append(storage)
    yield from room.writing(storage)


def _list(storage: Storage, listed: list[Inventory]) -> Iterator[Finding]:
    """Add the storage's inventory to `listed` if its files can be listed."""
    code = None
    # Systems cannot be imported if an installation is broken, which its own checks say; the storage is checked even so.
    with contextlib.suppress(Exception):
        code = present_code()
    listed.append(Inventory(storage, code))
    yield from ()
