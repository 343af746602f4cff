"""The spec of a study: its fields as a value, and the checks that need only the fields."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from musiclab.design.claims import Claim
from musiclab.design.space import Space
from musiclab.errors import UserError
from musiclab.plain import plain

if TYPE_CHECKING:  # a system imports torch, and defining a study must not
    from musiclab.data.source import Source
    from musiclab.systems.base import System


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """A question about systems: which values of which fields, on how many paired blocks, judged by what.

    Nothing is checked when a spec is made, because a study's file makes it on import, when an error would be a
    traceback. `check_spec` and `Design` check it.

    Attributes:
        name: names the study's folder and its experiment in MLflow.
        system: the system of all variants: the name of one, a user's own class, or `path/file.py:Name`. Empty if
            `space` has the field `system`.
        data: the songs, unless a run names others: "chorales", a kind with a path such as "midi:songs/",
            "file.py:Name:PATH" for a source of the user's, or a source itself.
        space: what is compared: grids to be crossed, an ablation of components, or a list of variants. `system` and
            `form` may be among its fields.
        control: the values of the variant that the others are compared with. If systems or forms are compared and it
            names none, each variant is compared with the control of its own system and form. An ablation needs none:
            its control is the full variant for leave-one-out, else the bare one.
        blocks: how many paired replicates.
        objective: the measure that decides: the name of one, a user's own function under `@measure`, or
            `path/file.py:Name`. It must have a better direction, or be best close to real music.
        measures: further measures of a user's own, functions or `path/file.py:Name`. Musiclab's are always measured.
        margin: how far apart two variants may be and still count as equivalent, in the objective's unit.
        claims: the article's claims that the study tests.
        fixed: changes fields for all variants that have them, and may say their `form`; a listed variant may change
            them again.
        seed: of the random streams of all blocks.
        question: in words.
    """

    name: str
    system: "str | type[System[Any]]" = ""
    data: "str | Source" = "chorales"
    space: Space
    control: dict[str, Any] = field(default_factory=dict)
    blocks: int
    objective: "str | Callable[..., float]"
    measures: "Sequence[str | Callable[..., float]]" = ()
    margin: float | None = None
    claims: list[Claim] = field(default_factory=list)
    fixed: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    question: str = ""

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, plain(getattr(self, each.name)))


def is_folder_name(text: str) -> bool:
    """Whether a study or a trial may have this name: it names a folder, and must never lead to another one."""
    return re.fullmatch(r"\w[\w.-]*", text) is not None and len(text.encode()) <= 200


def check_spec(study: StudySpec) -> None:
    """Check the study's own fields, as far as neither systems nor measures must be known.

    Raises:
        UserError: if one cannot be right.
    """
    if not (isinstance(study.name, str) and is_folder_name(study.name)):
        raise UserError(
            f"A study's name must be up to 200 letters, digits, '_', '-' or '.', because it becomes a folder's name; "
            f"got {study.name!r}."
        )
    if not isinstance(study.question, str):
        raise UserError(f"A study's question must be a text; got {study.question!r}.")
    for name, low, high in (("blocks", 1, 10_000), ("seed", 0, 2**63 - 1)):  # as many blocks as --blocks allows
        value = getattr(study, name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise UserError(f"A study's {name} must be a whole number from {low} to {high}; got {value!r}.")
    margin = study.margin
    if margin is not None and not (_is_number(margin) and 0 < margin < math.inf):
        raise UserError(f"A study's margin must be a number above 0, in the objective's unit, or None; got {margin!r}.")
    if not isinstance(study.fixed, dict):
        raise UserError(f"fixed must be fields with their values, such as {{'alpha': 0.5}}; got {study.fixed!r}.")
    if not isinstance(study.control, dict):
        raise UserError(
            f"control must be fields with their values, such as {{'latent_dim': 16}}; got {study.control!r}."
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
