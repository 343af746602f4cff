"""The measures that a study brings: found where it says, checked before anything runs, and from then on names."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import metadata
from types import FunctionType
from typing import Any

from musiclab.design.claims import Claim, Expect
from musiclab.design.search import Search
from musiclab.design.spec import StudySpec
from musiclab.errors import UserError
from musiclab.measures.declaring import declared
from musiclab.measures.own import INPUTS, OwnMeasure, taken
from musiclab.measures.registry import MEASURES, Measure, wrong_words
from musiclab.sending import Sent
from musiclab.user_code import check_different, check_name, code_of, described, find, is_reference

_HOUSE = {measure.name for measure in MEASURES}
# What a user's own measure may need of a system: what any system generates from.
_NEEDS = ("start", "piano", "target", "noise")


def with_named_measures(spec: StudySpec) -> tuple[StudySpec, tuple[OwnMeasure, ...]]:
    """The spec with full names in place of functions and of references to them; and the measures that they are.

    They may stand in `objective`, in `measures`, in claims, and in what a search searches for beside its objective.

    Raises:
        UserError: one is no measure, or two have one name.
    """
    own: dict[str, OwnMeasure] = {}

    def named(given: Any) -> Any:
        """The full name of a measure of the user's; what else is given is checked where names are looked up."""
        known = [each.measure for each in own.values()]
        if not callable(given) and not (isinstance(given, str) and _names_code(given, known)):
            return given
        measure = given_measure(given)
        check_different({name: each.function for name, each in own.items()}, "measure", measure.name, measure.function)
        own[measure.name] = measure
        return measure.name

    def expected(expect: Any) -> Any:
        return replace(expect, measure=named(expect.measure)) if isinstance(expect, Expect) else expect

    objective = named(spec.objective)
    if not isinstance(objective, str):
        raise UserError(
            f"A study's objective must be the name of a measure, a function under @measure, or path/file.py:Name; got "
            f"{objective!r}."
        )
    if not isinstance(spec.measures, tuple | list):
        raise UserError(f"measures must be a tuple of measures of your own; got {spec.measures!r}.")
    measures = tuple(map(named, spec.measures))
    for given in measures:
        if given not in list(own):
            raise UserError(
                f"measures must be functions under @measure, or path/file.py:Name; got {given!r}. Those of musiclab "
                "are measured anyway."
            )
    space, claims = spec.space, spec.claims
    if isinstance(space, Search) and isinstance(space.also, tuple):
        space = replace(space, also=tuple(map(named, space.also)))
    if isinstance(claims, list | tuple):
        claims = [
            replace(claim, expect=list(map(expected, claim.expect)))
            if isinstance(claim, Claim) and isinstance(claim.expect, list | tuple)
            else claim
            for claim in claims
        ]
    return replace(spec, objective=objective, measures=measures, space=space, claims=claims), tuple(own.values())


def _names_code(text: str, own: Iterable[Measure]) -> bool:
    """Whether a text is a reference or the name of an entry point, and not the name of a measure that is known."""
    if is_reference(text):  # first, because `polyphony.py:polyphony` begins as values of single tracks do
        return True
    known = {spelling for measure in (*MEASURES, *own) for spelling in (measure.name, measure.full_name)}
    if text in known or text.partition(".")[0] in known:  # `noise_sensitivity.Drums` is the value of one track
        return False
    return bool(metadata.entry_points(group="musiclab.measures", name=text))


def given_measure(given: Any) -> OwnMeasure:
    """A measure of the user's.

    Args:
        given: a function under `@measure`, or a reference to one, see `musiclab.user_code`. This runs the code of its
            file, so it is for what the user's study names.

    Raises:
        UserError: there is none, or it cannot be measured; the sentence names file and function.
    """
    function = find(given, "measure", _HOUSE)
    if wrong := wrong_declaration(function):
        raise UserError(wrong[0])
    measure = declared(function)
    assert measure is not None, "checked above"
    return OwnMeasure(measure, Sent(function), code_of(function).hash)


def wrong_declaration(function: Callable[..., Any]) -> list[str]:
    """What is wrong with a function as a measure, a sentence each, without calling it."""
    words = declared(function)
    if not isinstance(function, FunctionType) or words is None:
        where = described(function) if hasattr(function, "__qualname__") else repr(function)
        return [f"{where} must be a function under @measure(unit=..., better=..., title=...)."]
    where, wrong = described(function), []
    try:
        check_name(function.__name__, function, "measure", _HOUSE)
    except UserError as error:
        wrong.append(str(error))
    wrong += [f"{where} {clause}." for clause in wrong_words(words.unit, words.better, words.title)]
    if not isinstance(words.needs, tuple):
        return [*wrong, f"{where}: needs must be a tuple, such as ('noise',); got {words.needs!r}."]
    wrong += [
        f"{where}: needs must be some of {', '.join(_NEEDS)}; got {need!r}." for need in words.needs
        if need not in _NEEDS
    ]  # fmt: skip
    if unnamed := [name for name in INPUTS if name in not_given(function)]:
        wrong.append(f"{where} must take {unnamed[0]} by name.")
    elif unknown := not_given(function):
        wrong.append(f"{where} may take {', '.join(INPUTS)}; got {unknown[0]!r}, which must have a default.")
    if not {"rolls", "pieces"} & set(taken(function)):
        wrong.append(f"{where} must take rolls or pieces, so that it has something to measure.")
    if words.better == "real" and "reference" in taken(function):
        wrong.append(
            f"{where} takes reference, so real music has no value of its own; better must be lower, higher or neither."
        )
    return wrong


def not_given(function: Callable[..., Any]) -> list[str]:
    """The parameters of a function without which it cannot be called, and which no measure is given."""
    return [name for name, parameter in inspect.signature(function).parameters.items() if not _is_given(parameter)]


def _is_given(parameter: inspect.Parameter) -> bool:
    """Whether a function can be called without whoever calls it knowing more of a parameter than INPUTS."""
    by_name = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    gathers = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return gathers or parameter.default is not parameter.empty or (by_name and parameter.name in INPUTS)
