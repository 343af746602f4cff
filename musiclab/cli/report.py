"""`musiclab report`: pages of studies that have run, and an overview of several."""

import argparse
import sys
from typing import Any

from musiclab.cli.places import add_places, studies_at
from musiclab.errors import UserError


def add(subjects: Any) -> None:
    """Add the subcommand to the parser of `musiclab`."""
    doc = "write the reports of studies anew; of several also an overview, with the article's claims"
    command = subjects.add_parser("report", help=doc, description=doc, allow_abbrev=False)
    add_places(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write reports, and print where; the exit code."""
    return report(options.places)


def report(places: list[str]) -> int:
    """Write the report of each study meant by `STORAGE/STUDY`, or by a storage with all its studies; print where.

    Of several, one that cannot be read is named and left out.
    """
    from musiclab.analysis.results import Results
    from musiclab.report.html.overview import overview  # matplotlib takes a second
    from musiclab.report.write import write_report

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
