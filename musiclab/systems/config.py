"""Typed configurations: every field has a type, a range, a sentence, and the one stage that it belongs to."""

import dataclasses
import difflib
import inspect
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, Self, TypeVar

from musiclab.data.transposition import AS_WRITTEN, TRANSPOSE
from musiclab.data.windows import WindowSpec
from musiclab.errors import UserError
from musiclab.plain import plain
from musiclab.user_code import described
from musiclab.user_errors import why_failed

# The stages that every system ends with: GENERATE continues the start windows, MEASURE makes the trial's measures.
GENERATE, MEASURE = "generate", "measure"
# What every system has: sizes, and what it is, see `System`.
SCALES = ("demo", "article")
FORMS = ("mended", "written", "coded")


class BrokenCheck(UserError):
    """The `check` of a user's config raised something else than a UserError."""


def field(
    default: Any,
    stage: str,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[Any, ...] = (),
    earlier: Mapping[str, str] | None = None,
) -> Any:
    """A field of a config. It takes values of the type that stands beside it, which is that of `default`.

    Args:
        default: its value if none is given. A whole number will do for a field that is a `float`.
        stage: the stage whose numbers depend on it.
        doc: what it means, for the help text.
        low: the least value allowed.
        high: the largest value allowed.
        choices: the only values allowed.
        earlier: the values by the names that earlier versions had for them, so that old records are read.
    """
    metadata: dict[str, Any] = {"stage": stage, "doc": doc, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=plain(default), metadata=metadata | {"earlier": earlier or {}})


@dataclasses.dataclass(frozen=True)
class Config:
    """Base of every system's config: frozen, checked when made, comparable, JSON-serialisable.

    Its own fields are those that all systems share: how songs are cut into windows, and how much is generated.

    Attributes:
        steps_factor: by what a system's convolutions divide the steps of a window.
    """

    steps_factor: ClassVar[int] = 1

    resolution: int = field(2, "windows", "steps a beat; a divisor of 24", low=1, high=24)
    steps: int = field(32, "windows", "steps a window", low=1, high=512)
    hop: int = field(32, "windows", "steps from a window's start to the next one's", low=1, high=512)
    transpose: str = field(
        AS_WRITTEN,
        "windows",
        "none: songs as they are written; to_c: each moved to C major or A minor by at most 6 semitones, drums never",
        choices=TRANSPOSE,
    )
    max_train: int = field(0, "windows", "training windows drawn at most; 0 is all", low=0)
    max_eval: int = field(2000, "windows", "validation and test windows drawn at most; 0 is all", low=0)

    starts: int = field(64, "generate", "start windows, from validation songs", low=2, high=100_000)
    continuation: int = field(4, "generate", "windows generated after each start window", low=1, high=1000)
    variations: int = field(1, "generate", "continuations of each start window, with other noise", low=1, high=1000)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, annotation in inspect.get_annotations(cls).items():
            if isinstance(spec := vars(cls).get(name), dataclasses.Field):
                spec.default = as_annotated(spec.default, annotation)

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            object.__setattr__(self, spec.name, _checked(spec, getattr(self, spec.name)))
        if 24 % self.resolution:
            raise UserError(f"resolution must be a divisor of 24; got {self.resolution}.")
        if self.steps % self.steps_factor:
            raise UserError(
                f"steps must be a multiple of {self.steps_factor}, because the convolutions divide by it; "
                f"got {self.steps}."
            )
        if self.hop != self.steps:
            # Generated windows lie end to end; they are compared with those that follow the start in its song.
            raise UserError(f"hop must equal steps ({self.steps}), so that windows lie end to end; got {self.hop}.")
        for name in ("max_train", "max_eval"):
            if getattr(self, name) == 1:
                raise UserError(f"{name} must be 0, for all windows, or at least 2; got 1.")
        try:
            self.check()
        except UserError:
            raise
        except Exception as error:  # of whatever a user wrote
            raise BrokenCheck(f"{described(type(self))}: check raises {why_failed(error)}.") from error

    def check(self) -> None:
        """Raise UserError if values that are allowed by themselves do not fit together."""

    @classmethod
    def spec(cls, name: str) -> dataclasses.Field[Any]:
        """The field called `name`.

        Raises:
            UserError: there is no such field; the message has the nearest name.
        """
        by_name = {spec.name: spec for spec in dataclasses.fields(cls)}
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"its fields are {', '.join(by_name)}."
            raise UserError(f"There is no field {name!r} in {cls.__name__}; {hint}")
        return by_name[name]

    @classmethod
    def value(cls, name: str, given: Any) -> Any:
        """A value of the field `name`, from a value or its text.

        Raises:
            UserError: the type or the range is wrong, or there is no such field.
        """
        return _checked(cls.spec(name), given)

    def with_values(self, values: dict[str, Any]) -> Self:
        """A copy in which some fields have other values.

        Raises:
            UserError: there is no such field, or the value is wrong.
        """
        return dataclasses.replace(self, **{name: self.value(name, given) for name, given in values.items()})

    @property
    def window_spec(self) -> WindowSpec:
        """How songs are cut for this config."""
        return WindowSpec(self.resolution, self.steps, self.hop, self.transpose)

    def to_json(self) -> dict[str, Any]:
        """All fields by name."""
        return dataclasses.asdict(self)

    def of_stages(self, stages: tuple[str, ...]) -> dict[str, Any]:
        """The values of the fields that belong to the named stages."""
        return {
            spec.name: getattr(self, spec.name) for spec in dataclasses.fields(self) if spec.metadata["stage"] in stages
        }


def as_annotated(default: Any, annotation: Any) -> Any:
    """A default as a value of the type beside it: 1 is 1.0 as a `float`. What does not fit stays as it is."""
    return float(default) if type(default) is int and annotated(annotation) is float else default


def annotated(annotation: Any) -> type[Any] | None:
    """The type that an annotation says, which may be a text; None unless it is one that a field can have."""
    types = {"bool": bool, "int": int, "float": float, "str": str}
    return types.get(annotation if isinstance(annotation, str) else getattr(annotation, "__name__", ""))


def wrong_default(default: Any, annotation: Any) -> str:
    """What is wrong with a field's default, in a clause; empty if nothing is."""
    if type(default) not in (bool, int, float, str):
        return f"must be a number, a text, True or False; got {default!r}"
    kind = annotated(annotation)
    if kind and type(as_annotated(default, annotation)) is not kind:
        return f"must be of the type beside it, {kind.__name__}; got {default!r}"
    return ""


# Names that a field of a user's must not have: those of every config, and what a space names beside fields.
TAKEN = frozenset(name for name in dir(Config) if not name.startswith("__")) | {"form", "system"}

ConfigT = TypeVar("ConfigT", bound=Config)


def without_fields(config: ConfigT, stages: Collection[str], why: Callable[[str, str], str]) -> ConfigT:
    """A copy of a config that refuses to tell the fields of some stages.

    Args:
        config: what is copied.
        stages: whose fields cannot be read in the copy.
        why: the sentence of the UserError that reading one raises, from the field's name and its stage.
    """

    def refusing(spec: dataclasses.Field[Any]) -> property:
        def refuse(_: Config) -> Any:
            raise UserError(why(spec.name, spec.metadata["stage"]))

        return property(refuse)

    specs = dataclasses.fields(config)
    hidden = {spec.name: refusing(spec) for spec in specs if spec.metadata["stage"] in stages}
    if not hidden:
        return config
    copy: ConfigT = object.__new__(type(type(config).__name__, (type(config),), hidden))
    for spec in specs:
        if spec.name not in hidden:
            object.__setattr__(copy, spec.name, getattr(config, spec.name))
    return copy


def _checked(spec: dataclasses.Field[Any], given: Any) -> Any:
    kind, meta = type(spec.default), spec.metadata
    given = plain(given)
    value = _converted(kind, meta["earlier"].get(given, given) if isinstance(given, str) else given)
    low, high = meta["low"], meta["high"]
    fits = value is not None and (
        (not meta["choices"] or value in meta["choices"])
        and (low is None or value >= low)
        and (high is None or value <= high)
    )
    if not fits:
        whole = kind is int and isinstance(given, float) and given.is_integer()
        hint = f"; write {int(given)}, or values.astype(int) for an array" if whole else ""
        if kind is int and not whole and _converted(float, given) is not None and not annotated(spec.type):
            hint = f"; its default {spec.default} is one, so write {spec.default}.0, or {spec.name}: float"
        raise UserError(f"{spec.name} must be {_wanted(kind, meta)}; got {given!r}{hint}.")
    return value


def _converted(kind: type[Any], given: Any) -> Any:
    """`given` as a value of type `kind`; None if it is something else: 3.5 is no int, "yes" no bool, True no number."""
    if isinstance(given, kind) and not (isinstance(given, bool) and kind is not bool):
        return None if kind is float and not math.isfinite(given) else given
    if kind is float and isinstance(given, int) and not isinstance(given, bool):
        return float(given) if abs(given) < 1e300 else None
    if not isinstance(given, str):
        return None
    if kind is bool:
        return {"true": True, "false": False}.get(given.lower())
    try:
        value = kind(given)
    except ValueError:
        return None
    return None if kind is float and not math.isfinite(value) else value


def _wanted(kind: type[Any], meta: Mapping[str, Any]) -> str:
    if meta["choices"]:
        return f"one of {', '.join(map(str, meta['choices']))}"
    if kind is bool:
        return "true or false"
    noun = {int: "a whole number", float: "a number", str: "a text"}[kind]
    low, high = meta["low"], meta["high"]
    if low is not None and high is not None:
        return f"{noun} from {low:g} to {high:g}"
    if low is not None:
        return f"{noun} of at least {low:g}"
    return noun if high is None else f"{noun} of at most {high:g}"
