"""The `musiclab` command: what concerns data, trained trials or finished studies, rather than the run of one."""

import argparse
from pathlib import Path
from typing import Any

from musiclab.data.describe import describe
from musiclab.data.sources import open_source
from musiclab.data.store import build
from musiclab.data.windows import WindowSpec
from musiclab.design.spec import is_folder_name
from musiclab.errors import UserError, exit_with
from musiclab.resources import available_cpus
from musiclab.storage.files import Storage
from musiclab.study.mirror import check_tracking_uri
from musiclab.study.options import DEFAULT_STORAGE, Parser, assignment, number
from musiclab.systems import SYSTEMS


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 a wrong option or input, 130 interrupted."""
    exit_with(lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> int:
    if options.subject == "data":
        return _data(options)
    if options.subject == "report":
        from musiclab.study.report_command import report  # matplotlib takes a second

        return report(options.places)
    if options.subject == "sync":
        from musiclab.study.sync import sync  # MLflow takes seconds

        return sync(options.places, options.tracking_uri)
    if options.subject == "doctor":
        from musiclab.study.doctor import doctor

        return doctor(options.storage, options.tracking_uri)
    if options.subject == "clean":
        from musiclab.study.clean import clean

        return clean(options.storage, options.remove)
    from musiclab.study.generate import generate  # torch takes seconds, which data and --help do without

    return generate(options)


def _data(options: argparse.Namespace) -> int:
    try:
        spec = WindowSpec(options.resolution, options.steps, options.hop)
    except ValueError as error:
        raise UserError(f"{error}.") from None
    storage = Storage(options.storage)
    if not storage.is_local:
        raise UserError(f"--storage {options.storage!r} is not on this machine; build into a folder and name that.")
    store = build(open_source(options.source), spec, storage.local("data"), workers=options.workers)
    if options.command == "describe":
        print(describe(store))
    else:
        print(f"{len(store.songs)} songs, {len(store.windows)} windows, {len(store.skipped)} skipped: {store.folder}")
    return 0


def _parser() -> Parser:
    parser = Parser(prog="musiclab", description=__doc__, allow_abbrev=False)
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="data|generate|report|sync|doctor|clean")
    _add_data(subjects)
    _add_generate(subjects)
    _add_report(subjects)
    _add_sync(subjects)
    _add_doctor(subjects)
    _add_clean(subjects)
    return parser


def _add_data(subjects: Any) -> None:
    data = subjects.add_parser("data", help="songs and windows")
    commands = data.add_subparsers(dest="command", required=True, metavar="build|describe")
    for name, doc in (
        ("build", "cut a source's songs into packed windows"),
        ("describe", "say what a source holds: songs, windows, silence, density, splits, what was skipped and why"),
    ):
        command = commands.add_parser(name, help=doc, description=doc, allow_abbrev=False)
        add = command.add_argument
        add("source", metavar="SOURCE", help="chorales, lpd5:PATH or midi:PATH, a folder or archive")
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
            "--workers",
            type=number(int, 1, 256),
            default=available_cpus(),
            metavar="N",
            help="processes (default: all CPUs)",
        )
        add("--storage", default=DEFAULT_STORAGE, metavar="PLACE", help="folder for the windows (default: ~/musiclab)")


def _name(text: str) -> str:
    """An argparse type: a name of folders in a storage, as studies may have."""
    if not is_folder_name(text):
        raise argparse.ArgumentTypeError(f"takes a name of letters, digits, '_', '-', '.', not {text!r}")
    return text


def _add_generate(subjects: Any) -> None:
    doc = "continue start windows with a trained system, as MIDI, picture and sound"
    command = subjects.add_parser("generate", help=doc, description=doc, allow_abbrev=False)
    add = command.add_argument
    add("system", choices=SYSTEMS, metavar="SYSTEM", help=f"one of {', '.join(SYSTEMS)}")
    source = command.add_mutually_exclusive_group()
    source.add_argument(
        "--study",
        type=_name,
        metavar="NAME",
        help="take the best variant of this study (default: of the newest that has SYSTEM)",
    )
    source.add_argument("--trial", type=_name, metavar="KEY", help="take this trial")
    add("--start", metavar="FILE", help="MIDI file whose last window is continued (default: the trial's own starts)")
    add(
        "--style",
        metavar="TARGETS",
        help="follow song:TITLE, artist:NAME or a MIDI file; several with ' + ' between, weighted by *2 (vae_nn)",
    )
    add("--samples", type=number(int, 1, 1000), default=4, metavar="N", help="how many to make (default: 4)")
    add("--windows", type=number(int, 1, 1000), metavar="N", help="windows after each start (default: the trial's)")
    add(
        "--set",
        action="append",
        default=[],
        type=assignment,
        metavar="FIELD=VALUE",
        help="change a field of the trial's stage generate, such as temperature=0.8; repeatable",
    )
    add("--seed", type=number(int, 0), metavar="N", help="other draws than the trial's own")
    add("--out", type=Path, default=Path("generated"), metavar="FOLDER", help="for the files (default: generated)")
    add("--storage", default=DEFAULT_STORAGE, metavar="PLACE", help="where studies keep their records")


def _add_report(subjects: Any) -> None:
    doc = "write the reports of studies anew; of several also an overview, with the article's claims"
    command = subjects.add_parser("report", help=doc, description=doc, allow_abbrev=False)
    _add_places(command)


def _add_places(command: Any) -> None:
    command.add_argument(
        "places",
        nargs="+",
        metavar="PLACE",
        help="STORAGE/STUDY, such as ~/musiclab/latent_dim, or a STORAGE with all its studies",
    )


def _add_sync(subjects: Any) -> None:
    doc = "bring MLflow level with studies that have run, whatever it missed; changes nothing where it is level"
    command = subjects.add_parser("sync", help=doc, description=doc, allow_abbrev=False)
    _add_places(command)
    command.add_argument(
        "--tracking-uri",
        type=check_tracking_uri,
        metavar="URI",
        help="MLflow server or database (default: MLFLOW_TRACKING_URI, else where the study was last shown)",
    )


def _add_doctor(subjects: Any) -> None:
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


def _add_clean(subjects: Any) -> None:
    doc = "show what a storage holds that nothing needs: stages and checkpoints of no record, what kills left behind"
    command = subjects.add_parser("clean", help=doc, description=doc, allow_abbrev=False)
    command.add_argument("storage", metavar="STORAGE", help="folder or URI, such as ~/musiclab")
    command.add_argument("--remove", action="store_true", help="remove it")
