"""Effects, interactions, disagreements, aliases and trends, against numbers worked out by hand."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from musiclab.analysis.answer import Answer, answer
from musiclab.analysis.effects import Effects, _ranks, effects, trend
from musiclab.design.criteria import Criteria
from musiclab.design.fractional import generators
from musiclab.design.space import Space, combinations
from musiclab.design.trials import TrialSpec, Variant
from musiclab.measures.registry import find_measure
from musiclab.report.sentences import single_effects
from musiclab.study import Ablation, Grid
from musiclab.training.streams import Block
from tests.support.made_records import made_record

FRECHET = find_measure("frechet")
ABC = {"a": (0, 1), "b": (0, 1), "c": (0, 1)}
FACTORIAL = Ablation(ABC, "factorial")
BOTH = {"a": Grid(0, 1), "b": Grid("x", "y", "z")}


def _variants(space: Space) -> dict[str, dict[str, Any]]:
    return {Variant("s", values, {}, "").name: values for values in combinations(space)}


def _judged(variants: dict, value: Callable[..., float], blocks: int, noise: float = 0.0, seed: int = 0) -> dict:
    """By variant and block: `value` of its fields, on top of what a block has anyway and of noise."""
    rng = np.random.default_rng(seed)
    return {
        name: {block: 10.0 * block + value(**values) + noise * rng.normal() for block in range(blocks)}
        for name, values in variants.items()
    }


def _effects(
    space: Space,
    value: Callable[..., float],
    blocks: int = 8,
    noise: float = 0.0,
    control: str | None = None,
    sequential: bool = False,
    seed: int = 0,
) -> Effects:
    variants = _variants(space)
    criteria = Criteria(FRECHET, dict.fromkeys(variants, control or next(iter(variants))), None, sequential)
    return effects(variants, _judged(variants, value, blocks, noise, seed), criteria)


def test_an_effect_is_averaged_over_the_other_field() -> None:
    found = _effects(BOTH, lambda a, b: 2.0 * a - 3.0 * (b == "y") + (a == 1 and b == "y"))
    of_a, of_y, of_z = found.main
    assert [(e.field, e.value, e.control) for e in found.main] == [("a", 1, 0), ("b", "y", "x"), ("b", "z", "x")]
    assert of_a.difference.mean == pytest.approx(2 + 1 / 3)
    assert of_y.difference.mean == pytest.approx(-3 + 1 / 2)
    assert of_z.difference.mean == 0
    assert of_a.p_holm == of_y.p_holm == 3 * 2 / 2**8
    assert of_z.p_holm == 1


def test_an_interaction_is_a_difference_of_differences() -> None:
    found = _effects(BOTH, lambda a, b: 2.0 * a - 3.0 * (b == "y") + (a == 1 and b == "y"))
    with_y, with_z = found.interactions
    assert (with_y.fields, with_y.values, with_y.controls) == (("a", "b"), (1, "y"), (0, "x"))
    assert (with_y.difference.mean, with_y.difference.low, with_y.difference.high) == (1, 1, 1)
    assert with_z.difference.mean == 0
    # A family of their own: two tests, whatever the main effects are.
    assert (with_y.p_holm, with_z.p_holm) == (2 * 2 / 2**8, 1)


def test_an_interaction_is_averaged_over_the_fields_beside_it() -> None:
    found = _effects(FACTORIAL, lambda a, b, c: 4.0 * a * b * c + 1.0 * b * c)
    assert {of.fields: of.difference.mean for of in found.interactions} == {
        ("a", "b"): 2,
        ("a", "c"): 2,
        ("b", "c"): 3,
    }
    assert [of.difference.mean for of in found.main] == [1, 1.5, 1.5]


def test_effects_are_against_the_control_s_values() -> None:
    found = _effects(FACTORIAL, lambda a, b, c: 1.0 * a + 2.0 * b * c, control="a=1, b=1, c=0")
    assert [(e.value, e.control, e.difference.mean) for e in found.main] == [(0, 1, -1), (0, 1, -1), (1, 0, 1)]
    assert found.interactions[2].values == (0, 1)
    assert found.interactions[2].difference.mean == -2
    assert [c.leave_one_out.difference.mean for c in found.components] == [-1, -2, 0]
    assert [c.add_one_in.difference.mean for c in found.components] == [-1, 0, 2]


def test_a_block_that_lacks_a_variant_is_left_out_of_what_needs_it() -> None:
    variants = _variants(FACTORIAL)
    scores = _judged(variants, lambda a, b, c: 2.0 * a, 8)
    del scores["a=1, b=1, c=1"][3]
    scores["a=1, b=0, c=1"][4] = float("nan")
    found = effects(variants, scores, Criteria(FRECHET, dict.fromkeys(variants, "a=0, b=0, c=0")))
    of_a = found.components[0]
    assert of_a.main.difference.n == 6
    assert of_a.main.difference.mean == pytest.approx(2)
    assert (of_a.add_one_in.difference.n, of_a.leave_one_out.difference.n) == (8, 7)


def test_a_variant_without_any_value_leaves_effects_without_one() -> None:
    variants = _variants(FACTORIAL)
    scores = _judged(variants, lambda a, b, c: 2.0 * a, 6) | {"a=1, b=1, c=1": {}}
    found = effects(variants, scores, Criteria(FRECHET, dict.fromkeys(variants, "a=0, b=0, c=0")))
    assert all(effect.difference.n == 0 and math.isnan(effect.p_holm) for effect in found.main)
    assert [c.add_one_in.difference.n for c in found.components] == [6, 6, 6]
    assert not found.disagreements


def test_what_only_rounding_makes_differ_is_no_effect() -> None:
    found = _effects(FACTORIAL, lambda a, b, c: 0.1 * a + 0.2 * b + 0.7 * c)
    assert {of.difference.mean for of in found.interactions} == {0}
    assert {of.p_holm for of in found.interactions} == {1}
    assert not found.disagreements


def test_leave_one_out_and_add_one_in_come_from_the_same_cells() -> None:
    found = _effects(FACTORIAL, lambda a, b, c: 1.0 * a + 2.0 * b + 8.0 * a * b * c)
    of_a, of_b, of_c = found.components
    assert [c.add_one_in.difference.mean for c in (of_a, of_b, of_c)] == [1, 2, 0]
    assert [c.leave_one_out.difference.mean for c in (of_a, of_b, of_c)] == [9, 10, 8]
    assert [c.gap.mean for c in (of_a, of_b, of_c)] == [8, 8, 8]
    assert [c.main for c in found.components] == found.main
    assert [c.disagreement for c in found.components] == ["size"] * 3


def test_a_sign_that_flips_in_company_is_flagged() -> None:
    found = _effects(FACTORIAL, lambda a, b, c: 2.0 * a - 5.0 * a * b + 3.0 * c, noise=0.1, blocks=10)
    assert {of.main.field: of.disagreement for of in found.disagreements} == {"a": "signs", "b": "size"}
    of_a = found.disagreements[0]
    assert of_a.add_one_in.difference.mean == pytest.approx(2, abs=0.2)
    assert of_a.leave_one_out.difference.mean == pytest.approx(-3, abs=0.2)
    assert of_a.p_holm == 3 * 2 / 2**10


def test_a_main_effect_against_both_ends_is_flagged_without_any_gap() -> None:
    # a helps alone and with both others, and harms with one of them: the ends agree, the mean does not.
    found = _effects(FACTORIAL, lambda a, b, c: a * (1.0 if b == c else -3.0), noise=0.05, blocks=10)
    of_a = found.components[0]
    assert of_a.disagreement == "signs"
    assert of_a.p_holm > 0.05
    assert of_a.main.difference.mean < 0 < min(of_a.add_one_in.difference.mean, of_a.leave_one_out.difference.mean)


def test_a_sign_that_is_not_shown_is_not_flagged() -> None:
    variants = _variants(FACTORIAL)
    scores = _judged(variants, lambda a, b, c: 2.0 * a, 9)
    for block in range(9):  # the full variant scatters so much that its mean is on the other side by chance
        scores["a=1, b=1, c=1"][block] += 3.0 if block % 2 else -6.5
    found = effects(variants, scores, Criteria(FRECHET, dict.fromkeys(variants, "a=0, b=0, c=0")))
    of_a = found.components[0]
    assert of_a.add_one_in.p_holm == 3 * 2 / 2**9
    assert of_a.main.p_holm < 0.05
    assert of_a.leave_one_out.difference.mean < 0 < of_a.add_one_in.difference.mean
    assert of_a.leave_one_out.p_holm > 0.05
    assert not found.disagreements


def test_additive_effects_are_hardly_ever_flagged() -> None:
    found = [_effects(FACTORIAL, lambda a, b, c: 3.0 * a - 2.0 * b, 9, 0.5, seed=seed) for seed in range(60)]
    # Each family errs in 5 % of studies at most; of 60 more than 7 would be too many (p = 0.01).
    assert sum(bool(of.disagreements) for of in found) <= 7
    assert sum(min(each.p_holm for each in of.interactions) <= 0.05 for of in found) <= 7
    assert all(of.main[0].p_holm <= 0.05 and of.main[1].p_holm <= 0.05 for of in found)


def test_of_two_factors_the_gap_is_their_interaction() -> None:
    found = _effects(Ablation({"a": (0, 1), "b": (0, 1)}, "factorial"), lambda a, b: 1.0 * a * b, noise=0.3, blocks=7)
    assert {(of.gap.mean, of.p_holm) for of in found.components} == {
        (found.interactions[0].difference.mean, found.interactions[0].p_holm)
    }


def test_fields_that_switch_together_are_one_factor() -> None:
    space = Ablation({"tricks": ({"x": 0, "y": "no"}, {"x": 2, "y": "yes"}), "a": (0, 1)}, "factorial")
    found = _effects(space, lambda x, y, a: 1.5 * x + 1.0 * a)
    assert [(e.field, e.value, e.control, e.difference.mean) for e in found.main] == [
        ("x + y", "2 + yes", "0 + no", 3),
        ("a", 1, 0, 1),
    ]


def test_tests_hold_at_any_time_where_the_study_s_do() -> None:
    fixed, anytime = (
        _effects(BOTH, lambda a, b: 2.0 * a, noise=0.5, blocks=12, sequential=sequential)
        for sequential in (False, True)
    )
    assert fixed.main[0].difference.mean == anytime.main[0].difference.mean
    assert fixed.main[0].difference != anytime.main[0].difference
    assert fixed.main[0].p_holm < anytime.main[0].p_holm < 0.05


@pytest.mark.parametrize(
    ("variants", "controls"),
    [
        ({"0x": {"a": 0, "b": "x"}, "0y": {"a": 0, "b": "y"}}, ["0x"]),  # one field
        ({f"{v}": v for v in combinations(BOTH)[:-1]}, [str({"a": 0, "b": "x"})]),  # not all combinations
        ({f"{v}": v for v in combinations(BOTH)}, [str({"a": 0, "b": "x"}), str({"a": 1, "b": "x"})]),  # two controls
        ({"s": {"system": "s"}, "t": {"system": "t", "b": 1}, "u": {"system": "u", "b": 2}}, ["s"]),  # a list
        ({f"{v}": v for v in combinations(Ablation(ABC))}, [str({"a": 1, "b": 1, "c": 1})]),
        ({f"{v}": v for v in combinations(Ablation(ABC, "add-one-in"))}, [str({"a": 0, "b": 0, "c": 0})]),
    ],
)  # fmt: skip
def test_only_crossed_fields_and_fractions_have_effects(variants: dict, controls: list[str]) -> None:
    by_variant = dict(zip(variants, itertools.cycle(controls), strict=False))
    scores = {name: {0: 1.0, 1: 2.0} for name in variants}
    assert effects(variants, scores, Criteria(FRECHET, by_variant)) == Effects()


def _fraction(n: int, resolution: int) -> Ablation:
    return Ablation(dict.fromkeys("ABCDEFGH"[:n], (0, 1)), "fractional", resolution)


@pytest.mark.parametrize(
    ("n", "resolution", "aliases"),
    [
        (3, 3, {"A": ["B x C"], "B": ["A x C"], "C": ["A x B"]}),
        (4, 4, {"A x B": ["C x D"], "A x C": ["B x D"], "A x D": ["B x C"]}),  # I = ABCD
        (5, 5, {}),  # I = ABCDE
        (  # I = ABD = ACE = BCDE
            5, 3,
            {"A": ["B x D", "C x E"], "B": ["A x D"], "C": ["A x E"], "D": ["A x B"], "E": ["A x C"],
             "B x C": ["D x E"], "B x E": ["C x D"]},
        ),
        (  # I = ABCE = ABDF = CDEF
            6, 4,
            {"A x B": ["C x E", "D x F"], "A x C": ["B x E"], "A x D": ["B x F"], "A x E": ["B x C"],
             "A x F": ["B x D"], "C x D": ["E x F"], "C x F": ["D x E"]},
        ),
    ],
)  # fmt: skip
def test_aliases_are_those_of_the_tables(n: int, resolution: int, aliases: dict) -> None:
    assert _effects(_fraction(n, resolution), lambda **_: 0.0, blocks=2).aliases == aliases


def test_seven_factors_in_eight_runs_are_each_confounded_with_three_interactions() -> None:
    found = _effects(_fraction(7, 3), lambda **of: 1.0 * of["A"], blocks=6)
    assert {first: len(rest) for first, rest in found.aliases.items()} == dict.fromkeys("ABCDEFG", 3)
    assert not found.interactions
    assert [of.difference.mean for of in found.main] == [1, 0, 0, 0, 0, 0, 0]


def test_a_fraction_of_resolution_four_has_clear_main_effects_and_one_interaction_a_group() -> None:
    found = _effects(_fraction(4, 4), lambda **of: 3.0 * of["A"] - 2.0 * of["D"] + 4.0 * of["A"] * of["B"])
    # Half of A's interaction with B is in the mean effect of A over B's two values.
    assert [of.difference.mean for of in found.main] == [5, 2, 0, -2]
    assert {of.fields: of.difference.mean for of in found.interactions} == {
        ("A", "B"): 4, ("A", "C"): 0, ("A", "D"): 0,
    }  # fmt: skip
    assert not found.components


def test_a_fraction_of_resolution_five_tells_all_interactions_apart() -> None:
    found = _effects(_fraction(5, 5), lambda **of: 4.0 * of["A"] * of["B"] + 2.0 * of["D"] * of["E"])
    assert len(found.interactions) == 10
    assert {of.fields: of.difference.mean for of in found.interactions if of.difference.mean} == {
        ("A", "B"): 4, ("D", "E"): 2,
    }  # fmt: skip


@settings(max_examples=60)
@given(st.integers(3, 6), st.sampled_from([3, 4, 5]), st.data())
def test_additive_effects_are_measured_without_error(n: int, resolution: int, data: st.DataObject) -> None:
    space = _fraction(n, resolution)
    if not generators(n, resolution):
        space = replace(space, design="factorial", resolution=None)
    sizes = {letter: data.draw(st.integers(-9, 9)) for letter in "ABCDEF"[:n]}
    found = _effects(space, lambda **of: float(sum(sizes[name] * value for name, value in of.items())), blocks=2)
    assert {of.field: of.difference.mean for of in found.main} == sizes
    assert {of.difference.mean for of in found.interactions} <= {0}


def test_the_trend_of_a_field_that_the_objective_rises_with() -> None:
    found = _effects({"alpha": Grid(0.0, 0.5, 2.0)}, lambda alpha: 3.0 * alpha, blocks=7)
    (of_alpha,) = found.trends
    assert found.main == []
    assert of_alpha.field == "alpha"
    assert of_alpha.correlation.mean == pytest.approx(1)
    assert of_alpha.slope.mean == pytest.approx(3)
    assert of_alpha.p_holm == 2 / 2**7


def test_a_trend_is_by_ranks_and_averaged_over_crossed_fields() -> None:
    space = {"alpha": Grid(2, 1, 4, 3), "b": Grid("x", "y")}
    order = {1: 0.0, 2: 5.0, 3: 4.0, 4: 100.0}
    found = _effects(space, lambda alpha, b: order[alpha] + (alpha if b == "x" else -alpha), blocks=6)
    # Ranks 1, 3, 2, 4: 1 - 6 x 2 / (4 x 15).
    assert found.trends[0].correlation.mean == pytest.approx(0.8)
    assert found.trends[0].slope.mean == pytest.approx((-1.5 * 0 - 0.5 * 5 + 0.5 * 4 + 1.5 * 100) / 5)
    assert len(found.trends) == 1


def test_ranks_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.integers(0, 4, (6, 9)).astype(float), rng.normal(size=(3, 5)), np.ones((2, 4)), np.arange(3.0)):
        np.testing.assert_array_equal(_ranks(values), rankdata(values, axis=-1))


def test_the_interval_of_a_correlation_ends_at_one() -> None:
    variants = _variants({"a": Grid(1, 2, 3)})
    for blocks, low in ((4, -1.0), (12, 0.0)):
        found = trend("a", variants, _judged(variants, lambda a: 0.8 * a, blocks, noise=0.7, seed=3))
        assert 0 < found.correlation.mean < 1
        assert low <= found.correlation.low < found.correlation.high <= 1
        assert found.slope.is_bounded == (blocks >= 6)


def test_trends_are_a_family_and_a_block_that_lacks_a_value_is_left_out() -> None:
    space = {"a": Grid(1, 2, 3), "b": Grid(0.0, 0.1, 0.2)}
    assert [of.p_holm for of in _effects(space, lambda a, b: a - 5 * b, blocks=7).trends] == [4 / 2**7] * 2
    variants = _variants(space)
    scores = _judged(variants, lambda a, b: float(a), 7)
    del scores["a=2, b=0.1"][0]
    of_a = trend("a", variants, scores)
    assert (of_a.correlation.n, of_a.p_holm) == (6, 2 / 2**6)
    assert trend("b", variants, scores).correlation.mean == 0


def test_blocks_in_which_nothing_changes_show_no_trend() -> None:
    variants = _variants({"a": Grid(1, 2, 3)})
    scores = {name: dict.fromkeys(range(6), 1.0) for name in variants}
    found = trend("a", variants, scores)
    assert (found.correlation.mean, found.correlation.n, found.p_holm) == (0, 6, 1)


@pytest.mark.parametrize(
    "grid",
    [Grid(1, 2), Grid("a", "b", "c"), Grid(False, True), Grid(1, 2, "all")],
    ids=["two", "words", "bool", "mixed"],
)
def test_only_numbers_of_three_values_have_a_trend(grid: Grid) -> None:
    variants = _variants({"a": grid})
    assert trend("a", variants, _judged(variants, lambda a: 1.0, 6)) is None
    assert trend("other", variants, _judged(variants, lambda a: 1.0, 6)) is None


def _answer(
    space: Space, value: Callable[..., float], blocks: int, noise: float = 0.1, objective: Any = FRECHET
) -> Answer:
    variants = _variants(space)
    scores = _judged(variants, value, blocks, noise, seed=3)
    cells, records = [], {}
    for block in range(blocks):
        for name, values in variants.items():
            cells.append(TrialSpec(Variant("s", values, {}, ""), Block(0, block), {"measure": f"{name}/{block}"}))
            real = {objective.full_name: 10.0 * block} if objective.better == "real" else {}
            records[cells[-1].key] = made_record({objective.full_name: scores[name][block]}, real)
    return answer(cells, records, Criteria(objective, dict.fromkeys(variants, next(iter(variants)))))


def test_the_sentences_of_a_factorial_design() -> None:
    said = single_effects(_answer(FACTORIAL, lambda a, b, c: 2.0 * a - 5.0 * a * b, 10))
    of_a, of_b, of_c, interaction, rest, flag_a, flag_b = said
    assert of_a.startswith("a, averaged over the other fields: 1 instead of 0 lowers frechet (-0.5")
    assert of_b.startswith("b, averaged over the other fields: 1 instead of 0 lowers frechet (-2.5")
    assert "1 instead of 0 is not shown to change frechet (" in of_c
    assert interaction.startswith("The effect of a=1 on frechet is lower with b=1 than with b=0 (-5")
    assert interaction.endswith("p = 0.006).")
    assert rest == "The other 2 interactions of two fields are not shown."
    assert flag_a.startswith(
        "Leave-one-out and add-one-in would disagree on a: the effect of 1 instead of 0 on frechet is +"
    )
    assert " if a alone is changed, -2.98 [-3.1, -2.85] (p = 0.006) if all other fields are changed too" in flag_a
    assert flag_a.endswith(" and -0.511 [-0.56, -0.46] (p = 0.006) on average.")
    assert flag_b.startswith(
        "Leave-one-out and add-one-in would disagree on b: the effect of 1 instead of 0 on frechet is "
    )


def test_too_few_blocks_for_any_interaction_are_said() -> None:
    said = single_effects(_answer(FACTORIAL, lambda a, b, c: 1.0 * a, 4))
    assert said[-1] == "No interaction of two fields is shown (of 3). 4 blocks cannot show any; at least 7 are needed."


def test_of_many_interactions_that_are_shown_some_are_named_and_the_rest_counted() -> None:
    space = {"a": Grid(0, 1, 2, 3, 4), "b": Grid(0, 1, 2)}
    said = single_effects(_answer(space, lambda a, b: 3.0 * a * b, 9))
    assert sum(" on frechet is higher with b=" in sentence for sentence in said) == 6
    assert "Also shown: 2 more interactions of two fields." in said
    assert not any("not shown" in sentence for sentence in said)


def test_that_no_block_is_whole_is_said_once() -> None:
    found = _answer(FACTORIAL, lambda a, b, c: float("nan") if a and b and c else 1.0, 7)
    assert single_effects(found) == [
        "No field can be judged by itself, because no block has a value of frechet for every variant."
    ]


def test_the_sentences_of_a_fraction_name_what_it_confounds() -> None:
    said = single_effects(_answer(_fraction(4, 4), lambda **of: 1.0 * of["A"], 7))
    assert said[-1] == "This fraction cannot tell apart: A x B and C x D; A x C and B x D; A x D and B x C."
    said = single_effects(_answer(_fraction(3, 3), lambda **of: 1.0 * of["A"], 7))
    assert said[-1] == "This fraction cannot tell apart: A and B x C; B and A x C; C and A x B."
    assert not any("interaction" in sentence for sentence in said)


def test_the_sentences_of_a_trend() -> None:
    rising = single_effects(_answer({"k": Grid(1, 2, 4)}, lambda k: 2.0 * k, 8))
    assert rising[0].startswith("As k grows, frechet rises: rank correlation +1 [1, 1], p = 0.008; slope +2")
    assert rising[0].endswith(" for each 1 of k.")
    flat = single_effects(_answer({"k": Grid(1, 2, 4)}, lambda k: 0.0, 8))
    assert flat[0].startswith("As k grows, frechet is not shown to rise or fall: rank correlation ")
    real = _answer({"k": Grid(1, 2, 4)}, lambda k: 2.0 * k, 8, objective=find_measure("diversity_ratio"))
    assert single_effects(real)[0].startswith("As k grows, the distance of diversity_ratio to real music rises")
