"""Claims: whether the measurements support the article's claims."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from musiclab.analysis.answer import values_by_block
from musiclab.analysis.intervals import Interval, difference_interval
from musiclab.analysis.sequential import anytime_p
from musiclab.analysis.statistics import ALPHA, holm, paired_p
from musiclab.design.claims import Claim, Expect, full_measure_name, has_fields
from musiclab.design.trials import TrialSpec
from musiclab.measures.baselines import FLOOR
from musiclab.measures.registry import Measure
from musiclab.measures.rolls import nan_mean
from musiclab.storage.trial_documents import TrialRecord


@dataclass(frozen=True)
class Evidence:
    """The measurement of an expectation.

    Attributes:
        expect: the expectation.
        value: the measure's mean over blocks.
        than: the mean of the reference over the same blocks.
        difference: `value` minus `than`, paired by block, with its 95 % interval; NaN and 0 blocks if nothing was
            measured.
        p: two-sided, of no difference.
    """

    expect: Expect
    value: float
    than: float
    difference: Interval
    p: float

    @property
    def sign(self) -> int:
        """1 if the mean difference is on the expected side, -1 if it is on the other, 0 if it is 0 or NaN."""
        if math.isnan(self.difference.mean) or self.difference.mean == 0:
            return 0
        return 1 if (self.difference.mean > 0) == (self.expect.relation == "above") else -1


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim, the measurement of each of its expectations, and the verdict."""

    claim: Claim
    found: tuple[Evidence, ...]
    verdict: Literal["supported", "contradicted", "not shown"]


def judgements(
    claims: Sequence[Claim],
    trials: list[TrialSpec],
    records: dict[str, TrialRecord],
    sequential: bool = False,
    own: Iterable[Measure] = (),
) -> list[ClaimVerdict]:
    """Each claim's verdict, by paired tests over blocks, which are anytime-valid if the study is sequential.

    - *Supported*: everything expected is shown at 5 %. Each expectation is tested by itself, because all must hold (an
      intersection-union test needs no correction, Berger 1982).
    - *Contradicted*: the opposite of any expectation is shown, with Holm's correction over the claim's expectations.
    - *Not shown*: neither.

    Several claims are several questions, without a correction over them. `own` are the measures that the study brings.
    """
    return [
        _judged(
            claim,
            tuple(
                _evidence(expect, full_measure_name(expect.measure, own), trials, records, sequential)
                for expect in claim.expect
            ),
        )
        for claim in claims
    ]


def _judged(claim: Claim, evidence: tuple[Evidence, ...]) -> ClaimVerdict:
    if evidence and all(measured.p <= ALPHA and measured.sign > 0 for measured in evidence):
        return ClaimVerdict(claim, evidence, "supported")
    corrected = holm([measured.p for measured in evidence])
    if any(p <= ALPHA and measured.sign < 0 for p, measured in zip(corrected, evidence, strict=True)):
        return ClaimVerdict(claim, evidence, "contradicted")
    return ClaimVerdict(claim, evidence, "not shown")


def _evidence(
    expect: Expect, name: str, trials: list[TrialSpec], records: dict[str, TrialRecord], sequential: bool
) -> Evidence:
    """The measurement of an expectation, of the measure of that full name."""
    reference = expect.than

    def measure(record: TrialRecord) -> float:
        return record.measures.get(name, math.nan)

    def baseline(record: TrialRecord) -> float:
        return _baseline(record.baselines, name, str(reference))

    values = _means_by_block(trials, records, expect.of, measure)
    if isinstance(reference, dict):
        others = _means_by_block(trials, records, reference, measure)
    elif isinstance(reference, str):
        others = _means_by_block(trials, records, expect.of, baseline)
    else:
        others = dict.fromkeys(values, float(reference))
    blocks = [
        block for block, value in sorted(values.items()) if block in others and not math.isnan(value + others[block])
    ]
    differences = [values[block] - others[block] for block in blocks]
    return Evidence(
        expect=expect,
        value=nan_mean(np.array([values[block] for block in blocks])),
        than=nan_mean(np.array([others[block] for block in blocks])),
        difference=difference_interval(differences, sequential),
        p=(anytime_p if sequential else paired_p)(differences),
    )


def _means_by_block(
    trials: list[TrialSpec],
    records: dict[str, TrialRecord],
    fields: dict[str, Any],
    value: Callable[[TrialRecord], float],
) -> dict[int, float]:
    """By block, the mean value of the variants that have the fields; a block that lacks one of them is left out."""
    chosen = [trial for trial in trials if has_fields(trial.variant, fields)]
    values = values_by_block(chosen, records, value)
    blocks = dict.fromkeys(trial.block.index for trial in chosen)
    return {
        block: sum(by_block[block] for by_block in values.values()) / len(values)
        for block in blocks
        if all(block in by_block for by_block in values.values())
    }


def _baseline(baselines: dict[str, float], name: str, music: str) -> float:
    """The score of this music; for real music and a measure that compares with real music, that of other real music."""
    if music == "real":
        return baselines.get(name, baselines.get(name + FLOOR, math.nan))
    return baselines.get(f"{name}.{music}", math.nan)
