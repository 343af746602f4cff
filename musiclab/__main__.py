"""The `musiclab` command; `python -m musiclab` in a checkout that is not installed."""

from musiclab.errors import UserError
from musiclab.process.entry import exit_with


def main() -> None:
    """Run it, or say in a sentence that it cannot even begin."""
    exit_with(_command)


def _command() -> int:
    try:
        from musiclab.cli.main import run
    except ImportError as error:
        from musiclab.requirements import INSTALL

        raise UserError(f"A package that musiclab requires is missing: {error}. To do: {INSTALL}", 1) from None
    return run()


if __name__ == "__main__":
    main()
