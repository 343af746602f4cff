"""Features of windows, their histograms, and the overlap of their distances, by hand."""

import numpy as np
import pytest

from musiclab.measures.distributions import FEATURES, Feature, distances_compared, features, histograms

DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)
LINE = Feature("", "", (0.0, 256.0, 512.0))  # the grid's steps are 1


def windows(*of: list[tuple[int, slice | int, int]]) -> np.ndarray:
    """Windows of 8 steps, a list of (track, steps, pitch) each."""
    rolls = np.zeros((len(of), 5, 8, 128), bool)
    for number, notes in enumerate(of):
        for track, steps, pitch in notes:
            rolls[number, track, steps, pitch] = True
    return rolls


def by_name(rolls: np.ndarray, resolution: int = 2) -> dict[str, list[float]]:
    return {name: column.tolist() for name, column in zip(FEATURES, features(rolls, resolution).T, strict=True)}


def test_features_of_a_window() -> None:
    notes = [(PIANO, slice(0, 4), 60), (GUITAR, slice(2, 4), 72), (BASS, 6, 43), (DRUMS, slice(0, 3), 36)]
    assert by_name(windows(notes)) == {
        "onsets": [3 / 4],
        "note_length": [7 / 3 / 2],
        "polyphony": [7 / 5],
        "pitch_classes": [2],  # C, also an octave higher, and G
        "mean_pitch": [pytest.approx((4 * 60 + 2 * 72 + 43) / 7)],
        "pitch_range": [72 - 43],
        "drum_hits": [3 / 4],  # each step of drums is a hit
        "silence": [3 / 8],  # steps 4, 5 and 7
        "tracks": [4],
    }


def test_windows_without_pitched_notes() -> None:
    found = by_name(windows([], [(DRUMS, 1, 36)]))
    for name in ("note_length", "polyphony", "mean_pitch", "pitch_range"):
        assert np.isnan(found.pop(name)).all()
    assert found == {
        "onsets": [0, 0],
        "pitch_classes": [0, 0],
        "drum_hits": [0, 1 / 4],
        "silence": [1, 7 / 8],
        "tracks": [0, 1],
    }
    assert features(windows(), 2).shape == (0, len(FEATURES))


def test_many_windows_are_as_one_by_one() -> None:
    rolls = np.random.default_rng(0).random((700, 5, 8, 128)) < 0.01
    one_by_one = np.concatenate([features(roll[None], 4) for roll in rolls])
    np.testing.assert_array_equal(features(rolls, 4), one_by_one)


def test_every_feature_says_what_it_is() -> None:
    for feature in FEATURES.values():
        assert feature.title and feature.unit
        assert (np.diff(feature.edges) > 0).all()


def test_histograms_count_each_window_once_and_nan_never() -> None:
    values = np.zeros((4, len(FEATURES)))
    values[:, list(FEATURES).index("tracks")] = [0, 3, 3, 5]
    values[:, list(FEATURES).index("mean_pitch")] = [1.0, 27.0, 200.0, np.nan]  # the bins are 3 wide, from 24 to 96
    found = histograms(values)
    assert found["tracks"] == [1, 0, 0, 2, 0, 1]
    assert found["mean_pitch"] == [1, 1, *[0] * 21, 1]
    assert all(len(found[name]) == len(feature.edges) - 1 for name, feature in FEATURES.items())
    assert all(type(count) is int for count in found["silence"])
    assert not any(map(any, histograms(np.zeros((0, len(FEATURES)))).values()))


def compared(generated: list[float], real: list[float]) -> tuple[float, float]:
    found = distances_compared(np.array(generated, float), np.array(real, float), LINE)
    return found.area, found.kl


def test_equal_distances_overlap_wholly_and_others_not() -> None:
    area, kl = compared([7] * 30, [7] * 30)
    assert (area, kl) == (pytest.approx(1, abs=1e-3), pytest.approx(0, abs=1e-3))
    area, kl = compared([107] * 30, [7] * 30)  # 100 from real windows, which are 0 from one another
    assert area < 0.01
    assert kl > 5


def test_a_window_is_at_no_distance_from_itself() -> None:
    # Real against real: 0 to 100 only. With themselves counted, half of these distances would be 0 and the area 1.
    area, _ = compared([0, 100], [0, 100])
    assert area == pytest.approx(0.5, abs=0.2)
    assert compared([0, 100], [0, 100])[1] > 0.1


def test_area_and_divergence_by_hand() -> None:
    # 1,000 real windows at 0 and 1,000 at 200: distances 0 and 200, close to one half each (999 to 1,000). To the
    # generated ones, a quarter of which is at 200: 0 and 200 as often again. At 0 alone: the same. So put these at 100.
    real = [0] * 1000 + [200] * 1000
    area, kl = compared([0] * 300 + [100] * 100, real)
    # p: 1/2 at 0, 1/2 at 200. q: 3/8 at 0, 3/8 at 200, 1/4 at 100. The bandwidth, 100 x 1,999,000^-.2, parts them.
    assert area == pytest.approx(3 / 4, abs=1e-3)
    assert kl == pytest.approx(np.log(4 / 3), abs=1e-3)


def test_divergence_is_finite_where_nothing_overlaps() -> None:
    area, kl = compared([500] * 50, [0] * 50)
    assert area < 0.01
    # The pairs (1,225 real ones counted twice) against an imaginary one over 513 steps and the kernel's reach.
    assert 5 < kl < 20


def test_order_and_shift_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    generated, real = rng.integers(100, 300, 50), rng.integers(100, 300, 70)
    assert compared(generated, real) == pytest.approx(compared(generated[::-1] + 90, real[::-1] + 90))
    assert compared(generated, real) == pytest.approx(compared(512 - generated, 512 - real))


def test_what_lies_outside_the_edges_counts_at_them() -> None:
    assert compared([-50, 900], [0, 512, 3]) == compared([0, 512], [0, 512, 3])


def test_values_that_are_missing() -> None:
    assert np.isnan(compared([], [1, 2])).all()
    assert np.isnan(compared([1], [2])).all()
    assert np.isnan(compared([np.nan], [1, 2])).all()
    assert compared([1, np.nan], [1, 5, np.nan]) == compared([1], [1, 5])
