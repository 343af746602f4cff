"""`musiclab clean`: shows what a storage holds that nothing needs, and removes it if asked to."""

import contextlib
import itertools
import shlex
from collections.abc import Iterator

from musiclab.data.abandoned import remove_abandoned
from musiclab.errors import UserError, one_line, printable
from musiclab.progress import Progress
from musiclab.storage.files import Storage, storage_at
from musiclab.storage.inventory import Inventory, Leftover
from musiclab.storage.leases import CLEANING, Lease, LeaseTaken
from musiclab.storage.stages import DONE
from musiclab.training.files import CHECKPOINT
from musiclab.wording import size


def clean(place: str, remove: bool) -> int:
    """Print what may go from the storage at `place`, and remove it where `remove` says so.

    Records, samples, plans, reports, what they rest on and what is to be taken up again always stay. UserError where
    somebody is at work in the storage.
    """
    storage = storage_at(place)
    if storage is None:
        raise UserError(f"{place!r} is no storage; name the folder or URI that studies had as --storage.")
    with _alone(storage) if remove else contextlib.nullcontext():
        inventory = Inventory(storage)
        if inventory.at_work:
            raise UserError(
                f"{storage.root} is in use: {'; '.join(inventory.at_work)}. Clean it once that has ended.", exit_code=1
            )
        leftovers = inventory.leftovers
        _print(leftovers)
        _print_what_stays(inventory)
        total = size(sum(leftover.size for leftover in leftovers))
        if not leftovers:
            print("Nothing is to be removed.")
        elif remove:
            _remove(storage, leftovers)
            print(f"{total} removed.")
        else:
            print(f"{total} would be removed: musiclab clean {shlex.quote(place)} --remove")
    return 0


@contextlib.contextmanager
def _alone(storage: Storage) -> Iterator[None]:
    try:
        lease = Lease(storage, CLEANING).take()
    except LeaseTaken as holder:
        raise UserError(f"{storage.root} is being cleaned by {holder}.", exit_code=1) from None
    with lease:
        yield


def _print(leftovers: list[Leftover]) -> None:
    def why(leftover: Leftover) -> str:
        return leftover.why

    for reason, group in itertools.groupby(sorted(leftovers, key=why), why):
        listed = list(group)
        print(f"{reason}: {len(listed)}, {size(sum(leftover.size for leftover in listed))}")
        for leftover in listed:
            print(f"  {printable(leftover.name)}  {size(leftover.size)}")


def _print_what_stays(inventory: Inventory) -> None:
    """What a user might want gone too, and has to decide upon."""
    newer = inventory.records.newer
    for error in newer.values():
        print(printable(str(error)))
    names = [printable(name) for name in inventory.unknown if name not in newer]
    if inventory.unknown and not names:
        print("No stage is removed, because it is unclear which stages those files need.")
    if names:
        print(
            f"All stages stay, for which of them are needed is not known: {len(names)} damaged or older files cannot "
            f"be read ({', '.join(names[:3])}{', ...' if names[3:] else ''}). Run their studies again, or delete them."
        )
    for origin, stages in inventory.stages_of_old_code.items():
        held = sum(stage.size for stage in stages)
        print(f"stages made by {origin}: {len(stages)}, {size(held)}; they stay, because records or plans need them.")
        for stage in stages:
            print(f"  {printable(stage.name)}  {size(stage.size)}")
    for name, held in inventory.unnamed_windows.items():
        print(f"{inventory.storage.path(name)} stays: windows that no plan names, {size(held)}; delete it as you like.")


def _remove(storage: Storage, leftovers: list[Leftover]) -> None:
    with Progress("removed", len(leftovers)) as progress:
        for leftover in leftovers:
            try:
                _remove_one(storage, leftover.name)
            except OSError as error:
                raise UserError(
                    f"{storage.path(leftover.name)} cannot be removed: {one_line(error.strerror or str(error))}; make "
                    "it removable, and the same command goes on.",
                    exit_code=1,
                ) from None
            progress.update()


def _remove_one(storage: Storage, name: str) -> None:
    if name.startswith("data/") and storage.is_local:
        remove_abandoned(storage.local("data"), name.removeprefix("data/").rstrip("/"))
    elif name.endswith("/"):
        # In this order a stage that is removed by half is neither taken for a finished one nor gone on from.
        storage.remove(f"{name}{DONE}")
        storage.remove(f"{name}{CHECKPOINT}")
        storage.remove_folder(name.rstrip("/"))
    else:
        storage.remove(name)
