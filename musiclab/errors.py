"""The one error that a user is meant to read."""


class UserError(Exception):
    """One sentence that names the file, field or option at fault and says what would be right.

    Entry points print it without a traceback and exit with `exit_code`: 2 for usage (the default), 1 where the
    command was right and what it ran failed.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
