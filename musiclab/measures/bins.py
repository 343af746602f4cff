"""Whether generated windows fall into the same kinds as real ones, and how many different ones there seem to be."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from musiclab.measures.pairs import DUPLICATE, flat_rows, row_similarities
from musiclab.measures.rolls import checked, ratio

# At most so many bins, and so many real windows a bin at least on average: fewer make no proportion to test.
MOST_BINS, WINDOWS_A_BIN = 100, 20
# Two proportions differ where their z is beyond this: 5 %, two-sided.
_Z = 1.959963984540054
_ROUNDS = 20
_SEED = 0  # of where k-means starts: the same reference always has the same bins


def bin_centres(real: np.ndarray) -> np.ndarray:
    """Centres `(K, d)` of the bins that k-means finds in real windows `(n, d)`, vectors of one scale.

    K = n / 20, at most 100 and at least 2, and never more than there are different windows. k-means++ and at most 20
    rounds of Lloyd's algorithm, from a fixed seed.

    Source: Arthur and Vassilvitskii 2007; Lloyd 1982.
    """
    centres = _spread(real, max(2, min(MOST_BINS, len(real) // WINDOWS_A_BIN)))
    before = None
    for _ in range(_ROUNDS):
        bins = _bins(real, centres)
        if np.array_equal(bins, before):
            break
        counts, sums = np.bincount(bins, minlength=len(centres)), np.zeros_like(centres)
        np.add.at(sums, bins, real)
        # A bin that has run empty keeps its centre.
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
        before = bins
    return centres


def _spread(vectors: np.ndarray, most: int) -> np.ndarray:
    """At most `most` different rows, each drawn by its squared distance to the nearest one before."""
    rng = np.random.default_rng(_SEED)
    rows = [int(rng.integers(len(vectors)))] if len(vectors) else []
    nearest = cdist(vectors, vectors[rows], "sqeuclidean").min(axis=1, initial=np.inf)
    while len(rows) < most and nearest.any():
        rows.append(int(rng.choice(len(vectors), p=nearest / nearest.sum())))
        nearest = np.minimum(nearest, cdist(vectors, vectors[rows[-1:]], "sqeuclidean")[:, 0])
    return vectors[rows]


@dataclass(frozen=True)
class BinsCompared:
    """The two measures of `bins_compared`; NaN where a set is empty or there is one bin only."""

    different: float
    jsd: float


def bins_compared(generated: np.ndarray, real: np.ndarray, centres: np.ndarray) -> BinsCompared:
    """How the windows of both sets fall into bins, each window into that of the nearest centre.

        different (NDB/K): share of bins in which the proportions of the two sets differ at the 5 % level, by the
            two-proportion z-test with a pooled variance. Two sets of one source differ in about 5 % of the bins where
            windows are drawn independently, and in more where some are of one song, as real ones are too.
        jsd: Jensen-Shannon divergence of the two proportions over bins, in bits, 0 for equal ones and 1 at most. It
            is above 0 by chance for finite sets, by about K / (8 ln 2) (1/n + 1/m).

    Lower is better for both; compare only equally large sets, for more windows show smaller differences.

    Args:
        generated: vectors `(n, d)`.
        real: vectors `(m, d)`.
        centres: of the bins `(K, d)`, of real windows, see `bin_centres`.

    Source: Richardson and Weiss 2018, "On GANs and GMMs".
    """
    if not len(generated) or not len(real) or len(centres) < 2:
        return BinsCompared(float("nan"), float("nan"))
    ours, theirs = _counts(generated, centres), _counts(real, centres)
    n, m = len(generated), len(real)
    p, q, pooled = ours / n, theirs / m, (ours + theirs) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    middle = (p + q) / 2
    jsd = (_kl_bits(p, middle) + _kl_bits(q, middle)) / 2
    return BinsCompared(float((np.abs(p - q) > _Z * error).mean()), float(max(0.0, jsd)))


def distinct_windows(rolls: np.ndarray) -> float:
    """How many different windows there seem to be to draw from, by how often two of the set are nearly the same.

    Of N equally likely things, two draws are the same with probability 1 / N; so N is about pairs / near-duplicate
    pairs, with n (n - 1) / 2 pairs of windows and those that are duplicates of a Jaccard similarity of .95 at least
    (two silent windows are). Without any duplicate the value is that of one, n (n - 1) / 2, and is a lower bound: the
    set is too small to see more. So compare only equally large sets. Windows that follow one another are draws as any
    others: music that repeats itself has fewer. Best closest to the value of as many real windows.

    Args:
        rolls: bool `(n, track, time, pitch)`.

    Returns:
        Windows, 1 (all the same) to n (n - 1) / 2; NaN for fewer than two windows.

    Source: after the birthday paradox test of Arora and Zhang 2017, "Do GANs actually learn the distribution?".
    """
    n = len(checked(rolls))
    duplicates = 0.0
    for rows, columns, similarities in row_similarities(flat_rows(rolls)):
        alike = np.count_nonzero(similarities >= DUPLICATE)
        # A block on the diagonal holds each pair twice, and each window with itself.
        duplicates += (alike - len(similarities)) / 2 if rows == columns else alike
    return float(ratio(n * (n - 1) / 2, max(1.0, duplicates))) if n > 1 else float("nan")


def _counts(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Windows in each bin, `(K,)`."""
    return np.bincount(_bins(vectors, centres), minlength=len(centres))


def _bins(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The bin of each window, `(n,)`; of equally near centres the first has it."""
    return cdist(vectors, centres, "sqeuclidean").argmin(axis=1) if len(vectors) else np.zeros(0, np.int64)


def _kl_bits(p: np.ndarray, q: np.ndarray) -> float:
    inside = p > 0
    return float((p[inside] * np.log2(p[inside] / q[inside])).sum())
