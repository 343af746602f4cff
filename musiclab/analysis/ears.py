"""Measures beside ears: whether a measure orders variants as listeners do, and how often it picks a vote's winner.

A measure's score is as elsewhere: the value, or the distance to real music's value if the aim is to be like it. Studies
are pooled, because one study has few variants. Intervals are not corrected for the number of measures, so among fifty
measures some are above chance by luck.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from musiclab.analysis.answer import scores_by_block
from musiclab.analysis.intervals import Interval
from musiclab.analysis.preferences import Preferences, resampled_strengths, wins_by_listener_and_block
from musiclab.analysis.strengths import strengths
from musiclab.analysis.two_way import RESAMPLES, middle_interval, resampled_both
from musiclab.analysis.votes import Votes, votes
from musiclab.design.listening import VARIANT
from musiclab.design.trials import TrialSpec
from musiclab.measures.registry import MEASURES
from musiclab.storage.trial_documents import TrialRecord


@dataclass(frozen=True)
class HeardStudy:
    """The votes of a study that listeners have heard, and its variants' scores.

    Attributes:
        votes: those that count.
        conditions: how many there are.
        variants: the indices of the variants among the conditions.
        blocks: the blocks that were heard, in order.
        scores: by a measure's full name, `(conditions, blocks)`, so that higher is better; NaN where there is none.
        seed: of the bootstrap.
    """

    votes: Votes
    conditions: int
    variants: tuple[int, ...]
    blocks: tuple[int, ...]
    scores: dict[str, np.ndarray]
    seed: int


@dataclass(frozen=True)
class BesideEars:
    """A measure beside ears.

    Attributes:
        picked: the share of votes between two variants whose winner scores better on that block, with its interval;
            0.5 is chance. Votes that call both equal are left out, and equal scores are half a hit.
        rank: the rank correlation (Kendall's tau) of the variants' mean scores with their strengths, with its interval,
            over the pairs of variants of all studies; 0 is chance, and `n` is how many pairs there are.
        studies: how many studies have the measure.
    """

    picked: Interval
    rank: Interval
    studies: int


def heard_study(found: Preferences, trials: list[TrialSpec], records: dict[str, TrialRecord]) -> HeardStudy | None:
    """A study as `beside_ears` needs it; None if nobody was heard."""
    cast = votes(found.attendance.counted)
    if not len(cast):
        return None
    conditions = found.plan.test.conditions
    blocks = tuple(np.unique(cast.block).tolist())
    scores = {}
    for measure in MEASURES:
        if measure.better == "neither":
            continue
        by_variant = scores_by_block(trials, records, measure)
        table = np.full((len(conditions), len(blocks)), np.nan)
        for row, condition in enumerate(conditions):
            if condition.kind == VARIANT:
                by_block = by_variant.get(condition.name, {})
                table[row] = [measure.sign * by_block.get(block, math.nan) for block in blocks]
        if np.isfinite(table).any(1).sum() >= 2:
            scores[measure.full_name] = table
    variants = tuple(row for row, condition in enumerate(conditions) if condition.kind == VARIANT)
    return HeardStudy(cast, len(conditions), variants, blocks, scores, found.plan.test.seed)


def beside_ears(studies: Sequence[HeardStudy], resamples: int = RESAMPLES) -> dict[str, BesideEars]:
    """Each measure beside ears, over all studies that have it, in the order of the registry."""
    drawn = [_Drawn(study, resamples) for study in studies]
    names = [measure.full_name for measure in MEASURES if any(measure.full_name in study.scores for study in studies)]
    result = {}
    for name in names:
        with_it = [each for each in drawn if name in each.study.scores]
        result[name] = BesideEars(
            picked=_pooled([each.picked(name) for each in with_it]),
            rank=_pooled([each.ranked(name) for each in with_it]),
            studies=len(with_it),
        )
    return result


@dataclass(frozen=True)
class _Hits:
    """Something that is counted: how much of it there is out of how much, and the same in each resample."""

    hits: float
    of: float
    drawn_hits: np.ndarray
    drawn_of: np.ndarray


def _pooled(parts: list[_Hits]) -> Interval:
    """The share of the hits of all studies, whose resamples are independent."""
    hits, of = sum(part.hits for part in parts), sum(part.of for part in parts)
    drawn_hits = np.sum([part.drawn_hits for part in parts], axis=0)
    drawn_of = np.sum([part.drawn_of for part in parts], axis=0)
    drawn = np.divide(drawn_hits, drawn_of, out=np.full(len(drawn_of), np.nan), where=drawn_of > 0)
    return middle_interval(hits / of if of else math.nan, drawn[np.isfinite(drawn)], round(of))


class _Drawn:
    """A study with its strengths, and those of its resamples of listeners and blocks."""

    def __init__(self, study: HeardStudy, resamples: int) -> None:
        self.study = study
        cast = study.votes
        by_cell = wins_by_listener_and_block(cast, study.conditions)
        listeners, blocks = by_cell.shape[:2]
        self._listeners, self._blocks = resampled_both(listeners, blocks, study.seed, resamples)
        self._logits = strengths(by_cell.sum((0, 1)))
        self._drawn_logits = resampled_strengths(by_cell, self._listeners, self._blocks, self._logits)
        self._row = np.unique(cast.listener, return_inverse=True)[1]
        self._column = np.unique(cast.block, return_inverse=True)[1]

    def picked(self, measure: str) -> _Hits:
        """Votes between variants whose winner the measure picks."""
        cast, scores = self.study.votes, self.study.scores[measure]
        better = scores[cast.first, self._column] - scores[cast.second, self._column]
        judged = np.isfinite(better) & (cast.won != 0.5)
        hit = (np.sign(better) * np.sign(cast.won - 0.5) + 1) / 2
        weight = self._listeners[:, self._row[judged]] * self._blocks[:, self._column[judged]]
        return _Hits(float(hit[judged].sum()), float(judged.sum()), weight @ hit[judged], weight.sum(1))

    def ranked(self, measure: str) -> _Hits:
        """Pairs of variants that the measure orders as ears do, less those that it orders the other way."""
        table = self.study.scores[measure]
        known = np.isfinite(table)
        values = np.where(known, table, 0.0)

        def means(weights: np.ndarray) -> np.ndarray:
            counts: np.ndarray = weights @ known.T
            unknown: np.ndarray = np.full(counts.shape, np.nan)
            means: np.ndarray = np.divide(weights @ values.T, counts, out=unknown, where=counts > 0)
            return means

        def agreement(scores: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            signs = [np.sign(scores[:, a] - scores[:, b]) * np.sign(logits[:, a] - logits[:, b])
                     for a, b in combinations(self.study.variants, 2)]  # fmt: skip
            return np.nansum(signs, axis=0), np.isfinite(signs).sum(0).astype(float)

        hits, of = agreement(means(np.ones((1, len(self.study.blocks)))), self._logits[None])
        drawn_hits, drawn_of = agreement(means(self._blocks), self._drawn_logits)
        return _Hits(float(hits[0]), float(of[0]), drawn_hits, drawn_of)
