#!/usr/bin/env python
"""How often verdicts by ear are wrong, how often they find a difference, and how often intervals hold the truth.

    python benchmarks/listening_errors.py [--studies 2000] [--workers 2]

Listeners are simulated (`listening_power.ListenerModel`); all else is what judges real ones. Sessions are planned by
`session_plan`, answers become ballots, warm-ups, repeats and exclusions are dealt with, and `preferences` gives the
verdicts. A share in percent is followed by its binomial (Clopper-Pearson) 95 % interval. It prints Markdown.
"""

import argparse
import itertools
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy import stats

from musiclab.analysis.attendance import counted_ballots
from musiclab.analysis.listening_power import ENDS, SHARES, ListenerModel, power
from musiclab.analysis.preferences import Preferences, preferences
from musiclab.analysis.statistics import ALPHA, holm
from musiclab.analysis.strengths import shares, strengths
from musiclab.analysis.two_way import two_way
from musiclab.analysis.votes import Votes, for_variant, votes
from musiclab.design.listening import CEILING, FLOOR, GRADES, PAIRS, Condition, ListeningTest, Place
from musiclab.storage.ballot_documents import Ballot, ListeningPlan, Session
from musiclab.storage.ballots import SessionBallots

AT_A_TIME = 200  # studies that share a plan
RESAMPLES = 100  # of the bootstrap; a report takes 1,000
NONE = ListenerModel(taste=0, luck_of_blocks=0, luck_of_starts=0)
TASTE = ListenerModel(luck_of_blocks=0, luck_of_starts=0)
LUCK = ListenerModel(taste=0)
BOTH = ListenerModel()
MUCH = ListenerModel(taste=1, luck_of_blocks=1, luck_of_starts=0)
EFFECTS = {"neither": NONE, "taste": TASTE, "luck": LUCK, "taste and luck": BOTH}
# How a "slightly better" could count, in place of a whole vote; equal is half of one.
SLIGHTLY = (0.75, 0.6)


@dataclass(frozen=True)
class Size:
    """How many listeners hear how many blocks, starts of each and variants."""

    listeners: int
    blocks: int
    starts: int
    variants: int = 4

    def __str__(self) -> str:
        starts = f" x {self.starts} starts" if self.starts > 1 else ""
        return f"{self.listeners} listeners, {self.blocks} blocks{starts}, {self.variants} variants"


SIZES = (Size(8, 12, 1, 2), Size(20, 12, 1), Size(20, 7, 3), Size(24, 16, 1))


@dataclass(frozen=True)
class Case:
    """One kind of study.

    Attributes:
        size: of the study.
        model: of its listeners.
        better: by how many logits each variant is better than the control, from the second variant on.
        quitters: the share of listeners who stop halfway.
        resamples: of the bootstrap; 0 for no intervals.
        by_starts: whether starts are tested in place of blocks as well.
        slightly: how much a "slightly better" counts in further tests.
    """

    size: Size
    model: ListenerModel
    better: tuple[float, ...] = ()
    quitters: float = 0.0
    resamples: int = 0
    by_starts: bool = False
    slightly: tuple[float, ...] = ()


def test_of(size: Size, seed: int) -> ListeningTest:
    """The listening test of a study of that size, with the numbers that a test has unless others are given."""
    names = [f"variant {index}" for index in range(size.variants)]
    return ListeningTest(
        protocol=PAIRS,
        question="Which is the better continuation?",
        conditions=(*map(Condition, names), CEILING, FLOOR),
        controls=dict.fromkeys(names, names[0]),
        places=tuple(Place(block, start + 1) for block in range(size.blocks) for start in range(size.starts)),
        seed=seed,
    )


def true_strengths(case: Case) -> np.ndarray:
    """What each condition is worth, in logits."""
    better = [0.0, *case.better, *[0.0] * (case.size.variants - 1 - len(case.better))]
    return np.array([*better, ENDS["real"], ENDS["shuffled"]])


def simulated(case: Case, plan: ListeningPlan, rng: np.random.Generator, studies: int) -> list[list[SessionBallots]]:
    """The sessions of some studies that all hear the same."""
    plans = [plan.session_plan(number) for number in range(case.size.listeners)]
    rows = [(index, *each.place, each.first, each.second) for index, planned in enumerate(plans) for each in planned]
    heard = Votes(*np.array(rows, int).T, np.empty(0))
    grades = 2 - case.model.grades(heard, true_strengths(case), rng, studies)
    quits = rng.random((studies, len(plans))) < case.quitters
    length, key = plan.test.length, plan.key
    sessions = [
        Session(id=f"{index:032x}", number=index, plan=key, began=0.0, simulated=True) for index in range(len(plans))
    ]
    # Of each listener each answer to each presentation; studies share them, because they never change.
    ballots = [
        [
            [Ballot(session=session.id, number=number, answer=answer, seconds=9.0, time=0.0, shown=shown)
             for answer in GRADES]
            for number, shown in enumerate(planned)
        ]
        for session, planned in zip(sessions, plans, strict=True)
    ]  # fmt: skip
    made = []
    for study in range(studies):
        answers = grades[study].reshape(len(plans), length).tolist()
        answered = [length // 2 if stops else length for stops in quits[study]]
        made.append([
            SessionBallots(session, {number: given[number][answer] for number, answer in enumerate(own[:until])})
            for session, given, own, until in zip(sessions, ballots, answers, answered, strict=True)
        ])  # fmt: skip
    return made


def true_shares(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """The shares of votes that intervals should hold: of each variant against its control, and of all conditions.

    They are those of the strengths that explain an endless number of votes best.
    """
    levels = true_strengths(case)
    expected = np.array([[case.model.share(a - b) for b in levels] for a in levels])
    np.fill_diagonal(expected, 0)
    logits = strengths(1e6 * expected)
    against = 1 / (1 + np.exp(logits[0] - logits[1 : case.size.variants]))
    return against, shares(logits)


def count(job: tuple[Case, int, int]) -> Counter[str]:
    """Simulate some studies and count what is wrong, found or held in them."""
    case, seed, studies = job
    plan = ListeningPlan(study="s", edition="e", test=test_of(case.size, seed), began=0.0)
    rng = np.random.default_rng([seed, *repr(case).encode()])
    against, of_all = true_shares(case) if case.resamples else (None, None)
    levels = true_strengths(case)
    equal = [index for index in range(1, case.size.variants) if levels[index] == levels[0]]
    counts: Counter[str] = Counter()
    for sessions in simulated(case, plan, rng, studies):
        found = preferences(plan, sessions, case.resamples)
        verdicts = [each.verdict for each in found.comparisons.values()]
        counts["studies"] += 1
        counts["wrong"] += any(verdicts[index - 1] in ("better", "worse") for index in equal)
        counts["found"] += verdicts[0] == "better"
        counts["sessions"] += len(sessions)
        counts["excluded"] += len(found.attendance.excluded)
        counts["repeats"] += found.attendance.repeats
        counts["alike"] += found.attendance.alike
        counts["votes"] += found.attendance.answers
        counts["equal"] += round(found.equal * found.attendance.answers)
        counts["much"] += round(found.much * found.attendance.answers)
        tests = [each.tests for each in found.comparisons.values()]
        for name, p in {
            "listeners": [each.listeners for each in tests],
            "blocks": [each.blocks for each in tests],
            "larger": [max(each.listeners, each.blocks) for each in tests],
        }.items():
            counts[f"wrong by {name}"] += any(holm(p)[index - 1] <= ALPHA for index in equal)
        if case.by_starts:
            counts["wrong by starts"] += any(holm(_by_starts(found))[index - 1] <= ALPHA for index in equal)
        for slightly in case.slightly:
            counts[f"found {slightly:g}"] += _found_if(found, slightly)
        if against is not None and of_all is not None:
            _count_intervals(found, against, of_all, counts)
    return counts


def _by_starts(found: Preferences) -> list[float]:
    """The p of each comparison by the larger of listeners and starts, as if starts were what blocks are."""
    cast = votes(found.attendance.counted)
    start = cast.block * 1000 + cast.start
    ps = []
    for variant in range(1, len(found.comparisons) + 1):
        used, said = for_variant(cast, variant, 0)
        tests = two_way(said, cast.listener[used], start[used])
        ps.append(max(tests.listeners, tests.blocks))
    return ps


def _found_if(found: Preferences, slightly: float) -> bool:
    """Whether the second variant would be called better if "slightly better" counted as `slightly` of a vote."""
    cast = votes(found.attendance.counted)
    worth = {"a_much": 1.0, "a_slightly": slightly, "equal": 0.5, "b_slightly": 1 - slightly, "b_much": 0.0}
    graded = [worth[str(ballot.answer)] for each in found.attendance.counted for ballot in counted_ballots(each)]
    cast = replace(cast, won=np.array(graded))
    tests, sums = [], []
    for variant in range(1, len(found.comparisons) + 1):
        used, said = for_variant(cast, variant, 0)
        tests.append(two_way(said, cast.listener[used], cast.block[used]).p)
        sums.append(said.sum())
    return bool(holm(tests)[0] <= ALPHA and sums[0] > 0)


def _count_intervals(found: Preferences, against: np.ndarray, of_all: np.ndarray, counts: Counter[str]) -> None:
    for truth, each in zip(against, found.comparisons.values(), strict=True):
        counts["intervals"] += 1
        counts["held"] += each.share.low <= truth <= each.share.high
        differs, shown = not each.share.low <= 0.5 <= each.share.high, each.verdict in ("better", "worse")
        counts["interval alone"] += differs and not shown
        counts["verdict alone"] += shown and not differs
    for truth, strength in zip(of_all, found.strengths.values(), strict=True):
        counts["strengths"] += 1
        counts["strengths held"] += strength.share.low <= truth <= strength.share.high


def share(count: int, total: int) -> str:
    """`4.1 [3.3, 5.0]`: a count as a share in percent, with its interval."""
    interval = stats.binomtest(count, total).proportion_ci()
    return f"{100 * count / total:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def show(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table in Markdown, row by row."""
    for row in itertools.chain((head, ["---"] * len(head)), rows):
        print(f"| {' | '.join(row)} |", flush=True)
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    studies, began = options.studies, time.perf_counter()
    with multiprocessing.Pool(options.workers) as pool:

        def run(case: Case) -> Counter[str]:
            firsts = range(0, studies, AT_A_TIME)
            jobs = [(case, seed, min(AT_A_TIME, studies - first)) for seed, first in enumerate(firsts)]
            return sum(pool.imap_unordered(count, jobs), Counter())

        print(f"{studies:,} studies a row; percent [95 % interval]\n", flush=True)
        for title, (head, rows) in TABLES.items():
            print(f"#### {title}\n", flush=True)
            show(head, rows(run))
    cpu, wall = sum(os.times()[:4]) / 60, (time.perf_counter() - began) / 60
    print(f"{cpu:.1f} CPU minutes, {wall:.1f} minutes with {options.workers} workers")


def error_cases() -> dict[str, Case]:
    """Studies without a difference, or with one that is equal among others, by what is particular to them."""
    small, middle, few, large = SIZES
    ahead = BOTH.difference(0.65)
    return {
        **{f"{middle}; {name}": Case(middle, model) for name, model in EFFECTS.items()},
        **{f"{size}; taste and luck": Case(size, BOTH, by_starts=size.starts > 1) for size in (small, few, large)},
        f"{middle}; taste and luck of 1 logit": Case(middle, MUCH),
        f"{few}; taste and luck of 1 logit": Case(few, MUCH, by_starts=True),
        f"{middle}; taste and luck; one variant equal, two better by 65:35": Case(middle, BOTH, (0.0, ahead, ahead)),
        f"{middle}; taste and luck; half of the votes are equal": Case(middle, replace(BOTH, equal=1.4, much=2.5)),
        f"{middle}; taste and luck; listeners lean to a side by 1 logit": Case(middle, replace(BOTH, side=1.0)),
        f"{middle}; taste and luck; half of the listeners stop halfway": Case(middle, BOTH, quitters=0.5),
    }


def _errors(run: Callable[[Case], Counter[str]]) -> Iterator[list[str]]:
    for name, case in error_cases().items():
        counts = run(case)
        columns = ["wrong", "wrong by listeners", "wrong by blocks", "wrong by larger"]
        columns += ["wrong by starts"] if case.by_starts else []
        shares = [share(counts[column], counts["studies"]) for column in columns]
        yield [name, f"**{shares[0]}**", *shares[1:], *([] if case.by_starts else ["–"])]


def _power(run: Callable[[Case], Counter[str]]) -> Iterator[list[str]]:
    for size, name in ((SIZES[1], "neither"), *((size, "taste and luck") for size in SIZES)):
        for ratio in SHARES:
            model = EFFECTS[name]
            counts = run(Case(size, model, (model.difference(ratio),), slightly=SLIGHTLY if size == SIZES[1] else ()))
            yield [
                f"{size}; {name}",
                f"{100 * ratio:.0f}:{100 - 100 * ratio:.0f}",
                f"**{share(counts['found'], counts['studies'])}**",
                f"{100 * power(test_of(size, 0), size.listeners, ratio, model):.0f}",
                *(f"{100 * counts[key] / counts['studies']:.1f}" if (key := f"found {slightly:g}") in counts else "–"
                  for slightly in SLIGHTLY),
                f"{100 * counts['alike'] / counts['repeats']:.0f}",
                f"{100 * counts['equal'] / counts['votes']:.0f}",
                f"{100 * counts['excluded'] / counts['sessions']:.1f}",
            ]  # fmt: skip


def _intervals(run: Callable[[Case], Counter[str]]) -> Iterator[list[str]]:
    for size in SIZES[1:3]:
        counts = run(Case(size, BOTH, (BOTH.difference(0.65),), resamples=RESAMPLES))
        yield [
            f"{size}; taste and luck",
            share(counts["held"], counts["intervals"]),
            share(counts["strengths held"], counts["strengths"]),
            f"{100 * counts['interval alone'] / counts['intervals']:.1f}",
            f"{100 * counts['verdict alone'] / counts['intervals']:.1f}",
        ]


# By title: what stands at the head of a table, and its rows.
TABLES: dict[str, tuple[list[str], Callable[[Callable[[Case], Counter[str]]], Iterator[list[str]]]]] = {
    "Wrong verdicts": (
        ["no difference; listeners differ in", "**verdicts**", "by listeners alone", "by blocks alone",
         "by the larger p of the two", "by that with starts for blocks"],
        _errors,
    ),
    "Differences that are found": (
        ["listeners differ in", "votes", "**found**", "`--plan` says",
         *(f"found if slightly were {slightly:g} of a vote" for slightly in SLIGHTLY),
         "repeats answered alike", "equal votes", "sessions excluded"],
        _power,
    ),
    "Intervals": (
        ["one variant 65:35; listeners differ in", "intervals against the control that hold the truth",
         "intervals of strengths that do", "interval excludes 50 %, verdict shows nothing",
         "verdict shows a difference, interval holds 50 %"],
        _intervals,
    ),
}  # fmt: skip


if __name__ == "__main__":
    main()
