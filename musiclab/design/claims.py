"""Claims: what the article says, and what would have to be measured for it to be so."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from musiclab.design.trials import SYSTEM, Variant
from musiclab.errors import UserError
from musiclab.fields import Fields, known_fields
from musiclab.measures.registry import find_measure

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
            than = _MUSIC[self.than] if isinstance(self.than, str) else f"{self.than:g}"
        return f"{self.measure} of {_fields(self.of)} {self.relation} {than}"


@dataclass(frozen=True)
class Claim:
    """A statement of the article: its id (`C1`), its words, and what is expected where it holds; all of it must."""

    id: str
    says: str
    expect: Sequence[Expect]

    @classmethod
    def from_json(cls, value: object) -> "Claim":
        """The claim that a plan holds; fields that this version does not know are ignored."""
        fields = Fields(value)
        expect = tuple(Expect(**known_fields(Expect, each)) for each in fields.take("expect", list))
        return cls(id=fields.take("id", str), says=fields.take("says", str), expect=expect)


def check_claims(claims: list[Claim], variants: list[Variant]) -> None:
    """UserError where a claim names a measure that there is not, or fields that no variant has."""
    if not isinstance(claims, list | tuple) or not all(isinstance(claim, Claim) for claim in claims):
        raise UserError(
            f"claims takes a list of Claim, such as Claim('C1', 'what is said', [Expect(...)]), not {claims!r}."
        )
    for claim in claims:
        expected: list[Any] = list(claim.expect) if isinstance(claim.expect, list | tuple) else [None]
        measures = [expect.measure if isinstance(expect, Expect) else None for expect in expected]
        if not all(isinstance(text, str) for text in (claim.id, claim.says, *measures)):
            raise UserError(
                f"A claim takes its id, what is said and a list of Expect, each with a measure's name, not {claim!r}."
            )
        for expect in expected:
            full_measure_name(expect.measure)
            number = isinstance(expect.than, int | float) and abs(expect.than) < 1e300
            known = isinstance(expect.than, dict) or number or expect.than in list(_MUSIC)
            if not (known and isinstance(expect.of, dict) and expect.relation in ("above", "below")):
                raise UserError(
                    f"Claim {claim.id} takes fields of a variant, above or below, and fields of another, "
                    f"{', '.join(_MUSIC)} or a number, not {expect.of!r}, {expect.relation!r} and {expect.than!r}."
                )
            for fields in (expect.of, expect.than):
                if isinstance(fields, dict) and not any(has_fields(variant, fields) for variant in variants):
                    raise UserError(f"Claim {claim.id} names {_fields(fields)}, which no variant of the study is.")


def full_measure_name(measure: str) -> str:
    """Full name of a measure, also of a value of one track; UserError if there is no such measure."""
    name, dot, part = measure.partition(".")
    return find_measure(name).full_name + dot + part


def has_fields(variant: Variant, fields: dict[str, Any]) -> bool:
    """Whether a variant has the given fields; a list of values means any of them."""
    has = {SYSTEM: variant.system} | variant.config
    return all(has.get(name) in _choices(value) for name, value in fields.items())


def _choices(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _fields(fields: dict[str, Any]) -> str:
    said = {name: " or ".join(map(str, _choices(value))) for name, value in fields.items()}
    return ", ".join(text if name == SYSTEM else f"{name}={text}" for name, text in said.items())
