"""The `musiclab` command; `python -m musiclab` in a checkout that is not installed."""

import sys


def main() -> None:
    """Run it, or say what it lacks where it cannot even begin."""
    try:
        from musiclab.cli import main as command
    except ImportError as error:
        sys.exit(_lacking(error))
    command()


def _lacking(error: ImportError) -> str:
    try:
        from musiclab.requirements import INSTALL, unmet

        lacks = "; ".join(unmet())
    except ImportError:
        lacks, INSTALL = "", "pip install -c constraints.txt -e . (in the checkout, with the same Python)"
    return f"error: musiclab lacks what it requires: {lacks or error}. To do: {INSTALL}"


if __name__ == "__main__":
    main()
