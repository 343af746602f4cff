"""`musiclab watch`: pages in a browser that follow the studies of a storage. The one module that starts dashboards."""

import argparse
from typing import Any

from musiclab.study.options import DEFAULT_STORAGE, number

WATCH_PORT = 8470


def add(subjects: Any) -> None:
    """Add the subcommands to the parser of `musiclab`."""
    doc = "follow the studies of a storage in a browser while they run; it reads the storage and slows no trial"
    watch = subjects.add_parser("watch", help=doc, description=doc, allow_abbrev=False)
    watch.add_argument(
        "storage", nargs="?", default=DEFAULT_STORAGE, metavar="STORAGE", help="folder or URI (default: ~/musiclab)"
    )
    _add_address(watch, WATCH_PORT)
    watch.set_defaults(run=run_watch)


def run_watch(options: argparse.Namespace) -> int:
    """Serve the pages until Ctrl-C; the exit code."""
    from musiclab.dashboards.live.app import watch  # what draws and serves takes seconds to import

    watch(options.storage, _address(options), lambda line: print(line, flush=True))
    return 0


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
