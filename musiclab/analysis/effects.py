"""Effects: what a factor does averaged over the others, what it does in their company, and how values trend."""

import itertools
import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from scipy import stats

from musiclab.analysis.sequential import anytime_p
from musiclab.analysis.statistics import ALPHA, Interval, holm, mean_intervals, sign_flip_p
from musiclab.design.criteria import Criteria
from musiclab.design.factors import Factor, aliases, contrast, factors, is_crossed, is_fraction, tells_effects

Scores = dict[str, dict[int, float]]


@dataclass(frozen=True)
class Effect:
    """`value` of `field` less its `control`: the objective's paired difference over blocks."""

    field: str
    value: Any
    control: Any
    difference: Interval
    p_holm: float


@dataclass(frozen=True)
class Interaction:
    """How much more `values[0]` of `fields[0]` does with `values[1]` of `fields[1]` than with its control's value.

    A difference of differences, the same the other way round, averaged over the values of all other fields.
    """

    fields: tuple[str, str]
    values: tuple[Any, Any]
    controls: tuple[Any, Any]
    difference: Interval
    p_holm: float


@dataclass(frozen=True)
class Component:
    """Three answers to what a two-level factor does, from the same cells of a full factorial design.

    Attributes:
        main: averaged over all values of the other factors.
        add_one_in: only it changed, less the control.
        leave_one_out: all factors changed, less all but this one. From a control that is the full variant the two are
            the other way round.
        gap, p_holm: leave-one-out less add-one-in, a sum of interactions: 0 where what it does depends on nothing else.
        disagreement: `signs` where two of the three are shown, one above 0 and one below; else `size` where the gap is
            shown; else empty. Each of the three is corrected over all factors, and so is the gap; a sign that is not
            shown counts for nothing, or noise alone would be flagged.
    """

    main: Effect
    add_one_in: Effect
    leave_one_out: Effect
    gap: Interval
    p_holm: float

    disagreement: Literal["signs", "size", ""] = field(init=False)

    def __post_init__(self) -> None:
        ways = (self.main, self.add_one_in, self.leave_one_out)
        signs = {effect.difference.mean > 0 for effect in ways if effect.p_holm <= ALPHA}
        kind = "signs" if len(signs) == 2 else "size" if self.p_holm <= ALPHA else ""
        object.__setattr__(self, "disagreement", kind)


@dataclass(frozen=True)
class Trend:
    """Whether the objective rises or falls with a numeric field: block by block over its values, then over blocks.

    Attributes:
        correlation: Spearman's rank correlation; a block in which nothing changes counts as 0.
        slope: of the least-squares line, in the measure's unit for 1 of the field.
        p_holm: two-sided, of a mean correlation of 0 (sign flips over blocks), corrected over the study's fields.
    """

    field: str
    correlation: Interval
    slope: Interval
    p_holm: float


@dataclass(frozen=True)
class Effects:
    """What the variants say of single factors beyond their comparisons with the control.

    Tests are sign flips over blocks, valid at any time where the study's are, corrected by Holm: the main effects are
    one family, the interactions are one of their own, and so are the trends.

    Attributes:
        main: of crossed grids, factorial designs and regular fractions, one for each value that is not the control's.
        interactions: of two factors, likewise; of a fraction those that are clear of main effects, one for each group
            that it confounds.
        components: of full factorial designs of two-level factors.
        aliases: what a fraction confounds with what.
        trends: of numeric fields of three or more values.
    """

    main: list[Effect] = field(default_factory=list)
    interactions: list[Interaction] = field(default_factory=list)
    components: list[Component] = field(default_factory=list)
    aliases: dict[str, list[str]] = field(default_factory=dict)
    trends: list[Trend] = field(default_factory=list)

    @property
    def disagreements(self) -> list[Component]:
        """The factors of which leave-one-out, add-one-in and the main effect would say different things."""
        return [component for component in self.components if component.disagreement]


def effects(variants: dict[str, dict[str, Any]], scores: Scores, criteria: Criteria) -> Effects:
    """The effects that the variants allow for; none where they have several controls.

    Args:
        variants: the fields' values by variant.
        scores: the objective by variant and block; a block that lacks a variant which an effect is made of is left out
            of that effect.
        criteria: how the study is judged.
    """
    if len(set(criteria.controls.values())) != 1:
        return Effects()
    found, control = factors(variants), next(iter(criteria.controls.values()))
    table = _Table(scores, criteria.sequential)
    trends = _trends(found, table)
    if not tells_effects(found):
        return Effects(trends=trends)
    main = _main(found, control, table)
    return Effects(
        main, _interactions(found, control, table), _components(found, main, control, table), aliases(found), trends
    )


def trend(name: str, variants: dict[str, dict[str, Any]], values: Scores) -> Trend | None:
    """The trend of any measure's values (by variant and block) over a field, averaged over the fields crossed with it.

    None where the field is no numeric one of three or more values, or is not crossed with the others.
    """
    found = factors(variants)
    return next(iter(_trends(found, _Table(values), [factor for factor in found if factor.name == name])), None)


class _Table:
    """The objective as an array of blocks x variants, NaN where a trial or its value is missing."""

    def __init__(self, scores: Scores, sequential: bool = False) -> None:
        self._test = anytime_p if sequential else sign_flip_p
        blocks = sorted({block for of in scores.values() for block in of})
        rows = [[of.get(block, math.nan) for of in scores.values()] for block in blocks]
        self._values = np.array(rows, float).reshape(len(blocks), len(scores))
        self._column = {variant: place for place, variant in enumerate(scores)}
        # Sums in another order differ in their last digits: what is equal but for those must not look like an effect.
        self._noise = 1e-12 * float(np.nan_to_num(np.abs(self._values)).max(initial=0.0))

    def mean(self, variants: set[str]) -> np.ndarray:
        """By block, over all these variants; NaN where it lacks one."""
        return self._values[:, sorted(self._column[variant] for variant in variants)].mean(axis=1)

    def less(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Their difference by block, without the noise of their sums."""
        difference = one - other
        return np.where(np.abs(difference) <= self._noise, 0.0, difference)

    def family(self, differences: list[np.ndarray]) -> list[tuple[Interval, float]]:
        """Mean and interval of each over the blocks that have it, and its p among all of them."""
        kept = [each[~np.isnan(each)].tolist() for each in differences]
        return list(zip(mean_intervals(kept), holm([self._test(each) for each in kept]), strict=True))


def _others(factor: Factor, control: str) -> list[Any]:
    """The factor's values that are not the control's."""
    return [value for value in factor.values if value != factor.levels[control]]


def _main(found: list[Factor], control: str, table: _Table) -> list[Effect]:
    compared = [(factor, value, factor.levels[control]) for factor in found for value in _others(factor, control)]
    tested = table.family([table.less(table.mean(factor.at(a)), table.mean(factor.at(b))) for factor, a, b in compared])
    return [Effect(factor.name, a, b, *of) for (factor, a, b), of in zip(compared, tested, strict=True)]


def _interactions(found: list[Factor], control: str, table: _Table) -> list[Interaction]:
    compared = [
        ((one.name, other.name), (a, b), (one.levels[control], other.levels[control]), (one, other))
        for one, other in _clear_pairs(found)
        for a in _others(one, control)
        for b in _others(other, control)
    ]
    differences = []
    for _, (a, b), (before, without), (one, other) in compared:
        with_b, as_before = (
            table.less(table.mean(one.at(a) & company), table.mean(one.at(before) & company))
            for company in (other.at(b), other.at(without))
        )
        differences.append(table.less(with_b, as_before))
    return [Interaction(*what, *of) for (*what, _), of in zip(compared, table.family(differences), strict=True)]


def _clear_pairs(found: list[Factor]) -> list[tuple[Factor, ...]]:
    """The pairs whose interactions can be told from main effects and from one another."""
    pairs = list(itertools.combinations(found, 2))
    if not is_fraction(found):
        return pairs
    first: dict[tuple[int, ...], tuple[Factor, ...]] = {}
    for of in [*((factor,) for factor in found), *pairs]:
        first.setdefault(contrast(*of), of)
    return [of for of in first.values() if len(of) == 2]


def _components(found: list[Factor], main: list[Effect], control: str, table: _Table) -> list[Component]:
    """The factors of a full factorial design of two levels; none of any other."""
    if not is_crossed(found) or len(main) > len(found):
        return []
    cell = {
        frozenset(factor.name for factor in found if factor.levels[variant] != factor.levels[control]): variant
        for variant in found[0].levels
    }
    names = [factor.name for factor in found]
    bare, full = table.mean({control}), table.mean({cell[frozenset(names)]})
    added = [table.less(table.mean({cell[frozenset({name})]}), bare) for name in names]
    left_out = [table.less(full, table.mean({cell[frozenset(names) - {name}]})) for name in names]
    gaps = [table.less(after, before) for after, before in zip(left_out, added, strict=True)]
    # Two factors have one gap between them, their interaction: it is not two questions.
    tested = table.family(gaps) if len(found) > 2 else table.family(gaps[:1]) * 2
    return [
        Component(effect, *(replace(effect, difference=of, p_holm=p) for of, p in pair), *gap)
        for effect, *pair, gap in zip(main, table.family(added), table.family(left_out), tested, strict=True)
    ]


def _trends(crossed: list[Factor], table: _Table, of: list[Factor] | None = None) -> list[Trend]:
    """The trends over the numeric ones of crossed factors (or of some of them), as one family."""
    numeric = [
        factor
        for factor in (crossed if of is None else of)
        if len(factor.values) > 2 and all(isinstance(value, int | float) for value in factor.values)
    ]
    if not is_crossed(crossed):
        return []
    correlations, slopes = [], []
    for factor in numeric:
        x = np.array(factor.values, float)
        levels = np.stack([table.mean(factor.at(value)) for value in factor.values], axis=1)
        levels = levels[~np.isnan(levels).any(axis=1)]
        correlations.append(_correlation(stats.rankdata(x), stats.rankdata(levels, axis=1)))
        slopes.append(levels @ (x - x.mean()) / np.sum((x - x.mean()) ** 2))
    return [
        Trend(factor.name, correlation, slope, p)
        for factor, (correlation, p), slope in zip(
            numeric, table.family(correlations), mean_intervals([each.tolist() for each in slopes]), strict=True
        )
    ]


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's, of each row of `y` with `x`; 0 where the row's values are all equal."""
    x, y = x - x.mean(), y - y.mean(axis=1, keepdims=True)
    size = np.sqrt(np.sum(x**2) * np.sum(y**2, axis=1))
    return np.divide(y @ x, size, out=np.zeros(len(y)), where=size > 0)
