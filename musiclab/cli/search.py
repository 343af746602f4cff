"""`musiclab search`: writes what Optuna's dashboard shows of searches again, and says how to open it."""

import argparse
import sys
from typing import Any

from musiclab.cli.places import add_places, studies_at
from musiclab.errors import UserError


def add(subjects: Any) -> None:
    """Add the subcommand to the parser of `musiclab`."""
    doc = "write the journals of searches for optuna-dashboard again, and print the command line that opens them"
    command = subjects.add_parser("search", help=doc, description=doc, allow_abbrev=False)
    add_places(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write journals, and print how to open them; the exit code."""
    return search(options.places)


def search(places: list[str]) -> int:
    """Write the journal of the newest edition of each search that `places` name, unless it is being run.

    Raises:
        UserError: if a place is no study, or if the only study is no search or cannot be read.
    """
    from musiclab.analysis.results import Results
    from musiclab.search.dashboard import Dashboard  # Optuna takes half a second to import
    from musiclab.storage.leases import active_holders

    named = [study for place in places for study in studies_at(place)]
    for storage, name in named:
        try:
            results = Results.read(storage, name)
            if not results.plan.is_search:
                raise UserError(f"{name} is no search; name a study whose space is a Search.")
            dashboard = Dashboard(storage, results.folder)
            if runners := active_holders(storage, f"{results.folder}/runner"):
                print(f"{name}: is being run by {runners[0]}; that run keeps the journal up to date")
            else:
                dashboard.write_anew(results)
                print(f"{name}: {dashboard.summary}")
        except UserError as error:
            if len(named) == 1:
                raise
            print(error, file=sys.stderr)
            continue
        print(f"  {dashboard.command}", flush=True)
    return 0
