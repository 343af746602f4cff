"""Bins and duplicates, by hand."""

import numpy as np
import pytest

from musiclab.measures.bins import bin_centres, bins_compared, distinct_windows

CENTRES = np.array([[0.0], [10.0]])


def of(*counts: int) -> np.ndarray:
    """Vectors of which so many are nearest to each of CENTRES, not quite at it."""
    return np.repeat([[1.0], [9.0]], counts, axis=0)


def test_bins_differ_by_the_two_proportion_test() -> None:
    # 50 of 100 against 64 of 100: pooled .57, error .0700, z = 2.0; against 63: z = 1.86.
    assert bins_compared(of(64, 36), of(50, 50), CENTRES).different == 1
    assert bins_compared(of(63, 37), of(50, 50), CENTRES).different == 0
    # 100 of 100 against 97: of the pooled .985, z = 1.75; without pooling the first would vary by nothing.
    assert bins_compared(of(100, 0), of(97, 3), CENTRES).different == 0
    # As many more windows make a smaller difference one.
    assert bins_compared(of(630, 370), of(500, 500), CENTRES).different == 1


def test_only_the_bins_that_differ_count() -> None:
    centres = np.array([[0.0], [10.0], [20.0], [30.0]])
    real = np.repeat(centres, 50, axis=0)
    generated = np.repeat(centres, [50, 50, 90, 10], axis=0)
    assert bins_compared(generated, real, centres).different == 2 / 4


def test_a_bin_that_both_leave_empty_does_not_differ() -> None:
    found = bins_compared(of(10, 0), of(10, 0), CENTRES)
    assert (found.different, found.jsd) == (0, 0)


def test_divergence_of_the_proportions_in_bits() -> None:
    assert bins_compared(of(10, 0), of(0, 10), CENTRES).jsd == pytest.approx(1)
    assert bins_compared(of(5, 5), of(50, 50), CENTRES).jsd == 0
    # (1, 0) and (1/2, 1/2) have the middle (3/4, 1/4).
    expected = (np.log2(4 / 3) + np.log2(2 / 3) / 2 + np.log2(2) / 2) / 2
    assert bins_compared(of(8, 0), of(5, 5), CENTRES).jsd == pytest.approx(expected)


def test_nothing_to_compare_is_nan() -> None:
    for generated, real, centres in (
        (of(0, 0), of(1, 1), CENTRES),
        (of(1, 1), of(0, 0), CENTRES),
        (of(1, 1),) * 2 + (CENTRES[:1],),
    ):
        found = bins_compared(generated, real, centres)
        assert np.isnan(found.different) and np.isnan(found.jsd)


def test_bins_are_the_clumps_there_are() -> None:
    rng = np.random.default_rng(0)
    clumps = rng.normal(scale=0.01, size=(60, 2)) + np.repeat([[0, 0], [5, 0], [0, 5]], 20, axis=0)
    centres = bin_centres(clumps)
    assert centres[np.lexsort(centres.T)] == pytest.approx(np.array([[0, 0], [5, 0], [0, 5]]), abs=0.02)


def test_a_centre_is_the_mean_of_its_windows() -> None:
    real = np.random.default_rng(1).normal(size=(400, 3))
    centres = bin_centres(real)
    assert len(centres) == 20
    bins = np.linalg.norm(real[:, None] - centres, axis=2).argmin(axis=1)
    means = np.array([real[bins == number].mean(axis=0) for number in range(20)])
    assert np.abs(centres - means).mean() < 0.02  # after twenty rounds, which need not be the last
    np.testing.assert_array_equal(bin_centres(real), centres)


@pytest.mark.parametrize(("windows", "bins"), [(0, 0), (1, 1), (2, 2), (39, 2), (60, 3), (2000, 100), (2500, 100)])
def test_how_many_bins_there_are(windows: int, bins: int) -> None:
    assert bin_centres(np.random.default_rng(0).normal(size=(windows, 2))).shape == (bins, 2)


def test_there_are_never_more_bins_than_different_windows() -> None:
    assert bin_centres(np.ones((100, 3))).tolist() == [[1, 1, 1]]
    assert sorted(bin_centres(np.repeat([[0.0], [4.0]], 100, axis=0)).ravel()) == [0, 4]


def windows(*cells: int) -> np.ndarray:
    """Windows of 8 steps, each with one cell on."""
    rolls = np.zeros((len(cells), 5, 8, 128), bool)
    rolls[np.arange(len(cells)), 1, 0, cells] = True
    return rolls


def test_pairs_over_duplicate_pairs() -> None:
    assert distinct_windows(windows(60, 60, 62, 64)) == 6 / 1
    assert distinct_windows(windows(60, 60, 60, 64)) == 6 / 3
    assert distinct_windows(windows(60, 60, 62, 62)) == 6 / 2
    assert distinct_windows(windows(60, 60)) == 1


def test_no_duplicate_is_a_lower_bound() -> None:
    assert distinct_windows(windows(60, 61, 62, 63)) == 6
    assert np.isnan(distinct_windows(windows(60)))
    assert np.isnan(distinct_windows(windows()))


def test_near_duplicates_count_and_blocks_do_not() -> None:
    rng = np.random.default_rng(0)
    rolls = np.zeros((600, 5, 8, 128), bool)
    rolls[..., 40:60] = rng.random((600, 5, 8, 20)) < 0.2
    near = rolls.copy()
    near[599] = near[0]
    on = np.argwhere(near[599])[0]
    near[(599, *on)] = False  # one of some 160 cells
    assert distinct_windows(rolls) == 600 * 599 / 2
    near[300:303] = near[300]
    assert distinct_windows(near) == 600 * 599 / 2 / 4


def test_a_source_of_so_many_windows_seems_to_have_so_many() -> None:
    drawn = np.random.default_rng(4).integers(100, size=400)
    assert distinct_windows(windows(*drawn)) == pytest.approx(100, rel=0.1)
