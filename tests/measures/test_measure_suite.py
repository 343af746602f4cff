"""The flat dicts of measures: their names, their means over tracks, and the floors of real music."""

import math

import numpy as np
import pytest

from musiclab.measures.baselines import COPIED_FROM, FLOOR, RANDOM, SHUFFLED, baseline_measures
from musiclab.measures.bins import bin_centres, bins_compared
from musiclab.measures.distributions import FEATURES, distances_compared, features
from musiclab.measures.embedding import TRACK_SD_FLOORS, embed, embed_tracks, frechet_distance
from musiclab.measures.fidelity import fidelity, scaled
from musiclab.measures.latent_suite import (
    activation_measures,
    likelihood_measures,
    noise_response_measures,
    posterior_measures,
    reconstruction_measures,
)
from musiclab.measures.originality import TrainingWindows, copied_from
from musiclab.measures.pairs import pairs
from musiclab.measures.registry import MEASURES, find_measure
from musiclab.measures.suite import (
    cut_at_best,
    first_variations,
    music_measures,
    next_window_measures,
    noise_sensitivity,
    set_measures,
    structure_measures,
    style_measures,
    token_measures,
    training_measures,
)
from musiclab.measures.variety import diversity_ratio, start_sensitivity
from musiclab.measures.window_set import WindowSet

DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)


def random_rolls(seed: int, n: int) -> np.ndarray:
    rolls = np.zeros((n, 5, 32, 128), dtype=bool)
    rolls[..., 40:80] = np.random.default_rng(seed).random((n, 5, 32, 40)) < 0.05
    return rolls


# Declared, but made by whoever can generate anew with another condition: see test_measuring.
GENERATED_ANEW = {"set/piano_sensitivity", "set/target_sensitivity"}


def as_variations(rolls: np.ndarray) -> np.ndarray:
    """Windows as starts of two variations of one window each."""
    return rolls.reshape(len(rolls) // 2, 2, 1, *rolls.shape[1:])


def real_windows(rolls: np.ndarray) -> WindowSet:
    """Windows where each song has two, and so is 64 steps long."""
    songs = [np.concatenate([first, second], axis=1) for first, second in zip(rolls[::2], rolls[1::2], strict=True)]
    return WindowSet(rolls, np.arange(len(rolls)) // 2, 2, songs)


def everything(rolls: np.ndarray) -> dict[str, float]:
    """All that the suite makes: the rolls against themselves, and for `style` each one's likeness to itself."""
    means = np.random.default_rng(9).normal(size=(len(rolls), 3))
    return (
        music_measures(rolls, 2)
        | reconstruction_measures(rolls, rolls)
        | activation_measures(rolls.astype(np.float32), rolls)
        | posterior_measures({"Piano": (means, np.zeros(len(rolls))), "Bass": (means, np.zeros(len(rolls)))})
        | likelihood_measures({})
        | noise_response_measures(rolls, rolls, [(0.5, rolls)], rolls)
        | next_window_measures(rolls, rolls, np.zeros(rolls.shape[1:]), rolls)
        | token_measures(1.0 if len(rolls) else np.nan, 2.0)
        | style_measures(rolls[:, None], np.eye(len(rolls)), [window[None] for window in rolls], 2)
        | structure_measures(list(real_windows(rolls).pieces), 2)
        | set_measures(as_variations(rolls), real_windows(rolls), len(rolls))
        | training_measures(TrainingWindows([random_rolls(7, 8)]).likeness(rolls), 0.1)
    )


def test_the_plain_names_are_exactly_the_declared_measures() -> None:
    values = everything(random_rolls(0, 8))
    made = {name for name in values if "." not in name}
    assert made | GENERATED_ANEW == {measure.full_name for measure in MEASURES}
    assert not made & GENERATED_ANEW
    for name, value in values.items():
        find_measure(name.partition(".")[0])
        assert type(value) is float


def test_parts_are_tracks_and_pairs() -> None:
    values = everything(random_rolls(0, 8))
    assert {name for name in values if name.startswith("music/empty_bars.")} == {
        f"music/empty_bars.{track}" for track in ("Drums", "Piano", "Guitar", "Bass", "Strings")
    }
    assert "music/tonal_distance.Piano-Guitar" in values
    assert "music/harmony_gain.Bass-Strings" in values
    assert {"next/next_f1.Bass", "next/gain_over_average.Drums", "set/noise_sensitivity.Strings"} <= set(values)
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
    del values["tokens/unigram_perplexity"]  # which was given
    assert all(np.isnan(value) for name, value in values.items() if not name.startswith("latent/kl"))
    assert np.isnan(values["latent/kl"])


def test_a_set_against_itself_is_perfect() -> None:
    rolls = random_rolls(0, 30)
    values = everything(rolls) | set_measures(rolls[:, None, None], real_windows(rolls), 30)
    assert values["set/frechet"] == pytest.approx(0, abs=1e-6)
    assert values["set/diversity_ratio"] == 1
    assert values["latent/frame_f1"] == values["latent/onset_recall.Drums"] == 1


def test_kl_is_summed_over_dimensions_and_averaged_over_tracks() -> None:
    means = np.array([[1.0, 2.0], [-1.0, -2.0]])
    values = posterior_measures({"Piano": (means, np.zeros(2)), "Bass": (means * [0, 1], np.zeros((2, 1)))})
    assert {name: value for name, value in values.items() if "active" in name or "kl" in name} == {
        "latent/active_units": 1.5,
        "latent/active_units.Piano": 2,
        "latent/active_units.Bass": 1,
        "latent/kl": 2.25,
        "latent/kl.Piano": 2.5,
        "latent/kl.Bass": 2,
    }


def floors_of(other: np.ndarray, reference: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Floors and ceilings where each song has two windows."""
    training = TrainingWindows([random_rolls(7, 8)])
    return baseline_measures(real_windows(other), real_windows(reference), training, np.random.default_rng(seed))


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


def test_the_scale_has_all_that_a_measure_is_read_on() -> None:
    result = floors_of(random_rolls(0, 6), random_rolls(1, 6))
    for measure in MEASURES:
        assert (measure.full_name in result) == (measure.better == "real"), measure.full_name
        if measure.group in ("music", "set") and measure.better != "neither":
            for suffix in (FLOOR, SHUFFLED, RANDOM):
                assert measure.full_name + suffix in result
    assert result["latent/density_ratio"] == 1
    assert all(type(value) is float for value in result.values())


def chords(seed: int, songs: int) -> np.ndarray:
    """Two windows of each song: piano, guitar and bass play notes of one triad, the piano in eighths."""
    rolls = np.zeros((2 * songs, 5, 32, 128), bool)
    rng = np.random.default_rng(seed)
    for song in range(songs):
        root = 40 + rng.integers(12)
        for number in (2 * song, 2 * song + 1):
            for step in range(32):
                rolls[number, PIANO, step, root + 24 + rng.choice([0, 4, 7])] = True
            for step in range(0, 32, 4):
                rolls[number, GUITAR, step : step + 4, root + 12 + rng.choice([0, 4, 7], 2)] = True
                rolls[number, BASS, step : step + 4, root] = True
    return rolls


def test_ceilings_are_scores_and_worse_than_real_music() -> None:
    result = floors_of(chords(0, 40), chords(1, 40))
    real = result["music/harmony_gain"]
    assert real > 0.2
    # Not distances but values: exchanged tracks fit one another as any others do.
    assert result["music/harmony_gain.shuffled"] == pytest.approx(0, abs=0.1)
    assert result["music/harmony_gain.random"] == pytest.approx(0, abs=0.1)
    assert result["music/scale_consistency"] > 0.99 > 0.95 > result["music/scale_consistency.shuffled"]
    assert result["set/frechet.floor"] < result["set/frechet.shuffled"] < result["set/frechet.random"]
    assert result["set/precision.floor"] > 2 * result["set/precision.shuffled"]
    assert result["set/bins_jsd.floor"] < result["set/bins_jsd.random"]
    assert result["set/start_sensitivity.shuffled"] > 0.1  # the tracks of a song meet those of one other
    assert abs(result["set/start_sensitivity.random"]) < 0.05
    # What stays when tracks are exchanged, and when notes go elsewhere.
    other = music_measures(chords(0, 40), 2)
    assert result["music/note_density.shuffled"] == other["music/note_density"]
    assert result["music/note_length.shuffled"] == other["music/note_length"]
    assert result["music/note_density.random"] == pytest.approx(other["music/note_density"], rel=0.2)
    by_part = [name for name in result if name.endswith((SHUFFLED, RANDOM)) and name.count(".") > 1]
    assert {name.partition(".")[0] for name in by_part} == {"set/frechet"}


def test_a_track_alone_is_as_real_among_exchanged_tracks_and_not_among_random_notes() -> None:
    result = floors_of(chords(0, 40), chords(1, 40))
    for track in ("Piano", "Guitar"):
        floor, shuffled, random = (result[f"set/frechet.{track}{suffix}"] for suffix in (FLOOR, SHUFFLED, RANDOM))
        assert floor == pytest.approx(shuffled)
        assert random > 3 * floor > 0
    assert "set/frechet.Piano" not in result  # there is no value of real music


def test_ceilings_are_of_the_other_songs() -> None:
    other, reference = random_rolls(0, 12), random_rolls(1, 12)
    other[:, PIANO] = False
    result = floors_of(other, reference)
    assert result["music/empty_bars.shuffled"] == result["music/empty_bars.random"] == 1 / 5
    assert result["music/empty_bars"] == 0


def test_the_copied_rate_is_read_on_held_out_windows_of_the_reference() -> None:
    reference = random_rolls(1, 12)
    near = TrainingWindows([random_rolls(7, 8), reference[:1]])
    result = baseline_measures(real_windows(reference), real_windows(reference), near, np.random.default_rng(0))
    likeness = near.likeness(reference)
    assert result[COPIED_FROM] == copied_from(likeness) < 1
    assert result["set/copied_rate.floor"] == 1 / 12
    assert result["set/training_similarity"] == likeness.mean()
    assert result["set/training_similarity.floor"] == 0


def test_floors_follow_their_generator() -> None:
    other, reference = random_rolls(0, 20), random_rolls(1, 20)
    first, again, another = (floors_of(other, reference, seed) for seed in (3, 3, 4))
    np.testing.assert_equal(first, again)  # NaN is NaN
    assert first["latent/frame_f1.floor"] != another["latent/frame_f1.floor"]


def test_set_measures_are_those_of_the_flat_windows() -> None:
    made = random_rolls(0, 24).reshape(4, 3, 2, 5, 32, 128)  # 4 starts, 3 variations, 2 windows each
    real = random_rolls(1, 20)
    flat, starts = made.reshape(24, 5, 32, 128), np.repeat(np.arange(4), 6)
    flat[7] = flat[3]  # of one start, but not both of its first variation
    flat[12] = flat[0]
    first = made[:, 0].reshape(8, 5, 32, 128)
    values = set_measures(made, real_windows(real), 8)
    assert values["set/diversity_ratio"] == diversity_ratio(pairs(flat), pairs(real))
    assert values["set/start_sensitivity"] == start_sensitivity(pairs(flat, starts), pairs(real))
    assert values["set/duplicate_rate"] == pairs(first).duplicate_rate == 2 / 8
    assert values["set/noise_sensitivity"] == noise_sensitivity(made, real_windows(real))[0]
    assert values["set/noise_sensitivity.Bass"] == noise_sensitivity(made, real_windows(real))[1 + BASS]
    assert values["set/distinct_windows"] == 8 * 7 / 2
    assert values["set/frechet"] == frechet_distance(embed(first, 2), embed(real, 2), embed(real, 2))
    bass, real_bass = (embed_tracks(rolls, 2)[:, BASS] for rolls in (first, real))
    assert values["set/frechet.Bass"] == frechet_distance(bass, real_bass, real_bass, TRACK_SD_FLOORS)


def test_a_distance_of_one_track_depends_on_no_other() -> None:
    made, real = chords(0, 20)[:, None, None], real_windows(chords(1, 20))
    alone = made.copy()
    alone[:, :, :, GUITAR:] = False
    values, of_piano_alone = set_measures(made, real, 20), set_measures(alone, real, 20)
    assert values["set/frechet.Piano"] == of_piano_alone["set/frechet.Piano"]
    assert values["set/frechet.Bass"] < of_piano_alone["set/frechet.Bass"]
    assert values["set/frechet"] < of_piano_alone["set/frechet"]


def test_windows_are_compared_with_the_reference_on_its_scale() -> None:
    made, real = random_rolls(0, 30), chords(1, 20)
    values = set_measures(made[:, None, None], real_windows(real), 30)
    ours, theirs = (scaled(embed(rolls, 2), embed(real, 2)) for rolls in (made, real))
    assert values["set/density"] == 0
    back = set_measures(real[:, None, None], real_windows(real), 40)
    assert (back["set/precision"], back["set/coverage"], back["set/bins_jsd"], back["set/ndb"]) == (1, 1, 0, 0)
    binned = bins_compared(ours, theirs, bin_centres(theirs))
    assert (values["set/ndb"], values["set/bins_jsd"]) == (binned.different, binned.jsd)
    assert values["set/ndb"] > 0.5
    place = list(FEATURES).index("polyphony")
    overlap = distances_compared(features(made, 2)[:, place], features(real, 2)[:, place], FEATURES["polyphony"])
    assert values["set/overlap_area.polyphony"] == overlap.area < 0.1
    assert values["set/feature_kl.polyphony"] == overlap.kl
    areas = [values[f"set/overlap_area.{name}"] for name in FEATURES]
    assert values["set/overlap_area"] == np.nanmean(areas)


def test_neighbours_are_of_as_many_windows_of_one_set_as_of_the_other() -> None:
    made, real = chords(0, 15), chords(1, 20)
    values = set_measures(made[:, None, None], real_windows(real), 30)
    ours, theirs = (scaled(embed(rolls, 2), embed(real, 2)) for rolls in (made, real))
    near = fidelity(ours, theirs[:30])
    for name in ("precision", "recall", "density", "coverage"):
        assert values[f"set/{name}"] == getattr(near, name)
    assert near.coverage != fidelity(ours, theirs).coverage


def test_pairs_of_real_windows_are_of_as_many_as_are_generated() -> None:
    made, real = random_rolls(0, 8), random_rolls(1, 30)
    real[8:] = real[8]
    values = set_measures(made.reshape(4, 1, 2, 5, 32, 128), real_windows(real), 8)
    assert values["set/diversity_ratio"] == diversity_ratio(pairs(made), pairs(real[:8]))


def test_windows_are_spread_over_the_first_variations() -> None:
    made = random_rolls(0, 24).reshape(4, 3, 2, 5, 32, 128)
    rolls, starts = first_variations(made, 4)
    np.testing.assert_array_equal(rolls, made[:, 0, 0])
    assert starts.tolist() == [0, 1, 2, 3]
    rolls, starts = first_variations(made, 100)
    np.testing.assert_array_equal(rolls, made[:, 0].reshape(8, 5, 32, 128))
    assert starts.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_floor_of_duplicates_is_that_of_the_other_songs() -> None:
    other, reference = random_rolls(0, 20), random_rolls(1, 20)
    other[:5] = other[0]
    assert floors_of(other, reference)["set/duplicate_rate.floor"] == 5 / 20
    assert floors_of(reference, other)["set/duplicate_rate.floor"] == 0


def windows_of(cells: list[list[tuple[int, int, int]]]) -> np.ndarray:
    """Windows of 8 steps with the given (track, step, pitch) on."""
    rolls = np.zeros((len(cells), 5, 8, 128), dtype=bool)
    for number, window in enumerate(cells):
        for track, step, pitch in window:
            rolls[number, track, step, pitch] = True
    return rolls


def test_gains_are_differences_of_f1() -> None:
    actual = windows_of([[(PIANO, 0, 60), (PIANO, 1, 62)], [(PIANO, 0, 60), (PIANO, 2, 64)]])
    predicted = windows_of([[(PIANO, 0, 60), (PIANO, 1, 62)], [(PIANO, 0, 60), (BASS, 0, 40)]])
    last = windows_of([[(PIANO, 0, 60)], [(PIANO, 3, 60), (BASS, 0, 40)]])
    mean = np.zeros((5, 8, 128))
    mean[PIANO, 0, 60], mean[PIANO, 1, 62], mean[PIANO, 7, 90] = 0.9, 0.2, 0.2
    values = next_window_measures(predicted, last, mean, actual)
    assert values["next/next_f1.Piano"] == pytest.approx(2 * 3 / (3 + 4))
    assert values["next/gain_over_repeat.Piano"] == pytest.approx(6 / 7 - 2 * 1 / (2 + 4))
    # The first cell alone: 2 hits, F1 4/6; with the next two, which are equally likely, 3 hits of 6, F1 6/10.
    assert values["next/gain_over_average.Piano"] == pytest.approx(6 / 7 - 4 / 6)
    assert values["next/next_f1.Bass"] == 0 and values["next/gain_over_repeat.Bass"] == 0
    assert np.isnan(values["next/gain_over_average.Bass"])  # silent is the best to say, and that has no F1
    assert values["next/next_f1"] == pytest.approx(3 / 7)
    assert all(np.isnan(values[f"next/{name}.Drums"]) for name in ("next_f1", "gain_over_repeat", "gain_over_average"))


def test_perplexities_and_the_bits_between_them() -> None:
    values = token_measures(math.log(8), math.log(32))
    assert values["tokens/perplexity"] == pytest.approx(8)
    assert values["tokens/unigram_perplexity"] == pytest.approx(32)
    assert values["tokens/bits_over_unigram"] == pytest.approx(2)


def test_no_loss_makes_an_infinite_number() -> None:
    values = token_measures(1e6, 2.0)
    assert values["tokens/perplexity"] == pytest.approx(1e30)
    assert values["tokens/bits_over_unigram"] == pytest.approx((2 - 1e6) / math.log(2))
    values = token_measures(math.inf, 2.0)
    assert values["tokens/perplexity"] == pytest.approx(1e30) and np.isnan(values["tokens/bits_over_unigram"])
    values = token_measures(2.0, math.nan)
    assert values["tokens/perplexity"] == pytest.approx(math.exp(2))
    assert np.isnan(values["tokens/unigram_perplexity"]) and np.isnan(values["tokens/bits_over_unigram"])
    values = token_measures(math.inf, math.inf)
    assert np.isnan(values["tokens/bits_over_unigram"]) and values["tokens/unigram_perplexity"] < math.inf


def test_style_measures_are_means_over_continuations() -> None:
    c = windows_of([[(PIANO, 0, 60)]])  # C on the first beat
    d = windows_of([[(PIANO, 2, 62)]])  # D on the second
    generated = np.stack([c, c, d])
    targets = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    values = style_measures(generated, targets, [np.concatenate([c, c]), d], resolution=2)
    assert values == {
        "style/similarity": pytest.approx(2 / 3),
        "style/specificity": pytest.approx((1 + 1 - 1) / 3),
        "style/retrieval": pytest.approx(2 / 3),
    }
    with pytest.raises(ValueError, match=r"targets must be \(3, 2\)"):
        style_measures(generated, np.zeros(3), [c, d], resolution=2)


def test_variations_that_are_copies_are_no_duplicates_and_count_once() -> None:
    rng = np.random.default_rng(3)
    one = rng.random((6, 1, 2, 5, 32, 128)) < 0.02
    reference = WindowSet(rng.random((20, 5, 32, 128)) < 0.02, np.arange(20), 2)
    single, copied = (set_measures(rolls, reference, 12) for rolls in (one, np.repeat(one, 3, axis=1)))
    assert copied["set/duplicate_rate"] == single["set/duplicate_rate"] == 0
    assert copied["set/frechet"] == pytest.approx(single["set/frechet"])
    assert copied["set/noise_sensitivity"] == 0


def test_predictions_are_cut_where_other_pairs_have_their_best_f1() -> None:
    rng = np.random.default_rng(0)
    tuning_actual = rng.random((4, 5, 8, 128)) < 0.1
    tuning_actual[:, 4] = False
    tuning = tuning_actual * 0.4 + rng.random(tuning_actual.shape)
    activations = rng.random((3, 5, 8, 128)) * 1.4
    found = cut_at_best(activations, tuning, tuning_actual)
    assert not found[:, 4].any()
    for track in range(4):
        scores = {}
        for threshold in np.unique(tuning[:, track]):
            on, real = tuning[:, track] >= threshold, tuning_actual[:, track]
            scores[threshold] = 2 * (on & real).sum() / (on.sum() + real.sum())
        best = max(scores, key=scores.__getitem__)
        np.testing.assert_array_equal(found[:, track], activations[:, track] >= best)
