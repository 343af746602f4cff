#!/usr/bin/env python
"""How often verdicts are wrong, how often they find an effect, and how often intervals hold the true mean.

    python benchmarks/verdict_errors.py [--studies 4000] [--workers 2]

Studies are simulated, not run: the variants of a block share a value and have noise of their own, the first variant is
the control, and the verdicts are those of `comparisons.outcomes`. Effects and margins are in standard deviations of a
paired difference. A count is followed by the share in percent with its binomial (Clopper-Pearson) 95 % interval.
"""

import argparse
import math
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy import stats

from musiclab.analysis.comparisons import outcomes
from musiclab.analysis.intervals import Interval, difference_interval, equivalence_interval, mean_intervals
from musiclab.design.criteria import Criteria
from musiclab.measures.registry import find_measure

BLOCKS, VARIANTS, EFFECTS, MARGINS, MOST = (4, 7, 10), (2, 4, 8), (0.5, 1.0, 2.0), (0.5, 1.0, 2.0), 30
INTERVAL_BLOCKS = (7, 10, 20)  # with 4, intervals of differences are unbounded
FIRST_LOOK = 5  # with fewer blocks no bet on signs can have grown twentyfold: 2^4 is 16
SD = math.sqrt(2)  # of a paired difference if variances are equal
CLEAR = ("better", "worse", "equivalent")

# Noise of mean 0 and standard deviation 1, `(blocks, variants)`.
SHAPES: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "skewed": lambda rng, shape: (rng.lognormal(size=shape) - math.exp(0.5)) / math.sqrt((math.e - 1) * math.e),
    "heavy-tailed": lambda rng, shape: rng.standard_t(3, size=shape) / math.sqrt(3),
}
# The noise's shape, and the last variant's standard deviation as a multiple of the control's. Differences of skewed
# noise are symmetric, as the tests assume, unless the two standard deviations differ.
NOISE: dict[str, tuple[str, float]] = {name: (name, 1) for name in SHAPES} | {
    "normal 1:3": ("normal", 3),
    "skewed 1:1.5": ("skewed", 1.5),
    "skewed 1:3": ("skewed", 3),
}


@dataclass(frozen=True)
class Case:
    """One kind of study: all variants but the control have the effect, or only the last one has."""

    noise: str
    blocks: int
    variants: int
    effect: float = 0.0
    only_last: bool = False
    margin: float | None = None
    sequential: bool = False


@dataclass(frozen=True)
class Table:
    """Cases by row and column. For each case the table counts the studies for whose verdicts `counted` is true."""

    title: str
    rows: dict[str, list[Case]]
    counted: Callable[[list[str]], bool]


def tables() -> list[Table]:
    """All tables but that of the intervals."""

    def fixed(head: str, noise: str, **more: Any) -> dict[str, list[Case]]:
        return {f"{head}, {blocks} blocks": [Case(noise, blocks, v, **more) for v in VARIANTS] for blocks in BLOCKS}

    def looking(head: str, noise: str, **more: Any) -> dict[str, list[Case]]:
        return {head: [Case(noise, MOST, v, sequential=True, **more) for v in VARIANTS]}

    def table(title: str, counted: Callable[[list[str]], bool], row_groups: list[dict[str, list[Case]]]) -> Table:
        return Table(title, {name: cases for group in row_groups for name, cases in group.items()}, counted)

    def any_differs(verdicts: list[str]) -> bool:
        return "better" in verdicts or "worse" in verdicts

    def any_equivalent(verdicts: list[str]) -> bool:
        return "equivalent" in verdicts

    def last_better(verdicts: list[str]) -> bool:
        return verdicts[-1] == "better"

    def last_equivalent(verdicts: list[str]) -> bool:
        return verdicts[-1] == "equivalent"

    return [
        table(
            "Wrong: no effect, and any variant is called better or worse",
            any_differs,
            [fixed(noise, noise) for noise in NOISE],
        ),
        table(
            "Wrong: all variants better by just the margin of 1 sd, and any is called equivalent",
            any_equivalent,
            [fixed(noise, noise, effect=1.0, margin=1.0) for noise in NOISE],
        ),
        table(
            "Found: only the last variant is better by an effect, and is called so (normal noise)",
            last_better,
            [fixed(f"{effect:g} sd", "normal", effect=effect, only_last=True) for effect in EFFECTS],
        ),
        table(
            "Found: no effect, and the last variant is called equivalent within a margin (normal noise)",
            last_equivalent,
            [fixed(f"{margin:g} sd", "normal", margin=margin) for margin in MARGINS],
        ),
        table(
            f"Looking after every block up to {MOST}. Wrong: no effect, and any variant is ever called better or worse",
            any_differs,
            [looking(noise, noise) for noise in NOISE],
        ),
        table(
            "Looking. Wrong: all variants better by just the margin of 1 sd, and any is ever called equivalent",
            any_equivalent,
            [looking(noise, noise, effect=1.0, margin=1.0) for noise in SHAPES],
        ),
        table(
            "Looking. Found: all variants better by an effect, and the last one is called so (normal noise)",
            last_better,
            [looking(f"{effect:g} sd", "normal", effect=effect) for effect in EFFECTS],
        ),
        table(
            "Looking. Found: no effect, and the last variant is called equivalent within a margin (normal noise)",
            last_equivalent,
            [looking(f"{margin:g} sd", "normal", margin=margin) for margin in MARGINS],
        ),
    ]


def verdicts(job: tuple[Case, int]) -> list[tuple[list[str], int]]:
    """Simulate studies; the verdicts of each, and the number of blocks that it took."""
    case, studies = job
    rng = _stream(case)
    names = ["control", *map(str, range(1, case.variants))]
    margin = None if case.margin is None else case.margin * SD
    criteria = Criteria(find_measure("frame_f1"), dict.fromkeys(names, "control"), margin, case.sequential)
    study = _until_clear if case.sequential else _at_once
    return [study(_differences(case, rng), criteria) for _ in range(studies)]


def _stream(case: Case) -> np.random.Generator:
    return np.random.default_rng(list(repr(case).encode()))


def _differences(case: Case, rng: np.random.Generator) -> np.ndarray:
    """Differences of the variants from the control, `(blocks, comparisons)`."""
    shape, ratio = NOISE[case.noise]
    block_values = 3 * SHAPES[shape](rng, (case.blocks, 1))
    values = block_values + SHAPES[shape](rng, (case.blocks, case.variants)) * np.linspace(1, ratio, case.variants)
    values[:, -1 if case.only_last else 1 :] += case.effect * SD
    return values[:, 1:] - values[:, :1]


def _at_once(differences: np.ndarray, criteria: Criteria) -> tuple[list[str], int]:
    return [outcome.verdict for outcome in outcomes(differences.T.tolist(), criteria)], len(differences)


def _until_clear(differences: np.ndarray, criteria: Criteria) -> tuple[list[str], int]:
    """Look after every block; a verdict that was clear once counts, so that no wrong verdict is lost."""
    latest = ["no difference shown"] * differences.shape[1]
    for blocks in range(FIRST_LOOK, len(differences) + 1):
        now, _ = _at_once(differences[:blocks], criteria)
        latest = [new if new in CLEAR else old for new, old in zip(now, latest, strict=True)]
        if set(now) <= set(CLEAR):
            break
    return latest, blocks


# The intervals whose coverage is counted, given the differences of a study from the control, or values of one variant.
INTERVALS: dict[str, Callable[[np.ndarray], Interval]] = {
    "95 % intervals of a difference that hold it": difference_interval,
    "95 % intervals of a difference that hold it, anytime-valid": partial(difference_interval, sequential=True),
    "90 % intervals of a difference that hold it": partial(equivalence_interval, margin=SD),
    "95 % intervals of a mean that hold it": lambda values: mean_intervals([values])[0],
}


def coverage(job: tuple[str, Case, int]) -> int:
    """How many intervals hold 0, which is the true mean."""
    kind, case, studies = job
    rng = _stream(case)
    held = 0
    for _ in range(studies):
        values = SHAPES[case.noise](rng, (case.blocks, 1)) if "mean" in kind else _differences(case, rng)
        interval = INTERVALS[kind](values[:, 0])
        held += interval.low <= 0 <= interval.high
    return held


def share(count: int, total: int) -> str:
    """`163  4.1 [ 3.5,  4.7]`: the count, and its share of the total in percent with its interval."""
    interval = stats.binomtest(count, total).proportion_ci()
    return f"{count:>6} {100 * count / total:5.1f} [{100 * interval.low:4.1f}, {100 * interval.high:4.1f}]"


def show(title: str, columns: list[str], rows: dict[str, list[str]]) -> None:
    """Print a table."""
    width = max(map(len, rows))
    print(f"\n{title}\n{'':{width}}" + "".join(f"{column:^28}" for column in columns))
    for name, cells in rows.items():
        print((f"{name:{width}}" + "".join(f"{cell:<28}" for cell in cells)).rstrip(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=4000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    studies, began = options.studies, time.perf_counter()
    print(
        f"{studies:,} studies a cell, half as many if one looks after every block: count, percent [95 % interval], "
        "mean blocks if any"
    )
    with multiprocessing.Pool(options.workers) as pool:
        for table in tables():
            jobs = [(case, studies // (1 + case.sequential)) for cases in table.rows.values() for case in cases]
            done = iter(pool.map(verdicts, jobs, 1))
            rows = {
                row: [_cell(case, next(done), table.counted) for case in cases] for row, cases in table.rows.items()
            }
            show(table.title, [f"{variants} variants" for variants in VARIANTS], rows)
        for kind in INTERVALS:
            noises = SHAPES if "mean" in kind else NOISE
            jobs_of_kind = [(kind, Case(noise, blocks, 2), studies) for noise in noises for blocks in INTERVAL_BLOCKS]
            held = iter(pool.map(coverage, jobs_of_kind, 1))
            rows = {noise: [share(next(held), studies) for _ in INTERVAL_BLOCKS] for noise in noises}
            show(kind, [f"{blocks} blocks" for blocks in INTERVAL_BLOCKS], rows)
    print(f"\n{time.perf_counter() - began:.0f} s with {options.workers} workers")


def _cell(case: Case, studies: list[tuple[list[str], int]], counted: Callable[[list[str]], bool]) -> str:
    text = share(sum(counted(verdicts) for verdicts, _ in studies), len(studies))
    return f"{text} {np.mean([blocks for _, blocks in studies]):4.1f}" if case.sequential else text


if __name__ == "__main__":
    main()
