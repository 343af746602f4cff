"""How a command begins and ends: what it needs around it, what is printed if it fails, and its exit code."""

import sys
from collections.abc import Callable
from typing import NoReturn

from musiclab.errors import UserError, printable
from musiclab.process.surroundings import settle
from musiclab.process.terminal import tolerant_streams


def exit_with(run: Callable[[], int]) -> NoReturn:
    """Run a command and exit the process with its `exit_code`."""
    sys.exit(exit_code(run))


def exit_code(run: Callable[[], int]) -> int:
    """Run a command; its exit code.

    That is what the command returns, or the `exit_code` of a UserError (its message is printed), or 130 if the command
    was interrupted, or 1 if what it printed could not be written. A reader that has gone, such as `head`, is no
    failure, and neither is a closed stream.
    """
    with tolerant_streams() as terminal:
        code = _code_of(run)
        sys.stdout.flush()
        if terminal.lost:
            print(f"error: What was printed could not be written ({terminal.lost}); all else is done.", file=sys.stderr)
            code = code or 1
    return code


def _code_of(run: Callable[[], int]) -> int:
    try:
        settle()
        return run()
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nInterrupted; run the same command again to resume.", file=sys.stderr)
        return 130
    except SystemExit as asked:  # by --help
        if asked.code in (0, None):
            return 0
        raise
