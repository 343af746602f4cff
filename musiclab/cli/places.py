"""Places: how a command line names studies that have run."""

from pathlib import Path

from musiclab.errors import UserError
from musiclab.storage.files import Storage


def storage_at(place: str) -> Storage | None:
    """The storage there, which opening would make; None where there is no such folder."""
    return Storage(place) if "://" in place or Path(place).expanduser().is_dir() else None


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
