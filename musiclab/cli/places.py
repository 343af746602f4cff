"""Places: how a command line names studies that have run."""

from typing import Any

from musiclab.errors import UserError
from musiclab.storage.files import Storage, storage_at


def studies_at(place: str) -> list[tuple[Storage, str]]:
    """Storage and name of each study that is meant by STORAGE/STUDY or by a STORAGE; UserError where there is none."""
    trimmed = place.rstrip("/")
    above, _, name = trimmed.rpartition("/")
    for root, wanted in ((trimmed, None), (above or ".", name)):
        storage = storage_at(root)
        if storage is None:
            continue
        there = storage.names("studies")
        if wanted in there:
            return [(storage, wanted)]
        if wanted is None and there:
            return [(storage, study) for study in there]
    raise UserError(f"{place!r} is no study; name STORAGE/STUDY, such as ~/musiclab/latent_dim, or a storage.")


def add_places(command: Any) -> None:
    """Let a subcommand take places."""
    command.add_argument(
        "places",
        nargs="+",
        metavar="PLACE",
        help="STORAGE/STUDY, such as ~/musiclab/latent_dim, or a STORAGE with all its studies",
    )
