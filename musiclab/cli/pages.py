"""`musiclab watch`: pages in a browser that follow the studies of a storage. The one module that starts dashboards."""

import argparse
from pathlib import Path
from typing import Any

from musiclab.cli.places import studies_at
from musiclab.errors import UserError
from musiclab.storage.files import Storage
from musiclab.study.options import DEFAULT_STORAGE, number
from musiclab.wording import listing

WATCH_PORT, LISTEN_PORT = 8470, 8471


def add(subjects: Any) -> None:
    """Add the subcommands to the parser of `musiclab`."""
    doc = "follow the studies of a storage in a browser while they run; it reads the storage and slows no trial"
    watch = subjects.add_parser("watch", help=doc, description=doc, allow_abbrev=False)
    watch.add_argument(
        "storage", nargs="?", default=DEFAULT_STORAGE, metavar="STORAGE", help="folder or URI (default: ~/musiclab)"
    )
    _add_address(watch, WATCH_PORT)
    watch.set_defaults(run=run_watch)
    doc = "let people judge a study's variants by ear, blind, in a browser"
    listen = subjects.add_parser("listen", help=doc, description=doc, allow_abbrev=False)
    listen.add_argument("place", metavar="PLACE", help="STORAGE/STUDY, such as ~/musiclab/latent_dim")
    listen.add_argument(
        "--ratings",
        action="store_true",
        help="ask for ratings of single pieces on four scales, not for comparisons of two",
    )
    instead = listen.add_mutually_exclusive_group()
    instead.add_argument(
        "--plan", action="store_true", help="say what would be asked and how many listeners it takes; start nothing"
    )
    instead.add_argument(
        "--offline", metavar="FILE", help="write the test as one HTML file for listeners elsewhere; serve nothing"
    )
    instead.add_argument(
        "--import",
        nargs="+",
        metavar="FILE",
        dest="answers",
        help="take in the answers that such a file saved; serve nothing",
    )
    _add_address(listen, LISTEN_PORT)
    listen.set_defaults(run=run_listen)


def run_watch(options: argparse.Namespace) -> int:
    """Serve the pages until Ctrl-C; the exit code."""
    from musiclab.dashboards.live.app import watch  # what draws and serves takes seconds to import

    watch(options.storage, _address(options), _tell)
    return 0


def run_listen(options: argparse.Namespace) -> int:
    """Serve a listening test until Ctrl-C, or do what is asked for instead; the exit code."""
    from musiclab.dashboards.listening_test import command  # what draws and serves takes seconds to import
    from musiclab.design.listening import PAIRS, RATINGS

    storage, study = _one_study(options.place)
    protocol = RATINGS if options.ratings else PAIRS
    if options.plan:
        command.plan(storage, study, protocol, _tell)
    elif options.offline is not None:
        command.write(storage, study, protocol, Path(options.offline), _tell)
    elif options.answers is not None:
        command.take_in(storage, study, protocol, [Path(file) for file in options.answers], _tell)
    else:
        command.serve(storage, study, protocol, _address(options), _tell)
    return 0


def _one_study(place: str) -> tuple[Storage, str]:
    named = studies_at([place])
    if len(named) > 1:
        studies = listing([study for _, study in named])
        raise UserError(f"PLACE must name one study; {place!r} has {studies}, so name one of them: {place}/STUDY.")
    return named[0]


def _tell(line: str) -> None:
    print(line, flush=True)


def _add_address(command: Any, port: int) -> None:
    """Add the options that say where pages are served."""
    add = command.add_argument
    add("--host", default="127.0.0.1", metavar="HOST", help="where it listens (default: 127.0.0.1, this machine only)")
    add(
        "--port",
        type=number(int, 0, 65535),
        default=port,
        metavar="N",
        help=f"port, or 0 for any free one (default: {port})",
    )
    add(
        "--token-file",
        metavar="FILE",
        help="file with a token that visitors must give; needed if other machines can reach HOST",
    )
    add(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name, NAME or NAME:PORT, by which browsers may call it, such as a proxy's; repeatable",
    )


def _address(options: argparse.Namespace) -> Any:
    """Where pages are served, as an `Address`."""
    from musiclab.dashboards.address import Address

    return Address.of_options(options.host, options.port, options.token_file, options.allowed_host)
