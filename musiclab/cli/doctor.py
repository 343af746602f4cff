"""`musiclab doctor`: checks of an installation and a storage."""

import argparse
import time
from collections import Counter
from typing import Any

from musiclab.errors import printable
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
        help="MLflow server or database (default: MLFLOW_TRACKING_URI, else the one that the studies there used)",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check, and print each finding; the exit code is 1 if something fails."""
    from musiclab.maintenance.doctor import FAIL, WARN, examine

    began, levels = time.monotonic(), Counter[str]()
    for check, finding in examine(options.storage, options.tracking_uri):
        levels[finding.level] += 1
        print(printable(finding.line(check)), flush=True)
    print(f"{levels[FAIL]} failed, {levels[WARN]} to look at, in {time.monotonic() - began:.0f} s")
    return 1 if levels[FAIL] else 0
