"""Whether generated windows lie where real ones do, and in all the places: by nearest neighbours in `embed`."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from musiclab.measures.embedding import SMALLEST_SDS

# The neighbour whose distance is a window's reach, as in the papers: of precision and recall, of density and coverage.
MANIFOLD_K, DENSITY_K = 3, 5
# Rows compared at once: 4 MB of distances to 2,000 windows.
_ROWS_AT_ONCE = 256


def scaled(vectors: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Vectors of `embed`, each feature less its mean and over its sd in the reference.

    The scale of the Frechet distance: a feature that hardly varies in the reference is over the same floor as there.
    `vectors` are `(n, d)` and the reference `(r, d)`; NaN for a reference of fewer than two.
    """
    if len(reference) < 2:
        return np.full_like(vectors, np.nan)
    # The floors are the Frechet distance's own: on another scale the two would disagree on what is far.
    sds = np.maximum(reference.std(axis=0, ddof=1), SMALLEST_SDS)
    return (vectors - reference.mean(axis=0)) / sds


@dataclass(frozen=True)
class Fidelity:
    """Four shares and ratios, see `fidelity`; NaN where a set has too few windows to have the neighbours asked for."""

    precision: float
    recall: float
    density: float
    coverage: float


def fidelity(generated: np.ndarray, real: np.ndarray) -> Fidelity:
    """Precision and recall of the generated windows' manifold, and its density and coverage of the real one.

    A window's reach is the Euclidean distance to its k-th nearest neighbour of its own set, itself left out; its ball
    holds all that is no further away. Then

        precision: share of generated windows in the ball of any real one (k = 3), fidelity;
        recall: share of real windows in the ball of any generated one (k = 3), variety;
        density: mean number of real balls (k = 5) that a generated window lies in, over 5; above 1 where generated
            windows crowd where real ones are densest;
        coverage: share of real windows whose ball (k = 5) holds a generated one.

    Higher is better. All grow or shrink with the sizes of the sets, so give as many generated windows as real ones, as
    the papers do. For two such sets of one source density is 1 on average, and coverage 1 - 2^-5 = .97; precision and
    recall have no such value: read them beside the floor. One outlier's ball can hold much of the other set, which
    hurts precision and recall, and density and coverage hardly.

    Args:
        generated: vectors `(n, d)`, of one scale with `real`, see `scaled`.
        real: vectors `(m, d)`.

    Returns:
        Precision needs 4 real windows and a generated one, recall 4 generated ones and a real one, density and coverage
        6 real windows and a generated one; else NaN.

    Source: Kynkaanniemi et al. 2019 (precision and recall, k = 3); Naeem et al. 2020 (density and coverage, k = 5).
    """
    nan = float("nan")
    if not len(generated) or not len(real):
        return Fidelity(nan, nan, nan, nan)
    real_reach, generated_reach = _reaches(real), _reaches(generated)
    among_real = np.zeros(len(generated), bool)
    balls = np.zeros(len(generated), np.int64)
    among_generated, covered = np.zeros((2, len(real)), bool)
    for rows, distances in _blocks(generated, real):
        among_real[rows] = (distances <= real_reach[MANIFOLD_K]).any(axis=1)
        among_generated |= (distances <= generated_reach[MANIFOLD_K][rows, None]).any(axis=0)
        held = distances <= real_reach[DENSITY_K]
        balls[rows] = held.sum(axis=1)
        covered |= held.any(axis=0)
    return Fidelity(
        precision=float(among_real.mean()) if len(real) > MANIFOLD_K else nan,
        recall=float(among_generated.mean()) if len(generated) > MANIFOLD_K else nan,
        density=float(balls.mean() / DENSITY_K) if len(real) > DENSITY_K else nan,
        coverage=float(covered.mean()) if len(real) > DENSITY_K else nan,
    )


def _reaches(vectors: np.ndarray) -> dict[int, np.ndarray]:
    """Each window's squared reach `(n,)` for both k; NaN, within which nothing lies, for too few windows."""
    result = {k: np.full(len(vectors), np.nan) for k in (MANIFOLD_K, DENSITY_K)}
    ranks = [k for k in result if len(vectors) > k]
    if ranks:
        for rows, distances in _blocks(vectors, vectors):
            nearest = np.partition(distances, ranks, axis=1)  # place 0 is the window itself
            for k in ranks:
                result[k][rows] = nearest[:, k]
    return result


def _blocks(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances of some rows of `a` to all of `b`.

    Worked out pair by pair and not as a product of matrices: so the same two windows are equally far apart wherever
    they stand, and a window that is exactly at another's reach is within it.
    """
    for first in range(0, len(a), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        yield rows, cdist(a[rows], b, "sqeuclidean")
