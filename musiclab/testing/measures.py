"""The contract of measures: what musiclab relies on, tried on silence, noise, made songs and real chorales."""

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from types import FunctionType
from typing import Any

import numpy as np

from musiclab.data.chorales import Chorales
from musiclab.data.songs import BadSong
from musiclab.data.windows import WindowSpec, cut, unpack
from musiclab.design.own_measures import not_given, wrong_declaration
from musiclab.measures.declaring import declared
from musiclab.measures.own import taken, wrong_number
from musiclab.measures.window_set import WindowSet
from musiclab.sending import Sent
from musiclab.testing.elsewhere import call_elsewhere
from musiclab.testing.made import song_roll
from musiclab.testing.promises import Promises
from musiclab.user_code import described, find
from musiclab.user_errors import how_failed
from musiclab.wording import listing

_SPEC, _FINER = WindowSpec(), WindowSpec(resolution=4, steps=64, hop=64)
_CHORALES, _SONGS, _WINDOWS = 8, 6, 24
# Sums of the same numbers in another order differ by less.
_ROUNDING = 1e-9


def check_measure(measure: Callable[..., float] | str, /) -> None:
    """Try whether a measure keeps what every measure promises; it takes seconds, most of them to read a few chorales.

    It checks what is declared beside the function and what it takes; that it returns a finite number, or NaN, whatever
    is played, at any resolution and however many windows and pieces there are; that there is a number for something at
    least; that the same music gives the same number; that it leaves its arguments as they are; that the order of
    windows, and that of pieces, does not matter; and that it can be sent to a worker, where it gives the same numbers.

    Args:
        measure: a function under `@measure`, or what a study may name: `path/file.py:Name`.

    Raises:
        BrokenPromises: with a sentence for each promise that is not kept.
        UserError: there is no such measure.
    """
    function = find(measure, "measure")
    promises = Promises(described(function) if hasattr(function, "__qualname__") else repr(function))
    promises.broken += wrong_declaration(function)
    if declared(function) is None or not isinstance(function, FunctionType):
        promises.check()
    if not not_given(function):
        _Check(function).note(promises)
    with promises.trying("sending it to another process"):
        sent = Sent(function)
        if not promises.broken:  # they would be broken there too
            there, here = call_elsewhere(_values_of, sent.to_json()), _values(function)
            promises.expect(
                all(_same(there[name], value, _ROUNDING) for name, value in here.items()),
                "in another process it gives other numbers; nothing may depend on the process, such as the order of a "
                "set, or files that lie beside it",
            )
    promises.check()


class _Check:
    """One function on several kinds of music. What goes wrong with several of them is one sentence."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.problems: dict[str, tuple[str, list[str]]] = {}  # by what they have in common: a sentence, and music

    def note(self, promises: Promises) -> None:
        """Try the function on all music, and note what it does not keep."""
        values = [self._tried(name, windows) for name, windows in _music().items()]
        for problem, names in self.problems.values():
            promises.expect(False, f"{problem} (tried: {listing(names)})")
        if all(value is not None for value in values):
            promises.expect(
                any(not math.isnan(value) for value in values if value is not None),
                "there is no value of any music, be it real, made or random; a study would have no answer",
            )

    def _tried(self, name: str, windows: WindowSet) -> float | None:
        """The value of some music; None if there is something wrong with it."""
        given = self.given(windows)
        value = self._called(name, given)
        if value is None:
            return None
        before = self.given(windows)
        if not all(map(_equal, given.values(), before.values())):
            self._problem(name, "it must leave its arguments as they are; it changed one")
        again = self._called(name, before)
        if again is not None and not _same(again, value, 0.0):
            self._problem(name, "it must give the same number for the same music; take a generator with a fixed seed")
            return value
        other = self._called(name, self.given(_reordered(windows)))
        if other is not None and not _same(other, value, _ROUNDING):
            self._problem(name, "it must not depend on the order of windows or pieces; what has an order is a piece")
        return value

    def _called(self, name: str, given: dict[str, Any]) -> float | None:
        try:
            value = self.function(**given)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._problem(name, f"it {how_failed(error)}")
            return None
        if wrong := wrong_number(value):
            self._problem(name, f"it {wrong}")
            return None
        return float(value)

    def _problem(self, name: str, problem: str) -> None:
        names = self.problems.setdefault(problem.partition("; got ")[0], (problem, []))[1]
        if name not in names:
            names.append(name)

    def given(self, windows: WindowSet) -> dict[str, Any]:
        """What the function takes, in copies that it may spoil."""
        inputs = {
            "rolls": windows.rolls,
            "resolution": windows.resolution,
            "songs": windows.songs,
            "pieces": windows.pieces,
            "reference": _songs(_FINER if windows.resolution == _FINER.resolution else _SPEC, _SONGS).rolls,
        }
        return {name: _copied(inputs[name]) for name in taken(self.function)}


def _values_of(sent: dict[str, Any]) -> dict[str, float]:
    return _values(Sent.of_json(sent).load())


def _values(function: Callable[..., Any]) -> dict[str, float]:
    """The values of all music that is made fast."""
    check = _Check(function)
    return {name: float(function(**check.given(windows))) for name, windows in _made_music().items()}


def _copied(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.copy()
    return [piece.copy() for piece in value] if isinstance(value, list | tuple) else value


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return len(one) == len(other) and all(map(np.array_equal, one, other))
    return bool(np.array_equal(one, other))


def _same(one: float, other: float, tolerance: float) -> bool:
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance) or (math.isnan(one) and math.isnan(other))


def _reordered(windows: WindowSet) -> WindowSet:
    """The same windows and pieces in another order."""
    order = np.random.default_rng(1).permutation(len(windows.rolls))
    return replace(
        windows, rolls=windows.rolls[order], songs=windows.songs[order], pieces=list(reversed(windows.pieces))
    )


def _music() -> dict[str, WindowSet]:
    """What a measure is tried on, by name."""
    return _made_music() | {"chorales": _chorales()}


@functools.cache
def _made_music() -> dict[str, WindowSet]:
    silence = np.zeros((_WINDOWS, 5, _SPEC.steps, 128), bool)
    note = silence.copy()
    note[0, 1, 4:8, 60] = True
    noise = np.random.default_rng(0).random(silence.shape) < 0.02
    return {
        "silence": _windows(list(silence)),
        "one note": _windows(list(note)),
        "one window": _windows([noise[0]]),
        "noise": _windows(list(noise)),
        "made songs": _songs(_SPEC, 0),
        "finer steps": _songs(_FINER, 0),
    }


@functools.cache
def _songs(spec: WindowSpec, first: int) -> WindowSet:
    """Made songs from the number `first` on, of 2 to 4 windows each."""
    pieces = [song_roll(number, (2 + number % 3) * spec.steps) for number in range(first, first + _SONGS)]
    return _windows(pieces, spec)


def _windows(pieces: list[np.ndarray], spec: WindowSpec = _SPEC) -> WindowSet:
    """The windows of pieces `(track, step, pitch)` of whole windows."""
    counts = [piece.shape[1] // spec.steps for piece in pieces]
    rolls = [window for piece, count in zip(pieces, counts, strict=True) for window in np.split(piece, count, axis=1)]
    return WindowSet(np.stack(rolls), np.repeat(np.arange(len(pieces)), counts), spec.resolution, pieces)


@functools.cache
def _chorales() -> WindowSet:
    """Windows of a few chorales."""

    def pieces() -> Iterator[np.ndarray]:
        for name, content in Chorales().items():
            with suppress(BadSong):
                if len(windows := unpack(cut(Chorales.parse(name, content), _SPEC))):
                    yield np.concatenate(list(windows), axis=1)

    return _windows(list(islice(pieces(), _CHORALES)))
