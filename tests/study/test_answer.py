"""The answer from records made by hand."""

import math
from typing import Any

import pytest

from musiclab.measures.registry import find_measure
from musiclab.study.answer import Answer, answer, best, best_so_far
from musiclab.study.comparisons import Terms
from musiclab.study.plan import Cell, Variant
from musiclab.study.shown import beside_baselines, sentence, table
from musiclab.training.streams import Block

FRECHET, F1 = find_measure("frechet"), find_measure("frame_f1")
VARIANTS = {"k=8": 8, "k=16": 16, "k=32": 32}
NOISE = [0.3, -0.2, 0.1, 0.25, -0.15, 0.05, -0.3]


def _answer(
    values: dict[str, list[float | None]], objective: Any = FRECHET, more: dict[str, Any] | None = None
) -> Answer:
    """Of each variant's objective by block, None where the trial is missing; the control is k=16."""
    cells, records = [], {}
    for block in range(max(map(len, values.values()))):
        for name, of_blocks in values.items():
            key = f"{name}/{block}"
            cells.append(Cell(Variant("vae_nn", {"k": VARIANTS[name]}, {}, "d"), Block(0, block), {"measure": key}))
            if block < len(of_blocks) and of_blocks[block] is not None:
                measures = {objective.full_name: of_blocks[block]} | (more or {})
                records[key] = {"measures": measures, "scale": {f"{objective.full_name}.floor": 0.125}}
    return answer(cells, records, Terms(objective, dict.fromkeys(values, "k=16")))


def _about(mean: float, blocks: int = 7) -> list[float]:
    return [mean + noise for noise in NOISE[:blocks]]


def test_a_comparison_is_of_pairs() -> None:
    # Blocks differ by far more than the variants do; only pairs show it.
    blocks = [10.0, 20, 30, 40, 50, 60, 70]
    better = [value - 1 + 0.1 * noise for value, noise in zip(blocks, NOISE, strict=True)]
    found = _answer({"k=8": better, "k=16": blocks})
    comparison = found.comparisons["k=8"]
    assert comparison.difference.mean == pytest.approx(sum(b - a for a, b in zip(blocks, better, strict=True)) / 7)
    assert comparison.difference.n == 7
    assert comparison.difference.high < -0.9
    assert comparison.p == 2 / 2**7
    assert set(found.comparisons) == {"k=8"}
    assert found.missing == {"k=8": 0, "k=16": 0}


def test_p_is_corrected_for_the_number_of_comparisons() -> None:
    found = _answer({"k=8": _about(1), "k=16": [5.0] * 7, "k=32": _about(2)})
    assert [c.p for c in found.comparisons.values()] == [2 / 2**7] * 2
    assert [c.p_holm for c in found.comparisons.values()] == [4 / 2**7] * 2


def test_missing_trials_are_counted_and_left_out_of_pairs() -> None:
    found = _answer({"k=8": [1.0, None, 3.0, 4.0], "k=16": [2.0, 2.0, None, 5.0]})
    assert found.missing == {"k=8": 1, "k=16": 1}
    assert found.comparisons["k=8"].difference.n == 2
    assert found.comparisons["k=8"].difference.mean == -1
    assert found.measures["k=8"]["set/frechet"].mean == pytest.approx(8 / 3)
    assert "trials missing" in table(found)
    assert "trials missing" not in table(_answer({"k=8": [1.0], "k=16": [2.0]}))


def test_the_best_follows_the_measure_s_direction() -> None:
    values = {"k=8": [1.0, 2.0], "k=16": [3.0, 4.0], "k=32": [2.0, 3.0]}
    assert best(_answer(values)) == "k=8"
    assert best(_answer(values, F1)) == "k=16"


def test_who_is_better_and_who_is_worse() -> None:
    values = {"k=8": _about(1), "k=16": [5.0] * 7, "k=32": _about(9)}
    assert sentence(_answer(values)) == (
        "Better than the control k=16 (5) on frechet: k=8 (1.01, p = 0.031). "
        "Worse than the control k=16 (5) on frechet: k=32 (9.01, p = 0.031). Best mean: k=8 (1.01)."
    )
    assert sentence(_answer(values, F1)).startswith(
        "Better than the control k=16 (5) on frame_f1: k=32 (9.01, p = 0.031). Worse"
    )


def test_no_difference_is_said_as_such() -> None:
    said = sentence(_answer({"k=8": _about(5), "k=16": [5.0] * 7}))
    assert said == "No variant is shown to differ from the control k=16 on frechet. Best mean: k=16 (5)."


def test_what_only_the_uncorrected_p_shows_is_not_said() -> None:
    found = _answer({"k=8": _about(1, 6), "k=16": [5.0] * 6, "k=32": _about(9, 6)})
    assert {c.p for c in found.comparisons.values()} == {2 / 2**6}
    assert sentence(found).startswith("No variant is shown to differ")


def test_too_few_blocks_are_said_to_be_too_few() -> None:
    said = sentence(_answer({"k=8": _about(1, 3), "k=16": [5.0] * 3}))
    assert "No variant is shown to differ" in said
    assert said.endswith(
        "Underpowered by design: with 3 blocks and 1 comparison the smallest p attainable is 0.25; "
        "it takes 6 blocks to reach 0.05."
    )


def test_a_very_small_p_is_no_zero() -> None:
    values = {"k=8": [1 + 0.01 * n for n in range(14)], "k=16": [5.0] * 14}
    assert "k=8 (1.06, p < 0.001)" in sentence(_answer(values))


def test_nothing_finished_is_no_answer() -> None:
    found = _answer({"k=8": [None], "k=16": [None]})
    assert best(found) is None
    assert sentence(found) == "No trial has finished, so there is no answer."
    assert "k=16*" in table(found)
    assert found.missing == {"k=8": 1, "k=16": 1}


def test_only_the_control_finished() -> None:
    found = _answer({"k=8": [None, None], "k=16": [1.0, 2.0]})
    assert best(found) == "k=16"
    assert math.isnan(found.comparisons["k=8"].p)
    assert sentence(found) == "Not compared with k=16, for want of a value of frechet: k=8. Best mean: k=16 (1.5)."
    assert "nan" not in (table(found) + sentence(found)).lower()


def test_only_the_control_missing() -> None:
    found = _answer({"k=8": [1.0, 2.0], "k=16": [None, None]})
    assert best(found) == "k=8"
    assert "nan" not in (table(found) + sentence(found)).lower()


def test_a_measure_without_a_value_is_left_out_of_means_and_pairs() -> None:
    found = _answer({"k=8": [math.nan, 1.0, 2.0], "k=16": [5.0, math.nan, 6.0]})
    assert found.measures["k=8"]["set/frechet"].mean == 1.5
    assert found.measures["k=8"]["set/frechet"].n == 2
    assert found.comparisons["k=8"].difference.n == 1
    assert found.comparisons["k=8"].difference.mean == -4
    assert found.missing == {"k=8": 0, "k=16": 0}


def test_an_objective_that_has_no_value_anywhere_is_said() -> None:
    found = _answer({"k=8": [math.nan], "k=16": [math.nan]})
    assert sentence(found) == "No finished trial has a value of frechet, so there is no answer."
    assert "nan" not in table(found)


def test_an_objective_that_the_system_does_not_have_is_said() -> None:
    cells = [Cell(Variant("vae_nn", {"k": k}, {}, "d"), Block(0, 0), {"measure": name}) for name, k in VARIANTS.items()]
    records = {name: {"measures": {"set/frechet": 1.0}, "scale": {}} for name in VARIANTS}
    found = answer(cells, records, Terms(F1, dict.fromkeys(VARIANTS, "k=16")))
    assert sentence(found) == "No finished trial has a value of frame_f1, so there is no answer."
    assert "set/frechet" in table(found)


def test_the_table_shows_means_intervals_control_and_floor() -> None:
    values = {"k=8": _about(1), "k=16": [5.0] * 7}
    found = _answer(values, more={"music/note_density": 1234.5, "latent/kl": 0.01234})
    shown = {line.strip().split("  ")[0]: line for line in table(found).splitlines()}
    head = table(found).splitlines()[0]
    assert head.split() == ["better", "real", "v.", "real", "k=8", "k=16*"]
    assert shown["set/frechet"].split() == ["set/frechet", "lower", "0.125", "1.01", "5"]
    interval = found.measures["k=8"]["set/frechet"]
    assert f"[{interval.low:.3g}, {interval.high:.3g}]" in table(found)
    assert shown["difference to *"].split()[-2:] == ["-3.99", "*"]
    assert shown["p (Holm)"].split()[-1] == "0.016"
    same = table(found).split("\n\n")[1].splitlines()
    assert same[0].split() == ["better", "real", "v.", "real", "all", "variants"]
    assert same[2].split() == ["latent/kl", "neither", "-", "0.0123"]
    assert same[4].split() == ["music/note_density", "real", "-", "1,234"]
    assert shown["blocks"].split()[-2:] == ["7", "7"]
    assert "set/diversity_ratio" not in shown


def test_where_real_music_is_the_aim_its_value_stands_beside_its_floor() -> None:
    cells = [Cell(Variant("vae_nn", {"k": 16}, {}, "d"), Block(0, block), {"measure": str(block)}) for block in (0, 1)]
    measures = {"set/frechet": 1.0, "set/diversity_ratio": 0.5}
    floor = {"set/diversity_ratio": 1.0, "set/diversity_ratio.floor": 0.25, "set/frechet.floor": 3.0}
    records = {str(block): {"measures": measures, "scale": floor} for block in (0, 1)}
    shown = table(answer(cells, records, Terms(FRECHET, {"k=16": "k=16"})))
    assert "1 ± 0.25" in shown


def test_where_real_music_is_the_aim_what_counts_is_the_distance_to_it() -> None:
    diversity = find_measure("diversity_ratio")
    # Real music is at 1: k=8 is 0.5 too low, k=16 0.1 too high, k=32 exactly there.
    of = {"k=8": 0.5, "k=16": 1.1, "k=32": 1.0}
    cells = [
        Cell(Variant("vae_nn", {"k": VARIANTS[n]}, {}, "d"), Block(0, b), {"measure": f"{n}{b}"})
        for n in of
        for b in range(7)
    ]
    floor = {"set/diversity_ratio": 1.0, "set/diversity_ratio.floor": 0.01}
    records = {
        f"{n}{b}": {"measures": {"set/diversity_ratio": of[n] + b / 1e4}, "scale": floor} for n in of for b in range(7)
    }
    found = answer(cells, records, Terms(diversity, dict.fromkeys(of, "k=16")))
    assert best(found) == "k=32" == best_so_far(cells, records, diversity)
    assert found.comparisons["k=8"].difference.mean == pytest.approx(0.5 - 0.1, abs=1e-3)
    assert found.comparisons["k=32"].difference.mean == pytest.approx(-0.1, abs=1e-3)
    assert sentence(found) == (
        "Nearer to real music than the control k=16 (1.1, real 1) on diversity_ratio: k=32 (1, p = 0.031). "
        "Farther from real music than the control k=16 (1.1, real 1) on diversity_ratio: k=8 (0.5, p = 0.031). "
        "Nearest to real music on average: k=32 (1, real 1)."
    )
    nothing = answer(
        [cell for cell in cells if cell.block.index < 3], records, Terms(diversity, dict.fromkeys(of, "k=16"))
    )
    assert sentence(nothing).startswith(
        "No variant is shown to be nearer to real music or farther from it than the control k=16 on diversity_ratio. "
    )
    assert "distance to real, less *" in table(found)


def test_several_controls_are_one_family() -> None:
    values = {"k=8": _about(1), "k=16": [5.0] * 7, "k=32": _about(9)}
    cells, records = [], {}
    for name, of in values.items():
        for block, value in enumerate(of):
            cells.append(
                Cell(Variant("vae_nn", {"k": VARIANTS[name]}, {}, "d"), Block(0, block), {"measure": f"{name}{block}"})
            )
            records[f"{name}{block}"] = {"measures": {"set/frechet": value}, "scale": {}}
    controls = {"k=8": "k=8", "k=16": "k=8", "k=32": "k=32"}
    found = answer(cells, records, Terms(FRECHET, controls))
    assert set(found.comparisons) == {"k=16"}
    assert (
        sentence(found) == "Worse than the control k=8 (1.01) on frechet: k=16 (5, p = 0.016). Best mean: k=8 (1.01)."
    )
    upper, lower = table(found).split("\n\n")
    assert upper.splitlines()[0].split()[-2:] == ["k=8*", "k=16"]
    assert lower.splitlines()[0].split()[-1] == "k=32*"
    both = answer(cells, records, Terms(FRECHET, controls | {"k=32": "k=16"}))
    assert [c.p_holm for c in both.comparisons.values()] == [4 / 2**7] * 2


def test_what_does_not_beat_its_baseline_is_said() -> None:
    values = {"k=8": [1.0] * 8, "k=16": [1.0] * 8, "k=32": [1.0] * 8}
    gains = {"k=8": [0.1, 0.3] * 4, "k=16": [-0.1, 0.1] * 4, "k=32": [-0.3, -0.1] * 4}
    cells, records = [], {}
    for name, of in gains.items():
        for block, gain in enumerate(of):
            cells.append(
                Cell(Variant("vae_nn", {"k": VARIANTS[name]}, {}, "d"), Block(0, block), {"measure": f"{name}{block}"})
            )
            measures = {"set/frechet": values[name][block], "next/gain_over_repeat": gain}
            records[f"{name}{block}"] = {"measures": measures, "scale": {}}
    found = answer(cells, records, Terms(FRECHET, dict.fromkeys(gains, "k=16")))
    assert beside_baselines(found) == [
        "next/gain_over_repeat. Above repeating the last window: k=8 (0.2). Below repeating the last window: k=32 "
        "(-0.2). Not shown to be above or below repeating the last window: k=16 (0)."
    ]
    assert beside_baselines(_answer(values)) == []
    # Two blocks show nothing, whatever an interval of two values says.
    few = answer(cells[:2], records, Terms(FRECHET, {"k=8": "k=8"}))
    assert beside_baselines(few)[0].startswith("next/gain_over_repeat. Not shown to be above or below")


def test_many_variants_stand_below_one_another() -> None:
    cells = [Cell(Variant("vae_nn", {"k": k}, {}, "d"), Block(0, 0), {"measure": str(k)}) for k in range(8)]
    records = {str(k): {"measures": {"set/frechet": float(k)}, "scale": {}} for k in range(8)}
    shown = table(answer(cells, records, Terms(FRECHET, {f"k={k}": "k=0" for k in range(8)})))
    upper, lower = shown.split("\n\n")
    assert upper.splitlines()[0].split()[-6:] == ["k=0*", "k=1", "k=2", "k=3", "k=4", "k=5"]
    assert lower.splitlines()[0].split()[-3:] == ["k=0*", "k=6", "k=7"]  # with what the differences are to


def test_a_long_name_takes_a_line_a_field() -> None:
    cells = [Cell(Variant("gan", {"a": k, "system": "gan"}, {}, "d"), Block(0, 0), {"measure": str(k)}) for k in (1, 2)]
    records = {str(k): {"measures": {"set/frechet": float(k)}, "scale": {}} for k in (1, 2)}
    lines = table(answer(cells, records, Terms(FRECHET, {"a=1, gan": "a=1, gan", "a=2, gan": "a=1, gan"}))).splitlines()
    assert lines[0].split() == ["a=1", "a=2"]
    assert lines[1].split() == ["better", "real", "v.", "real", "gan*", "gan"]
    assert set(lines[2]) == {"-"}


def test_what_is_the_same_for_all_is_said_once() -> None:
    found = _answer({"k=8": [1.0, 2.0], "k=16": [3.0, 5.0]}, more={"latent/kl": 3.5, "next/gain_over_repeat": -0.25})
    assert table(found).count("latent/kl") == 1
    assert "all variants" in table(found)
    assert beside_baselines(found) == [
        "next/gain_over_repeat. Not shown to be above or below repeating the last window: all variants (-0.25)."
    ]
    alone = _answer({"k=16": [3.0]}, more={"latent/kl": 3.5})
    assert "all variants" not in table(alone)
    assert "latent/kl" in table(alone)
