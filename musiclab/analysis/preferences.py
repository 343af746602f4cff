"""What listeners prefer: strengths with intervals, and each variant's verdict against its control.

How far to trust it
    Verdicts are by the tests of `two_way`, with Holm's correction over the variants of the study. At most 5 % of
    studies have a wrong one. Intervals resample listeners and blocks at once, which counts some of the noise twice, so
    they are wider than necessary. They are not corrected for the number of variants. So an interval and a verdict may
    disagree: one may exclude 50 % although no difference is shown, or reach to it although one is.

The tables of errors, power and coverage are in docs/listening.md. `benchmarks/listening_errors.py` computes them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from musiclab.analysis.attendance import Attendance, attendance
from musiclab.analysis.comparisons import Verdict
from musiclab.analysis.intervals import Interval
from musiclab.analysis.statistics import holm, smallest_p
from musiclab.analysis.strengths import shares, strengths
from musiclab.analysis.two_way import RESAMPLES, TwoWay, middle_interval, resampled_both, two_way, verdict
from musiclab.analysis.votes import Votes, for_variant, votes
from musiclab.design.listening import VARIANT, ListeningTest
from musiclab.storage.ballot_documents import ListeningPlan
from musiclab.storage.ballots import SessionBallots


@dataclass(frozen=True)
class Strength:
    """How strong a condition is by ear.

    Attributes:
        logit: its Bradley-Terry strength, with its interval; all conditions have a mean of 0.
        share: the share of votes that it would win against all others, each heard equally often, with its interval.
        votes: how many votes it was part of.
        won: how many of them it won; an equal pair is half a vote.
    """

    logit: Interval
    share: Interval
    votes: int
    won: float


@dataclass(frozen=True)
class ByEar:
    """A variant against its control, by ear.

    Attributes:
        share: the share of votes that the variant would win against its control by their strengths, with its interval;
            0.5 is no difference.
        direct: how many votes are of the two against one another.
        won: how many of those the variant won; an equal pair is half a vote.
        listeners: how many listeners have compared one of the two.
        blocks: on how many blocks.
        tests: p of no difference by listeners, by blocks and by both variances together; the largest counts.
        p_holm: the largest, corrected for all comparisons of the study.
        verdict: the conclusion.
    """

    share: Interval
    direct: int
    won: float
    listeners: int
    blocks: int
    tests: TwoWay
    p_holm: float
    verdict: Verdict


@dataclass(frozen=True)
class Preferences:
    """What listeners prefer.

    Attributes:
        plan: what was fixed before.
        attendance: who was heard.
        strengths: of all conditions, by name.
        comparisons: of each variant with its control, by the variant's name, without the controls.
        equal: the share of votes that call a pair equal; NaN if there are none.
        much: the share of votes that call one much better; NaN if there are none.
    """

    plan: ListeningPlan
    attendance: Attendance
    strengths: dict[str, Strength]
    comparisons: dict[str, ByEar]
    equal: float
    much: float


def preferences(plan: ListeningPlan, sessions: Sequence[SessionBallots], resamples: int = RESAMPLES) -> Preferences:
    """Judge the answers to a listening test of pairs; the comparisons of all variants are one family of tests.

    Args:
        plan: of the test.
        sessions: all that there are, from `Ballots.sessions`.
        resamples: of the bootstrap.
    """
    heard = attendance(plan.test, sessions)
    cast = votes(heard.counted)
    names = [condition.name for condition in plan.test.conditions]
    by_cell = wins_by_listener_and_block(cast, len(names))
    wins = by_cell.sum((0, 1))
    logits = strengths(wins)
    listeners, blocks = by_cell.shape[:2]
    drawn = resampled_strengths(by_cell, *resampled_both(listeners, blocks, plan.test.seed, resamples), logits)
    shares_drawn, share = shares(drawn), shares(logits)
    total = wins + wins.T
    answers = [str(ballot.answer) for each in heard.counted for ballot in each.ballots.values()
               if ballot.shown.kind == "pair"]  # fmt: skip
    return Preferences(
        plan=plan,
        attendance=heard,
        strengths={
            name: Strength(
                logit=middle_interval(float(logits[index]), drawn[:, index], int(total[index].sum())),
                share=middle_interval(float(share[index]), shares_drawn[:, index], int(total[index].sum())),
                votes=int(total[index].sum()),
                won=float(wins[index].sum()),
            )
            for index, name in enumerate(names)
        },
        comparisons=_comparisons(plan.test, cast, logits, drawn),
        equal=_share_of(answers, "equal"),
        much=_share_of(answers, "a_much", "b_much"),
    )


def _comparisons(test: ListeningTest, cast: Votes, logits: np.ndarray, drawn: np.ndarray) -> dict[str, ByEar]:
    indices = {condition.name: index for index, condition in enumerate(test.conditions) if condition.kind == VARIANT}
    pairs = {name: (index, indices[test.controls[name]]) for name, index in indices.items()
             if test.controls[name] != name}  # fmt: skip
    says = {name: for_variant(cast, *pair) for name, pair in pairs.items()}
    tests = {name: two_way(said, cast.listener[used], cast.block[used]) for name, (used, said) in says.items()}
    family = sum(not math.isnan(each.p) for each in tests.values())
    comparisons = {}
    for (name, (variant, control)), p_holm in zip(pairs.items(), holm([tests[name].p for name in pairs]), strict=True):
        used, said = says[name]
        direct = cast.involve(variant) & cast.involve(control)
        differences = drawn[:, variant] - drawn[:, control]
        share = float(special.expit(logits[variant] - logits[control]))
        listeners, blocks = len(np.unique(cast.listener[used])), len(np.unique(cast.block[used]))
        comparisons[name] = ByEar(
            share=middle_interval(share if len(said) else math.nan, special.expit(differences), len(said)),
            direct=int(direct.sum()),
            won=float(cast.won_by(variant)[direct].sum()),
            listeners=listeners,
            blocks=blocks,
            tests=tests[name],
            p_holm=p_holm,
            verdict=verdict(float(said.sum()), p_holm, smallest_p(min(listeners, blocks), family)),
        )
    return comparisons


def wins_by_listener_and_block(cast: Votes, conditions: int) -> np.ndarray:
    """How many votes each condition won against each other one, `(listeners, blocks, conditions, conditions)`."""
    listeners, row = np.unique(cast.listener, return_inverse=True)
    blocks, column = np.unique(cast.block, return_inverse=True)
    wins = np.zeros((len(listeners), len(blocks), conditions, conditions))
    np.add.at(wins, (row, column, cast.first, cast.second), cast.won)
    np.add.at(wins, (row, column, cast.second, cast.first), 1 - cast.won)
    return wins


def resampled_strengths(
    by_cell: np.ndarray, of_listeners: np.ndarray, of_blocks: np.ndarray, logits: np.ndarray
) -> np.ndarray:
    """Strengths by the votes of listeners and blocks that are both drawn with replacement, `(resamples, conditions)`.

    Args:
        by_cell: as of `wins_by_listener_and_block`.
        of_listeners: `(resamples, listeners)`, how often each is drawn.
        of_blocks: `(resamples, blocks)`, likewise.
        logits: the strengths by all votes, `(conditions,)`.
    """
    if not len(of_listeners):
        return np.empty((0, len(logits)))
    by_block = np.einsum("rl,lbij->rbij", of_listeners, by_cell, optimize=True)
    wins = np.einsum("rb,rbij->rij", of_blocks, by_block, optimize=True)
    return np.array([strengths(each, logits) for each in wins])


def _share_of(answers: list[str], *wanted: str) -> float:
    return sum(answer in wanted for answer in answers) / len(answers) if answers else math.nan
