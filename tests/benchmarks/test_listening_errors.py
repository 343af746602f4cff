"""`benchmarks/listening_errors.py` judges simulated listeners by what judges real ones."""

import dataclasses
from collections.abc import Callable
from types import ModuleType

import numpy as np
from scipy import stats

from musiclab.analysis.listening_power import ListenerModel
from musiclab.storage.ballot_documents import ListeningPlan


def test_sessions_are_those_of_the_plan_and_all_are_said_to_be_simulated(
    benchmark: Callable[[str], ModuleType],
) -> None:
    script = benchmark("listening_errors")
    case = script.Case(script.Size(3, 6, 1, 2), ListenerModel(), quitters=0.5)
    plan = ListeningPlan(study="s", edition="e", test=script.test_of(case.size, 1), began=0.0)
    studies = script.simulated(case, plan, np.random.default_rng(0), 6)
    lengths = set()
    for sessions in studies:
        for number, each in enumerate(sessions):
            assert each.session.simulated
            asked = plan.session_plan(number)
            assert [ballot.shown for ballot in each.ballots.values()] == [*asked[: len(each.ballots)]]
            assert {ballot.session for ballot in each.ballots.values()} == {each.session.id}
            lengths.add(len(each.ballots))
    assert lengths == {plan.test.length, plan.test.length // 2}
    answers = [[ballot.answer for ballot in sessions[0].ballots.values()] for sessions in studies]
    assert len(set(map(tuple, answers))) == 6


def test_without_a_difference_hardly_any_verdict_is_wrong_and_a_large_one_is_found(
    benchmark: Callable[[str], ModuleType],
) -> None:
    script = benchmark("listening_errors")
    nothing = script.Case(script.Size(8, 8, 1, 2), script.BOTH)
    counts = script.count((nothing, 0, 60))
    assert counts["studies"] == 60
    assert stats.binomtest(counts["wrong"], 60, 0.05, alternative="greater").pvalue > 1e-4
    large = dataclasses.replace(nothing, better=(script.BOTH.difference(0.9),), resamples=40)
    counts = script.count((large, 0, 12))
    assert counts["found"] >= 10 and counts["wrong"] == 0
    assert counts["intervals"] == 12 and counts["held"] >= 9
    assert counts["strengths"] == 48 and counts["strengths held"] >= 40


def test_every_table_has_a_row_for_each_of_its_cases(benchmark: Callable[[str], ModuleType]) -> None:
    script = benchmark("listening_errors")
    small = script.Size(6, 6, 1, 2)

    def run(case):
        return script.count((dataclasses.replace(case, size=small, better=case.better[:1]), 0, 1))

    for head, rows in script.TABLES.values():
        made = list(rows(run))
        assert made and all(len(row) == len(head) for row in made)
