"""Places: how a command line names studies that have run."""

from typing import Any

from musiclab.errors import UserError
from musiclab.storage.files import Storage, storage_at


def studies_at(place: str) -> list[tuple[Storage, str]]:
    """The studies that a place names: one for STORAGE/STUDY, all of them for a STORAGE; each a storage and a name.

    Raises:
        UserError: if there is none.
    """
    trimmed = place.rstrip("/")
    above, _, name = trimmed.rpartition("/")
    for root, wanted in ((trimmed, None), (above or ".", name)):
        storage = storage_at(root)
        if storage is None:
            continue
        studies = storage.names("studies")
        if wanted in studies:
            return [(storage, wanted)]
        if wanted is None and studies:
            return [(storage, study) for study in studies]
    raise UserError(f"PLACE must be STORAGE/STUDY, such as ~/musiclab/latent_dim, or a storage; got {place!r}.")


def add_places(command: Any) -> None:
    """Add the argument PLACE to a subcommand."""
    command.add_argument(
        "places",
        nargs="+",
        metavar="PLACE",
        help="STORAGE/STUDY, such as ~/musiclab/latent_dim, or a STORAGE with all its studies",
    )
