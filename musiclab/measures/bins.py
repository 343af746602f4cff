"""Whether generated windows fall into the same bins as real ones, and an estimate of how many different ones exist."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from musiclab.measures.pairs import DUPLICATE, flat_cells, similarity_blocks
from musiclab.measures.rolls import checked, ratio

# The largest number of bins, and the smallest mean number of real windows per bin: with fewer no proportion can be
# tested.
MOST_BINS, WINDOWS_A_BIN = 100, 20
# Two proportions differ if their |z| is above this: 5 %, two-sided.
_Z = 1.959963984540054
_ROUNDS = 20
_SEED = 0  # of the starting centres of k-means: the same reference always has the same bins


def bin_centres(real: np.ndarray) -> np.ndarray:
    """Centres of the bins that k-means finds in real windows: k-means++, then at most 20 rounds of Lloyd's algorithm.

    K = n / 20, at most 100 and at least 2, but never more than the number of different windows. The seed is fixed.

    Args:
        real: vectors `(n, d)`, all features on one scale.

    Returns:
        `(K, d)`; `(0, d)` if there are no windows.

    Source: Arthur and Vassilvitskii 2007; Lloyd 1982.
    """
    centres = _spread(real, max(2, min(MOST_BINS, len(real) // WINDOWS_A_BIN)))
    before: np.ndarray | None = None
    for _ in range(_ROUNDS):
        bins = _bins(real, centres)
        if before is not None and np.array_equal(bins, before):
            break
        counts, sums = np.bincount(bins, minlength=len(centres)), np.zeros_like(centres)
        np.add.at(sums, bins, real)
        # A bin that has become empty keeps its centre.
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
        before = bins
    return centres


def _spread(vectors: np.ndarray, most: int) -> np.ndarray:
    """At most `most` different rows, each drawn in proportion to its squared distance to the nearest row so far."""
    rng = np.random.default_rng(_SEED)
    rows = [int(rng.integers(len(vectors)))] if len(vectors) else []
    nearest = cdist(vectors, vectors[rows], "sqeuclidean").min(axis=1, initial=np.inf)
    while len(rows) < most and nearest.any():
        rows.append(int(rng.choice(len(vectors), p=nearest / nearest.sum())))
        nearest = np.minimum(nearest, cdist(vectors, vectors[rows[-1:]], "sqeuclidean")[:, 0])
    return vectors[rows]


@dataclass(frozen=True)
class BinsCompared:
    """The two measures of `bins_compared`; NaN if a set is empty or if there are fewer than two bins."""

    different: float
    jsd: float


def bins_compared(generated: np.ndarray, real: np.ndarray, centres: np.ndarray) -> BinsCompared:
    """Compare how the windows of two sets spread over bins. Each window falls into the bin of the nearest centre.

        different (NDB/K): share of bins in which the proportions of the two sets differ at the 5 % level, by the
            two-proportion z-test with a pooled variance. Two sets of one source differ in about 5 % of the bins if
            windows are drawn independently, and in more if some windows come from one song, as real windows do.
        jsd: Jensen-Shannon divergence of the two distributions over bins, in bits, from 0 (equal) to 1. Two finite
            sets of one source have about K / (8 ln 2) (1/n + 1/m) by chance.

    Lower is better for both. Compare only equally large sets, because larger sets show smaller differences.

    Args:
        generated: vectors `(n, d)`.
        real: vectors `(m, d)`.
        centres: `(K, d)`, of the bins of real windows, see `bin_centres`.

    Returns:
        NaN for both if a set is empty or if there are fewer than two bins.

    Source: Richardson and Weiss 2018, "On GANs and GMMs".
    """
    if not len(generated) or not len(real) or len(centres) < 2:
        return BinsCompared(float("nan"), float("nan"))
    generated_counts, real_counts = _counts(generated, centres), _counts(real, centres)
    n, m = len(generated), len(real)
    p, q, pooled = generated_counts / n, real_counts / m, (generated_counts + real_counts) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    middle = (p + q) / 2
    jsd = (_kl_bits(p, middle) + _kl_bits(q, middle)) / 2
    return BinsCompared(float((np.abs(p - q) > _Z * error).mean()), float(max(0.0, jsd)))


def distinct_windows(rolls: np.ndarray) -> float:
    """Estimate of how many different windows the source has, from how often two windows of the set are nearly equal.

    Two draws from N equally likely things are equal with probability 1 / N. So N is about pairs / duplicate pairs: all
    n (n - 1) / 2 pairs of windows over the pairs with a Jaccard similarity of at least .95 (two silent windows are
    such a pair). If there is no duplicate pair, one is assumed; the value n (n - 1) / 2 is then a lower bound, because
    the set is too small to show more. So compare only equally large sets. Windows that follow one another count like
    any others, so music that repeats itself has a lower value. Best if closest to the value of as many real windows.

    Args:
        rolls: bool `(n, track, time, pitch)`.

    Returns:
        Windows, from 1 (all the same) to n (n - 1) / 2; NaN for fewer than two windows.

    Source: after the birthday paradox test of Arora and Zhang 2017, "Do GANs actually learn the distribution?".
    """
    n = len(checked(rolls))
    duplicates = 0.0
    for rows, columns, similarities in similarity_blocks(flat_cells(rolls)):
        count = np.count_nonzero(similarities >= DUPLICATE)
        # A block on the diagonal holds each pair twice, and each window with itself.
        duplicates += (count - len(similarities)) / 2 if rows == columns else count
    return float(ratio(n * (n - 1) / 2, max(1.0, duplicates))) if n > 1 else float("nan")


def _counts(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Windows in each bin, `(K,)`."""
    return np.bincount(_bins(vectors, centres), minlength=len(centres))


def _bins(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The bin of each window, `(n,)`: that of the nearest centre, the first of equally near ones."""
    return cdist(vectors, centres, "sqeuclidean").argmin(axis=1) if len(vectors) else np.zeros(0, np.int64)


def _kl_bits(p: np.ndarray, q: np.ndarray) -> float:
    """KL divergence of p from q in bits; bins with p = 0 add nothing."""
    inside = p > 0
    return float((p[inside] * np.log2(p[inside] / q[inside])).sum())
