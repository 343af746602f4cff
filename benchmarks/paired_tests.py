#!/usr/bin/env python
"""Which test of few paired differences errs least if noise is skewed and unequal, and what it costs in power?

    python benchmarks/paired_tests.py [STUDIES]

Noise is that of `verdict_errors.py`. Every cell is the percentage of 4,000 simulated studies in which any variant is
called different (errors), or the last one is if only that one differs by an effect (power, normal noise), each after
Holm's correction. The tests:

- flips: exact sign flips of the mean. A t that is studentised anew in every flip gives the same p, because flips keep
  the sum of squares.
- Student: Student's t.
- larger: the larger p of these two, which is what verdicts use.
- Johnson: Johnson's (1978) t, corrected for skewness.
- bootstrap-t: of 999 resamples, with equal tails; symmetric: of the size of t.
"""

import itertools
import sys
from collections.abc import Callable

import numpy as np
from scipy import stats
from verdict_errors import NOISE, SD, SHAPES

from musiclab.analysis.statistics import ALPHA, holm

DESIGNS = ((7, 2), (7, 4), (10, 2), (10, 4), (10, 8))  # blocks, variants
EFFECTS = (0.5, 1.0, 2.0)
RESAMPLES = 999


def flips(d: np.ndarray) -> np.ndarray:
    signs = np.array(list(itertools.product((1, -1), repeat=d.shape[1])), float)
    least = np.abs(d.sum(1)) - 1e-9 * np.abs(d).sum(1)
    return np.minimum(1, 2 * np.array([np.mean(signs @ each >= at) for each, at in zip(d, least, strict=True)]))


def student(d: np.ndarray) -> np.ndarray:
    p: np.ndarray = stats.ttest_1samp(d, 0, axis=1).pvalue
    return p


def larger(d: np.ndarray) -> np.ndarray:
    return np.maximum(flips(d), student(d))


def johnson(d: np.ndarray) -> np.ndarray:
    n, mean, variance = d.shape[1], d.mean(1), d.var(1, ddof=1)
    third = ((d - mean[:, None]) ** 3).sum(1) * n / ((n - 1) * (n - 2))
    t = (mean + third / (6 * variance * n) + third * mean**2 / (3 * variance**2)) / np.sqrt(variance / n)
    p: np.ndarray = 2 * stats.t.sf(np.abs(t), n - 1)
    return p


def bootstrap_t(d: np.ndarray, symmetric: bool = False) -> np.ndarray:
    n = d.shape[1]
    drawn = np.random.default_rng(1).integers(0, n, (RESAMPLES, n))
    p = []
    for each in d:
        resampled = (each - each.mean())[drawn]
        with np.errstate(divide="ignore", invalid="ignore"):  # a resample of one value has no t, or an infinite one
            t = np.nan_to_num(resampled.mean(1) / resampled.std(1, ddof=1))
        observed = each.mean() / each.std(ddof=1)
        tails = np.sum(t >= observed), np.sum(t <= observed)
        beyond = np.sum(np.abs(t) >= abs(observed)) if symmetric else 2 * min(tails)
        p.append(min(1.0, (1 + int(beyond)) / (RESAMPLES + 1)))
    return np.array(p)


TESTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "flips": flips,
    "Student": student,
    "larger": larger,
    "Johnson": johnson,
    "bootstrap-t": bootstrap_t,
    "symmetric": lambda d: bootstrap_t(d, symmetric=True),
}


def differences(noise: str, studies: int, blocks: int, variants: int, effect: float = 0.0) -> np.ndarray:
    """Differences from the control, `(studies, comparisons, blocks)`; the last variant has the effect."""
    shape, ratio = NOISE[noise]
    rng = np.random.default_rng([blocks, variants, *noise.encode()])
    values = SHAPES[shape](rng, (studies * blocks, variants)) * np.linspace(1, ratio, variants)
    values[:, -1] += effect * SD
    return (values[:, 1:] - values[:, :1]).reshape(studies, blocks, variants - 1).transpose(0, 2, 1)


def percent(test: Callable[[np.ndarray], np.ndarray], d: np.ndarray, only_last: bool) -> float:
    """In how many of 100 studies any comparison is significant under Holm, or the last one."""
    studies, comparisons, blocks = d.shape
    p = [holm(row) for row in test(d.reshape(-1, blocks)).reshape(studies, comparisons).tolist()]
    return 100 * sum((row[-1] if only_last else min(row)) <= ALPHA for row in p) / studies


def main(studies: int) -> None:
    columns = [*NOISE, *(f"{effect:g} sd" for effect in EFFECTS)]
    for blocks, variants in DESIGNS:
        print(f"\n{blocks} blocks, {variants} variants".ljust(28) + "".join(f"{column:>14}" for column in columns))
        cells = [(differences(noise, studies, blocks, variants), False) for noise in NOISE]
        cells += [(differences("normal", studies, blocks, variants, effect), True) for effect in EFFECTS]
        for name, test in TESTS.items():
            print(f"{name:27}" + "".join(f"{percent(test, d, last):14.1f}" for d, last in cells), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
