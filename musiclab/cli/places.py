"""Places: how a command line names studies that have run."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from musiclab.errors import UserError
from musiclab.storage.files import Storage, is_remote, storage_at

_Done = TypeVar("_Done")


def studies_at(places: list[str]) -> list[tuple[Storage, str]]:
    """The studies that places name: one for STORAGE/STUDY, all of them for a STORAGE; each a storage and a name.

    Raises:
        UserError: if a place names none.
    """
    return [study for place in places for study in _studies_at(place)]


def _studies_at(place: str) -> list[tuple[Storage, str]]:
    path, mark, query = place.partition("?") if is_remote(place) else (place, "", "")
    trimmed = path.rstrip("/")
    above, _, name = trimmed.rpartition("/")
    for root, wanted in ((trimmed, None), (above or ".", name)):
        if is_remote(place) and not is_remote(root):  # above a bucket there is nothing
            continue
        storage = storage_at(f"{root}{mark}{query}", probe="look")
        studies = storage.names("studies") if storage else []
        if found := studies if wanted is None else [study for study in studies if study == wanted]:
            storage = Storage(f"{root}{mark}{query}")  # with a probe, because what is done with a study may write
            return [(storage, study) for study in found]
    raise UserError(f"PLACE must be STORAGE/STUDY, such as ~/musiclab/latent_dim, or a storage; got {place!r}.")


def with_each_study(places: list[str], act: Callable[[Storage, str], _Done]) -> list[_Done]:
    """What `act` returns for each study that `places` name, given its storage and name.

    If there are several, one for which it raises UserError is named on standard error and left out.

    Raises:
        UserError: if a place is no study, or if `act` raises it for the only study.
    """
    studies, done = studies_at(places), []
    for storage, name in studies:
        try:
            done.append(act(storage, name))
        except UserError as error:
            if len(studies) == 1:
                raise
            print(error, file=sys.stderr)
    return done


def add_places(command: Any) -> None:
    """Add the argument PLACE to a subcommand."""
    command.add_argument(
        "places",
        nargs="+",
        metavar="PLACE",
        help="STORAGE/STUDY, such as ~/musiclab/latent_dim, or a STORAGE with all its studies",
    )
