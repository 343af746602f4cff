"""`musiclab doctor`: checks of an installation and a storage."""

import argparse
from typing import Any

from musiclab.study.options import DEFAULT_STORAGE
from musiclab.tracking import check_tracking_uri


def add(subjects: Any) -> None:
    """Add the subcommand to the parser of `musiclab`."""
    doc = "check this installation, the cluster, MLflow and a storage with all that is in it, and say what to do"
    command = subjects.add_parser("doctor", help=doc, description=doc, allow_abbrev=False)
    command.add_argument(
        "storage", nargs="?", default=DEFAULT_STORAGE, metavar="STORAGE", help="folder or URI (default: ~/musiclab)"
    )
    command.add_argument(
        "--tracking-uri",
        type=check_tracking_uri,
        metavar="URI",
        help="MLflow server or database (default: MLFLOW_TRACKING_URI, else where the studies there are shown)",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check, and print what is found; the exit code."""
    from musiclab.maintenance.doctor import doctor

    return doctor(options.storage, options.tracking_uri)
