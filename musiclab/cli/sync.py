"""`musiclab sync`: MLflow brought level with studies that have run."""

import argparse
from typing import Any

from musiclab.cli.places import add_places, studies_at
from musiclab.tracking import check_tracking_uri


def add(subjects: Any) -> None:
    """Add the subcommand to the parser of `musiclab`."""
    doc = "bring MLflow level with studies that have run, whatever it missed; changes nothing where it is level"
    command = subjects.add_parser("sync", help=doc, description=doc, allow_abbrev=False)
    add_places(command)
    command.add_argument(
        "--tracking-uri",
        type=check_tracking_uri,
        metavar="URI",
        help="MLflow server or database (default: MLFLOW_TRACKING_URI, else where the study was last shown)",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Bring MLflow level; the exit code."""
    return sync(options.places, options.tracking_uri)


def sync(places: list[str], tracking_uri: str | None) -> int:
    """The same with the studies at `places`."""
    from musiclab.tracking.sync import sync_studies  # MLflow takes seconds

    return sync_studies([study for place in places for study in studies_at(place)], tracking_uri)
