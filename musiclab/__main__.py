"""The `musiclab` command; `python -m musiclab` in a checkout that is not installed."""

import sys


def main() -> None:
    """Run it, or say in a sentence that it cannot even begin."""
    try:
        from musiclab.cli.main import main as command
    except ImportError as error:
        from musiclab.requirements import INSTALL

        sys.exit(f"error: what musiclab requires is not there: {error}. To do: {INSTALL}")
    command()


if __name__ == "__main__":
    main()
