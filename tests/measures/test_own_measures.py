"""A user's own measure at work: what it is given, what counts as a number, and `check_measure`."""

import dataclasses
import functools
import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from musiclab.errors import UserError
from musiclab.measures import measure
from musiclab.measures.own import OwnMeasure
from musiclab.measures.registry import OWN, Measure
from musiclab.measures.window_set import WindowSet
from musiclab.testing import BrokenPromises, check_measure

WORDS: dict[str, Any] = {"unit": "share", "better": "real", "title": "Cells that sound"}
EXAMPLE = Path(__file__).parents[2] / "examples" / "own_measure.py"
COUNT: list[int] = []


def windows(count: int = 3) -> WindowSet:
    rolls = np.random.default_rng(0).random((count, 5, 32, 128)) < 0.1
    return WindowSet(rolls, np.arange(count), 2, list(rolls))


def at_work(function: Callable[..., Any]) -> OwnMeasure:
    return OwnMeasure(Measure("mine", OWN, **WORDS, place="mine.py: mine"), sent(function), "code")


def sent(function: Callable[..., Any]) -> Any:
    """Stands for what was sent, of a function that has no name in its file."""
    return SimpleNamespace(load=lambda: function)


@measure(**WORDS)
def sounding(rolls):
    return rolls.mean()


@measure(unit="", better="up", title="two\nlines", needs=("latents",))
def no_words(rolls):
    return 0.5


@measure(**WORDS)
def unasked(rolls, tempo):
    return 0.5


@measure(**WORDS)
def compares(rolls, reference):
    return rolls.mean() - reference.mean()


@measure(**WORDS)
def nothing_to_measure(resolution):
    return 0.5


@measure(**WORDS)
def fails_on_silence(rolls):
    return 1 / int(rolls.sum())


@measure(**WORDS)
def ends(rolls):
    raise SystemExit(0)


@measure
def bare(rolls):
    return rolls.mean()


@measure(better="real")
def silent(rolls):
    return rolls.mean()


@measure(**WORDS, needs="noise")
def needs_a_text(rolls):
    return rolls.mean()


@measure(**WORDS)
def infinite(rolls):
    return rolls.mean() / np.float64(rolls[:, 0].sum())


@measure(**WORDS)
def text(rolls):
    return f"{rolls.mean():.2f}"


@measure(**WORDS)
def by_window(rolls):
    return rolls.mean((1, 2, 3))


@measure(**WORDS)
def spoils(rolls):
    rolls[:, 0] = False
    return rolls.mean()


@measure(**WORDS)
def unrepeatable(rolls):
    COUNT.append(1)
    return rolls.mean() + len(COUNT)


@measure(**WORDS)
def ordered(rolls):
    return (rolls.mean((1, 2, 3)) * np.arange(len(rolls))).sum()


@measure(**WORDS)
def ordered_pieces(pieces):
    return float(pieces[0].mean())


@measure(**WORDS)
def never(rolls):
    return math.nan


@measure(**WORDS)
def frechet(rolls):
    return rolls.mean()


@measure(**WORDS)
def at_one_resolution(rolls):
    return rolls.reshape(len(rolls), 5, 32, 128).mean()


@measure(**WORDS)
def of_one_piece(pieces):
    return float(pieces[1].mean() * pieces[0].any())


@measure(**WORDS)
class Panic(BaseException):
    """What packages in Rust raise when they panic: no Exception."""


@measure(**WORDS)
def panics(rolls):
    raise Panic("in Rust")


@measure(**WORDS)
def by_position(rolls, /):
    return rolls.mean()


@measure(**WORDS)
def many(*rolls):
    return len(rolls)


@measure(**WORDS)
def of_the_process(rolls):
    return rolls.mean() + os.getpid()


def within() -> Callable[..., Any]:
    @measure(**WORDS)
    def nameless(rolls):
        return rolls.mean()

    return nameless


def test_a_function_gets_what_it_takes_and_cannot_change_it() -> None:
    given: dict[str, Any] = {}

    def mine(rolls: Any, pieces: Any, songs: Any, resolution: Any, *, reference: Any, bins: int = 12) -> Any:
        given.update(rolls=rolls, pieces=pieces, songs=songs, resolution=resolution, reference=reference, bins=bins)
        return np.float32(0.5)

    real = windows(2)
    value = at_work(mine).value(windows(), real)
    assert (type(value), value) == (float, 0.5)
    assert given["rolls"].shape == (3, 5, 32, 128) and given["reference"].shape == (2, 5, 32, 128)
    assert (given["resolution"], given["bins"], len(given["pieces"]), list(given["songs"])) == (2, 12, 3, [0, 1, 2])
    for array in (given["rolls"], given["reference"], given["songs"], *given["pieces"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert at_work(lambda pieces: len(pieces)).value(windows(), real) == 3
    assert math.isnan(at_work(lambda rolls: math.nan).value(windows(), real))
    assert math.isnan(at_work(lambda rolls: 1 / len(rolls)).value(windows(0), real))


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "must return a number; got None."),
        (True, "must return a number; got True."),
        ("0.5", "must return a number; got '0.5'."),
        (np.ones(3), r"must return a number; got an array of shape \(3,\)."),
        (math.inf, "must return a finite number, or NaN if there is none; got inf."),
        (10**400, "must return a finite number, or NaN if there is none; got inf."),
    ],
)
def test_what_is_no_number_is_said_in_a_sentence(returned: Any, said: str) -> None:
    with pytest.raises(UserError, match=f"^mine.py: mine {said}$"):
        at_work(lambda rolls: returned).value(windows(), windows())


def test_what_a_function_raises_is_said_with_its_place() -> None:
    with pytest.raises(
        UserError,
        match=r"^mine.py: mine raises ZeroDivisionError: division by zero \(test_own_measures.py, line \d+\).",
    ):
        at_work(lambda rolls: 1 / 0).value(windows(), windows())
    with pytest.raises(
        UserError, match=r"mine must not end the process; it raises SystemExit: 0 \(test_own_measures.py"
    ):
        at_work(ends).value(windows(), windows())
    with pytest.raises(UserError, match=r"mine raises Panic: in Rust \(test_own_measures.py, line \d+\)\.$"):
        at_work(panics).value(windows(), windows())
    with pytest.raises(UserError, match=r"raises ValueError: .*read-only"):
        at_work(spoils).value(windows(), windows())


def test_what_a_worker_cannot_import_is_said_with_its_place() -> None:
    def load() -> None:
        raise ModuleNotFoundError("No module named 'lacking'")

    cannot = dataclasses.replace(at_work(sounding), sent=cast(Any, SimpleNamespace(load=load)))
    with pytest.raises(UserError) as raised:
        cannot.value(windows(), windows())
    place = str(raised.value).removeprefix(
        "mine.py: mine cannot be imported: ModuleNotFoundError: No module named 'lacking' (test_own_measures.py, line "
    )
    assert place.partition(")")[2] == "; install it on all machines that run trials."


PLANTED: list[tuple[Callable[..., Any], list[str]]] = [
    (no_words, [
        "must have a unit of 1 to 40 letters; got ''.",
        r"must have a title of 1 to 100 letters; got 'two\nlines'.",
        "must have better as one of 'lower', 'higher', 'real', 'neither'; got 'up'.",
        "needs must be some of start, piano, target, noise; got 'latents'.",
    ]),
    (unasked, ["may take rolls, resolution, songs, pieces, reference; got 'tempo', which must have a default."]),
    (compares, ["takes reference, so real music has no value of its own; better must be lower, higher or neither."]),
    (nothing_to_measure, ["must take rolls or pieces, so that it has something to measure."]),
    (fails_on_silence, ["it raises ZeroDivisionError: .* (tried: silence)"]),
    (ends, ["it must not end the process; it raises SystemExit: 0 .* (tried: silence, "]),
    (panics, ["it raises Panic: in Rust .* (tried: silence, "]),
    (by_position, ["must take rolls by name.", "must take rolls or pieces, so that it has something to measure."]),
    (many, ["must take rolls or pieces, so that it has something to measure."]),
    (bare, ["must be a function under @measure(unit=..., better=..., title=...)."]),
    (silent, ["must have a unit of 1 to 40 letters; got ''.", "must have a title of 1 to 100 letters; got ''."]),
    (needs_a_text, ["needs must be a tuple, such as ('noise',); got 'noise'."]),
    (infinite, ["it must return a finite number, or NaN if there is none; got inf (tried: one note and chorales)"]),
    (text, ["it must return a number; got '0.00' (tried: silence, one note, one window, "]),
    (by_window, ["it must return a number; got an array of shape (24,)"]),
    (spoils, ["it must leave its arguments as they are; it changed one (tried: "]),
    (unrepeatable, ["it must give the same number for the same music; take a generator with a fixed seed"]),
    (ordered, ["it must not depend on the order of windows or pieces; what has an order is a piece"]),
    (ordered_pieces, ["it must not depend on the order of windows or pieces; what has an order is a piece"]),
    (never, ["there is no value of any music, be it real, made or random; a study would have no answer"]),
    (frechet, ["must have a name of its own; 'frechet' is a measure of musiclab's."]),
    (at_one_resolution, ["it raises ValueError: .* (tried: finer steps)"]),
    (of_one_piece, [
        "it raises IndexError: .* (tried: one window)",
        "it must not depend on the order of windows or pieces; what has an order is a piece",
    ]),
    (of_the_process, ["in another process it gives other numbers; nothing may depend on the process"]),
    (within(), ["must have a name at the top level of its file, so that other processes can import it."]),
    (np.mean, ["must be a function under @measure(unit=..., better=..., title=...)."]),
]  # fmt: skip


@pytest.mark.parametrize(("function", "said"), PLANTED, ids=[function.__name__ for function, _ in PLANTED])
def test_a_planted_fault_is_named(function: Callable[..., Any], said: list[str]) -> None:
    with warnings.catch_warnings(), pytest.raises(BrokenPromises) as caught:
        warnings.simplefilter("ignore")  # of NumPy, about what is planted
        check_measure(function)
    sentences = caught.value.sentences
    for text in said:
        *before, after = text.split(".*")
        (found,) = [each for each in sentences if after in each and all(part in each for part in before)] or [""]
        assert found, (text, sentences)
        place = "__init__.py" if function is np.mean else "test_own_measures.py"
        assert found.startswith(f"{place}: {function.__qualname__}"), found
    others = [each for each in sentences if not any(text.split(".*")[0] in each for text in said)]
    assert others == []


def test_what_is_no_function_is_one_sentence() -> None:
    with pytest.raises(BrokenPromises) as broken:
        check_measure(measure(**WORDS)(functools.partial(sounding)))
    assert len(broken.value.sentences) == 1


def test_good_measures_pass() -> None:
    check_measure(sounding)
    text = EXAMPLE.read_text()
    assert text.count("\n") < 60
    for name in ("parallel_fifths", "leap"):
        check_measure(f"{EXAMPLE}:{name}")
