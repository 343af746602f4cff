"""`musiclab report`: pages of studies that have run, and an overview of several."""

import sys

from musiclab.analysis.results import Results
from musiclab.errors import UserError
from musiclab.report.html.overview import overview
from musiclab.report.write import write_report
from musiclab.study.places import studies_at


def report(places: list[str]) -> int:
    """Write the report of each study meant by `STORAGE/STUDY`, or by a storage with all its studies; print where.

    Of several, one that cannot be read is named and left out.
    """
    studies = []
    meant = [of for place in places for of in studies_at(place)]
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
