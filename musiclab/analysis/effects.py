"""Effects: the main effects of factors, their interactions, and trends over numeric fields."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from musiclab.analysis.intervals import Interval, difference_interval
from musiclab.analysis.sequential import anytime_p
from musiclab.analysis.statistics import ALPHA, holm, paired_p
from musiclab.design.criteria import Criteria
from musiclab.design.factors import Factor, aliases, contrast, factors, is_crossed, is_fraction, tells_effects

Scores = dict[str, dict[int, float]]


@dataclass(frozen=True)
class Effect:
    """The effect of `value` of `field` minus that of its `control` value: the score's paired difference over blocks."""

    field: str
    value: Any
    control: Any
    difference: Interval
    p_holm: float


@dataclass(frozen=True)
class Interaction:
    """How the effect of `values[0]` of `fields[0]` changes if `fields[1]` has `values[1]` instead of its control value.

    It is a difference of differences, averaged over the values of all other fields. Exchanging the two fields gives the
    same number.
    """

    fields: tuple[str, str]
    values: tuple[Any, Any]
    controls: tuple[Any, Any]
    difference: Interval
    p_holm: float


@dataclass(frozen=True)
class Component:
    """Three estimates of the effect of a two-level factor, from the same variants of a full factorial design.

    Attributes:
        main: averaged over all values of the other factors.
        add_one_in: only this factor changed, minus the control.
        leave_one_out: all factors changed, minus all but this one. If the control is the full variant, the roles of
            this and `add_one_in` are exchanged.
        gap: leave-one-out minus add-one-in, a sum of interactions; 0 if the effect does not depend on other factors.
        p_holm: of the gap.
        disagreement: `signs` if two of the three estimates are significant, one above 0 and one below; else `size` if
            the gap is significant; else empty. Each of the three, and the gap, is corrected over all factors. A sign
            that is not significant does not count, because otherwise noise alone would be flagged.
    """

    main: Effect
    add_one_in: Effect
    leave_one_out: Effect
    gap: Interval
    p_holm: float

    disagreement: Literal["signs", "size", ""] = field(init=False)

    def __post_init__(self) -> None:
        estimates = (self.main, self.add_one_in, self.leave_one_out)
        signs = {effect.difference.mean > 0 for effect in estimates if effect.p_holm <= ALPHA}
        kind = "signs" if len(signs) == 2 else "size" if self.p_holm <= ALPHA else ""
        object.__setattr__(self, "disagreement", kind)


@dataclass(frozen=True)
class Trend:
    """Whether a measure rises or falls with a numeric field: computed in each block, then summed up over blocks.

    Attributes:
        correlation: Spearman's rank correlation; a block in which nothing changes counts as 0.
        slope: of the least-squares line, in the measure's unit per unit of the field.
        p_holm: two-sided, of a mean correlation of 0 over blocks, corrected over the study's fields.
    """

    field: str
    correlation: Interval
    slope: Interval
    p_holm: float


@dataclass(frozen=True)
class Effects:
    """What the variants show about single factors, beyond their comparisons with the control.

    Tests and intervals are those of comparisons, with Holm's correction of p. The main effects are one family, the
    interactions another, and the trends a third.

    Attributes:
        main: one effect for each value that is not the control's, in crossed grids, factorial designs and regular
            fractions.
        interactions: of two factors, likewise. A fraction has only those that are clear of main effects, one for each
            group that it confounds.
        components: in full factorial designs of two-level factors only.
        aliases: the effects that a fraction confounds, see `factors.aliases`.
        trends: of numeric fields with three or more values.
    """

    main: list[Effect] = field(default_factory=list)
    interactions: list[Interaction] = field(default_factory=list)
    components: list[Component] = field(default_factory=list)
    aliases: dict[str, list[str]] = field(default_factory=dict)
    trends: list[Trend] = field(default_factory=list)

    @property
    def disagreements(self) -> list[Component]:
        """The factors for which leave-one-out, add-one-in and the main effect disagree."""
        return [component for component in self.components if component.disagreement]


def effects(variants: dict[str, dict[str, Any]], scores: Scores, criteria: Criteria) -> Effects:
    """The effects that the variants allow to estimate; none if they have several controls.

    Args:
        variants: values by field, by variant.
        scores: the scores by variant and block. A block that lacks a variant is left out of the effects that need it.
        criteria: how the study is judged.
    """
    if len(set(criteria.controls.values())) != 1:
        return Effects()
    all_factors, control = factors(variants), next(iter(criteria.controls.values()))
    table = _Table(scores, criteria.sequential)
    trends = _trends(all_factors, all_factors, table)
    if not tells_effects(all_factors):
        return Effects(trends=trends)
    main = _main(all_factors, control, table)
    return Effects(
        main=main,
        interactions=_interactions(all_factors, control, table),
        components=_components(all_factors, main, control, table),
        aliases=aliases(all_factors),
        trends=trends,
    )


def trend(name: str, variants: dict[str, dict[str, Any]], values: Scores) -> Trend | None:
    """The trend of a measure over a field, averaged over the fields crossed with it.

    Args:
        name: the field.
        variants: values by field, by variant.
        values: the measure's values by variant and block.

    Returns:
        None if the field is not numeric, has fewer than three values, or is not crossed with the other fields.
    """
    all_factors = factors(variants)
    trends = _trends(all_factors, [factor for factor in all_factors if factor.name == name], _Table(values))
    return trends[0] if trends else None


@dataclass(frozen=True)
class _Tested:
    """The mean and interval of a difference, and its p corrected over its family."""

    difference: Interval
    p_holm: float


class _Table:
    """The scores as an array of blocks x variants; NaN if a trial or its score is missing."""

    def __init__(self, scores: Scores, sequential: bool = False) -> None:
        self._sequential = sequential
        blocks = sorted({block for by_block in scores.values() for block in by_block})
        rows = [[by_block.get(block, math.nan) for by_block in scores.values()] for block in blocks]
        self._values = np.array(rows, float).reshape(len(blocks), len(scores))
        self._column = {variant: column for column, variant in enumerate(scores)}
        # Sums in another order differ in their last digits. Such differences must not look like an effect.
        self._noise = 1e-12 * float(np.nan_to_num(np.abs(self._values)).max(initial=0.0))

    def mean(self, variants: set[str]) -> np.ndarray:
        """The mean over these variants, by block; NaN for a block that lacks one of them."""
        means: np.ndarray = self._values[:, sorted(self._column[variant] for variant in variants)].mean(axis=1)
        return means

    def less(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """`one` - `other` by block; 0 if they differ only by rounding."""
        difference = one - other
        return np.where(np.abs(difference) <= self._noise, 0.0, difference)

    def family(self, differences: list[np.ndarray]) -> list[_Tested]:
        """Test each difference over the blocks that have it; all of them are one family."""
        columns = [difference[~np.isnan(difference)].tolist() for difference in differences]
        corrected = holm([(anytime_p if self._sequential else paired_p)(column) for column in columns])
        return [_Tested(self.interval(column), p) for column, p in zip(columns, corrected, strict=True)]

    def interval(self, differences: list[float]) -> Interval:
        """The mean and interval of differences over blocks."""
        return difference_interval(differences, self._sequential)


def _others(factor: Factor, control: str) -> list[Any]:
    """The factor's values that are not the control's."""
    return [value for value in factor.values if value != factor.levels[control]]


def _main(all_factors: list[Factor], control: str, table: _Table) -> list[Effect]:
    """The main effects, as one family."""
    compared = [(factor, value) for factor in all_factors for value in _others(factor, control)]
    differences = [
        table.less(table.mean(factor.at(value)), table.mean(factor.at(factor.levels[control])))
        for factor, value in compared
    ]
    return [
        Effect(
            field=factor.name,
            value=value,
            control=factor.levels[control],
            difference=tested.difference,
            p_holm=tested.p_holm,
        )
        for (factor, value), tested in zip(compared, table.family(differences), strict=True)
    ]


@dataclass(frozen=True)
class _Crossing:
    """A value of one factor and a value of another, beside the control's values of both."""

    one: Factor
    one_value: Any
    one_control: Any
    other: Factor
    other_value: Any
    other_control: Any

    def difference(self, table: _Table) -> np.ndarray:
        """The effect of `one_value` with `other_value`, minus its effect with `other_control`, by block."""
        return table.less(
            self._effect_at(self.other_value, table),
            self._effect_at(self.other_control, table),
        )

    def _effect_at(self, other_value: Any, table: _Table) -> np.ndarray:
        """The effect of `one_value` among the variants in which the other factor has this value, by block."""
        variants = self.other.at(other_value)
        return table.less(
            table.mean(self.one.at(self.one_value) & variants),
            table.mean(self.one.at(self.one_control) & variants),
        )


def _interactions(all_factors: list[Factor], control: str, table: _Table) -> list[Interaction]:
    """The two-factor interactions that can be told apart, as one family."""
    crossings = [
        _Crossing(
            one=one,
            one_value=one_value,
            one_control=one.levels[control],
            other=other,
            other_value=other_value,
            other_control=other.levels[control],
        )
        for one, other in _clear_pairs(all_factors)
        for one_value in _others(one, control)
        for other_value in _others(other, control)
    ]
    family = table.family([crossing.difference(table) for crossing in crossings])
    return [
        Interaction(
            fields=(crossing.one.name, crossing.other.name),
            values=(crossing.one_value, crossing.other_value),
            controls=(crossing.one_control, crossing.other_control),
            difference=tested.difference,
            p_holm=tested.p_holm,
        )
        for crossing, tested in zip(crossings, family, strict=True)
    ]


def _clear_pairs(all_factors: list[Factor]) -> list[tuple[Factor, Factor]]:
    """The pairs whose interactions can be told from main effects and from each other."""
    pairs = list(itertools.combinations(all_factors, 2))
    if not is_fraction(all_factors):
        return pairs
    taken = {contrast(factor) for factor in all_factors}
    clear = []
    for one, other in pairs:
        pattern = contrast(one, other)
        if pattern not in taken:
            taken.add(pattern)
            clear.append((one, other))
    return clear


def _components(all_factors: list[Factor], main: list[Effect], control: str, table: _Table) -> list[Component]:
    """The components of the factors of a full factorial design of two levels; none for any other design."""
    if not is_crossed(all_factors) or len(main) > len(all_factors):
        return []
    variant_by_changed = {
        frozenset(factor.name for factor in all_factors if factor.levels[variant] != factor.levels[control]): variant
        for variant in all_factors[0].levels
    }

    def mean(changed: Iterable[str]) -> np.ndarray:
        """By block, of the variant in which just these factors are changed."""
        return table.mean({variant_by_changed[frozenset(changed)]})

    names = [factor.name for factor in all_factors]
    added = [table.less(mean({name}), mean([])) for name in names]
    left_out = [table.less(mean(names), mean(set(names) - {name})) for name in names]
    gaps = [table.less(after, before) for after, before in zip(left_out, added, strict=True)]
    # Two factors have the same gap, their interaction: it is one question and not two.
    tested_gaps = table.family(gaps) if len(all_factors) > 2 else table.family(gaps[:1]) * 2
    components = []
    for effect, add_one_in, leave_one_out, gap in zip(
        main, table.family(added), table.family(left_out), tested_gaps, strict=True
    ):
        components.append(
            Component(
                main=effect,
                add_one_in=replace(effect, difference=add_one_in.difference, p_holm=add_one_in.p_holm),
                leave_one_out=replace(effect, difference=leave_one_out.difference, p_holm=leave_one_out.p_holm),
                gap=gap.difference,
                p_holm=gap.p_holm,
            )
        )
    return components


def _trends(all_factors: list[Factor], chosen: list[Factor], table: _Table) -> list[Trend]:
    """The trends over the numeric ones of the chosen factors, as one family; none if not all factors are crossed."""
    if not is_crossed(all_factors):
        return []
    numeric = [
        factor
        for factor in chosen
        if len(factor.values) > 2 and all(isinstance(value, int | float) for value in factor.values)
    ]
    correlations, slopes = [], []
    for factor in numeric:
        x = np.array(factor.values, float)
        levels = np.stack([table.mean(factor.at(value)) for value in factor.values], axis=1)
        levels = levels[~np.isnan(levels).any(axis=1)]
        correlations.append(_correlation(_ranks(x), _ranks(levels)))
        slopes.append((levels @ (x - x.mean()) / np.sum((x - x.mean()) ** 2)).tolist())
    return [
        Trend(
            field=factor.name,
            correlation=_within_one(tested.difference),
            slope=table.interval(slope),
            p_holm=tested.p_holm,
        )
        for factor, tested, slope in zip(numeric, table.family(correlations), slopes, strict=True)
    ]


def _ranks(values: np.ndarray) -> np.ndarray:
    """The ranks of the values along the last axis, from 1; equal values share the mean of theirs."""
    here, others = values[..., :, None], values[..., None, :]
    ranks: np.ndarray = (others < here).sum(axis=-1) + ((others == here).sum(axis=-1) + 1) / 2
    return ranks


def _within_one(interval: Interval) -> Interval:
    """The interval of a correlation, whose bounds are at most 1 to either side of 0."""
    return replace(interval, low=float(np.clip(interval.low, -1, 1)), high=float(np.clip(interval.high, -1, 1)))


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each row of `y` with `x`, `(rows,)`; 0 for a row whose values are all equal."""
    x, y = x - x.mean(), y - y.mean(axis=1, keepdims=True)
    size = np.sqrt(np.sum(x**2) * np.sum(y**2, axis=1))
    correlation: np.ndarray = np.divide(y @ x, size, out=np.zeros(len(y)), where=size > 0)
    return correlation
