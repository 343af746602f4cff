"""Listening tests as values: what is compared by ear, the rules that are fixed before, and what each session hears.

A session's plan depends on the test and the session's number only. So no listener's answers, and no listener who gives
up, change what another one hears, and the plan can be made again wherever an answer is checked or counted.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import chain, combinations
from typing import Any, Final, Literal, NamedTuple, Self, TypeVar, cast, get_args

from musiclab.errors import UserError
from musiclab.fields import Fields
from musiclab.training.streams import Block

PAIRS, RATINGS = "pairs", "ratings"
# The scales of MIREX 2025's symbolic music generation task, each from 1 to 5.
SCALES = ("coherence", "structure", "creativity", "musicality")
LOWEST, HIGHEST = 1, 5
GRADES = ("a_much", "a_slightly", "equal", "b_slightly", "b_much")
# How much musical training a listener has, by the listener's own word.
TRAINING = ("none", "amateur", "trained", "professional")
VARIANT: Final = "variant"
REAL: Final = "real"
SHUFFLED: Final = "shuffled"
# What the hidden ceiling and the hidden floor are called.
REAL_NAME, SHUFFLED_NAME = "real continuation", "shuffled tracks"
WARM_UP: Final = "warm-up"
PAIR: Final = "pair"
REPEAT: Final = "repeat"
PIECE: Final = "piece"

Kind = Literal["variant", "real", "shuffled"]
Role = Literal["warm-up", "pair", "repeat", "piece"]
T = TypeVar("T")


class Place(NamedTuple):
    """A block, and the number of one of its start windows, which counts from 1 as in the samples' file names."""

    block: int
    start: int


@dataclass(frozen=True)
class Condition:
    """What continues a start: a variant by its name, the real song (the ceiling) or shuffled tracks (the floor)."""

    name: str
    kind: Kind = VARIANT


CEILING, FLOOR = Condition(REAL_NAME, REAL), Condition(SHUFFLED_NAME, SHUFFLED)


@dataclass(frozen=True)
class Presentation:
    """What is heard before one answer.

    Attributes:
        kind: `warm-up` (never counted), `pair` or `piece` (counted), or `repeat` (tells how consistent a listener is).
        place: the start that is continued.
        first: the index of the condition that is heard as A, or alone.
        second: the index of the condition that is heard as B; None if one piece is rated.
    """

    kind: Role
    place: Place
    first: int
    second: int | None = None

    @classmethod
    def from_json(cls, value: object) -> Self:
        """What `to_json` gave; ValueError if it is something else."""
        fields = Fields(value)
        kind, place = fields.take("kind", str), fields.sequence("place", int)
        if kind not in get_args(Role) or len(place) != 2:
            raise ValueError("it is no presentation")
        return cls(cast(Role, kind), Place(*place), fields.take("first", int), fields.take_or("second", int, None))

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"kind": self.kind, "place": list(self.place), "first": self.first, "second": self.second}


@dataclass(frozen=True)
class Exclusions:
    """Rules that take a session out of all counts; they are fixed before anybody has heard anything.

    None of them looks at what a listener says of a variant against another one, so they favour none.

    Attributes:
        floor_over_ceiling: out if the floor was preferred to the ceiling in more than this share of the pairs of these
            two, or rated above it on more than this share of the scales.
        contradictions: out if in more than this share of the repeats the other one was preferred than before, or if
            more than this share of repeated ratings differ by 2 or more.
        least_checks: the rules above hold for sessions with at least so many such pairs, or repeats.
        least_answers: out if fewer pairs or pieces were answered, warm-ups and repeats not counted.
    """

    floor_over_ceiling: float = 0.5
    contradictions: float = 0.8
    least_checks: int = 2
    least_answers: int = 10


@dataclass(frozen=True, kw_only=True)
class ListeningTest:
    """A listening test over a study, as it is fixed before the first answer.

    Attributes:
        protocol: `pairs` (two continuations of a start, graded) or `ratings` (one piece, on four scales).
        question: what listeners are asked.
        conditions: what is heard: at least 2 variants, then the ceiling and the floor.
        controls: the variant that each variant is compared with, by name; a control's control is itself.
        places: the starts that are continued.
        start_bars: how many bars of the start are heard.
        bars: how many bars of each continuation are heard.
        warm_ups: presentations at a session's beginning that never count.
        presentations: how many pairs or pieces of a session count.
        repeats: how many of them are heard once more at its end, pairs with A and B swapped.
        seed: of all draws.
        exclusions: the rules that take sessions out of all counts.

    Raises:
        UserError: a field makes no sense; the message names it.
    """

    protocol: str
    question: str
    conditions: tuple[Condition, ...]
    controls: dict[str, str]
    places: tuple[Place, ...]
    start_bars: int = 4
    bars: int = 8
    warm_ups: int = 3
    presentations: int = 30
    repeats: int = 5
    seed: int = 0
    exclusions: Exclusions = field(default_factory=Exclusions)

    def __post_init__(self) -> None:
        names = [condition.name for condition in self.conditions]
        variants = [condition.name for condition in self.conditions if condition.kind == VARIANT]
        least = {"start_bars": 0, "bars": 1, "warm_ups": 0, "presentations": 1, "repeats": 0}
        if self.protocol not in (PAIRS, RATINGS):
            raise UserError(f"protocol must be {PAIRS} or {RATINGS}; got {self.protocol!r}.")
        if len(variants) < 2:
            raise UserError(f"A listening test needs at least 2 variants; got {len(variants)}.")
        if len(set(names)) < len(names):
            raise UserError(f"The conditions of a listening test must have different names; got {', '.join(names)}.")
        if set(self.controls) != set(variants) or not set(self.controls.values()) <= set(variants):
            raise UserError("controls must name a variant for each variant of the listening test.")
        if not self.places or len(set(self.places)) < len(self.places):
            raise UserError("places must name at least one start, and none twice.")
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise UserError(f"{name} must be at least {lowest}; got {getattr(self, name)}.")
        if self.repeats > self.presentations:
            raise UserError(f"repeats must be at most presentations, {self.presentations}; got {self.repeats}.")

    @property
    def length(self) -> int:
        """How many presentations a session has, warm-ups and repeats included."""
        return self.warm_ups + self.presentations + self.repeats

    @property
    def items(self) -> list[tuple[int, int | None]]:
        """What is heard at a place: all pairs of conditions, or all conditions with None."""
        indices = range(len(self.conditions))
        return list(combinations(indices, 2)) if self.protocol == PAIRS else [(index, None) for index in indices]

    @classmethod
    def from_json(cls, value: object) -> Self:
        """What `to_json` gave; ValueError or UserError if it is something else."""
        fields = Fields(value)
        conditions = [Fields(each) for each in fields.take("conditions", list)]
        places, rules = fields.take("places", list), Fields(fields.take("exclusions", dict))
        return cls(
            protocol=fields.take("protocol", str),
            question=fields.take("question", str),
            conditions=tuple(Condition(each.take("name", str), _kind(each.take("kind", str))) for each in conditions),
            controls=fields.table("controls", str),
            places=tuple(Place(*Fields({"place": place}).sequence("place", int)) for place in places),
            exclusions=Exclusions(
                floor_over_ceiling=rules.take("floor_over_ceiling", float),
                contradictions=rules.take("contradictions", float),
                least_checks=rules.take("least_checks", int),
                least_answers=rules.take("least_answers", int),
            ),
            **{name: fields.take(name, int) for name in _NUMBERS},
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: getattr(self, name) for name in ("protocol", "question", "controls", *_NUMBERS)} | {
            "conditions": [asdict(condition) for condition in self.conditions],
            "places": [list(place) for place in self.places],
            "exclusions": asdict(self.exclusions),
        }


_NUMBERS = ("start_bars", "bars", "warm_ups", "presentations", "repeats", "seed")


def _kind(name: str) -> Kind:
    if name not in get_args(Kind):
        raise ValueError(f"no condition is of kind {name!r}")
    return cast(Kind, name)


def spread_places(places: Iterable[Place], most: int, seed: int) -> tuple[Place, ...]:
    """Starts of all blocks, equally many of each: as many as `most` allows, and one of each if there are more blocks.

    Verdicts rest on blocks, because all starts of a block are continued by the same trained models. So a further start
    of a block tells less than one of a further block.
    """
    by_block: dict[int, list[Place]] = {}
    for place in sorted(places, key=lambda place: Block(seed, 0).stream_seed("listening", "places", *place)):
        by_block.setdefault(place.block, []).append(place)
    if not by_block:
        return ()
    of_each = min(max(1, most // len(by_block)), min(map(len, by_block.values())))
    return tuple(sorted(place for own in by_block.values() for place in own[:of_each]))


def session_plan(test: ListeningTest, number: int) -> tuple[Presentation, ...]:
    """What session `number`, from 0, hears, in this order. An answer's number is its index here.

    Sessions take what counts from one endless sequence of rounds, one after the other. A round has every item once, so
    that over the sessions 0 to n the numbers of times that any two items are heard differ by at most 1. A pair is heard
    both ways in turn. An item is heard once at each place before it is heard a second time at one.

    Args:
        test: the test.
        number: the session's, at least 0.
    """
    first = number * test.presentations
    per_round = len(test.items)
    rounds = range(first // per_round, (first + test.presentations - 1) // per_round + 1)
    heard = list(chain.from_iterable(_round(test, index) for index in rounds))
    skipped = first - rounds[0] * per_round
    counted = heard[skipped : skipped + test.presentations]
    return (*_warm_ups(test, number), *counted, *_repeats(test, number, counted))


def _round(test: ListeningTest, index: int) -> list[Presentation]:
    """Every item once, in an order in which no condition comes much more often than another in any stretch."""
    conditions = _shuffled(test, range(len(test.conditions)), "conditions", index)
    if test.protocol == RATINGS:
        ordered: list[tuple[int, int | None]] = [(condition, None) for condition in conditions]
    else:
        days = _shuffled(test, _tournament(len(conditions)), "days", index)
        ordered = [_ascending(conditions[a], conditions[b]) for day in days for a, b in day]
    cycle, step = divmod(index, len(test.places))
    offsets = {item: offset for offset, item in enumerate(_shuffled(test, test.items, "items", cycle))}
    places = _shuffled(test, test.places, "places", cycle)
    rank = {condition: at for at, condition in enumerate(_shuffled(test, range(len(conditions)), "order"))}
    presentations = []
    for item in ordered:
        place = places[(offsets[item] + step) % len(places)]
        first, second = item
        if second is None:
            presentations.append(Presentation(PIECE, place, first))
            continue
        # By the parity of ranks, each condition is first against about half of the others; rounds alternate.
        lower, higher = sorted((first, second), key=rank.__getitem__)
        swapped = (rank[first] + rank[second] + index) % 2 == 0
        presentations.append(Presentation(PAIR, place, *((higher, lower) if swapped else (lower, higher))))
    return presentations


def _warm_ups(test: ListeningTest, number: int) -> list[Presentation]:
    """The ceiling and the floor first, so that listeners know the range; then other items.

    As a pair the two are heard in either order, and so they are one after the other: nobody knows which is which.
    """
    ends = tuple(index for index, condition in enumerate(test.conditions) if condition.kind != VARIANT)
    alone = [(end, None) for end in _shuffled(test, ends, "warm-up ends", number)]
    known = [ends] if test.protocol == PAIRS and len(ends) == 2 else alone
    others = [item for item in _shuffled(test, test.items, "warm-ups", number) if item not in known]
    items = [item for item in known if item in test.items] + others
    places = _shuffled(test, test.places, "warm-up places", number)
    presentations = []
    for index in range(test.warm_ups):
        first, second = items[index % len(items)]
        if second is not None and _number(test, "warm-up order", number, index) % 2:
            first, second = second, first
        presentations.append(Presentation(WARM_UP, places[index % len(places)], first, second))
    return presentations


def _repeats(test: ListeningTest, number: int, counted: list[Presentation]) -> list[Presentation]:
    """Items of the session's first half once more, because those were heard longest ago; pairs are swapped."""
    early = counted[: max(test.repeats, len(counted) // 2)]
    chosen = _shuffled(test, early, "repeats", number)[: test.repeats]
    swapped = [(each.place, each.first, each.second) if each.second is None else (each.place, each.second, each.first)
               for each in chosen]  # fmt: skip
    return [Presentation(REPEAT, *each) for each in swapped]


def _tournament(n: int) -> list[list[tuple[int, int]]]:
    """All pairs of n as days of a round-robin tournament (the circle method): on no day anybody plays twice."""
    players: list[int | None] = [*range(n), *([None] if n % 2 else [])]
    days = []
    for _ in range(len(players) - 1):
        half = len(players) // 2
        matches = zip(players[:half], reversed(players[half:]), strict=True)
        days.append([(a, b) for a, b in matches if a is not None and b is not None])
        players = [players[0], players[-1], *players[1:-1]]
    return days


def _ascending(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)


def _shuffled(test: ListeningTest, values: Iterable[T], *purpose: str | int) -> list[T]:
    """The values in the order of their hashes, which no version of a library changes."""
    ranked = [(_number(test, *purpose, index), index, value) for index, value in enumerate(values)]
    return [value for _, _, value in sorted(ranked, key=lambda each: each[:2])]


def _number(test: ListeningTest, *purpose: str | int) -> int:
    return Block(test.seed, 0).stream_seed("listening", test.protocol, *purpose)
