"""`musiclab clean`: lists what a storage holds that nothing needs, and removes it if asked to."""

import argparse
from typing import Any


def add(subjects: Any) -> None:
    """Add the subcommand to the parser of `musiclab`."""
    doc = "list what a storage holds that nothing needs: stages and checkpoints of no record, what kills left behind"
    command = subjects.add_parser("clean", help=doc, description=doc, allow_abbrev=False)
    command.add_argument("storage", metavar="STORAGE", help="folder or URI, such as ~/musiclab")
    command.add_argument("--remove", action="store_true", help="remove what would otherwise only be listed")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """List or remove; the exit code."""
    from musiclab.maintenance.clean import clean

    clean(options.storage, options.remove, print)
    return 0
