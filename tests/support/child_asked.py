"""What tests ask in a process of its own."""

import os
import time
from pathlib import Path

from musiclab.errors import UserError


def answers(long: str) -> dict[str, object]:
    """Gives an answer, after noise."""
    print("noise")
    return {"said": os.environ["WORD"], "length": len(long), "folder": str(Path.cwd())}


def refuses() -> None:
    """Says what is wrong."""
    raise UserError("not today")


def breaks() -> None:
    """Raises what nobody foresaw."""
    raise RuntimeError("two\nlines")


def dies() -> None:
    """Ends without a word, as a crash does."""
    os._exit(7)


def hangs() -> None:
    """Hangs, and so does what it has started."""
    if os.fork() == 0:
        time.sleep(600)
    time.sleep(600)
