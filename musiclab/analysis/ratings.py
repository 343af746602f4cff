"""How listeners rate single pieces: means on each scale, and each variant's verdicts against its control.

The tests are those of pairs. Every scale of every variant is one test of one family, which Holm's correction keeps to
5 % of studies. The family of pairs is another one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musiclab.analysis.attendance import Attendance, attendance
from musiclab.analysis.comparisons import Verdict
from musiclab.analysis.intervals import Interval
from musiclab.analysis.statistics import holm, smallest_p
from musiclab.analysis.two_way import RESAMPLES, TwoWay, middle_interval, resampled_both, two_way, verdict
from musiclab.analysis.votes import Ratings, all_ratings
from musiclab.design.listening import SCALES, VARIANT
from musiclab.storage.ballot_documents import ListeningPlan
from musiclab.storage.ballots import SessionBallots


@dataclass(frozen=True)
class RatedByEar:
    """A variant against its control on one scale.

    Attributes:
        difference: the variant's mean rating less the control's, with its interval. Each listener's own mean is taken
            off first, because some rate higher than others.
        listeners: how many listeners have rated one of the two.
        blocks: on how many blocks.
        tests: p of no difference by listeners, by blocks and by both variances together; the largest counts.
        p_holm: the largest, corrected for all scales and comparisons of the study.
        verdict: the conclusion.
    """

    difference: Interval
    listeners: int
    blocks: int
    tests: TwoWay
    p_holm: float
    verdict: Verdict


@dataclass(frozen=True)
class RatingResults:
    """What listeners rate.

    Attributes:
        plan: what was fixed before.
        attendance: who was heard.
        means: the mean rating of all conditions, by name and scale, with its interval.
        comparisons: of each variant with its control, by the variant's name and scale, without the controls.
    """

    plan: ListeningPlan
    attendance: Attendance
    means: dict[str, dict[str, Interval]]
    comparisons: dict[str, dict[str, RatedByEar]]


def rating_results(
    plan: ListeningPlan, sessions: Sequence[SessionBallots], resamples: int = RESAMPLES
) -> RatingResults:
    """Judge the answers to a listening test of ratings; arguments are as in `preferences`."""
    heard = attendance(plan.test, sessions)
    rated = all_ratings(heard.counted)
    names = [condition.name for condition in plan.test.conditions]
    centred = _centred(rated)
    drawn, drawn_centred = _resampled_means(rated, (rated.given, centred), len(names), plan.test.seed, resamples)
    means = {
        name: {
            scale: middle_interval(_mean(rated.given[rated.condition == index, at]), drawn[:, index, at],
                                   int((rated.condition == index).sum()))
            for at, scale in enumerate(SCALES)
        }
        for index, name in enumerate(names)
    }  # fmt: skip
    return RatingResults(plan, heard, means, _comparisons(plan, rated, centred, drawn_centred))


def _comparisons(
    plan: ListeningPlan, rated: Ratings, centred: np.ndarray, drawn: np.ndarray
) -> dict[str, dict[str, RatedByEar]]:
    test = plan.test
    indices = {condition.name: index for index, condition in enumerate(test.conditions) if condition.kind == VARIANT}
    pairs = {name: (index, indices[test.controls[name]]) for name, index in indices.items()
             if test.controls[name] != name}  # fmt: skip
    keys = [(name, scale) for name in pairs for scale in SCALES]
    says, tests = {}, {}
    for name, pair in pairs.items():
        used = np.isin(rated.condition, pair) if _has_both(rated, pair) else np.zeros(len(rated.condition), bool)
        says[name] = used, _for_variant(rated, centred, used, *pair)
        for at, scale in enumerate(SCALES):
            tests[name, scale] = two_way(says[name][1][:, at], rated.listener[used], rated.block[used])
    family = sum(not math.isnan(tests[key].p) for key in keys)
    corrected = dict(zip(keys, holm([tests[key].p for key in keys]), strict=True))
    comparisons: dict[str, dict[str, RatedByEar]] = {name: {} for name in pairs}
    for name, scale in keys:
        at, (variant, control), (used, said) = SCALES.index(scale), pairs[name], says[name]
        listeners, blocks = len(np.unique(rated.listener[used])), len(np.unique(rated.block[used]))
        mean = _mean(centred[used & (rated.condition == variant), at]) - _mean(
            centred[used & (rated.condition == control), at]
        )
        p_holm = corrected[name, scale]
        comparisons[name][scale] = RatedByEar(
            difference=middle_interval(mean, drawn[:, variant, at] - drawn[:, control, at], len(said)),
            listeners=listeners,
            blocks=blocks,
            tests=tests[name, scale],
            p_holm=p_holm,
            verdict=verdict(float(said[:, at].sum()), p_holm, smallest_p(min(listeners, blocks), family)),
        )
    return comparisons


def _has_both(rated: Ratings, pair: tuple[int, int]) -> bool:
    return all(bool((rated.condition == index).any()) for index in pair)


def _centred(rated: Ratings) -> np.ndarray:
    """The ratings less their listener's mean on the scale, `(n, scales)`."""
    centred: np.ndarray = rated.given.copy()
    for listener in np.unique(rated.listener):
        own = rated.listener == listener
        centred[own] -= centred[own].mean(0)
    return centred


def _for_variant(rated: Ratings, centred: np.ndarray, used: np.ndarray, variant: int, control: int) -> np.ndarray:
    """What each rating of one of the two says for the variant, `(those, scales)`: by how much it is above the middle of
    the two means if it is the variant's, and below it if it is the control's."""
    if not used.any():
        return np.empty((0, len(SCALES)))
    means = [centred[rated.condition == index].mean(0) for index in (variant, control)]
    above = centred[used] - (means[0] + means[1]) / 2
    says: np.ndarray = np.where((rated.condition[used] == variant)[:, None], above, -above)
    return says


def _resampled_means(
    rated: Ratings, values: tuple[np.ndarray, ...], conditions: int, seed: int, resamples: int
) -> list[np.ndarray]:
    """Means of each condition by listeners and blocks that are both drawn, `(resamples, conditions, scales)` each.

    There are none if there are fewer than 2 listeners or blocks.
    """
    listeners, row = np.unique(rated.listener, return_inverse=True)
    blocks, column = np.unique(rated.block, return_inverse=True)
    of_listeners, of_blocks = resampled_both(len(listeners), len(blocks), seed, resamples)
    weight = of_listeners[:, row] * of_blocks[:, column]  # (resamples, n)
    means = []
    for each in values:
        sums = np.stack([weight[:, mine] @ each[mine] for mine in _each(rated, conditions)], axis=1)
        counts = np.stack([weight[:, mine].sum(1) for mine in _each(rated, conditions)], axis=1)[..., None]
        means.append(np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0))
    return means


def _each(rated: Ratings, conditions: int) -> list[np.ndarray]:
    return [rated.condition == index for index in range(conditions)]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan
