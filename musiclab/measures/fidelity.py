"""Whether generated windows lie where real ones do, and everywhere they do: by nearest neighbours in `embed`."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from musiclab.measures import embedding

# A window's reach is the distance to its k-th nearest neighbour, with the papers' k: for precision and recall, and for
# density and coverage.
MANIFOLD_K, DENSITY_K = 3, 5
# Rows compared at once: 4 MB of distances to 2,000 windows.
_ROWS_AT_ONCE = 256


def scaled(vectors: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Vectors of `embed` on the scale of the Frechet distance: (feature - its mean) / its sd in the reference.

    A feature that hardly varies in the reference is divided by the same floor as in the Frechet distance.

    Args:
        vectors: `(n, d)`.
        reference: `(r, d)`, of real windows.

    Returns:
        `(n, d)`; NaN if the reference has fewer than two windows.
    """
    if len(reference) < 2:
        return np.full_like(vectors, np.nan)
    # With other floors, this and the Frechet distance would disagree on what is far.
    sds = np.maximum(reference.std(axis=0, ddof=1), embedding.SD_FLOORS)
    standardised: np.ndarray = (vectors - reference.mean(axis=0)) / sds
    return standardised


@dataclass(frozen=True)
class Fidelity:
    """Three shares and a ratio, see `fidelity`; NaN if a set has too few windows to have a k-th neighbour."""

    precision: float
    recall: float
    density: float
    coverage: float


def fidelity(generated: np.ndarray, real: np.ndarray) -> Fidelity:
    """Precision and recall of generated windows, and density and coverage, by nearest neighbours.

    A window's reach is the Euclidean distance to its k-th nearest neighbour in its own set, itself left out. Its ball
    holds everything within its reach. Then

        precision: share of generated windows in the ball of any real one (k = 3), which shows fidelity;
        recall: share of real windows in the ball of any generated one (k = 3), which shows variety;
        density: mean number of real balls (k = 5) that a generated window lies in, divided by 5; above 1 if generated
            windows crowd where real ones are densest;
        coverage: share of real windows whose ball (k = 5) holds a generated one.

    Higher is better. All four change with the sizes of the sets, so give as many generated windows as real ones, as
    the papers do. For two sets of equal size from one source the expected density is 1 and the expected coverage
    1 - 2^-5 = .97. Precision and recall have no such value, so read them beside the floor. The ball of one outlier can
    hold much of the other set. This inflates precision and recall, but hardly density and coverage.

    Args:
        generated: vectors `(n, d)`, on the same scale as `real`, see `scaled`.
        real: vectors `(m, d)`.

    Returns:
        Precision is NaN unless there are 4 real windows and one generated window; recall, unless there are 4 generated
        windows and one real window; density and coverage, unless there are 6 real windows and one generated window.

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
    """Each window's squared reach `(n,)` for both k; NaN (nothing lies within it) if there are too few windows."""
    result = {k: np.full(len(vectors), np.nan) for k in (MANIFOLD_K, DENSITY_K)}
    ranks = [k for k in result if len(vectors) > k]
    if ranks:
        for rows, distances in _blocks(vectors, vectors):
            nearest = np.partition(distances, ranks, axis=1)  # place 0 is the window itself
            for k in ranks:
                result[k][rows] = nearest[:, k]
    return result


def _blocks(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances of some rows of `a` to all of `b`, block by block.

    They are computed pair by pair and not as a product of matrices. So two windows are equally far apart in whatever
    order the sets are, and a window exactly at another's reach lies within it.
    """
    for first in range(0, len(a), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        yield rows, cdist(a[rows], b, "sqeuclidean")
