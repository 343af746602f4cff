"""A user's own system: found where the user says, and checked before anything runs."""

import dataclasses
import math
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

from musiclab.errors import UserError
from musiclab.plain import plain
from musiclab.systems import SYSTEMS, find_system
from musiclab.systems.config import FORMS, GENERATE, MEASURE, SCALES, TAKEN, Config, wrong_default
from musiclab.user_code import check_method, check_name, described, find, is_ours
from musiclab.user_errors import why_failed

if TYPE_CHECKING:
    from musiclab.systems.base import System


def given_system(given: Any) -> "System[Any]":
    """An instance of the system that a study or a command gives: the name of one of the article's, or a user's own.

    A user's own is a class, or a reference to one, see `musiclab.user_code`. This runs the code of its file, so it is
    for what the user's command or study names; what a record or a plan names is `find_system`'s.

    Raises:
        UserError: there is none, or it is no system that can run; the sentence names file and class.
    """
    if isinstance(given, str) and given in SYSTEMS:
        return find_system(given)
    system = find(given, "system", SYSTEMS)
    check_system_class(system)
    try:
        instance: System[Any] = system()
    except Exception as error:  # of whatever a user wrote
        raise UserError(f"{described(system)} must be made without an error: {why_failed(error)}.") from error
    return instance


def estimated_seconds(system: "System[Any]", config: Config, windows: int) -> float | None:
    """How long a system says that it trains, in seconds; None if it does not know.

    Raises:
        UserError: it raises, or gives something else.
    """
    try:
        seconds: Any = plain(system.estimated_seconds(config, windows))
    except Exception as error:  # of whatever a user wrote
        raise UserError(f"{described(type(system))}: estimated_seconds raises {why_failed(error)}.") from error
    if seconds is None:
        return None
    if type(seconds) not in (int, float) or not 0 < seconds < math.inf:
        raise UserError(
            f"{described(type(system))}: estimated_seconds must give seconds above 0, or None; got {seconds!r}."
        )
    return float(seconds)


def check_system_class(system: Any, house: bool = False) -> None:
    """Check what can be checked of a system without running it.

    Args:
        system: the class.
        house: whether it may be one of the article's too.

    Raises:
        UserError: one sentence that names file, class and what would be right.
    """
    from musiclab.systems.base import CONDITIONS, PROVIDES, System  # brings torch
    from musiclab.systems.function import FunctionSystem

    if not (isinstance(system, type) and issubclass(system, System)):
        what = (
            "an instance; give its class"
            if isinstance(system, System)
            else described(system)
            if hasattr(system, "__qualname__")
            else f"{type(system).__name__} {system!r}"
        )
        raise UserError(
            f"A system must be the name of one, a class of musiclab.systems.System, or a function under @system; got "
            f"{what}."
        )
    where = described(system)
    if issubclass(system, FunctionSystem) and system.wrong:
        raise UserError(system.wrong)
    check_name(getattr(system, "name", None), system, "system", () if house and is_ours(system) else SYSTEMS)
    if missing := sorted(system.__abstractmethods__):
        raise UserError(f"{where} must define {' and '.join(missing)}.")
    check_method(system, "train", "self, stage, run")
    check_method(system, "continuations", "self, run, starts")
    check_method(system, "estimated_seconds", "self, config, windows")
    check_method(system, "own_measures", "self, run")
    if needed := [each.name for each in signature(system).parameters.values() if _is_needed(each)]:
        raise UserError(f"{where} must be made without arguments; its __init__ takes {needed[0]}. Make it a field.")
    _check_stages(system, where)
    for name, known in (("conditions", CONDITIONS), ("provides", PROVIDES)):
        words = getattr(system, name)
        if not isinstance(words, tuple):
            raise UserError(f"{where}: {name} must be a tuple, such as ({known[0]!r},); got {words!r}.")
        if unknown := [word for word in words if word not in known]:
            raise UserError(f"{where}: {name} must be some of {', '.join(known)}; got {unknown[0]!r}.")
    _check_config(system, where)
    _check_presets(system, where)
    _check_progress(system, where)


def _is_needed(parameter: Parameter) -> bool:
    gathers = parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return parameter.default is Parameter.empty and not gathers


def _check_stages(system: "type[System[Any]]", where: str) -> None:
    """The names of the stages that train; `System` adds those that every system ends with."""
    stages: Any = system.stages
    if not isinstance(stages, dict):
        raise UserError(f"{where}: stages must be a tuple of names, such as ('train',); got {stages!r}.")
    for stage in stages:
        if not (isinstance(stage, str) and stage.isidentifier()) or stage == "windows":
            raise UserError(f"{where}: stages must be names such as ('train',); got {stage!r}.")
    if list(stages)[-2:] != [GENERATE, MEASURE]:
        raise UserError(
            f"{where}: stages must be those that train, such as ('train',), or a dict that ends with {GENERATE!r} and "
            f"{MEASURE!r}; got {', '.join(stages)}."
        )


def _check_presets(system: "type[System[Any]]", where: str) -> None:
    """The scales and forms that a study may ask for, with values that fit the config."""
    for attribute, names in (("scales", SCALES), ("forms", FORMS)):
        presets: Any = getattr(system, attribute)
        if not isinstance(presets, dict) or set(presets) != set(names):
            raise UserError(f"{where}: {attribute} must be a dict with {' and '.join(names)}; got {presets!r}.")
        for name, values in presets.items():
            if not isinstance(values, dict):
                raise UserError(f"{where}: {attribute}[{name!r}] must be a dict of fields; got {values!r}.")
            try:
                system.config().with_values(values)
            except (UserError, TypeError) as error:
                raise UserError(f"{where}: {attribute}[{name!r}] must be values of its fields: {error}") from error


def _check_progress(system: "type[System[Any]]", where: str) -> None:
    from musiclab.systems.base import Progress

    progress: Any = system.progress
    if progress is None:
        return
    if not isinstance(progress, Progress):
        raise UserError(f"{where}: progress must be a musiclab.systems.Progress, or None; got {progress!r}.")
    training = list(system.stages)[:-2]
    if progress.stage not in training:
        raise UserError(f"{where}: progress.stage must be one of {', '.join(training)}; got {progress.stage!r}.")
    if progress.better not in ("lower", "higher"):
        raise UserError(f"{where}: progress.better must be lower or higher; got {progress.better!r}.")
    if not isinstance(progress.unlike, tuple | list | set | frozenset):
        raise UserError(f"{where}: progress.unlike must be a tuple of fields; got {progress.unlike!r}.")
    fields = [spec.name for spec in dataclasses.fields(system.config)]
    if unknown := [name for name in progress.unlike if name not in fields]:
        raise UserError(f"{where}: progress.unlike must be fields of its config; got {unknown[0]!r}.")


def _check_config(system: "type[System[Any]]", where: str) -> None:
    config = getattr(system, "config", None)
    if not (isinstance(config, type) and issubclass(config, Config)):
        raise UserError(f"{where} must have a config, a class of musiclab.systems.Config; got {config!r}.")
    name = described(config)
    if config is not Config and "__dataclass_fields__" not in vars(config):
        raise UserError(f"{name} must stand under @dataclass(frozen=True), so that its fields are seen.")
    stages = ("windows", *system.stages)
    own = {name for kind in config.__mro__ if not is_ours(kind) for name in vars(kind).get("__annotations__", ())}
    for spec in dataclasses.fields(config):
        if spec.name in own & TAKEN:
            raise UserError(
                f"{name}: {spec.name} must have another name, because every config has a {spec.name}; defaults of "
                "musiclab's own fields are changed by scales."
            )
        if "stage" not in spec.metadata:
            raise UserError(
                f"{name}: {spec.name} must have a stage, such as {spec.name}: int = field(8, {stages[1]!r}, 'what it "
                "means')."
            )
        if spec.metadata["stage"] not in stages:
            raise UserError(
                f"{name}: {spec.name} must belong to one of the stages {', '.join(stages)}; got "
                f"{spec.metadata['stage']!r}."
            )
        if wrong := wrong_default(spec.default, spec.type):
            raise UserError(f"{name}: the default of {spec.name} {wrong}.")
        _check_choices(name, spec)
        limits = {limit: spec.metadata[limit] for limit in ("low", "high") if spec.metadata[limit] is not None}
        for limit, value in limits.items():
            if type(spec.default) not in (int, float):
                raise UserError(
                    f"{name}: the default of {spec.name} must be a number, because it has a {limit}; got "
                    f"{spec.default!r}."
                )
            if type(plain(value)) not in (int, float):
                raise UserError(f"{name}: {limit} of {spec.name} must be a number; got {value!r}.")
    try:
        config()
    except UserError as error:
        raise UserError(f"{name} must have defaults that are allowed: {error}") from error


def _check_choices(name: str, spec: dataclasses.Field[Any]) -> None:
    choices, kind = spec.metadata["choices"], type(spec.default)
    if not isinstance(choices, tuple | list) or not all(type(plain(each)) is kind for each in choices):
        raise UserError(
            f"{name}: choices of {spec.name} must be a tuple of values such as its default {spec.default!r}; got "
            f"{choices!r}."
        )
