"""Options: what every study's command line takes, the same for all."""

import argparse
from typing import Any, NoReturn

from musiclab.data.sources import open_source
from musiclab.design.design import Design
from musiclab.design.spec import StudySpec
from musiclab.errors import UserError
from musiclab.tracking import check_tracking_uri
from musiclab.training.runtime import Device

DEFAULT_STORAGE = "~/musiclab"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, raised instead of printed."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message[0].upper()}{message[1:]}; --help lists the options.")


def number(kind: type, low: float, high: float | None = None) -> Any:
    """An argparse type: `kind` of at least `low`, at most `high`."""

    def parse(text: str) -> Any:
        wanted = f"{'a whole number' if kind is int else 'a number'} of at least {low:g}"
        wanted += f" and at most {high:g}" if high is not None else ""
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not (low <= value <= (high if high is not None else value)):
            raise argparse.ArgumentTypeError(f"takes {wanted}, not {text!r}")
        return value

    return parse


def _gpus(text: str) -> float:
    value = number(float, 0)(text)
    if value > 1 and value != int(value):
        raise argparse.ArgumentTypeError(f"takes a fraction up to 1 or a whole number, not {text!r}")
    return value


def assignment(text: str) -> tuple[str, str]:
    """An argparse type: FIELD=VALUE as a pair."""
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise argparse.ArgumentTypeError(f"takes FIELD=VALUE, not {text!r}")
    return name, value


def design_of(spec: StudySpec, options: argparse.Namespace, device: Device = "cpu") -> Design:
    """The study's design with these options; UserError for what cannot be right."""
    return Design(
        spec,
        open_source(options.data),
        scale=options.scale,
        fields=dict(options.set),
        blocks=options.max_blocks or options.blocks,
        adding=options.until_clear,
        device=device,
    )


def parse_options(question: str, argv: list[str] | None) -> argparse.Namespace:
    """The options of a study's command line; UserError, one sentence, for what cannot be right."""
    parser = Parser(description=question, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    add = parser.add_argument
    add("--plan", action="store_true", help="say what would run and what is already there; start nothing")
    add(
        "--data",
        default="chorales",
        metavar="SOURCE",
        help="chorales (default), lpd5:PATH or midi:PATH, a folder or archive",
    )
    add(
        "--scale",
        default="demo",
        choices=("demo", "article"),
        help="demo (default): minutes on a laptop; article: its own values",
    )
    add(
        "--set",
        action="append",
        default=[],
        type=assignment,
        metavar="FIELD=VALUE",
        help="fix a field of the system's config; repeatable",
    )
    add(
        "--blocks",
        type=number(int, 1, 10_000),
        metavar="N",
        help="paired replicates, instead of the study's own number",
    )
    add(
        "--until-clear",
        action="store_true",
        help="add blocks until every comparison is clear: better, worse or, within the study's margin, equivalent",
    )
    add("--max-blocks", type=number(int, 1, 1000), metavar="N", help="with --until-clear: blocks at most")
    add(
        "--in-process", action="store_true", help="run trial after trial in this process, without Ray; breakpoints work"
    )
    add(
        "--max-failures",
        type=number(int, 0, 100),
        default=3,
        metavar="N",
        help="times that a trial is tried again where that can help: its worker died, memory or a disk failed "
        "(default: 3)",
    )
    add("--fail-fast", action="store_true", help="stop at the first trial that has failed for good")
    add("--workers", type=number(int, 1), metavar="N", help="trials at a time (default: what the cluster has room for)")
    add(
        "--gpus-per-trial",
        type=_gpus,
        metavar="G",
        help="GPUs a trial gets, fractions too (default: a share of those there are, or none)",
    )
    add(
        "--storage",
        default=DEFAULT_STORAGE,
        metavar="PLACE",
        help="folder or URI (s3://...) for records, stages and windows (default: ~/musiclab)",
    )
    add(
        "--tracking-uri",
        type=check_tracking_uri,
        metavar="URI",
        help="MLflow server or database (default: MLFLOW_TRACKING_URI, else SQLite in the storage)",
    )
    options = parser.parse_args(argv)
    if options.until_clear and not options.max_blocks:
        raise UserError("--until-clear takes --max-blocks N with it: how many blocks there may be at most.")
    if options.max_blocks and not options.until_clear:
        raise UserError("--max-blocks is for --until-clear; give both, or --blocks.")
    if options.until_clear and options.blocks:
        raise UserError("--until-clear finds out how many blocks it takes; leave out --blocks, or --until-clear.")
    if options.in_process and (options.workers or 1) > 1:
        raise UserError("--in-process runs one trial at a time; leave out --workers, or --in-process.")
    if options.in_process and options.gpus_per_trial is not None:
        raise UserError("--gpus-per-trial is for Ray's trials; leave it out, or --in-process.")
    return options
