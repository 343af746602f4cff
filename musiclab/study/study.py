"""Study: a question in one object, and the ways to ask it: its command line, and calls from Python."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from musiclab.design.spec import StudySpec
from musiclab.process.entry import exit_code
from musiclab.process.surroundings import settle

if TYPE_CHECKING:
    from musiclab.data.source import Source
    from musiclab.study.results import StudyResults
    from musiclab.systems.base import System

# What runs a study is imported when it is run: it brings numpy, scipy and more, which a file that only defines a study
# does without. On a platform that lacks what it needs, there is then a sentence instead of a traceback.


@dataclass(frozen=True, kw_only=True)
class Study(StudySpec):
    """A question about systems. Its fields are those of `StudySpec`; `main` and `run` answer it.

    If no `question` is given, it is the docstring of the file that makes the study, whoever imports that file. In a
    notebook, which has no docstring, it is the name. Nothing is checked before the study is run or planned: an error
    while a file is imported could only be a traceback.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.question:
            object.__setattr__(self, "question", _docstring_of_caller() or self.name)

    def main(self, argv: list[str] | None = None) -> None:
        """Run the command line, and return if all is done; otherwise exit the process.

        The exit code is 1 if a trial failed, 2 if an option or the input is wrong, 130 if it was interrupted.

        Args:
            argv: the options; by default those that the process was started with, or none in a notebook, whose process
                has options of its own.
        """

        _check_not_importing()

        def command() -> int:
            from musiclab.study.command_line import run_command
            from musiclab.study.options import parse_options

            command = _command_of_process() if argv is None else []
            return run_command(self, parse_options(self.question, command[1:] if argv is None else argv), command)

        if code := exit_code(command):
            sys.exit(code)

    def run(
        self,
        *,
        system: "str | type[System[Any]] | None" = None,
        data: "str | Source | None" = None,
        scale: str = "demo",
        form: str | None = None,
        set: Mapping[str, Any] | None = None,
        blocks: int | None = None,
        until_clear: bool = False,
        max_blocks: int | None = None,
        in_process: bool = False,
        max_failures: int = 3,
        fail_fast: bool = False,
        workers: int | None = None,
        gpus_per_trial: float | None = None,
        storage: str | PathLike[str] = "~/musiclab",
        tracking_uri: str | None = None,
    ) -> "StudyResults":
        """Run what is missing of the study and return what it has come to; `musiclab.study.options` has the keywords.

        The only output is progress on standard error. Trials that fail raise nothing: `results.failures` has them, and
        `results.answer` says what they leave open. Ctrl-C lets running trials save a checkpoint first; the same call
        resumes them.

        Raises:
            UserError: if an option, the study or the data is wrong, or if the storage fails.
            KeyboardInterrupt: if it was interrupted; records and report are written by then.
        """
        keywords = dict(locals())
        del keywords["self"]
        _check_not_importing()
        settle()
        from musiclab.study import session
        from musiclab.study.options import errors_as_keywords, options_of
        from musiclab.study.results import StudyResults

        with errors_as_keywords():
            outcome = session.run(self, options_of(keywords))
        if outcome.signal:
            raise KeyboardInterrupt
        return StudyResults.of_outcome(outcome)

    def plan(self, **keywords: Any) -> str:
        """What `run` with the same keywords would do, as `--plan` says it: trials, time, and what the blocks can show.

        Raises:
            UserError: if an option, the study or the data is wrong.
        """
        settle()
        from musiclab.study import session
        from musiclab.study.options import as_keywords, errors_as_keywords, options_of

        with errors_as_keywords():
            return as_keywords(session.plan(self, options_of(keywords)))


def _check_not_importing() -> None:
    """Raise UserError if the study's file is imported for a system in it, on a worker for example."""
    from musiclab.user_code import check_not_importing

    check_not_importing()


def _command_of_process() -> list[str]:
    """The script that this process runs and its options; empty if it runs none, as the process of a notebook."""
    return sys.argv if hasattr(sys.modules["__main__"], "__file__") or sys.argv[0] in ("-c", "-") else []


def _docstring_of_caller() -> str:
    """The docstring of the file whose code makes a study; empty if it has none or if there is no file.

    A notebook's module has a docstring of IPython's, but no file.
    """
    frame = sys._getframe(1)
    # The frames of this module and of the standard library that lie between: `__init__`, `replace`.
    while frame.f_back is not None and frame.f_globals.get("__name__") in (__name__, "dataclasses", "copy"):
        frame = frame.f_back
    docstring = frame.f_globals.get("__doc__") if "__file__" in frame.f_globals else None
    return docstring.strip() if isinstance(docstring, str) else ""
