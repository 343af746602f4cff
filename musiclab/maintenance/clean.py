"""Cleaning a storage: lists what it holds that nothing needs, and removes it if asked to."""

import contextlib
import itertools
import shlex
from collections.abc import Callable, Iterator

from musiclab.data.abandoned import remove_abandoned
from musiclab.errors import UserError, one_line, printable
from musiclab.progress import Progress
from musiclab.storage.files import Storage, storage_at
from musiclab.storage.inventory import Inventory, Leftover
from musiclab.storage.leases import CLEANING, Lease, LeaseTaken
from musiclab.storage.stages import DONE
from musiclab.systems.codes import present_code
from musiclab.training.files import CHECKPOINT
from musiclab.wording import counted, size


def clean(place: str, remove: bool, say: Callable[[str], None]) -> None:
    """List what the storage at `place` does not need, and remove it if `remove` is true.

    Records, samples, plans and reports are always kept, with all that they depend on or that a study would resume.
    `say` gets the list, line by line.

    Raises:
        UserError: there is no storage, or it is in use, or something cannot be removed.
    """
    storage = storage_at(place)
    if storage is None:
        raise UserError(f"STORAGE must be a folder or URI that studies used as --storage; got {place!r}.")
    with _alone(storage) if remove else contextlib.nullcontext():
        inventory = Inventory(storage, present_code())
        if inventory.at_work:
            raise UserError(
                f"{storage.root} is in use: {'; '.join(inventory.at_work)}. Clean it when that has ended.", exit_code=1
            )
        leftovers = inventory.leftovers
        for line in [*_listed(leftovers), *_what_stays(inventory)]:
            say(line)
        total = size(sum(leftover.size for leftover in leftovers))
        if not leftovers:
            say("Nothing to remove.")
        elif remove:
            _remove(storage, leftovers)
            say(f"{total} removed.")
        else:
            say(f"{total} can be removed: musiclab clean {shlex.quote(place)} --remove")


@contextlib.contextmanager
def _alone(storage: Storage) -> Iterator[None]:
    try:
        lease = Lease(storage, CLEANING).take()
    except LeaseTaken as holder:
        raise UserError(f"{storage.root} is being cleaned by {holder}.", exit_code=1) from None
    with lease:
        yield


def _listed(leftovers: list[Leftover]) -> Iterator[str]:
    """A line for each reason, and below it one for each leftover."""

    def why(leftover: Leftover) -> str:
        return leftover.why

    for reason, group in itertools.groupby(sorted(leftovers, key=why), why):
        alike = list(group)
        yield f"{reason}: {len(alike)}, {size(sum(leftover.size for leftover in alike))}"
        for leftover in alike:
            yield f"  {printable(leftover.name)}  {size(leftover.size)}"


def _what_stays(inventory: Inventory) -> Iterator[str]:
    """Lines about what is kept but may be deleted by hand."""
    newer = inventory.records.newer
    yield from (printable(str(error)) for error in newer.values())
    names = [printable(name) for name in inventory.unknown if name not in newer]
    if inventory.unknown and not names:
        yield "No stage is removed, because it is unclear which stages those files need."
    if names:
        yield (
            "No stage is removed, because it is unclear which are still needed: "
            f"{counted(len(names), 'damaged or older file')} cannot be read "
            f"({', '.join(names[:3])}{', ...' if names[3:] else ''}). Run their studies again, or delete them."
        )
    for origin, stages in inventory.stages_of_old_code.items():
        n_bytes = sum(stage.size for stage in stages)
        yield (
            f"stages made by {origin}: {len(stages)}, {size(n_bytes)}; they stay, because records or plans need them."
        )
        for stage in stages:
            yield f"  {printable(stage.name)}  {size(stage.size)}"
    for name, n_bytes in inventory.unnamed_windows.items():
        yield (
            f"{inventory.storage.path(name)} stays: windows that no plan names, {size(n_bytes)}; delete it if you do "
            "not need it."
        )


def _remove(storage: Storage, leftovers: list[Leftover]) -> None:
    with Progress("removed", len(leftovers)) as progress:
        for leftover in leftovers:
            try:
                _remove_one(storage, leftover.name)
            except OSError as error:
                raise UserError(
                    f"{storage.path(leftover.name)} cannot be removed: {one_line(error.strerror or str(error))}; make "
                    "it removable and run the same command again.",
                    exit_code=1,
                ) from None
            progress.update()


def _remove_one(storage: Storage, name: str) -> None:
    if name.startswith("data/") and storage.is_local:
        remove_abandoned(storage.local("data"), name.removeprefix("data/").rstrip("/"))
    elif name.endswith("/"):
        # In this order: a half-removed stage must neither look finished nor be resumed.
        storage.remove(f"{name}{DONE}")
        storage.remove(f"{name}{CHECKPOINT}")
        storage.remove_folder(name.rstrip("/"))
    else:
        storage.remove(name)
