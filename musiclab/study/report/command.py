"""`musiclab report`: pages of studies that have run, and an overview of several."""

import sys
from pathlib import Path

from musiclab.errors import UserError
from musiclab.study.report import write_report
from musiclab.study.report.overview import overview
from musiclab.study.results import Results
from musiclab.study.storage import Storage


def report(places: list[str]) -> int:
    """Write the report of each study meant by `STORAGE/STUDY`, or by a storage with all its studies; print where.

    Of several, one that cannot be read is named and left out.
    """
    studies = []
    meant = [of for place in places for of in _studies(place)]
    for storage, name in meant:
        try:
            study = Results.read(storage, name)
        except UserError as error:
            if len(meant) == 1:
                raise
            print(error, file=sys.stderr)
            continue
        studies.append(study)
        print(f"{name}: {write_report(study)}", flush=True)
    if len(studies) > 1:
        storage = studies[0].storage
        storage.write("overview.html", overview(studies).encode(errors="replace"))
        print(f"overview: {storage.path('overview.html')}")
    return 0


def _studies(place: str) -> list[tuple[Storage, str]]:
    """The storage and name of each study that is meant; UserError where there is none."""
    trimmed = place.rstrip("/")
    above, _, name = trimmed.rpartition("/")
    for root, wanted in ((trimmed, None), (above or ".", name)):
        if "://" not in root and not Path(root).expanduser().is_dir():
            continue  # opening a storage makes its folder
        storage = Storage(root)
        there = storage.names("studies")
        if wanted in there:
            return [(storage, wanted)]
        if wanted is None and there:
            return [(storage, study) for study in there]
    raise UserError(f"{place!r} is no study; name STORAGE/STUDY, such as ~/musiclab/latent_dim, or a storage.")
