"""Promises that are broken: sentences that are collected while checks run, and raised together."""

import contextlib
from collections.abc import Iterator

from musiclab.errors import UserError
from musiclab.user_errors import how_failed


class BrokenPromises(AssertionError):
    """What a checked object does not keep of what it promises.

    Attributes:
        sentences: one for each broken promise, with file, class and what would be right.
    """

    def __init__(self, sentences: list[str]) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


class Promises:
    """Collects sentences about one object.

    Args:
        place: its file and name, with which each sentence begins.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self.broken: list[str] = []

    def expect(self, kept: object, sentence: str) -> bool:
        """Note a sentence unless a promise is kept; whether it is."""
        if not kept:
            self.broken.append(f"{self.place}: {sentence}")
        return bool(kept)

    @contextlib.contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """Note what is raised within it, as what happened while `what` was tried."""
        try:
            yield
        except UserError as error:
            text = str(error)
            self.broken.append(text if text.startswith(self.place) else f"{self.place}: {what}: {text}")
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except SystemExit as error:
            self.broken.append(f"{self.place} {how_failed(error)}.")
        except BaseException as error:
            self.broken.append(f"{self.place}: {what} {how_failed(error)}.")

    def check(self) -> None:
        """Raise BrokenPromises if any sentence was noted."""
        if self.broken:
            raise BrokenPromises(list(dict.fromkeys(self.broken)))
