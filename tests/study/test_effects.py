"""Effects of single fields, against numbers worked out by hand."""

import itertools

import pytest

from musiclab.study.effects import field_effects

A, B = (0, 1), ("x", "y", "z")
VARIANTS = {f"{a}{b}": {"a": a, "b": b} for a, b in itertools.product(A, B)}
CONTROLS = dict.fromkeys(VARIANTS, "0x")


def _judged(a: float, y: float, z: float, both: float = 0.0, blocks: int = 8) -> dict[str, dict[int, float]]:
    """What a=1, b=y, b=z and a=1 with b=y add to what each block has anyway."""
    return {
        name: {
            block: 10.0 * block + a * v["a"] + y * (v["b"] == "y") + z * (v["b"] == "z") + both * (name == "1y")
            for block in range(blocks)
        }
        for name, v in VARIANTS.items()
    }


def test_an_effect_is_averaged_over_the_other_field() -> None:
    of_a, of_y, of_z = field_effects(VARIANTS, CONTROLS, _judged(2.0, -3.0, 0.0, both=1.0))
    assert [(e.field, e.value, e.control) for e in (of_a, of_y, of_z)] == [
        ("a", 1, 0),
        ("b", "y", "x"),
        ("b", "z", "x"),
    ]
    assert of_a.difference.mean == pytest.approx(2 + 1 / 3)
    assert of_y.difference.mean == pytest.approx(-3 + 1 / 2)
    assert of_z.difference.mean == 0
    assert of_a.p_holm == of_y.p_holm == 3 * 2 / 2**8
    assert of_z.p_holm == 1


def test_a_block_that_lacks_a_variant_is_left_out() -> None:
    judged = _judged(2.0, 0.0, 0.0)
    del judged["1z"][3]
    judged["0y"][4] = float("nan")
    of_a, *_ = field_effects(VARIANTS, CONTROLS, judged)
    assert of_a.difference.n == 6
    assert of_a.difference.mean == pytest.approx(2)


@pytest.mark.parametrize(
    ("variants", "controls"),
    [
        ({name: VARIANTS[name] for name in ("0x", "0y")}, {"0x": "0x", "0y": "0x"}),  # one field
        ({name: v for name, v in VARIANTS.items() if name != "1z"}, CONTROLS),  # not all combinations
        (VARIANTS, CONTROLS | {"1x": "1x"}),  # two controls
        ({"s": {"system": "s"}, "t": {"system": "t", "b": 1}}, {"s": "s", "t": "s"}),  # a list
    ],
)
def test_only_crossed_grids_have_effects_of_single_fields(variants: dict, controls: dict) -> None:
    assert field_effects(variants, controls, {name: {0: 1.0} for name in variants}) == []
