"""Options: what a run of any study takes, from its command line or as keywords in Python, and the checks of both."""

import argparse
import contextlib
import difflib
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NoReturn

from musiclab.data.source import Source
from musiclab.data.sources import open_source
from musiclab.design.design import Design
from musiclab.design.spec import StudySpec
from musiclab.errors import UserError
from musiclab.plain import plain
from musiclab.systems.config import FORMS, SCALES
from musiclab.tracking import check_tracking_uri
from musiclab.training.runtime import Device

if TYPE_CHECKING:  # brings torch
    from musiclab.systems.base import System

DEFAULT_STORAGE = "~/musiclab"


@dataclass(frozen=True)
class Range:
    """The numbers that an option may be: of one kind, from `low` to `high` if there is a highest."""

    kind: type[int] | type[float]
    low: float
    high: float | None = None

    def __str__(self) -> str:
        what = "a whole number" if self.kind is int else "a number"
        return f"{what} of at least {self.low:g}" if self.high is None else f"{what} from {self.low:g} to {self.high:g}"

    def holds(self, value: object) -> bool:
        """Whether it is a number of this kind and in the range; True and False are no numbers."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.kind is int and not isinstance(value, int):
            return False
        return self.low <= value < math.inf and (self.high is None or value <= self.high)


_RANGES = {
    "blocks": Range(int, 1, 10_000),
    "max_blocks": Range(int, 1, 1000),
    "max_failures": Range(int, 0, 100),
    "workers": Range(int, 1),
    "gpus_per_trial": Range(float, 0),
}


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a study is to be run. The fields are the options of its command line, with underscores.

    Attributes:
        plan: whether to say only what would run.
        system: the system that is asked about, as `StudySpec.system` takes it; None for the study's own.
        data: the songs, as `musiclab.data.sources.open_source` takes them; None for the study's own.
        scale: which of its sizes each system starts from, `demo` or `article`.
        form: which of its forms each system starts from: `mended`, `written` or `coded`; None for the study's own, or
            `mended`.
        set: fields of the system's config that are fixed for this run, with their values.
        blocks: how many paired replicates; None for the study's own number.
        until_clear: whether to add blocks until every comparison is clear.
        max_blocks: how many blocks there may be at most, if some are added.
        in_process: whether trials run one after the other in this process, without Ray.
        max_failures: how often a trial is retried after a failure that may pass.
        fail_fast: whether to stop at the first trial that has failed for good.
        workers: how many trials run at a time; None for as many as there is room for.
        gpus_per_trial: how many GPUs a trial gets; None for a share of those there are.
        storage: folder or URI for records, stages and windows.
        tracking_uri: MLflow server or database; None for MLFLOW_TRACKING_URI, else SQLite in the storage.

    Raises:
        UserError: if an option is wrong, or if two of them exclude each other. The sentence names options as the
            command line does; `as_keywords` translates it.
    """

    plan: bool = False
    system: "str | type[System[Any]] | None" = None
    data: str | Source | None = None
    scale: str = "demo"
    form: str | None = None
    set: Mapping[str, Any] = field(default_factory=dict)
    blocks: int | None = None
    until_clear: bool = False
    max_blocks: int | None = None
    in_process: bool = False
    max_failures: int = 3
    fail_fast: bool = False
    workers: int | None = None
    gpus_per_trial: float | None = None
    storage: str = DEFAULT_STORAGE
    tracking_uri: str | None = None

    def __post_init__(self) -> None:
        self._check_values()
        self._check_together()

    def _check_values(self) -> None:
        """Each option by itself; argparse has refused most of this, but Python's keywords come as they are."""
        for name, allowed in _RANGES.items():
            value = getattr(self, name)
            if not (allowed.holds(value) or (value is None and name != "max_failures")):
                raise UserError(f"{_option(name)} must be {allowed}; got {value!r}.")
        if self.gpus_per_trial is not None and not _is_share(self.gpus_per_trial):
            raise UserError(f"--gpus-per-trial must be {_SHARE}; got {self.gpus_per_trial!r}.")
        for name in ("plan", "until_clear", "in_process", "fail_fast"):
            if not isinstance(getattr(self, name), bool):
                raise UserError(f"{_option(name)} must be True or False; got {getattr(self, name)!r}.")
        if self.scale not in SCALES:
            raise UserError(f"--scale must be demo or article; got {self.scale!r}.")
        if self.form is not None and self.form not in FORMS:
            raise UserError(f"--form must be mended, written or coded; got {self.form!r}.")
        if self.system is not None and not (self.system and isinstance(self.system, str | type)):
            raise UserError(
                f"--system must be the name of a system, path/to/file.py:Name, or a class; got {self.system!r}."
            )
        if not isinstance(self.storage, str):
            raise UserError(f"--storage must be a folder or a URI; got {self.storage!r}.")
        if not isinstance(self.set, Mapping) or not all(isinstance(name, str) for name in self.set):
            raise UserError(f"--set must be fields with their values, such as {{'beta': 0.5}}; got {self.set!r}.")
        if self.tracking_uri is not None:
            if not isinstance(self.tracking_uri, str):
                raise UserError(f"--tracking-uri must be a text; got {self.tracking_uri!r}.")
            check_tracking_uri(self.tracking_uri)

    def _check_together(self) -> None:
        if self.until_clear and not self.max_blocks:
            raise UserError("--until-clear needs --max-blocks too: how many blocks there may be at most.")
        if self.max_blocks and not self.until_clear:
            raise UserError("--max-blocks needs --until-clear too; for a fixed number of blocks use --blocks instead.")
        if self.until_clear and self.blocks:
            raise UserError("--until-clear decides how many blocks there are; leave out --blocks or --until-clear.")
        if self.in_process and (self.workers or 1) > 1:
            raise UserError("--in-process runs one trial at a time; leave out --workers or --in-process.")
        if self.in_process and self.gpus_per_trial:
            raise UserError(
                "--gpus-per-trial must be 0, for CPUs, with --in-process; leave out --gpus-per-trial or --in-process."
            )


def options_of(keywords: Mapping[str, Any]) -> RunOptions:
    """The options given as keywords of Python: `set` may be None, `storage` a Path.

    Raises:
        UserError: if one is wrong.
    """
    for name in keywords:
        if name not in (known := [option.name for option in fields(RunOptions)]):
            near = difflib.get_close_matches(name, known, n=1)
            raise UserError(
                f"There is no option {name!r}; " + (f"did you mean {near[0]!r}?" if near else "see the docs.")
            )
    given = plain({**keywords, "set": {} if keywords.get("set") is None else keywords["set"]})
    if isinstance(given.get("storage"), os.PathLike):
        given["storage"] = os.fspath(given["storage"])
    return RunOptions(**given)


@contextlib.contextmanager
def errors_as_keywords() -> Iterator[None]:
    """Within it, a UserError names options as Python does."""
    try:
        yield
    except UserError as error:
        raise UserError(as_keywords(str(error)), error.exit_code) from error.__cause__


def as_keywords(sentence: str) -> str:
    """A sentence that names options, `--max-blocks 5`, as Python names them, `max_blocks=5`."""

    def keyword(match: re.Match[str]) -> str:
        name, value = match["name"].replace("-", "_"), match["value"]
        return f"{name}={value}" if value else name

    names = "|".join(sorted((option.name.replace("_", "-") for option in fields(RunOptions)), key=len, reverse=True))
    return re.sub(rf"(?<![\w-])--(?P<name>{names})(?![\w-])(?: (?P<value>\d+|'[^']*'))?", keyword, sentence)


def design_of(spec: StudySpec, options: RunOptions, device: Device = "cpu") -> Design:
    """The study's design with these options, and with the songs as they are now.

    Raises:
        UserError: if anything in it cannot be right.
    """
    return Design(
        spec,
        open_source(spec.data if options.data is None else options.data),
        system=options.system,
        scale=options.scale,
        form=options.form,
        fields=options.set,
        blocks=options.max_blocks or options.blocks,
        adding=options.until_clear,
        device=device,
    )


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, raised instead of printed."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message[0].upper()}{message[1:]}; --help lists the options.")


def number(kind: type[int] | type[float], low: float, high: float | None = None) -> Any:
    """An argparse type: `kind` of at least `low`, at most `high`."""
    return _number(Range(kind, low, high))


def _number(allowed: Range) -> Any:
    def parse(text: str) -> Any:
        try:
            value = allowed.kind(text)
        except ValueError:
            value = None
        if not allowed.holds(value):
            raise argparse.ArgumentTypeError(f"must be {allowed}; got {text!r}")
        return value

    return parse


_SHARE = "a fraction up to 1 or a whole number"


def _is_share(gpus: float) -> bool:
    return gpus <= 1 or gpus == int(gpus)


def _gpus(text: str) -> float:
    value: float = _number(_RANGES["gpus_per_trial"])(text)
    if not _is_share(value):
        raise argparse.ArgumentTypeError(f"must be {_SHARE}; got {text!r}")
    return value


def assignment(text: str) -> tuple[str, str]:
    """An argparse type: FIELD=VALUE as a pair."""
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise argparse.ArgumentTypeError(f"must be FIELD=VALUE; got {text!r}")
    return name, value


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def parse_options(question: str, argv: list[str] | None) -> RunOptions:
    """The options of a study's command line.

    Raises:
        UserError: one sentence, if they cannot be right.
    """
    parser = Parser(description=question, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    add = parser.add_argument
    add("--plan", action="store_true", help="say what would run and what is already there; start nothing")
    add(
        "--system",
        metavar="SYSTEM",
        help="ask about another system than the study says: the name of one, or path/to/file.py:Name for your own",
    )
    add(
        "--data",
        metavar="SOURCE",
        help="the songs: chorales (default, unless the study names others), midi:PATH or another kind with the PATH of "
        "a folder or an archive, or file.py:Name:PATH for a source of your own",
    )
    add(
        "--scale",
        default=RunOptions.scale,
        choices=SCALES,
        help="demo (default): minutes on a laptop; article: the article's own sizes",
    )
    add(
        "--form",
        choices=FORMS,
        help="mended (default, unless the study says a form): with what is known to help; written or coded: as the "
        "article's text or code has it",
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
        type=_number(_RANGES["blocks"]),
        metavar="N",
        help="paired replicates (default: the study's own number)",
    )
    add(
        "--until-clear",
        action="store_true",
        help="add blocks until every comparison is clear: better, worse or, within the study's margin, equivalent",
    )
    add("--max-blocks", type=_number(_RANGES["max_blocks"]), metavar="N", help="with --until-clear: blocks at most")
    add(
        "--in-process",
        action="store_true",
        help="run one trial after the other in this process, without Ray; breakpoints work",
    )
    add(
        "--max-failures",
        type=_number(_RANGES["max_failures"]),
        default=RunOptions.max_failures,
        metavar="N",
        help="retries per trial after a failure that may pass: worker killed, out of memory, disk error (default: 3)",
    )
    add("--fail-fast", action="store_true", help="stop at the first trial that has failed for good")
    add(
        "--workers",
        type=_number(_RANGES["workers"]),
        metavar="N",
        help="trials at a time (default: as many as the cluster has room for)",
    )
    add(
        "--gpus-per-trial",
        type=_gpus,
        metavar="G",
        help="GPUs per trial, a fraction or a whole number (default: a share of those there are, or none)",
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
    parsed = vars(parser.parse_args(argv))
    return RunOptions(**parsed | {"set": dict(parsed["set"])})
