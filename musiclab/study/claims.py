"""Claims: what the article says, and what would have to be measured for it to be so."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Expect:
    """One thing that is so if a claim holds: a variant's measure lies above or below something, block by block.

    Attributes:
        measure: by name, a value of one track too (`noise_sensitivity.Drums`).
        of: fields of the variant meant, as many as single it out (`{"latent_dim": 16}`).
        relation: on which side of `than` it is expected.
        than: fields of another variant; `real`, `shuffled` or `random`, what such music scores; or a number.
    """

    measure: str
    of: dict[str, Any]
    relation: Literal["above", "below"]
    than: dict[str, Any] | float | Literal["real", "shuffled", "random"]


@dataclass(frozen=True)
class Claim:
    """A statement of the article: its id (`C1`), its words, and what is expected where it holds; all of it must."""

    id: str
    says: str
    expect: tuple[Expect, ...]
