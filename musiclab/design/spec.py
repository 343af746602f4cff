"""The spec of a study: its fields as a value, and the checks that need nothing but the fields."""

import math
import re
from dataclasses import dataclass, field
from typing import Any

from musiclab.design.claims import Claim
from musiclab.design.space import Space
from musiclab.errors import UserError


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """A question about systems: which values of which fields, on how many paired blocks, judged by what.

    `space` is grids to be crossed, an ablation of components or a list of variants; `system` may stand in it like a
    field, where systems are compared. `control` has the values of the variant that the others are compared with; if
    systems are compared and it names none, each is compared with the one of its own system. An ablation has one of its
    own: the full variant of leave-one-out, else the bare one. `objective` is a measure that has a better direction,
    or one that is best close to real music. `margin`, in the objective's unit, is how
    far apart two variants may be and still count as equivalent; `claims` are the article's statements that the study
    tests. `fixed` changes fields for all variants that have them (a listed variant
    may change them again), `seed` gives the random streams of all blocks. Nothing is checked when it is made: a study's
    file makes it while it is imported, where an error could only be a traceback.
    """

    name: str
    system: str = ""
    space: Space
    control: dict[str, Any] = field(default_factory=dict)
    blocks: int
    objective: str
    margin: float | None = None
    claims: list[Claim] = field(default_factory=list)
    fixed: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    question: str = ""


def is_folder_name(text: str) -> bool:
    """Whether a study or a trial may be called so: it names a folder, and never one elsewhere."""
    return re.fullmatch(r"\w[\w.-]*", text) is not None and len(text.encode()) <= 200


def check_spec(study: StudySpec) -> None:
    """UserError if the study's own fields, those that systems and measures do not know of, cannot be right."""
    if not (isinstance(study.name, str) and is_folder_name(study.name)):
        raise UserError(
            f"A study's name, which names folders, takes up to 200 letters, digits, '_', '-', '.', not {study.name!r}."
        )
    for name in ("objective", "question"):
        if not isinstance(getattr(study, name), str):
            raise UserError(f"A study's {name} takes a text, not {getattr(study, name)!r}.")
    for name, low, high in (("blocks", 1, 10_000), ("seed", 0, 2**63 - 1)):  # blocks as many as --blocks takes
        value = getattr(study, name)
        if not isinstance(value, int) or not low <= value <= high:
            raise UserError(f"A study's {name} takes a whole number from {low} to {high}, not {value!r}.")
    margin = study.margin
    if margin is not None and not (_is_number(margin) and 0 < margin < math.inf):
        raise UserError(f"A study's margin takes a number above 0, in the objective's unit, or None, not {margin!r}.")
    if not isinstance(study.fixed, dict):
        raise UserError(f"fixed takes fields with their values, such as {{'alpha': 0.5}}, not {study.fixed!r}.")
    if not isinstance(study.control, dict):
        raise UserError(f"control takes fields with their values, such as {{'latent_dim': 16}}, not {study.control!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
