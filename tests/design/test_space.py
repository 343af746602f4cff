"""Spaces: the variants that an ablation declares, its fractions against known tables, and wrong declarations."""

import itertools
from typing import Any

import pytest

from musiclab.design.fractional import generators
from musiclab.design.space import combinations, described
from musiclab.errors import UserError
from musiclab.study import Ablation, Grid

THREE = {"a": (0, 1), "b": (False, True), "c": (1.0, 2.0)}


def _letters(n: int, resolution: int) -> list[str]:
    """The added factors as products of the first ones, in the tables' letters."""
    return ["".join("ABCDEFGHJK"[place] for place in of) for of in generators(n, resolution)]


def _words(n: int, resolution: int) -> list[int]:
    """Lengths of all words of the defining relation, counted from the runs: what is constant over them."""
    runs = combinations(Ablation({str(i): (0, 1) for i in range(n)}, "fractional", resolution))
    return [
        size
        for size in range(1, n + 1)
        for word in itertools.combinations(map(str, range(n)), size)
        if len({sum(run[name] for name in word) % 2 for run in runs}) == 1
    ]


def test_leave_one_out_is_the_full_variant_and_each_that_lacks_a_component() -> None:
    assert combinations(Ablation(THREE)) == [
        {"a": 1, "b": True, "c": 2.0},
        {"a": 0, "b": True, "c": 2.0},
        {"a": 1, "b": False, "c": 2.0},
        {"a": 1, "b": True, "c": 1.0},
    ]


def test_add_one_in_is_the_bare_variant_and_each_that_has_a_component() -> None:
    assert combinations(Ablation(THREE, design="add-one-in")) == [
        {"a": 0, "b": False, "c": 1.0},
        {"a": 1, "b": False, "c": 1.0},
        {"a": 0, "b": True, "c": 1.0},
        {"a": 0, "b": False, "c": 2.0},
    ]


def test_a_factorial_design_has_the_variants_of_crossed_grids() -> None:
    grids = {name: Grid(*sides) for name, sides in THREE.items()}
    assert combinations(Ablation(THREE, design="factorial")) == combinations(grids)


def test_fields_of_a_component_switch_together() -> None:
    components = {"tricks": ({"x": 0, "y": "no"}, {"x": 1, "y": "yes"}), "a": (0, 1)}
    assert combinations(Ablation(components)) == [
        {"x": 1, "y": "yes", "a": 1},
        {"x": 0, "y": "no", "a": 1},
        {"x": 1, "y": "yes", "a": 0},
    ]
    assert described(Ablation(components)) == {
        "kind": "leave-one-out",
        "components": {"tricks": ["x", "y"], "a": ["a"]},
        "resolution": None,
    }
    assert described({"a": Grid(1)}) == {"kind": "grid"}
    assert described([{}]) == {"kind": "list"}


# Box, Hunter & Hunter (2005), table 6.22, and Fries & Hunter (1980): generators, or words by length where the same
# fraction may be written in several ways.
@pytest.mark.parametrize(
    ("n", "resolution", "runs", "added"),
    [
        (3, 3, 4, ["AB"]),
        (4, 4, 8, ["ABC"]),
        (5, 3, 8, ["AB", "AC"]),
        (5, 5, 16, ["ABCD"]),
        (6, 4, 16, ["ABC", "ABD"]),
        (7, 3, 8, ["AB", "AC", "BC", "ABC"]),
        (7, 4, 16, ["ABC", "ABD", "ACD"]),
        (8, 4, 16, ["ABC", "ABD", "ACD", "BCD"]),
        (8, 5, 64, ["ABCD", "ABEF"]),
    ],
)
def test_fractions_are_those_of_the_tables(n: int, resolution: int, runs: int, added: list[str]) -> None:
    assert _letters(n, resolution) == added
    assert len(combinations(Ablation({str(i): (0, 1) for i in range(n)}, "fractional", resolution))) == runs
    assert min(_words(n, resolution)) >= resolution


@pytest.mark.parametrize(
    ("n", "resolution", "words"),
    [(4, 4, [4]), (5, 3, [3, 3, 4]), (6, 4, [4, 4, 4]), (7, 3, 7 * [3] + 7 * [4] + [7]), (8, 4, 14 * [4] + [8])],
)
def test_the_defining_relation_has_the_words_of_the_tables(n: int, resolution: int, words: list[int]) -> None:
    assert _words(n, resolution) == words


@pytest.mark.parametrize(("n", "words"), [(9, [4] * 6 + [5] * 8 + [8]), (10, [4] * 10 + [5] * 16 + [8] * 5)])
def test_of_fractions_with_as_few_runs_it_is_that_of_minimum_aberration(n: int, words: list[int]) -> None:
    # In 32 runs at resolution IV; the first fraction that fits would confound nine pairs of words of four, or more.
    assert _words(n, 4) == words


@pytest.mark.parametrize("resolution", [3, 4, 5])
@pytest.mark.parametrize("n", range(3, 9))
def test_no_smaller_fraction_has_the_resolution(n: int, resolution: int) -> None:
    added = generators(n, resolution)
    basic = n - len(added)
    # A fraction of half the runs would be as many columns of one bit less, any `resolution` - 1 of them independent.
    most = {3: lambda bits: 2**bits - 1, 4: lambda bits: 2 ** (bits - 1), 5: {1: 1, 2: 2, 3: 3, 4: 5, 5: 6, 6: 8}.get}
    assert n <= most[resolution](basic) or not added
    assert n > most[resolution](basic - 1)


def test_a_fraction_holds_the_bare_variant_first() -> None:
    for n, resolution in ((3, 3), (5, 3), (6, 4), (7, 3)):
        first = combinations(Ablation({str(i): (0, 1) for i in range(n)}, "fractional", resolution))[0]
        assert set(first.values()) == {0}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"components": THREE, "design": "loo"}, "design must be one of leave-one-out, add-one-in, factorial, fract"),
        ({"components": THREE, "design": "fractional"}, "must be 3, 4 or 5; got None"),
        (
            {"components": THREE, "design": "fractional", "resolution": "IV"},
            "must be 3, 4 or 5; got 'IV'",
        ),
        ({"components": THREE, "design": "fractional", "resolution": [4]}, r"must be 3, 4 or 5; got \[4\]"),
        ({"components": THREE, "resolution": 3}, "resolution must be left out for design='leave-one-out'"),
        (
            {"components": THREE, "design": "fractional", "resolution": 4},
            "A resolution of 4 needs all 8 combinations of 3 components",
        ),
        ({"components": {}}, "components must be names with values off and on"),
        ({"components": ["a", "b"]}, "components must be names with values off and on"),
        ({"components": {1: (0, 1)}}, "components must be names with values off and on"),
        ({"components": {"a": (0, 1, 2)}}, r"components\['a'\] must be two values, off and on"),
        ({"components": {"a": Grid(0, 1)}}, r"components\['a'\] must be two values, off and on"),
        (
            {"components": {"a": (1, 1.0)}},
            r"components\['a'\] must have two different values of a; got 1.0 both off",
        ),
        (
            {"components": {"a": ({"x": 0}, {"x": 1, "y": 1})}},
            r"components\['a'\] must have the same fields off and on",
        ),
        ({"components": {"a": ({"x": 0}, 1)}}, r"components\['a'\] must have the same fields off and on"),
        ({"components": {"a": ({}, {})}}, r"components\['a'\] must have the same fields off and on"),
        ({"components": {"a": (0, 1), "t": ({"a": 0}, {"a": 2})}}, "Two components of the Ablation set a"),
        ({"components": {str(i): (0, 1) for i in range(11)}, "design": "factorial"}, "at most 10 components; got 11"),
    ],
)
def test_a_wrong_declaration_is_made_but_says_what_is_wrong(given: dict[str, Any], said: str) -> None:
    ablation = Ablation(**given)  # while a study's file is imported, where an error could only be a traceback
    with pytest.raises(UserError, match=said):
        combinations(ablation)
