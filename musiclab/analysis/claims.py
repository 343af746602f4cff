"""Claims: whether what the article says was measured."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from musiclab.analysis.sequential import anytime_p
from musiclab.analysis.statistics import ALPHA, Interval, holm, mean_interval, sign_flip_p
from musiclab.design.claims import Claim, Expect, full_measure_name, has_fields
from musiclab.design.trials import TrialSpec
from musiclab.measures.baselines import FLOOR
from musiclab.measures.rolls import nan_mean
from musiclab.storage.trial_documents import TrialRecord


@dataclass(frozen=True)
class Evidence:
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


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim, what was found of each thing expected, and the verdict."""

    claim: Claim
    found: tuple[Evidence, ...]
    verdict: Literal["supported", "contradicted", "not shown"]


def judgements(
    claims: Sequence[Claim], cells: list[TrialSpec], records: dict[str, TrialRecord], sequential: bool = False
) -> list[ClaimVerdict]:
    """Each claim's verdict, by sign flips over blocks; by tests that hold at any time where that is how blocks came.

    *Supported* where everything expected is shown at 5 %: each by itself, for all must be (an intersection-union test
    needs no correction, Berger 1982). *Contradicted* where the opposite of anything expected is shown, corrected by
    Holm over what the claim expects. Else *not shown*. Several claims are so many questions: no correction over them.
    """
    test = anytime_p if sequential else sign_flip_p
    return [
        _judgement(claim, tuple(_found(expect, cells, records, test) for expect in claim.expect)) for claim in claims
    ]


def _judgement(claim: Claim, found: tuple[Evidence, ...]) -> ClaimVerdict:
    supported = bool(found) and all(part.p <= ALPHA and part.sign > 0 for part in found)
    corrected = holm([part.p for part in found])
    contradicted = any(p <= ALPHA and part.sign < 0 for p, part in zip(corrected, found, strict=True))
    return ClaimVerdict(claim, found, "supported" if supported else "contradicted" if contradicted else "not shown")


def _found(
    expect: Expect, cells: list[TrialSpec], records: dict[str, TrialRecord], test: Callable[[list[float]], float]
) -> Evidence:
    full, than = full_measure_name(expect.measure), expect.than
    values = _by_block(cells, records, expect.of, lambda record: record.measures.get(full, math.nan))
    if isinstance(than, dict):
        others = _by_block(cells, records, than, lambda record: record.measures.get(full, math.nan))
    elif isinstance(than, str):
        others = _by_block(cells, records, expect.of, lambda record: _scale(record.baselines, full, than))
    else:
        others = dict.fromkeys(values, float(than))
    both = {
        block: (value, others[block])
        for block, value in sorted(values.items())
        if block in others and not math.isnan(value + others[block])
    }
    differences = [value - other for value, other in both.values()]
    return Evidence(
        expect,
        nan_mean(np.array(_column(both, 0))),
        nan_mean(np.array(_column(both, 1))),
        mean_interval(differences),
        test(differences),
    )


def _column(both: dict[int, tuple[float, float]], place: int) -> list[float]:
    return [pair[place] for pair in both.values()]


def _by_block(
    cells: list[TrialSpec],
    records: dict[str, TrialRecord],
    fields: dict[str, Any],
    value: Callable[[TrialRecord], float],
) -> dict[int, float]:
    """By block the mean value of the variants that have the fields; a block that lacks one of them is left out."""
    wanted = {cell.variant.name for cell in cells if has_fields(cell.variant, fields)}
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
