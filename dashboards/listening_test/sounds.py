"""The sounds of a listening test, made in the background and served from memory, so that no answer takes its time."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from musiclab.dashboards.listening_test.fixed import FixedTest, Heard
from musiclab.errors import UserError, one_line


@dataclass(frozen=True)
class Sound:
    """A piece as notes `(track, time, pitch)` bool and as an MP3."""

    roll: np.ndarray
    mp3: bytes


class SoundsFailed(UserError):
    """A sound cannot be made, so sessions that need it cannot go on."""


class Sounds:
    """All sounds of a test, each made once. `prepare` says which are needed next."""

    def __init__(self, test: FixedTest) -> None:
        self._test = test
        self._made: dict[Heard, Sound] = {}
        self._queue: list[Heard] = test.pieces
        self._change = threading.Condition()
        self._failure = ""

    def start(self) -> None:
        """Make the sounds in a thread that ends with the process."""
        threading.Thread(target=self._make_all, name="sounds", daemon=True).start()

    def prepare(self, pieces: Iterable[Heard]) -> None:
        """Make these first."""
        with self._change:
            wanted = [piece for piece in pieces if piece not in self._made]
            self._queue = list(dict.fromkeys([*wanted, *self._queue]))

    def lacking(self, pieces: Iterable[Heard]) -> int:
        """How many of these are still to be made.

        Raises:
            SoundsFailed: some are not made, and none will be, because a sound could not be made.
        """
        with self._change:
            left = sum(piece not in self._made for piece in pieces)
            if left and self._failure:
                raise SoundsFailed(self._failure, exit_code=1)
            return left

    def get(self, piece: Heard) -> Sound | None:
        """The sound; None if it is not made yet."""
        return self._made.get(piece)

    def wait(self, pieces: Iterable[Heard]) -> list[Sound]:
        """These sounds, once they are made.

        Raises:
            SoundsFailed: as `lacking`.
        """
        wanted = list(pieces)
        self.prepare(wanted)
        with self._change:
            self._change.wait_for(lambda: self._failure or all(piece in self._made for piece in wanted))
        self.lacking(wanted)
        return [self._made[piece] for piece in wanted]

    def _make_all(self) -> None:
        while True:
            with self._change:
                self._queue = [piece for piece in self._queue if piece not in self._made]
                if not self._queue:
                    return
                piece = self._queue[0]
            try:
                sound = self._make(piece)
            except Exception as error:  # whatever it is, listeners read it instead of waiting for ever
                reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
                with self._change:
                    self._failure = one_line(reason)
                    self._change.notify_all()
                return
            with self._change:
                self._made[piece] = sound
                self._change.notify_all()

    def _make(self, piece: Heard) -> Sound:
        excerpts = self._test.excerpts
        roll = (
            excerpts.start(piece.place)
            if piece.condition is None
            else excerpts.continuation(piece.place, piece.condition)
        )
        return Sound(roll, excerpts.sound(roll))
