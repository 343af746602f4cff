"""`musiclab data`: cuts the songs of a source into packed windows, and says what the source holds."""

import argparse
from typing import Any

from musiclab.data.describe import describe
from musiclab.data.sources import CHOICES, open_source
from musiclab.data.store import build
from musiclab.data.transposition import AS_WRITTEN, TRANSPOSE
from musiclab.data.windows import WindowSpec
from musiclab.errors import UserError
from musiclab.resources import available_cpus
from musiclab.storage.files import Storage
from musiclab.study.options import DEFAULT_STORAGE, number


def add(subjects: Any) -> None:
    """Add the subcommand to the parser of `musiclab`."""
    data = subjects.add_parser("data", help="songs and windows")
    commands = data.add_subparsers(dest="command", required=True, metavar="build|describe")
    for name, doc in (
        ("build", "cut a source's songs into packed windows"),
        ("describe", "say what a source holds: songs, windows, silence, density, splits, what was skipped and why"),
    ):
        command = commands.add_parser(name, help=doc, description=doc, allow_abbrev=False)
        add = command.add_argument
        add("source", metavar="SOURCE", help=CHOICES)
        add(
            "--resolution",
            type=number(int, 1, 24),
            default=2,
            metavar="N",
            help="steps a beat, a divisor of 24 (default: 2)",
        )
        add("--steps", type=number(int, 1, 512), default=32, metavar="N", help="steps a window (default: 32)")
        add(
            "--hop",
            type=number(int, 1, 512),
            default=32,
            metavar="N",
            help="steps between windows' starts (default: 32)",
        )
        add(
            "--transpose",
            choices=TRANSPOSE,
            default=AS_WRITTEN,
            help="songs as they are written (none), or each moved to C major or A minor (to_c; default: none)",
        )
        add(
            "--workers",
            type=number(int, 1, 256),
            default=available_cpus(),
            metavar="N",
            help="processes (default: all CPUs)",
        )
        add("--storage", default=DEFAULT_STORAGE, metavar="PLACE", help="folder for the windows (default: ~/musiclab)")
    data.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Build or describe; the exit code."""
    try:
        spec = WindowSpec(options.resolution, options.steps, options.hop, options.transpose)
    except ValueError as error:
        raise UserError(f"{error}.") from None
    storage = Storage(options.storage)
    if not storage.is_local:
        raise UserError(f"--storage must be a folder on this machine; got {options.storage!r}.")
    store = build(open_source(options.source), spec, storage.local("data"), workers=options.workers)
    if options.command == "describe":
        print(describe(store))
    else:
        print(f"{len(store.songs)} songs, {len(store.windows)} windows, {len(store.skipped)} skipped: {store.folder}")
    return 0
