"""Study: a question in one object, and what its command line does with it."""

import sys
from dataclasses import dataclass

from musiclab.design.spec import StudySpec
from musiclab.errors import exit_with
from musiclab.study.options import parse_options
from musiclab.study.session import run


@dataclass(frozen=True, kw_only=True)
class Study(StudySpec):
    """A question about systems, and the command line that answers it; its fields are those of `StudySpec`.

    The question itself is the docstring of the file it stands in. Nothing is checked before `main`, which has a
    sentence for what is wrong where an import would have a traceback.
    """

    def __post_init__(self) -> None:
        if not self.question:
            main = sys.modules.get("__main__")
            object.__setattr__(self, "question", (getattr(main, "__doc__", None) or self.name).strip())

    def main(self, argv: list[str] | None = None) -> None:
        """Run the command line and exit: 0 done, 1 a trial failed, 2 a wrong option or input, 130 interrupted."""
        exit_with(lambda: run(self, parse_options(self.question, argv)))
