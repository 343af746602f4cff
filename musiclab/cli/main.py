"""The `musiclab` command: data, music from trained trials, and finished studies; studies have their own."""

from musiclab.cli import clean, data, doctor, generate, pages, report, search, sync
from musiclab.process.entry import exit_with
from musiclab.study.options import Parser

_SUBJECTS = (data, generate, report, search, pages, sync, doctor, clean)


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 a wrong option or input, 130 interrupted."""
    exit_with(lambda: run(argv))


def run(argv: list[str] | None = None) -> int:
    """Run the command line; the exit code.

    Raises:
        UserError: if an option or the input is wrong, or if what it runs fails.
    """
    options = parser().parse_args(argv)
    code: int = options.run(options)
    return code


def parser() -> Parser:
    """The parser of the whole command line. A subcommand sets `run`, the function that runs it, in its options."""
    whole = Parser(prog="musiclab", description=__doc__, allow_abbrev=False)
    subjects = whole.add_subparsers(
        dest="subject", required=True, metavar="data|generate|report|search|watch|listen|sync|doctor|clean"
    )
    for subject in _SUBJECTS:
        subject.add(subjects)
    return whole
