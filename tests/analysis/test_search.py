"""What a search has come to: ranking before and after confirmation, its winner, its front, its cost."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from musiclab.analysis.front import front
from musiclab.analysis.results import Results
from musiclab.analysis.search import RUNNING, grid_values
from musiclab.design.search import Categorical, Float, Int, dimension_from_json
from musiclab.report.sentences import describe
from musiclab.report.text_table import search_table
from musiclab.storage.search_documents import SearchFiles
from tests.support.made_results import made_study
from tests.support.made_search import FOLDER, SPACE, made_end, made_score, made_search, made_values


def _seven(mean: float) -> list[float]:
    return [mean + 0.1 * step for step in (-3, -2, -1, 0, 1, 2, 3)]


def _finished(count: int) -> list[int]:
    """Numbers of the proposals that finish, the best first."""
    numbers = [each for each in range(count) if made_end(each, made_values(each)).state == "finished"]
    return sorted(numbers, key=lambda each: made_score(made_values(each), each))


@pytest.fixture
def made(tmp_path: Path) -> Results:
    """40 proposals, of which the first two are confirmed: in the opposite order."""
    first, second, *_ = _finished(40)
    return made_search(tmp_path, 40, confirmed={first: _seven(2.0), second: _seven(1.7)}, control=_seven(3.0))


def test_a_study_without_a_search_has_none(tmp_path: Path) -> None:
    assert made_study(tmp_path, {"16": [{"set/frechet": 1.0}]}).search is None


def test_each_confirmed_proposal_has_its_score_before_and_after(made: Results) -> None:
    first, second, *_ = _finished(40)
    search = made.search
    assert search is not None
    assert [each.number for each in search.confirmed] == [first, second]
    assert [each.place for each in search.confirmed] == [1, 2]
    for each, mean in zip(search.confirmed, (2.0, 1.7), strict=True):
        before = made_score(made_values(each.number or 0), each.number or 0)
        assert each.searched == {"set/frechet": before}
        assert each.means["set/frechet"].mean == pytest.approx(mean)
        assert each.means["set/frechet"].n == 7
        # Lower is better, so a search that promised less than it kept has overstated.
        assert each.overstated(search.objective) == pytest.approx(mean - before)
    assert search.control is not None
    assert search.control.number == 0
    assert search.control.means["set/frechet"].mean == pytest.approx(3.0)


def test_overstating_is_above_0_for_what_looked_better_whichever_way_is_better(tmp_path: Path) -> None:
    search = made_search(tmp_path, 12, confirmed={1: [1.0] * 7}, also=("set/precision",), early=False).search
    assert search is not None
    lower, higher = search.objectives
    (own,) = search.confirmed
    assert (lower.sign, higher.sign) == (-1, 1)
    assert own.searched["set/precision"] > own.means["set/precision"].mean == 0.5
    assert own.overstated(higher) == own.searched["set/precision"] - 0.5 > 0
    assert own.overstated(lower) == 1.0 - own.searched["set/frechet"] < 0


def test_the_winner_is_the_best_on_fresh_blocks_and_the_first_that_of_the_search(made: Results) -> None:
    first, second, *_ = _finished(40)
    search = made.search
    assert search is not None and search.first is not None and search.winner is not None
    assert search.first.number == first
    assert search.winner.number == second
    best = [score for _, score in search.history]
    assert best == sorted(best, reverse=True)
    assert search.history[-1][0] == first
    assert len(set(best)) == len(best)


def test_states_are_counted_and_what_cost_nothing_is_left_out(made: Results) -> None:
    search = made.search
    assert search is not None
    assert search.states == Counter(made_end(each, made_values(each)).state for each in range(40))
    assert set(search.states) == {"finished", "pruned", "diverged", "failed"}
    cost = search.cost
    finished, early = search.states["finished"], search.states["pruned"]
    others = search.states["diverged"] + search.states["failed"]
    assert cost.total == 12 * finished + 3 * (early + others)
    assert cost.mean == 12
    assert cost.full == 12 * (finished + early) + 3 * others
    # 5 of lr, 5 of layers, and of norm one alone and one with 5 of strength.
    assert cost.grid_trials == 5 * 5 * (1 + 5)
    assert cost.grid == 12 * 150


def test_a_grid_has_the_ends_and_as_many_whole_numbers_as_there_are() -> None:
    assert grid_values(Float(1e-4, 1.0, log=True)) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    assert grid_values(Int(1, 3)) == [1, 2, 3]
    assert grid_values(Categorical("a", "b")) == ["a", "b"]


@pytest.mark.parametrize("dimension", SPACE.values(), ids=list(SPACE))
def test_a_field_is_read_from_a_plan_as_it_was(dimension: object) -> None:
    assert dimension_from_json(dimension.to_json()) == dimension  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", [{"kind": "word"}, {"kind": "float", "low": 0}, {"low": 0}, 3])
def test_a_field_that_makes_no_sense_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"no field of a search|it has no|must be an object"):
        dimension_from_json(value)


def test_the_front_is_what_no_other_beats() -> None:
    draw = random.Random(0)
    points = {each: (draw.randint(0, 9) * 1.0, draw.randint(0, 9) * 1.0, draw.random()) for each in range(300)}

    def beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
        return one != other and all(a >= b for a, b in zip(one, other, strict=True))

    expected = [each for each, point in points.items() if not any(beats(other, point) for other in points.values())]
    assert list(front(points)) == expected
    assert 1 < len(expected) < 300
    assert list(front({1: (1.0, 2.0), 2: (1.0, 2.0), 3: (0.0, 2.0)})) == [1, 2]


def test_of_several_objectives_the_nearest_to_real_music_wins(tmp_path: Path) -> None:
    first, second = 1, 2
    results = made_search(
        tmp_path, 30, also=("set/frechet",), early=False, objective="set/precision",
        confirmed={first: _seven(2.0), second: _seven(1.0)}, control=_seven(1.5),
    )  # fmt: skip
    search = results.search
    assert search is not None and search.winner is not None
    assert search.winner.number == second
    assert "proposal 2 is nearest to real music (frechet" in " ".join(describe(results.answer, search))


def test_several_objectives_have_a_front_and_one_has_none(tmp_path: Path, made: Results) -> None:
    search = made_search(tmp_path / "two", 40, also=("music/empty_bars",), early=False).search
    assert search is not None and made.search is not None
    assert made.search.front == []
    low = {each.number: each.score(search.objectives[0]) for each in search.tried}
    near = {each.number: each.score(search.objectives[1]) for each in search.tried}
    for each in search.front:
        assert not any(low[other] < low[each] and near[other] < near[each] for other in low)
    assert sorted(low, key=lambda each: low[each])[0] == search.front[0]
    assert len(search.front) > 1


def test_a_search_is_over_only_for_the_budget_that_it_has_spent(tmp_path: Path) -> None:
    over = made_search(tmp_path, 20, confirmed={4: _seven(1.0)}, control=_seven(2.0))
    assert over.search is not None and over.search.is_over
    assert over.search.importance == {"lr": 0.7, "layers": 0.2, "strength": 0.06, "norm": 0.04}
    assert list(over.search.importance) == ["lr", "layers", "strength", "norm"]  # JSON had sorted them
    budget = {"trials": 60, "wall_hours": None, "worker_hours": None}
    larger = made_search(tmp_path, 20, over=False, design=over.plan.design | {"budget": budget})
    assert SearchFiles(larger.storage, FOLDER).conclusion() is not None
    assert larger.search is not None and not larger.search.is_over
    assert larger.search.importance == {}


def test_rungs_are_those_of_the_scheduler_and_those_that_trials_came_to_under_another(tmp_path: Path) -> None:
    asha = made_search(tmp_path / "asha", 20)
    assert asha.search is not None and len(asha.search.rungs) == 2
    none = asha.plan.design | {"scheduler": "none"}
    for early, rungs in ((True, asha.search.rungs), (False, ())):
        changed = made_search(tmp_path / f"early {early}", 20, early=early, design=none)
        assert changed.search is not None and changed.search.rungs == rungs


def test_what_has_not_ended_is_said_to_run_and_nothing_is_confirmed(tmp_path: Path) -> None:
    results = made_search(tmp_path, 24, over=False, ended=20)
    search = results.search
    assert search is not None
    assert search.states[RUNNING] == 4
    said = describe(results.answer, search)
    assert said[0] == "The search is not over, so nothing is confirmed and there is no answer yet."
    assert said[1].startswith("So far the search has made 24 of 24 proposals: 15 finished, 5 ended early")
    assert said[1].endswith("4 have not ended.")
    assert "It is not confirmed" in said[2]
    assert "compares nothing" not in " ".join(said)
    assert search_table(results.answer, search) == ""


def test_a_search_says_how_it_went_what_its_first_was_worth_and_who_won(made: Results) -> None:
    first, second, *_ = _finished(40)
    said = describe(made.answer, made.search)
    states = made.search.states if made.search else {}
    assert said[1] == (
        f"The search made 40 of 40 proposals: {states['finished']} finished, {states['pruned']} ended early, "
        f"{states['diverged']} diverged, {states['failed']} failed."
    )
    before = made_score(made_values(first), first)
    assert f"First in the search was proposal {first}: frechet {before:.3g} on the search's block, 2 [1.8, 2.2] on 7 " \
        f"fresh blocks: the search overstated it by {2.0 - before:.3g}." in said[2]  # fmt: skip
    assert "The control, which was not chosen for its score, went from" in said[2]
    assert f"Of the confirmed, proposal {second} has the best mean (1.7 [1.5, 1.9]; number 2 of the search;" in said[3]
    assert said[3].endswith("against the control: better.")


def test_a_search_that_ended_before_its_budget_says_why(made: Results) -> None:
    search = made.search
    assert search is not None
    last = replace(search.tried[-1], proposal=replace(search.tried[-1].proposal, source="misfit"))
    said = describe(made.answer, replace(search, tried=[*search.tried[:-1], last]))
    assert said[1].startswith("The search made 39 of 40 proposals: ")
    assert "; beside them 1 passed over, because their fields do not fit together. " in said[1]
    assert said[1].endswith("It ended before its budget, because the last ones were nothing new that could run.")


def test_a_control_called_control_is_not_named_twice(made: Results) -> None:
    whole = " ".join(describe(made.answer, made.search))
    assert "against the control (3): " in whole
    assert "control control" not in whole


def test_that_the_control_is_no_worse_is_said(tmp_path: Path) -> None:
    first, *_ = _finished(20)
    results = made_search(tmp_path, 20, confirmed={first: _seven(3.0)[:3]}, control=_seven(2.0)[:3])
    said = describe(results.answer, results.search)
    assert "Best mean: the control." in said[0]
    assert "The mean of the control is no worse: 1.8 [1.55, 2.05]." in said


def test_an_over_search_that_confirms_nothing_says_why(tmp_path: Path) -> None:
    results = made_search(tmp_path, 20, control=_seven(2.0))
    first = describe(results.answer, results.search)[0]
    assert first == "The search found nothing but the control, so nothing is compared with it."
    waiting = made_search(tmp_path / "b", 20, confirmed={4: []})
    said = describe(waiting.answer, waiting.search)[0]
    assert said == "The search is over, but no trial of its confirmation has finished, so there is no answer yet."


def test_the_terminal_has_what_was_confirmed_with_its_values(made: Results) -> None:
    first, second, *_ = _finished(40)
    head, _, control, *rows = search_table(made.answer, made.search).splitlines()
    assert head.split() == ["place", "objective", "searched", "confirmed", "overstated", "verdict", "values"]
    assert control.startswith("control")
    assert control.endswith("lr=0.001, layers=2, norm=none")
    assert [row.split()[:3] for row in rows] == [["proposal", str(first), "1"], ["proposal", str(second), "2"]]
    assert all("better" in row and f"lr={made_values(each)['lr']:.4g}" in row
               for row, each in zip(rows, (first, second), strict=True))  # fmt: skip


def test_fields_of_confirmed_proposals_are_not_judged(tmp_path: Path) -> None:
    # A search of one field would have trends, from values that were chosen for their scores.
    space = {"layers": Int(1, 8)}
    results = made_search(
        tmp_path, 9, space=space, values=lambda number: {"lr": 0.01, "layers": number},
        confirmed={1: _seven(1.0), 3: _seven(3.0), 8: _seven(8.0)}, control=_seven(2.0),
    )  # fmt: skip
    assert results.answer.effects.trends == []
