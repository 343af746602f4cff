"""Claims: what the article says, what would have to be measured for it to be so, and whether it was."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from musiclab.errors import UserError
from musiclab.measures.registry import find_measure
from musiclab.measures.rolls import nan_mean
from musiclab.measures.suite import FLOOR
from musiclab.study.plan import SYSTEM, Cell, Variant
from musiclab.study.sequential import anytime_p
from musiclab.study.statistics import ALPHA, Interval, holm, mean_interval, sign_flip_p
from musiclab.study.words import bounds_text, counted, p_text, rounded

Against = dict[str, Any] | float | Literal["real", "shuffled", "random"]
_MUSIC = {"real": "real music", "shuffled": "tracks shuffled between songs", "random": "random notes"}


@dataclass(frozen=True)
class Expect:
    """One thing that is so if a claim holds: a measure lies above or below something, block by block.

    Attributes:
        measure: by name, a value of one track too (`noise_sensitivity.Drums`).
        of: fields of the variant meant (`{"latent_dim": 16}`, or a list of values); of several variants that have them,
            the mean in each block.
        relation: on which side of `than` it is expected.
        than: fields of another variant; `real`, `shuffled` or `random`, what such music scores; or a number.
    """

    measure: str
    of: dict[str, Any]
    relation: Literal["above", "below"]
    than: Against

    @property
    def words(self) -> str:
        """What is expected, for people: `frechet of latent_dim=8 above that of latent_dim=16`."""
        if isinstance(self.than, dict):
            than = f"that of {_fields(self.than)}"
        else:
            than = _MUSIC.get(self.than) or f"{self.than:g}"
        return f"{self.measure} of {_fields(self.of)} {self.relation} {than}"


@dataclass(frozen=True)
class Claim:
    """A statement of the article: its id (`C1`), its words, and what is expected where it holds; all of it must."""

    id: str
    says: str
    expect: Sequence[Expect]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Claim":
        """The claim that a plan holds."""
        return cls(value["id"], value["says"], tuple(Expect(**each) for each in value["expect"]))


@dataclass(frozen=True)
class Found:
    """What was measured of an expectation: value and what it is compared with, their paired difference, its p.

    The difference is signed as the measure is, so that above 0 means above; NaN and 0 blocks where nothing is there.
    """

    expect: Expect
    value: float
    than: float
    difference: Interval
    p: float

    @property
    def sign(self) -> int:
        """1 where the mean difference lies on the expected side, -1 where on the other, 0 for neither."""
        if math.isnan(self.difference.mean) or self.difference.mean == 0:
            return 0
        return 1 if (self.difference.mean > 0) == (self.expect.relation == "above") else -1

    @property
    def mark(self) -> str:
        """Whether it is so: `✓` shown, `✗` the opposite shown (before any correction), `?` neither."""
        return {1: "✓", -1: "✗", 0: "?"}[self.sign if self.p <= ALPHA else 0]

    @property
    def words(self) -> str:
        """What was expected and what was measured, for people."""
        if not self.difference.n:
            return f"{self.expect.words}: not measured"
        return (
            (
                f"{self.expect.words}: {rounded(self.value)} against {rounded(self.than)}, difference "
                f"{rounded(self.difference.mean)} {bounds_text(self.difference)}, p = {p_text(self.p)}, "
                f"{counted(self.difference.n, 'block')}"
            )
            .replace("= <", "<")
            .replace(" ,", ",")
        )


@dataclass(frozen=True)
class Judgement:
    """A claim, what was found of each thing expected, and the verdict."""

    claim: Claim
    found: tuple[Found, ...]
    verdict: Literal["supported", "contradicted", "not shown"]


def check_claims(claims: list[Claim], variants: list[Variant]) -> None:
    """UserError where a claim names a measure that there is not, or fields that no variant has."""
    if not isinstance(claims, list | tuple) or not all(isinstance(claim, Claim) for claim in claims):
        raise UserError(
            f"claims takes a list of Claim, such as Claim('C1', 'what is said', [Expect(...)]), not {claims!r}."
        )
    for claim in claims:
        expected = claim.expect if isinstance(claim.expect, list | tuple) else [None]
        measures = [expect.measure if isinstance(expect, Expect) else None for expect in expected]
        if not all(isinstance(text, str) for text in (claim.id, claim.says, *measures)):
            raise UserError(
                f"A claim takes its id, what is said and a list of Expect, each with a measure's name, not {claim!r}."
            )
        for expect in expected:
            _full_name(expect.measure)
            number = isinstance(expect.than, int | float) and abs(expect.than) < 1e300
            known = isinstance(expect.than, dict) or number or expect.than in list(_MUSIC)
            if not (known and isinstance(expect.of, dict) and expect.relation in ("above", "below")):
                raise UserError(
                    f"Claim {claim.id} takes fields of a variant, above or below, and fields of another, "
                    f"{', '.join(_MUSIC)} or a number, not {expect.of!r}, {expect.relation!r} and {expect.than!r}."
                )
            for fields in (expect.of, expect.than):
                if isinstance(fields, dict) and not any(_is(variant, fields) for variant in variants):
                    raise UserError(f"Claim {claim.id} names {_fields(fields)}, which no variant of the study is.")


def judgements(
    claims: list[Claim], cells: list[Cell], records: dict[str, dict[str, Any]], sequential: bool = False
) -> list[Judgement]:
    """Each claim's verdict, by sign flips over blocks; by tests that hold at any time where that is how blocks came.

    *Supported* where everything expected is shown at 5 %: each by itself, for all must be (an intersection-union test
    needs no correction, Berger 1982). *Contradicted* where the opposite of anything expected is shown, corrected by
    Holm over what the claim expects. Else *not shown*. Several claims are so many questions: no correction over them.
    """
    test = anytime_p if sequential else sign_flip_p
    return [
        _judgement(claim, tuple(_found(expect, cells, records, test) for expect in claim.expect)) for claim in claims
    ]


def _judgement(claim: Claim, found: tuple[Found, ...]) -> Judgement:
    supported = bool(found) and all(part.p <= ALPHA and part.sign > 0 for part in found)
    corrected = holm([part.p for part in found])
    contradicted = any(p <= ALPHA and part.sign < 0 for p, part in zip(corrected, found, strict=True))
    return Judgement(claim, found, "supported" if supported else "contradicted" if contradicted else "not shown")


def _found(
    expect: Expect, cells: list[Cell], records: dict[str, dict[str, Any]], test: Callable[[list[float]], float]
) -> Found:
    full = _full_name(expect.measure)
    values = _by_block(cells, records, expect.of, lambda record: record["measures"].get(full, math.nan))
    if isinstance(expect.than, dict):
        others = _by_block(cells, records, expect.than, lambda record: record["measures"].get(full, math.nan))
    elif isinstance(expect.than, str):
        others = _by_block(cells, records, expect.of, lambda record: _scale(record["scale"], full, expect.than))
    else:
        others = dict.fromkeys(values, float(expect.than))
    both = {
        block: (value, others[block])
        for block, value in sorted(values.items())
        if block in others and not math.isnan(value + others[block])
    }
    differences = [value - other for value, other in both.values()]
    return Found(
        expect,
        nan_mean(_column(both, 0)),
        nan_mean(_column(both, 1)),
        mean_interval(differences),
        test(differences),
    )


def _column(both: dict[int, tuple[float, float]], place: int) -> list[float]:
    return [pair[place] for pair in both.values()]


def _by_block(
    cells: list[Cell], records: dict[str, dict[str, Any]], fields: dict[str, Any], value: Any
) -> dict[int, float]:
    """By block the mean value of the variants that have the fields; a block that lacks one of them is left out."""
    wanted = {cell.variant.name for cell in cells if _is(cell.variant, fields)}
    found: dict[int, dict[str, float]] = {}
    for cell in cells:
        if cell.variant.name in wanted and cell.key in records:
            found.setdefault(cell.block.index, {})[cell.variant.name] = value(records[cell.key])
    return {block: sum(of.values()) / len(of) for block, of in found.items() if len(of) == len(wanted)}


def _scale(scale: dict[str, float], full: str, music: str) -> float:
    """What such music scores: for real music its value, or, of a measure that compares with it, other real music's."""
    if music == "real":
        return scale.get(full, scale.get(full + FLOOR, math.nan))
    return scale.get(f"{full}.{music}", math.nan)


def _full_name(measure: str) -> str:
    name, dot, part = measure.partition(".")
    return find_measure(name).full_name + dot + part


def _is(variant: Variant, fields: dict[str, Any]) -> bool:
    has = {SYSTEM: variant.system} | variant.config
    return all(has.get(name) in _choices(value) for name, value in fields.items())


def _choices(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _fields(fields: dict[str, Any]) -> str:
    said = {name: " or ".join(map(str, _choices(value))) for name, value in fields.items()}
    return ", ".join(text if name == SYSTEM else f"{name}={text}" for name, text in said.items())
