"""`musiclab report`: writes the pages of studies that have run, and an overview of several."""

import argparse
from typing import Any

from musiclab.cli.places import add_places, with_each_study
from musiclab.storage.files import Storage


def add(subjects: Any) -> None:
    """Add the subcommand to the parser of `musiclab`."""
    doc = "write the reports of studies again; for several also an overview with the article's claims"
    command = subjects.add_parser("report", help=doc, description=doc, allow_abbrev=False)
    add_places(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write reports, and print where; the exit code."""
    return report(options.places)


def report(places: list[str]) -> int:
    """Write the report of each study that `places` name, and print where it is; see `with_each_study`."""
    from musiclab.analysis.results import Results
    from musiclab.report.html.overview import overview  # matplotlib takes a second to import
    from musiclab.report.write import write_report

    def write(storage: Storage, name: str) -> Results:
        study = Results.read(storage, name)
        print(f"{name}: {write_report(study)}", flush=True)
        return study

    studies = with_each_study(places, write)
    if len(studies) > 1:
        storage = studies[0].storage
        storage.write("overview.html", overview(studies).encode(errors="replace"))
        print(f"overview: {storage.path('overview.html')}")
    return 0
