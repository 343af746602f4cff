"""`musiclab search`: writes what Optuna's dashboard shows of searches again, and says how to open it."""

import argparse
from typing import Any

from musiclab.cli.places import add_places, with_each_study
from musiclab.errors import UserError
from musiclab.storage.files import Storage


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
        UserError: see `with_each_study`; a study that is no search is an error too.
    """
    from musiclab.analysis.results import Results
    from musiclab.search.dashboard import Dashboard  # Optuna takes half a second to import
    from musiclab.storage.leases import active_holders

    def write(storage: Storage, name: str) -> None:
        results = Results.read(storage, name)
        if not results.plan.is_search:
            raise UserError(f"{name} is no search; name a study whose space is a Search.")
        dashboard = Dashboard(storage, results.folder)
        if runners := active_holders(storage, f"{results.folder}/runner"):
            print(f"{name}: is being run by {runners[0]}; that run keeps the journal up to date")
        else:
            dashboard.write_anew(results)
            print(f"{name}: {dashboard.summary}")
        print(f"  {dashboard.command}", flush=True)

    with_each_study(places, write)
    return 0
