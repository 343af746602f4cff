"""The flat dicts of measures: their names, their means over tracks, and the floors of real music."""

import numpy as np
import pytest

from musiclab.measures.registry import MEASURES, find_measure
from musiclab.measures.suite import floors, music_measures, posterior_measures, reconstruction_measures, set_measures

DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)


def random_rolls(seed: int, n: int) -> np.ndarray:
    rolls = np.zeros((n, 5, 32, 128), dtype=bool)
    rolls[..., 40:80] = np.random.default_rng(seed).random((n, 5, 32, 40)) < 0.05
    return rolls


def everything(rolls: np.ndarray) -> dict[str, float]:
    means = np.random.default_rng(9).normal(size=(len(rolls), 3))
    return (
        music_measures(rolls, 2)
        | reconstruction_measures(rolls, rolls)
        | posterior_measures({"Piano": (means, np.zeros(len(rolls))), "Bass": (means, np.zeros(len(rolls)))})
        | set_measures(rolls, np.arange(len(rolls)) // 2, rolls, 2, len(rolls))
    )


def test_the_plain_names_are_exactly_the_declared_measures() -> None:
    values = everything(random_rolls(0, 8))
    assert {name for name in values if "." not in name} == {measure.full_name for measure in MEASURES}
    for name, value in values.items():
        find_measure(name.partition(".")[0])
        assert type(value) is float


def test_parts_are_tracks_and_pairs() -> None:
    values = everything(random_rolls(0, 8))
    assert {name for name in values if name.startswith("music/empty_bars.")} == {
        f"music/empty_bars.{track}" for track in ("Drums", "Piano", "Guitar", "Bass", "Strings")
    }
    assert "music/tonal_distance.Piano-Guitar" in values
    assert sum(name.startswith("music/tonal_distance.") for name in values) == 6


def test_the_plain_value_is_the_mean_over_parts_that_have_one() -> None:
    rolls = np.zeros((1, 5, 8, 128), dtype=bool)
    rolls[0, PIANO, 0, [60, 64, 67]] = True
    rolls[0, BASS, 0, 36] = True
    values = music_measures(rolls, resolution=2)
    assert values["music/used_pitch_classes"] == 2  # 3 and 1; drums and the silent tracks have none
    assert np.isnan(values["music/used_pitch_classes.Drums"])
    assert values["music/empty_bars"] == pytest.approx(3 / 5)


def test_nothing_at_all_is_nan_everywhere() -> None:
    values = everything(random_rolls(0, 0))
    assert all(np.isnan(value) for name, value in values.items() if not name.startswith("latent/kl"))
    assert np.isnan(values["latent/kl"])


def test_a_set_against_itself_is_perfect() -> None:
    values = everything(random_rolls(0, 30))
    assert values["set/frechet"] == pytest.approx(0, abs=1e-6)
    assert values["set/diversity_ratio"] == 1
    assert values["latent/frame_f1"] == values["latent/onset_recall.Drums"] == 1


def test_kl_is_summed_over_dimensions_and_averaged_over_tracks() -> None:
    means = np.array([[1.0, 2.0], [-1.0, -2.0]])
    values = posterior_measures({"Piano": (means, np.zeros(2)), "Bass": (means * [0, 1], np.zeros((2, 1)))})
    assert values == {
        "latent/active_units": 1.5,
        "latent/active_units.Piano": 2,
        "latent/active_units.Bass": 1,
        "latent/kl": 2.25,
        "latent/kl.Piano": 2.5,
        "latent/kl.Bass": 2,
    }


def floors_of(other: np.ndarray, reference: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Floors where each song has two windows."""
    other_songs, reference_songs = np.arange(len(other)) // 2, np.arange(len(reference)) // 2
    return floors(other, other_songs, reference, reference_songs, 2, np.random.default_rng(seed))


def test_floors_of_a_set_against_itself_are_zero_and_its_values_are_the_real_ones() -> None:
    real = random_rolls(0, 40)
    result = floors_of(real, real)
    assert result["music/note_density.Piano"] == music_measures(real, 2)["music/note_density.Piano"] > 0
    assert result["music/note_density.floor"] == result["music/tonal_distance.Piano-Bass.floor"] == 0
    assert result["set/frechet.floor"] == pytest.approx(0, abs=1e-6)
    assert result["set/diversity_ratio.floor"] == result["set/start_sensitivity.floor"] == 0
    assert result["set/diversity_ratio"] == 1


def test_floors_are_the_differences_between_the_sets() -> None:
    other, reference = random_rolls(0, 40), random_rolls(1, 40)
    reference[20:, PIANO] = False
    result = floors_of(other, reference)
    real = music_measures(reference, 2)["music/empty_bars.Piano"]
    assert result["music/empty_bars.Piano"] == real >= 0.5
    assert result["music/empty_bars.Piano.floor"] == pytest.approx(real, abs=0.05)
    assert result["set/frechet.floor"] > 1
    # Random windows of density 0.05 in forty pitches agree by chance: F1 about 0.05.
    assert result["latent/frame_f1.Guitar.floor"] == pytest.approx(0.05, abs=0.02)
    assert all(type(value) is float for value in result.values())


def test_the_real_sensitivity_is_that_of_windows_to_their_songs() -> None:
    songs = np.repeat(random_rolls(0, 20), 2, axis=0)  # each song repeats itself exactly
    unlike = random_rolls(1, 40)  # no song has anything of its own
    result = floors_of(unlike, songs)
    # Different songs are further apart than pairs are in general, some of which are of one song.
    assert result["set/start_sensitivity"] == pytest.approx(40 * 39 / (40 * 38), rel=1e-6)
    assert result["set/start_sensitivity.floor"] == pytest.approx(result["set/start_sensitivity"], abs=0.03)


def test_floors_name_a_real_value_for_every_measure_that_asks_for_one() -> None:
    result = floors_of(random_rolls(0, 6), random_rolls(1, 6))
    for measure in MEASURES:
        assert (measure.full_name in result) == (measure.better == "real")


def test_floors_follow_their_generator() -> None:
    other, reference = random_rolls(0, 20), random_rolls(1, 20)
    first, again, another = (floors_of(other, reference, seed) for seed in (3, 3, 4))
    np.testing.assert_equal(first, again)  # NaN is NaN
    assert first["latent/frame_f1.floor"] != another["latent/frame_f1.floor"]
