"""Searches: fields with ranges, in which a sampler proposes configurations until a budget is spent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from musiclab.errors import UserError
from musiclab.fields import Fields
from musiclab.plain import plain
from musiclab.wording import listing

if TYPE_CHECKING:
    from musiclab.systems.base import System
    from musiclab.systems.config import Config

# The samplers that a search knows by name, and what each is in words.
SAMPLERS = {
    "random": "independent draws",
    "qmc": "a scrambled Sobol sequence",
    "tpe": "multivariate tree-structured Parzen estimators",
    "gp": "a Gaussian process",
    "cmaes": "CMA-ES",
    "nsga2": "NSGA-II",
}
# Those that ignore trials that failed or were ended early.
ONLY_FINISHED = ("gp", "cmaes", "nsga2")
SCHEDULERS = ("none", "asha")
CONTROL = "control"  # what a search's control is called
# A proposal is trained in blocks of their own: the search's is the first, those of the confirmation follow.
SEARCH_BLOCK = 0
RUNGS = (1 / 9, 1 / 3)  # shares of a trial's training steps at which ASHA decides
_HUGE = 1e300  # what is larger is no number that could be meant
REDUCTION = 3  # of as many trials at a rung, one goes on


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """A searched field.

    Attributes:
        when: the values of fields declared before it at which this one matters: `{"spectral_norm": True}`, or several
            values as a tuple. Where it does not, the field has the control's value.
    """

    when: Mapping[str, Any] = field(default_factory=dict)

    def holds(self, value: Any) -> bool:
        """Whether a value, of the field's type, is in the range."""
        raise NotImplementedError

    def nearest(self, value: Any) -> Any:
        """The value in the range that is nearest to one of the field's type."""
        raise NotImplementedError

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Whether the field matters, given the values of those before it that matter."""
        return all(name in values and values[name] in _several(wanted) for name, wanted in self.when.items())

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a plan."""
        raise NotImplementedError

    def check(self, name: str) -> None:
        """Raise UserError if the range cannot be right."""
        if not isinstance(self.when, Mapping):
            raise UserError(f"when of {name} must be fields with their values; got {self.when!r}.")


@dataclass(frozen=True)
class Float(Dimension):
    """A number from `low` to `high`, both included; drawn in proportion to its logarithm if `log`."""

    low: float
    high: float
    log: bool = field(default=False, kw_only=True)

    kind: ClassVar[type] = float

    def holds(self, value: Any) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and bool(self.low <= value <= self.high)

    def nearest(self, value: Any) -> Any:
        return self.kind(min(max(value, self.low), self.high))

    def to_json(self) -> dict[str, Any]:
        when = {"when": dict(self.when)} if self.when else {}
        return {"kind": self.kind.__name__, "low": self.low, "high": self.high, "log": self.log} | when

    def check(self, name: str) -> None:
        super().check(name)
        noun = "a whole number" if self.kind is int else "a number"
        for side in ("low", "high"):
            value = getattr(self, side)
            whole = isinstance(value, int) or self.kind is float
            if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < _HUGE or not whole:
                raise UserError(f"{side} of {name} must be {noun}; got {value!r}.")
        if not self.low < self.high:
            raise UserError(f"{name} must have room between low and high; got {self.low!r} to {self.high!r}.")
        if not isinstance(self.log, bool):
            raise UserError(f"log of {name} must be True or False; got {self.log!r}.")
        if self.log and self.low <= 0:
            raise UserError(f"low of {name} must be above 0, because log=True; got {self.low!r}.")


@dataclass(frozen=True)
class Int(Float):
    """A whole number from `low` to `high`, both included; drawn in proportion to its logarithm if `log`."""

    low: int
    high: int

    kind: ClassVar[type] = int


@dataclass(frozen=True, init=False)
class Categorical(Dimension):
    """One of the given values, among which there is no order."""

    values: tuple[Any, ...]

    def __init__(self, *values: Any, when: Mapping[str, Any] | None = None) -> None:
        object.__setattr__(self, "values", plain(values))
        object.__setattr__(self, "when", when or {})

    def holds(self, value: Any) -> bool:
        return any(value == own and type(value) is type(own) for own in self.values)

    def nearest(self, value: Any) -> Any:
        return value if self.holds(value) else self.values[0]

    def to_json(self) -> dict[str, Any]:
        return {"kind": "categorical", "values": list(self.values)} | ({"when": dict(self.when)} if self.when else {})

    def check(self, name: str) -> None:
        super().check(name)
        if len(self.values) < 2 or not all(isinstance(value, bool | int | float | str) for value in self.values):
            raise UserError(f"{name} must have at least two values, numbers or texts; got {self.values!r}.")
        if len(set(self.values)) < len(self.values):
            raise UserError(f"The values of {name} must differ; got {self.values!r}.")


def dimension_from_json(value: object) -> Dimension:
    """Read what `Dimension.to_json` wrote; ValueError if it makes no sense."""
    fields = Fields(value)
    kind, when = fields.take("kind", str), fields.table("when", object, {})
    if kind == "categorical":
        return Categorical(*fields.take("values", list), when=when)
    if kind not in ("int", "float"):
        raise ValueError(f"no field of a search is of the kind {kind!r}")
    numbers: type[Float] = Int if kind == "int" else Float
    low: Any = fields.take("low", numbers.kind)
    high: Any = fields.take("high", numbers.kind)
    return numbers(low, high, log=fields.take_or("log", bool, False), when=when)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When a search ends: at the first of these that is reached; at least one is given.

    Attributes:
        trials: how many configurations are proposed, starting points included.
        wall_hours: how long the search runs, pauses between runs left out.
        worker_hours: how long its trials run, all workers together.
    """

    trials: int | None = None
    wall_hours: float | None = None
    worker_hours: float | None = None

    def check(self) -> None:
        """Raise UserError if nothing is limited, or if a limit is no number above 0."""
        limits = {name: value for name, value in vars(self).items() if value is not None}
        if not limits:
            raise UserError("budget must have trials, wall_hours or worker_hours; got none of them.")
        for name, value in limits.items():
            number = isinstance(value, int if name == "trials" else int | float) and not isinstance(value, bool)
            if not number or not 0 < value < _HUGE:
                noun = "a whole number" if name == "trials" else "a number"
                raise UserError(f"{name} of the budget must be {noun} above 0; got {value!r}.")


@dataclass(frozen=True)
class Search:
    """Configurations that a sampler proposes, each run on one block; then the best are confirmed on fresh blocks.

    It stands where grids stand. `blocks` of its study are those of the confirmation: only they enter verdicts.
    Nothing is checked here, because a study's file makes it on import, when an error would be a traceback.

    Attributes:
        space: the searched fields, in an order in which conditions come before what depends on them.
        sampler: a name in SAMPLERS, or a sampler of Optuna's.
        scheduler: `none`, or `asha`: at a ninth and a third of its training a trial ends unless it is among the best
            third of those that came so far, by what its system declares as `progress`.
        budget: a number of trials, or a `Budget`.
        also: measures that are searched for beside the study's objective, for a front in place of one best; as for it,
            names, functions or references.
        starts: configurations that are tried first. By default these are the article's own values, then the control's.
        confirm: how many of the best are confirmed beside the control.
    """

    space: dict[str, Dimension]
    sampler: Any = "tpe"
    scheduler: str = "none"
    budget: int | Budget = 40
    also: "tuple[str | Callable[..., float], ...]" = ()
    starts: list[dict[str, Any]] | None = None
    confirm: int = 5

    def __post_init__(self) -> None:
        for name in ("space", "budget", "starts", "confirm"):
            object.__setattr__(self, name, plain(getattr(self, name)))
        if isinstance(self.also, list):
            object.__setattr__(self, "also", tuple(self.also))

    @property
    def limits(self) -> Budget:
        """The budget as a `Budget`."""
        return self.budget if isinstance(self.budget, Budget) else Budget(trials=self.budget)

    @property
    def rungs(self) -> tuple[float, ...]:
        """The shares of a trial's training at which it may end."""
        return rungs_of(self.scheduler)

    @property
    def left_to_chance(self) -> list[str]:
        """The fields that the sampler draws at random, because it cannot learn about such."""
        if self.sampler not in ("cmaes", "nsga2", "qmc"):
            return []
        return [
            name
            for name, dimension in self.space.items()
            if dimension.when or (self.sampler == "cmaes" and isinstance(dimension, Categorical))
        ]

    def active(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The searched fields among `values` that matter there, in the space's order."""
        result: dict[str, Any] = {}
        for name, dimension in self.space.items():
            if name in values and dimension.applies(result):
                result[name] = values[name]
        return result

    def to_json(self) -> dict[str, Any]:
        """What proposals must have in common to be told to one sampler."""
        return {"fields": {name: dimension.to_json() for name, dimension in self.space.items()}, "also": [*self.also]}


def rungs_of(scheduler: str, reached: int = 0) -> tuple[float, ...]:
    """The shares of a trial's training at which a scheduler may end it.

    Args:
        scheduler: its name.
        reached: at how many rungs trials have been; under another scheduler these are still shown.
    """
    return RUNGS if scheduler == "asha" else RUNGS[:reached]


def check_search(search: Search, system: "System[Any]") -> None:
    """Check a search's own fields against those of a system's config.

    Raises:
        UserError: if one cannot be right.
    """
    config = system.config
    if not isinstance(search.space, dict) or not search.space:
        raise UserError(f"Search's space must be fields with ranges, such as {{'lr': Float(1e-4, 1e-2)}}; got "
                        f"{search.space!r}.")  # fmt: skip
    before: dict[str, Dimension] = {}
    for name, dimension in search.space.items():
        if not isinstance(name, str):
            raise UserError(f"Search's space must have names of fields; got {name!r}.")
        if not isinstance(dimension, Dimension):
            raise UserError(f"{name} must be a Float, Int or Categorical; got {dimension!r}.")
        dimension.check(name)
        _check_bounds(name, dimension, config)
        _check_condition(name, dimension, before, search.space)
        before[name] = dimension
    if not isinstance(search.also, tuple) or not all(isinstance(name, str) for name in search.also):
        raise UserError(f"also must be a tuple of names of measures, such as ('precision',); got {search.also!r}.")
    _check_sampler(search)
    _check_scheduler(search, system)
    if not isinstance(search.budget, Budget | int) or isinstance(search.budget, bool):
        raise UserError(f"budget must be a number of trials or a Budget; got {search.budget!r}.")
    search.limits.check()
    if not isinstance(search.confirm, int) or isinstance(search.confirm, bool) or search.confirm < 1:
        raise UserError(f"confirm must be a whole number of at least 1; got {search.confirm!r}.")
    _check_starts(search, config)


def _check_bounds(name: str, dimension: Dimension, config: "type[Config]") -> None:
    """UserError unless the field can take all that the dimension may propose."""
    spec = config.spec(name)
    if isinstance(dimension, Float):
        kind = type(spec.default)
        if kind is not dimension.kind:
            wanted = {int: "an Int", float: "a Float"}.get(kind, "a Categorical")
            raise UserError(f"{name} must be {wanted}, by the type of the field; got {dimension!r}.")
        for value in (dimension.low, dimension.high):
            config.value(name, value)  # refuses what the field does not allow
        return
    assert isinstance(dimension, Categorical), "there are no other kinds"
    for value in dimension.values:
        config.value(name, value)


def _check_condition(
    name: str, dimension: Dimension, before: Mapping[str, Dimension], space: Mapping[str, Dimension]
) -> None:
    for other, wanted in dimension.when.items():
        if other not in space:
            raise UserError(f"when of {name} must name fields of the search; got {other!r}, which is none of them.")
        if other not in before:
            raise UserError(f"when of {name} must name fields declared before it; {other!r} comes later.")
        for value in _several(wanted):
            if not before[other].holds(value):
                raise UserError(f"when of {name} must have values that {other} can take; got {value!r}.")


def _check_sampler(search: Search) -> None:
    """UserError unless the sampler can take the space."""
    sampler = search.sampler
    if isinstance(sampler, type):
        raise UserError(f"sampler must be made, such as {sampler.__name__}(); got the class.")
    if not (sampler in SAMPLERS if isinstance(sampler, str) else hasattr(sampler, "sample_relative")):
        raise UserError(f"sampler must be one of {', '.join(SAMPLERS)}, or a sampler of Optuna's; got {sampler!r}.")
    if sampler == "cmaes":
        if not any(isinstance(dimension, Float) and not dimension.when for dimension in search.space.values()):
            raise UserError("sampler='cmaes' needs a number that always matters; the space has none, so use tpe.")
        if search.also:
            raise UserError(f"sampler='cmaes' takes one objective; leave out also={list(search.also)}, or use nsga2.")
    if sampler == "gp" and (conditional := [name for name, dimension in search.space.items() if dimension.when]):
        raise UserError(
            f"sampler='gp' takes no conditional fields; use tpe, or leave out when of {listing(conditional)}."
        )


def _check_scheduler(search: Search, system: "System[Any]") -> None:
    if search.scheduler not in SCHEDULERS:
        raise UserError(f"scheduler must be one of {', '.join(SCHEDULERS)}; got {search.scheduler!r}.")
    if search.scheduler == "none":
        return
    if system.progress is None:
        raise UserError(
            f"scheduler='asha' needs a progress of {system.name}, by which trials are compared before they have "
            "finished; declare one in the class, or use scheduler='none'."
        )
    if windows := [name for name in search.space if system.config.spec(name).metadata["stage"] == "windows"]:
        raise UserError(
            f"scheduler='asha' compares trials on the same windows, but {listing(windows)} "
            f"{'changes' if len(windows) == 1 else 'change'} them; leave out one or the other."
        )
    if unlike := [name for name in search.space if name in system.progress.unlike]:
        raise UserError(
            f"scheduler='asha' compares trials by {system.progress.name}, which {listing(unlike)} changes the meaning "
            "of; leave out one or the other."
        )
    if search.sampler in ONLY_FINISHED:
        raise UserError(
            f"sampler={search.sampler!r} learns nothing from trials that scheduler='asha' ends early; use tpe, or "
            "scheduler='none'."
        )


def _check_starts(search: Search, config: "type[Config]") -> None:
    if search.starts is None:
        return
    if not isinstance(search.starts, list) or not all(isinstance(start, dict) for start in search.starts):
        raise UserError(f"starts must be a list of configurations, such as [{{'lr': 1e-3}}]; got {search.starts!r}.")
    for number, start in enumerate(search.starts, 1):
        for name, given in start.items():
            if name not in search.space:
                raise UserError(f"Start {number} must have fields of the search only; got {name!r}.")
            if not search.space[name].holds(config.value(name, given)):
                raise UserError(f"{name} of start {number} must be in the range of its search; got {given!r}.")


def _several(wanted: Any) -> tuple[Any, ...]:
    return tuple(wanted) if isinstance(wanted, tuple | list) else (wanted,)
