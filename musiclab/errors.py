"""The one error that a user is meant to read, and how a command ends."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn


class UserError(Exception):
    """One sentence that names the file, field or option at fault and says what would be right.

    Entry points print it without a traceback and exit with `exit_code`: 2 for usage (the default), 1 where the
    command was right and what it ran failed.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def exit_with(run: Callable[[], int]) -> NoReturn:
    """Run a command and exit with its code: its own, a UserError's after one line, 130 where it was interrupted."""
    try:
        code = run()
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on from here.", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # `... | head` has seen enough; what is left to say goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)
