"""`musiclab sync`: brings MLflow up to date with studies that have run."""

import argparse
from functools import partial
from typing import Any

from musiclab.cli.places import add_places, studies_at
from musiclab.tracking import check_tracking_uri


def add(subjects: Any) -> None:
    """Add the subcommand to the parser of `musiclab`."""
    doc = "bring MLflow up to date with studies that have run; changes nothing if it is in sync"
    command = subjects.add_parser("sync", help=doc, description=doc, allow_abbrev=False)
    add_places(command)
    command.add_argument(
        "--tracking-uri",
        type=check_tracking_uri,
        metavar="URI",
        help="MLflow server or database (default: MLFLOW_TRACKING_URI, else the one that the study used last)",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Bring MLflow up to date, and print what that took; the exit code."""
    return sync(options.places, options.tracking_uri)


def sync(places: list[str], tracking_uri: str | None) -> int:
    """The same with the studies at `places`; the code is 1 if MLflow is not in sync with all of them."""
    from musiclab.tracking.sync import sync_studies  # MLflow takes seconds

    return 0 if sync_studies(studies_at(places), tracking_uri, partial(print, flush=True)) else 1
