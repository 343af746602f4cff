"""The answer from records made by hand."""

import math
from typing import Any

import pytest

from musiclab.analysis.answer import Answer, answer, best, best_so_far, undecided
from musiclab.analysis.sequential import anytime_p
from musiclab.analysis.statistics import blocks_needed
from musiclab.design.criteria import Criteria
from musiclab.design.trials import TrialSpec, Variant
from musiclab.measures.registry import MEASURES, find_measure
from musiclab.report.sentences import (
    beside_baselines,
    captions,
    describe,
    distance_from_real,
    lacking,
    sentence,
    verdict,
)
from musiclab.report.text_table import table
from musiclab.training.streams import Block
from musiclab.wording import rounded
from tests.support.made_records import made_record

FRECHET, F1 = find_measure("frechet"), find_measure("frame_f1")
VARIANTS = {"k=8": 8, "k=16": 16, "k=32": 32}
NOISE = [0.3, -0.2, 0.1, 0.25, -0.15, 0.05, -0.3]


def _answer(
    values: dict[str, list[float | None]],
    objective: Any = FRECHET,
    more: dict[str, Any] | None = None,
    failed: tuple[str, ...] = (),
    scale: dict[str, float] | None = None,
    **criteria: Any,
) -> Answer:
    """Of each variant's objective by block, None where the trial is missing; the control is k=16."""
    cells, records = [], {}
    for block in range(max(map(len, values.values()))):
        for name, of_blocks in values.items():
            key = f"{name}/{block}"
            k = int(name.removeprefix("k="))
            cells.append(TrialSpec(Variant("vae_nn", {"k": k}, {}, "d"), Block(0, block), {"measure": key}))
            if block < len(of_blocks) and of_blocks[block] is not None:
                measures = {objective.full_name: of_blocks[block]} | (more or {})
                records[key] = made_record(measures, {f"{objective.full_name}.floor": 0.125} | (scale or {}))
    return answer(cells, records, Criteria(objective, dict.fromkeys(values, "k=16"), **criteria), failed)


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
        "On frechet (squared sds, lower is better), against the control k=16 (5): k=8 (1.01, p = 0.031) is better; "
        "k=32 (9.01, p = 0.031) is worse."
    )
    assert sentence(_answer(values, F1)) == (
        "On frame_f1 (share, higher is better), against the control k=16 (5): k=32 (9.01, p = 0.031) is better; "
        "k=8 (1.01, p = 0.031) is worse."
    )


SCALE = {"set/frechet.floor": 10.0, "set/frechet.shuffled": 20.0, "set/frechet.random": 100.0}
SCALE_TEXT = (
    "How far from real music, by frechet: other real songs lie at 10, songs with shuffled tracks at 20, random notes "
    "at 100; "
)


@pytest.mark.parametrize(
    ("mean", "words"),
    [
        (9.0, "as near to real music as other real songs"),
        (10.0, "as near to real music as other real songs"),
        (10.1, "nearer to real music than songs with shuffled tracks"),
        (20.0, "nearer to real music than songs with shuffled tracks"),
        (20.1, "nearer to real music than to random notes"),
        (55.0, "nearer to real music than to random notes"),
        (55.1, "nearer to random notes than to real music"),
        (100.0, "nearer to random notes than to real music"),
        (100.1, "no nearer to real music than random notes"),
        (900.0, "no nearer to real music than random notes"),
    ],
)
def test_how_far_from_real_music_is_said_in_words(mean: float, words: str) -> None:
    found = _answer({"k=16": [mean - 1, mean + 1]}, scale=SCALE)
    assert distance_from_real(found) == [f"{SCALE_TEXT}k=16 ({rounded(mean)}) is {words}."]
    assert describe(found)[1] == distance_from_real(found)[0]


def test_variants_that_are_as_far_from_real_music_are_said_together() -> None:
    values: dict[str, list[float | None]] = {"k=8": [70.0, 72.0], "k=16": [60.0, 60.0], "k=32": [15.0, 16.0]}
    assert distance_from_real(_answer(values, scale=SCALE)) == [
        f"{SCALE_TEXT}k=32 (15.5) is nearer to real music than songs with shuffled tracks; k=8 (71) and k=16 (60) are "
        "nearer to random notes than to real music."
    ]
    many: dict[str, list[float | None]] = {f"k={16 + number}": [30.0 + number] for number in range(8)}
    (said,) = distance_from_real(_answer(many, scale=SCALE))
    assert said == f"{SCALE_TEXT}all variants (30 to 37) are nearer to real music than to random notes."


def test_how_far_from_real_music_is_said_by_the_frechet_distance_whatever_decides() -> None:
    found = _answer({"k=16": [0.5]}, F1, {"set/frechet": 80.0}, scale=SCALE)
    assert distance_from_real(found) == [f"{SCALE_TEXT}k=16 (80) is nearer to random notes than to real music."]


@pytest.mark.parametrize("lacking_end", [*SCALE, None])
def test_without_all_of_the_scale_nothing_is_said_of_the_distance(lacking_end: str | None) -> None:
    scale = {name: math.nan if name == lacking_end else value for name, value in SCALE.items()}
    values: dict[str, list[float | None]] = {"k=16": [50.0 if lacking_end else math.nan]}
    assert distance_from_real(_answer(values, scale=scale)) == []


def test_no_difference_is_said_as_such() -> None:
    found = _answer({"k=8": _about(5), "k=16": [5.0] * 7})
    assert sentence(found) == (
        "On frechet (squared sds, lower is better), against the control k=16 (5): no difference is shown for k=8 "
        "(5.01); a difference of 0.245 would have been detected. Best mean: k=16."
    )
    assert found.comparisons["k=8"].smallest == pytest.approx(0.245, abs=1e-3)
    assert verdict(found, "k=8") == "no difference shown (0.245 squared sds or more would have been detected)"


def test_what_only_the_uncorrected_p_shows_is_not_said() -> None:
    found = _answer({"k=8": _about(1, 6), "k=16": [5.0] * 6, "k=32": _about(9, 6)})
    assert {c.p for c in found.comparisons.values()} == {2 / 2**6}
    assert "nothing can be shown yet for k=8 (1.06) and k=32 (9.06). " in sentence(found)


def test_too_few_blocks_are_said_to_be_too_few() -> None:
    found = _answer({"k=8": _about(1, 3), "k=16": [5.0] * 3})
    assert sentence(found) == (
        "On frechet (squared sds, lower is better), against the control k=16 (5): nothing can be shown yet for k=8 "
        "(1.07). Best mean: k=8. Underpowered by design: with 3 blocks and 1 comparison, the smallest attainable p "
        "is 0.25; at least 6 blocks are needed to reach 0.05."
    )
    assert verdict(found, "k=8") == "underpowered (needs at least 6 blocks)"
    later = _answer({"k=8": _about(1, 3), "k=16": [5.0] * 3}, sequential=True)
    assert f"the smallest attainable p is {anytime_p([1.0] * 3):.3g}; at least 6 blocks" in sentence(later)
    assert anytime_p([1.0] * 3) > 0.25


def test_what_is_equivalent_within_the_study_s_margin_is_said() -> None:
    values = {"k=8": _about(5), "k=16": [5.0] * 7, "k=32": _about(9)}
    found = _answer(values, margin=0.4)
    assert sentence(found) == (
        "On frechet (squared sds, lower is better), against the control k=16 (5): k=32 (9.01, p = 0.031) is worse; "
        "k=8 (5.01, p = 0.016) is equivalent within 0.4 squared sds. Best mean: k=16."
    )
    assert verdict(found, "k=8") == "equivalent (within 0.4 squared sds)"
    assert verdict(found, "k=32") == "worse"
    assert undecided(found.comparisons) == []
    shown = {line.strip().split("  ")[0]: line.split() for line in table(found).splitlines()}
    assert shown["p (within 0.4)"][-2:] == ["0.016", "1.000"]
    assert shown["verdict"][-2:] == ["equivalent", "worse"]
    without = _answer(values)
    assert undecided(without.comparisons) == ["k=8"]
    assert "p (within" not in table(without)
    assert shown["90 % interval"][-4:] == ["[-0.175,", "0.2]", "[3.83,", "4.2]"]
    assert "90 %" not in table(without)


def test_an_unbounded_interval_is_said_in_the_table_and_explained_below_it() -> None:
    few = table(_answer({"k=8": _about(5, 4), "k=16": [5.0] * 4}, margin=0.4))
    assert few.count("[unbounded]") == 3  # of the difference, of the equivalence, and in the note
    assert captions.UNBOUNDED in few.splitlines()
    assert (
        f"A difference needs {blocks_needed(1)}, its 90 % interval {blocks_needed(1, sides=1)}." in captions.UNBOUNDED
    )
    assert "inf" not in few
    enough = table(_answer({"k=8": _about(5), "k=16": [5.0] * 7}, margin=0.4))
    assert "[unbounded]" not in enough


def test_many_variants_are_said_in_few_words() -> None:
    names = [f"k={k}" for k in range(1, 21)]
    same = {name: [5.0 + noise * (index % 3) for noise in NOISE * 2] for index, name in enumerate(names)}
    same["k=16"] = [5.0] * 14
    none = sentence(_answer(same))
    assert none == (
        "On frechet (squared sds, lower is better), against the control k=16 (5): no difference is shown for any of 19 "
        "variants; a difference of 0.233 to 0.466 would have been detected. Best mean: k=1 (5)."
    )
    mixed = same | {name: _about(20 + index) * 2 for index, name in enumerate(names[:10])}
    said = sentence(_answer(mixed))
    assert "k=1, k=2, k=3, k=4, k=5, k=6, k=7, k=8, k=9 and k=10 (p at most 0.002) are worse; " in said
    long = same | {f"k={10**40 + index}": _about(20) * 2 for index in range(10)}
    assert "10 variants (p at most 0.004) are worse; " in sentence(_answer(long))
    assert "no difference is shown for the other 9; a difference of " in said
    assert all(said.count(f"{name} ") <= 1 for name in names[:10])


def test_trials_that_failed_are_counted_and_blocks_that_lack_one_of_a_pair_are_named() -> None:
    values = {
        "k=8": [1.0, None, *_about(1)],
        "k=16": [5.0, 5.0, None, *[5.0] * 6],
        "k=32": [None] * 9,
    }
    failed = ("k=8/1", *(f"k=32/{block}" for block in range(9)))
    found = _answer(values, failed=failed)
    assert found.failed == {"k=8": 1, "k=16": 0, "k=32": 9}
    assert found.missing == {"k=8": 1, "k=16": 1, "k=32": 9}
    assert "k=32 is not compared, because it has no value" in sentence(found)
    assert lacking(found) == [
        "Failed: 1 of 9 trials of k=8, all 9 trials of k=32.",
        "Left out, because one of the pair has no value: blocks 1 and 2 for k=8.",
    ]
    assert describe(found)[1:3] == lacking(found)
    shown = {line.split("  ")[0]: line.split() for line in table(found).splitlines()}
    assert shown["trials failed"][-3:] == ["1", "0", "9"]
    assert shown["trials missing"][-3:] == ["1", "1", "9"]
    assert "k=32" in table(found).splitlines()[0]
    assert lacking(_answer({"k=8": _about(1), "k=16": [5.0] * 7})) == []


def test_an_answer_that_blocks_were_added_for_says_so() -> None:
    values = {"k=8": _about(1) * 2, "k=16": [5.0] * 14, "k=32": _about(5) * 2}
    said = sentence(_answer(values, sequential=True))
    assert said.endswith(
        "Blocks were added until every comparison is clear; after 14 blocks, 1 of 2 is not clear yet. The tests are "
        "valid whenever one stops."
    )
    del values["k=32"]
    found = _answer(values, sequential=True)
    assert found.comparisons["k=8"].p_holm == anytime_p([value - 5 for value in values["k=8"]]) > 2 / 2**14
    assert sentence(found).endswith("that took 14 blocks. The tests are valid whenever one stops.")
    assert "added" not in sentence(_answer(values))


def test_what_is_above_a_baseline_holds_at_any_time_too() -> None:
    gain = {"next/gain_over_repeat": 0.5}
    values = {"k=8": _about(1), "k=16": [5.0] * 7}
    at_once, at_any = (_answer(values, more=gain, sequential=of).above_zero for of in (False, True))
    assert at_once["next/gain_over_repeat"]["k=8"] == 2 / 2**7
    assert at_any["next/gain_over_repeat"]["k=8"] == anytime_p([0.5] * 7) > 2 / 2**7


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
    assert sentence(found) == (
        "On frechet (squared sds, lower is better), against the control k=16 (1.5): k=8 is not compared, because it "
        "has no value. Best mean: k=16."
    )
    assert lacking(found) == []  # nothing has failed: it has not been run
    assert "nan" not in (table(found) + sentence(found)).lower()


@pytest.mark.parametrize("others", [1, 6, 49])
def test_that_the_control_has_no_value_is_said_once(others: int) -> None:
    names = [f"k={100 + number}" for number in range(others)]
    for none in (None, math.nan):
        values: dict[str, list[float | None]] = {name: _about(5.0) for name in names}
        found = _answer(values | {"k=16": [none] * 7}, failed=tuple(f"k=16/{block}" for block in range(7)))
        assert sentence(found) == (
            "On frechet (squared sds, lower is better), against the control k=16: nothing is compared, because the "
            "control has no value. Best mean: k=100 (5.01)."
        )
        assert "k=101" not in " ".join(describe(found))
        assert "nan" not in (table(found) + sentence(found)).lower()


@pytest.mark.parametrize(
    ("others", "without_value", "said"),
    [
        (3, 1, "k=100 is not compared, because it has no value; "),
        (3, 2, "k=100 and k=101 are not compared, because they have no value; "),
        (3, 3, "k=100, k=101 and k=102 are not compared, because they have no value. Best mean: k=16."),
        (49, 7, "7 of 49 other variants are not compared, because they have no value; "),
        (49, 49, "all 49 other variants are not compared, because they have no value. Best mean: k=16."),
    ],
)
def test_variants_without_a_value_are_named_if_they_are_few(others: int, without_value: int, said: str) -> None:
    names = [f"k={100 + number}" for number in range(others)]
    values: dict[str, list[float | None]] = {name: _about(5.0) for name in names}
    values |= dict.fromkeys(names[:without_value], [None] * 7)
    failed = [f"{name}/{block}" for name in names[:without_value] for block in range(7)]
    found = _answer(values | {"k=16": _about(5.0)}, failed=tuple(failed))
    assert said in sentence(found)
    (lacks,) = lacking(found)
    if without_value > 6:
        assert lacks == f"Failed: {7 * without_value} trials, of {without_value} of 50 variants."
    else:
        assert lacks == "Failed: " + ", ".join(f"all 7 trials of {name}" for name in names[:without_value]) + "."


def test_values_in_different_blocks_only_are_no_pairs() -> None:
    found = _answer({"k=8": [1.0, None], "k=16": [None, 1.0], "k=32": [None, None]})
    assert sentence(found).startswith(
        "On frechet (squared sds, lower is better), against the control k=16 (1): k=32 is not compared, because it has "
        "no value; k=8 is not compared, because no block has a value of both."
    )


def test_a_block_that_the_control_lacks_is_said_once_for_many_variants() -> None:
    values: dict[str, list[float | None]] = {f"k={100 + number}": _about(5.0) for number in range(49)}
    found = _answer(values | {"k=16": [5.0] * 6})
    assert lacking(found) == ["Left out, because one of the pair has no value: block 6 for all 49 other variants."]


def test_if_all_failed_they_are_counted() -> None:
    values: dict[str, list[float | None]] = {f"k={number}": [None, None] for number in range(10, 20)}
    found = _answer(values, failed=tuple(f"{name}/{block}" for name in values for block in range(2)))
    assert sentence(found) == "No trial has finished, so there is no answer."
    assert lacking(found) == ["Failed: 20 trials, of 10 of 10 variants."]


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
    cells = [
        TrialSpec(Variant("vae_nn", {"k": k}, {}, "d"), Block(0, 0), {"measure": name}) for name, k in VARIANTS.items()
    ]
    records = {name: made_record({"set/frechet": 1.0}) for name in VARIANTS}
    found = answer(cells, records, Criteria(F1, dict.fromkeys(VARIANTS, "k=16")))
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


def test_the_objective_stands_first_with_its_comparisons_and_other_music_beside_it() -> None:
    more = {"latent/frame_f1": 0.5, "music/empty_bars": 0.25}
    scale = {"set/frechet.shuffled": 77.0, "set/frechet.random": 7777.0, "music/empty_bars": 0.125}
    shown = table(_answer({"k=8": _about(1), "k=16": [5.0] * 7}, more=more, scale=scale)).splitlines()
    assert " ".join(shown[0].split()) == "better real v. real shuffled random k=8 k=16*"
    assert shown[2].split() == ["set/frechet", "lower", "0.125", "77", "7,777", "1.01", "5"]
    labels = [line[:20].strip() for line in shown[3:12]]
    assert [label for label in labels if label] == ["difference to *", "p (Holm)", "P(better)", "verdict", "blocks"]
    better = next(line for line in shown if "P(better)" in line)
    assert better.split() == ["P(better)", "1"]
    assert "shuffled" not in table(_answer({"k=8": _about(1), "k=16": [5.0] * 7}))


def test_a_terminal_shows_headlines_and_says_where_the_rest_is() -> None:
    more = {measure.full_name: float(index) for index, measure in enumerate(MEASURES) if measure != F1}
    shown = table(_answer({"k=8": [0.5, 0.6], "k=16": [0.7, 0.5]}, F1, more=more))
    rows = {line.split("  ")[0] for line in shown.splitlines()}
    measures = {measure.full_name for measure in MEASURES} & rows
    assert {"latent/frame_f1", "set/frechet", "set/diversity_ratio", "music/note_density"} <= measures
    assert 15 < len(measures) < 30
    left = len(MEASURES) - len(measures)
    assert shown.splitlines()[-1] == f"{left} more measures: see report.html and results.csv."
    # The objective stands there whatever it is.
    ndb = find_measure("ndb")
    assert "set/ndb" in table(_answer({"k=8": [0.5], "k=16": [0.7]}, ndb))
    assert "more measure" not in table(_answer({"k=8": [0.5], "k=16": [0.7]}, ndb))


def test_where_real_music_is_the_aim_its_value_stands_beside_its_floor() -> None:
    cells = [
        TrialSpec(Variant("vae_nn", {"k": 16}, {}, "d"), Block(0, block), {"measure": str(block)}) for block in (0, 1)
    ]
    measures = {"set/frechet": 1.0, "set/diversity_ratio": 0.5}
    floor = {"set/diversity_ratio": 1.0, "set/diversity_ratio.floor": 0.25, "set/frechet.floor": 3.0}
    records = {str(block): made_record(measures, floor) for block in (0, 1)}
    shown = table(answer(cells, records, Criteria(FRECHET, {"k=16": "k=16"})))
    assert "1 ± 0.25" in shown


def test_where_real_music_is_the_aim_what_counts_is_the_distance_to_it() -> None:
    diversity = find_measure("diversity_ratio")
    # Real music is at 1: k=8 is 0.5 too low, k=16 0.1 too high, k=32 exactly there.
    of = {"k=8": 0.5, "k=16": 1.1, "k=32": 1.0}
    cells = [
        TrialSpec(Variant("vae_nn", {"k": VARIANTS[n]}, {}, "d"), Block(0, b), {"measure": f"{n}{b}"})
        for n in of
        for b in range(7)
    ]
    floor = {"set/diversity_ratio": 1.0, "set/diversity_ratio.floor": 0.01}
    records = {f"{n}{b}": made_record({"set/diversity_ratio": of[n] + b / 1e4}, floor) for n in of for b in range(7)}
    found = answer(cells, records, Criteria(diversity, dict.fromkeys(of, "k=16")))
    assert best(found) == "k=32" == best_so_far(cells, records, diversity)
    assert found.comparisons["k=8"].difference.mean == pytest.approx(0.5 - 0.1, abs=1e-3)
    assert found.comparisons["k=32"].difference.mean == pytest.approx(-0.1, abs=1e-3)
    assert sentence(found) == (
        "On diversity_ratio (ratio, real music has 1), against the control k=16 (1.1): k=32 (1, p = 0.031) is nearer "
        "to real music; k=8 (0.5, p = 0.031) is farther from real music."
    )
    nothing = answer(
        [cell for cell in cells if cell.block.index < 3], records, Criteria(diversity, dict.fromkeys(of, "k=16"))
    )
    assert "nothing can be shown yet for k=8 (0.5) and k=32 (1). Nearest to real music on average: k=32." in sentence(
        nothing
    )
    assert "distance to real, minus *" in table(found)


def test_several_controls_are_one_family() -> None:
    values = {"k=8": _about(1), "k=16": [5.0] * 7, "k=32": _about(9)}
    cells, records = [], {}
    for name, of in values.items():
        for block, value in enumerate(of):
            cells.append(
                TrialSpec(
                    Variant("vae_nn", {"k": VARIANTS[name]}, {}, "d"), Block(0, block), {"measure": f"{name}{block}"}
                )
            )
            records[f"{name}{block}"] = made_record({"set/frechet": value})
    controls = {"k=8": "k=8", "k=16": "k=8", "k=32": "k=32"}
    found = answer(cells, records, Criteria(FRECHET, controls))
    assert set(found.comparisons) == {"k=16"}
    assert sentence(found) == (
        "On frechet (squared sds, lower is better), against the control k=8 (1.01): k=16 (5, p = 0.016) is worse. "
        "Best mean: k=8."
    )
    upper, lower = table(found).split("\n\n")
    assert upper.splitlines()[0].split()[-2:] == ["k=8*", "k=16"]
    assert lower.splitlines()[0].split()[-1] == "k=32*"
    both = answer(cells, records, Criteria(FRECHET, controls | {"k=32": "k=16"}))
    assert [c.p_holm for c in both.comparisons.values()] == [4 / 2**7] * 2


def test_what_does_not_beat_its_baseline_is_said() -> None:
    values = {"k=8": [1.0] * 8, "k=16": [1.0] * 8, "k=32": [1.0] * 8}
    gains = {"k=8": [0.1, 0.3] * 4, "k=16": [-0.1, 0.1] * 4, "k=32": [-0.3, -0.1] * 4}
    cells, records = [], {}
    for name, of in gains.items():
        for block, gain in enumerate(of):
            cells.append(
                TrialSpec(
                    Variant("vae_nn", {"k": VARIANTS[name]}, {}, "d"), Block(0, block), {"measure": f"{name}{block}"}
                )
            )
            measures = {"set/frechet": values[name][block], "next/gain_over_repeat": gain}
            records[f"{name}{block}"] = made_record(measures)
    found = answer(cells, records, Criteria(FRECHET, dict.fromkeys(gains, "k=16")))
    assert beside_baselines(found) == [
        "next/gain_over_repeat, compared with repeating the last window: above for k=8 (0.2); below for k=32 (-0.2); "
        "no difference shown for k=16 (0)."
    ]
    assert beside_baselines(_answer(values)) == []
    # Two blocks show nothing, whatever an interval of two values says.
    few = answer(cells[:2], records, Criteria(FRECHET, {"k=8": "k=8"}))
    assert beside_baselines(few)[0].startswith(
        "next/gain_over_repeat, compared with repeating the last window: no diff"
    )


def test_many_variants_stand_below_one_another() -> None:
    cells = [TrialSpec(Variant("vae_nn", {"k": k}, {}, "d"), Block(0, 0), {"measure": str(k)}) for k in range(8)]
    records = {str(k): made_record({"set/frechet": float(k)}) for k in range(8)}
    shown = table(answer(cells, records, Criteria(FRECHET, {f"k={k}": "k=0" for k in range(8)})))
    upper, lower, note = shown.split("\n\n")
    assert note == captions.UNBOUNDED
    assert upper.splitlines()[0].split()[-6:] == ["k=0*", "k=1", "k=2", "k=3", "k=4", "k=5"]
    assert lower.splitlines()[0].split()[-3:] == ["k=0*", "k=6", "k=7"]  # with what the differences are to


def test_a_long_name_takes_a_line_a_field() -> None:
    cells = [
        TrialSpec(Variant("gan", {"a": k, "system": "gan"}, {}, "d"), Block(0, 0), {"measure": str(k)}) for k in (1, 2)
    ]
    records = {str(k): made_record({"set/frechet": float(k)}) for k in (1, 2)}
    lines = table(
        answer(cells, records, Criteria(FRECHET, {"a=1, gan": "a=1, gan", "a=2, gan": "a=1, gan"}))
    ).splitlines()
    assert lines[0].split() == ["a=1", "a=2"]
    assert lines[1].split() == ["better", "real", "v.", "real", "gan*", "gan"]
    assert set(lines[2]) == {"-"}


def test_what_is_the_same_for_all_is_said_once() -> None:
    found = _answer({"k=8": [1.0, 2.0], "k=16": [3.0, 5.0]}, more={"latent/kl": 3.5, "next/gain_over_repeat": -0.25})
    assert table(found).count("latent/kl") == 1
    assert "all variants" in table(found)
    assert beside_baselines(found) == [
        "next/gain_over_repeat, compared with repeating the last window: no difference shown for all variants (-0.25)."
    ]
    alone = _answer({"k=16": [3.0]}, more={"latent/kl": 3.5})
    assert "all variants" not in table(alone)
    assert "latent/kl" in table(alone)
