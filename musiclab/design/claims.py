"""Claims: what the article says, and what must be measured if it is true."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from musiclab.design.trials import FORM, SYSTEM, Variant
from musiclab.errors import UserError
from musiclab.fields import Fields, known_fields
from musiclab.measures.registry import Measure, find_measure
from musiclab.plain import plain

Against = dict[str, Any] | float | Literal["real", "shuffled", "random"]

# The music whose score a variant's may be compared with, in words.
MUSIC = {"real": "real music", "shuffled": "tracks shuffled between songs", "random": "random notes"}


@dataclass(frozen=True)
class Expect:
    """One thing that must be measured if a claim holds: a measure lies above or below a reference, block by block.

    Attributes:
        measure: its name; also of a value of one track (`noise_sensitivity.Drums`). A user's own may also be a function
            under `@measure`, or `path/file.py:Name`.
        of: fields of the variant, `{"latent_dim": 16}`; a list of values means any of them. If several variants have
            these fields, their mean in each block counts.
        relation: the side of `than` on which the measure is expected.
        than: the reference: fields of another variant; `real`, `shuffled` or `random`, for what such music scores; or a
            number.
    """

    measure: "str | Callable[..., float]"
    of: dict[str, Any]
    relation: Literal["above", "below"]
    than: Against

    def __post_init__(self) -> None:
        for name in ("of", "than"):
            object.__setattr__(self, name, plain(getattr(self, name)))


@dataclass(frozen=True)
class Claim:
    """A statement of the article.

    Attributes:
        id: such as `C1`, or `C9 mended` for the verdict on another form, which stands beside C9.
        says: the statement in words.
        expect: what must be measured if it holds, all of it.
    """

    id: str
    says: str
    expect: Sequence[Expect]

    @property
    def order(self) -> list[tuple[int, str]]:
        """A key that sorts C2 before C10, and `C9 mended` right after C9."""
        return [(int(digits or 0), text) for digits, text in re.findall(r"([0-9]*)([^0-9]*)", self.id)]

    @classmethod
    def from_json(cls, value: object) -> "Claim":
        """Read a claim from a plan; fields that this version does not know are ignored."""
        fields = Fields(value)
        expect = tuple(Expect(**known_fields(Expect, each)) for each in fields.take("expect", list))
        return cls(id=fields.take("id", str), says=fields.take("says", str), expect=expect)


def check_claims(claims: list[Claim], variants: list[Variant], own: Iterable[Measure] = ()) -> None:
    """Check a study's claims.

    Args:
        claims: the claims.
        variants: those of the study.
        own: the measures that the study brings.

    Raises:
        UserError: if one is no claim, or names a measure that does not exist or fields that no variant has.
    """
    if not isinstance(claims, list | tuple) or not all(isinstance(claim, Claim) for claim in claims):
        raise UserError(
            f"claims must be a list of Claim, such as Claim('C1', 'what is said', [Expect(...)]); got {claims!r}."
        )
    for claim in claims:
        texts = (claim.id, claim.says)
        several = isinstance(claim.expect, list | tuple) and len(claim.expect) > 0
        if not several or not all(isinstance(text, str) for text in texts):
            raise UserError(_shape(claim))
        for expect in claim.expect:
            if not isinstance(expect, Expect) or not isinstance(expect.measure, str):
                raise UserError(_shape(claim))
            full_measure_name(expect.measure, own)
            _check_expectation(claim, expect, variants)


def _shape(claim: Claim) -> str:
    return f"A claim must have an id, a statement and a list of Expect with a measure's name each; got {claim!r}."


def _check_expectation(claim: Claim, expect: Expect, variants: list[Variant]) -> None:
    is_number = isinstance(expect.than, int | float) and abs(expect.than) < 1e300
    is_reference = is_number or isinstance(expect.than, dict) or expect.than in list(MUSIC)
    if not isinstance(expect.of, dict):
        raise UserError(f"Claim {claim.id}: of must be fields of a variant with their values; got {expect.of!r}.")
    if expect.relation not in ("above", "below"):
        raise UserError(f"Claim {claim.id}: relation must be above or below; got {expect.relation!r}.")
    if not is_reference:
        raise UserError(
            f"Claim {claim.id}: than must be fields of another variant, {', '.join(MUSIC)} or a number; got "
            f"{expect.than!r}."
        )
    for fields in (expect.of, expect.than):
        if isinstance(fields, dict) and not any(has_fields(variant, fields) for variant in variants):
            raise UserError(f"Claim {claim.id} names {describe_fields(fields)}, but no variant of the study has that.")


def full_measure_name(measure: Any, own: Iterable[Measure] = ()) -> str:
    """Full name of a measure, also of a value of one track.

    Args:
        measure: its name.
        own: the measures that the study brings.

    Raises:
        UserError: if there is no such measure.
    """
    name, dot, track = str(measure).partition(".")
    return find_measure(name, own).full_name + dot + track


def has_fields(variant: Variant, fields: dict[str, Any]) -> bool:
    """Whether a variant has the given fields; a list of values means any of them."""
    config = {SYSTEM: variant.system, FORM: variant.form} | variant.config
    return all(config.get(name) in _choices(value) for name, value in fields.items())


def describe_fields(fields: dict[str, Any]) -> str:
    """Fields with their values: `latent_dim=8 or 16, kl=sample`; a system or a form by its name alone."""
    choices_by_field = {name: " or ".join(map(str, _choices(value))) for name, value in fields.items()}
    return ", ".join(
        choices if name in (SYSTEM, FORM) else f"{name}={choices}" for name, choices in choices_by_field.items()
    )


def _choices(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
