"""Measures of sets: the Frechet distance against closed forms, the others against cases worked out by hand."""

import numpy as np
import pytest

from musiclab.measures.embedding import TRACK_SD_FLOORS, embed, embed_tracks, frechet_distance
from musiclab.measures.pairs import mean_distance, pairs
from musiclab.measures.suite import noise_sensitivity
from musiclab.measures.variety import diversity_ratio, start_sensitivity
from musiclab.measures.window_set import WindowSet

DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)
FEATURES = 46


def silence(n: int = 1, steps: int = 32) -> np.ndarray:
    return np.zeros((n, 5, steps, 128), dtype=bool)


def random_rolls(seed: int, n: int, density: float = 0.03) -> np.ndarray:
    rolls = silence(n)
    rolls[..., 40:80] = np.random.default_rng(seed).random((n, 5, 32, 40)) < density
    return rolls


def vectors(seed: int, n: int, shift: float = 0.0, sd: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, sd, size=(n, FEATURES))


def test_silence_has_a_finite_embedding_in_its_stated_place() -> None:
    (vector,) = embed(silence(), resolution=2)
    assert vector.shape == (FEATURES,)
    np.testing.assert_array_equal(vector[:15], [0, 1, 0] * 5)
    np.testing.assert_array_equal(vector[15:23], [60, 0, 55, 0, 40, 0, 62, 0])
    np.testing.assert_allclose(vector[23:29], [0] * 6, atol=1e-12)
    np.testing.assert_array_equal(vector[29:45], [1 / 8] * 16)
    assert vector[45] == 1
    assert embed(silence(0), resolution=2).shape == (0, FEATURES)


def test_embedding_of_a_few_notes_is_what_its_docstring_says() -> None:
    rolls = silence()
    rolls[0, PIANO, 0:4, [60, 64]] = True  # two notes of four steps
    rolls[0, DRUMS, [2, 10], 36] = True  # the second beat of the first two bars
    (vector,) = embed(rolls, resolution=2)
    np.testing.assert_allclose(vector[3:6], [np.log(1 + 2 / 16), 1 - 4 / 32, np.log(1 + 8 / 32)])
    np.testing.assert_allclose(vector[15:17], [(4 * 60 + 4 * 64 + 60) / 9, 2])
    # Shares of 5/20 at C and E and 1/20 elsewhere: what is uneven is 4/20 at 0 and at 4.
    harmonics = np.arange(1, 7)
    np.testing.assert_allclose(vector[23:29], np.abs(0.2 + 0.2 * np.exp(-2j * np.pi * 4 * harmonics / 12)), atol=1e-12)
    np.testing.assert_allclose(vector[29:37], (np.array([2] + [0] * 7) + 1) / 10)
    np.testing.assert_allclose(vector[37:45], (np.array([0, 0, 2] + [0] * 5) + 1) / 10)
    # Bars 1 and 2 share one of nine cells, 2 and 3 none of one, 3 and 4 are both silent.
    np.testing.assert_allclose(vector[45], (1 / 9 + 0 + 1) / 3)


def test_harmony_is_the_same_in_every_key_and_knows_a_scale() -> None:
    rolls = silence(2)
    rolls[0, PIANO, np.arange(14), 60 + np.array([0, 2, 4, 5, 7, 9, 11] * 2)] = True  # a major scale
    rolls[1, PIANO, np.arange(14), 60 + np.arange(14) % 7] = True  # seven neighbours
    harmony = embed(rolls, resolution=2)[:, 23:29]
    np.testing.assert_allclose(embed(np.roll(rolls, 5, axis=3), resolution=2)[:, 23:29], harmony)
    assert harmony[0, 4] > 2 * harmony[1, 4]


def test_one_stray_cell_moves_no_feature_far() -> None:
    rolls = silence()
    rolls[0, STRINGS, 5, 100] = True
    difference = np.abs(embed(rolls, resolution=2) - embed(silence(), resolution=2))
    assert difference[0, 15:23].max() <= 20  # semitones: half way to the cell
    assert np.delete(difference[0, :45], range(15, 23)).max() < 0.15


def test_embedding_does_not_depend_on_resolution_where_the_music_is_the_same() -> None:
    coarse = random_rolls(0, 6)
    fine = np.repeat(coarse, 2, axis=2)
    np.testing.assert_allclose(embed(fine, resolution=4), embed(coarse, resolution=2))


def alone(rolls: np.ndarray, track: int) -> np.ndarray:
    """The windows with all other tracks silent."""
    result = np.zeros_like(rolls)
    result[:, track] = rolls[:, track]
    return result


def test_features_of_one_track_are_those_of_windows_in_which_the_others_are_silent() -> None:
    rolls = random_rolls(0, 6)
    rolls[0] = False
    by_track = embed_tracks(rolls, resolution=2)
    assert by_track.shape == (6, 5, 20)
    for place, track in enumerate((PIANO, GUITAR, BASS, STRINGS)):
        columns = [*range(3 * track, 3 * track + 3), 15 + 2 * place, 16 + 2 * place, *range(23, 37), 45]
        np.testing.assert_allclose(by_track[:, track], embed(alone(rolls, track), 2)[:, columns], atol=1e-12)
    drums = embed(alone(rolls, DRUMS), 2)
    np.testing.assert_allclose(by_track[:, DRUMS][:, [0, 1, 2, *range(11, 20)]], drums[:, [0, 1, 2, *range(37, 46)]])
    assert (by_track[1:, DRUMS, 3:11] == by_track[0, DRUMS, 3:11]).all()  # drums have no pitch
    assert (embed_tracks(rolls[:, :, :6], resolution=2)[:, :, 19] == 0).all()  # less than two bars
    assert embed_tracks(silence(0), resolution=2).shape == (0, 5, 20)


@pytest.mark.parametrize("track", [DRUMS, PIANO, STRINGS])
def test_the_distance_of_one_track_is_that_of_windows_in_which_the_others_are_silent(track: int) -> None:
    made, real = random_rolls(0, 60, density=0.02), random_rolls(1, 80)
    one, other = (embed(alone(rolls, track), 2) for rolls in (made, real))
    vectors, reference = (embed_tracks(rolls, 2)[:, track] for rolls in (made, real))
    distance = frechet_distance(vectors, reference, reference, TRACK_SD_FLOORS)
    assert distance == pytest.approx(frechet_distance(one, other, other)) and distance > 1


def test_frechet_of_identical_sets_is_zero_even_where_features_are_dependent() -> None:
    flat = vectors(0, 100)
    flat[:, 30:] = flat[:, : FEATURES - 30]
    assert frechet_distance(flat, flat, flat) == pytest.approx(0, abs=1e-6)


def test_frechet_is_symmetric_and_grows_with_the_shift() -> None:
    reference = vectors(0, 400)
    distances = [frechet_distance(vectors(1, 200, shift), reference, reference) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert distances == sorted(distances)
    a, b = vectors(2, 90, sd=2), vectors(3, 150, shift=1)
    assert frechet_distance(a, b, reference) == pytest.approx(frechet_distance(b, a, reference))


def test_frechet_of_scaled_and_shifted_copies_is_the_closed_form() -> None:
    # The same draws stretched by s and moved by m: C_b = s^2 C_a, so d^2 = |m|^2 + (1 - s)^2 tr C_a.
    a = vectors(0, 300, sd=5)  # above the smallest sd of every feature
    scale = a.std(axis=0, ddof=1)
    shift = np.arange(FEATURES) / 10
    b = (a - a.mean(axis=0)) * 3 + a.mean(axis=0) + shift * scale
    expected = np.sum(shift**2) + 4 * FEATURES
    assert frechet_distance(a, b, a) == pytest.approx(expected)


def test_frechet_counts_correlation_that_each_feature_alone_does_not_show() -> None:
    # Two features with correlation r against -r: d^2 = 2 tr(C) - 4 sqrt(1 - r^2) = 4 (1 - sqrt(1 - r^2)).
    r = 0.8
    basis = np.zeros((400, FEATURES))
    basis[:, :2] = np.random.default_rng(0).normal(size=(400, 2))
    basis[:, :2] -= basis[:, :2].mean(axis=0)
    basis[:, :2] = np.linalg.qr(basis[:, :2])[0] * np.sqrt(399)  # exactly uncorrelated, unit variance
    a, b = basis.copy(), basis.copy()
    a[:, 1] = r * basis[:, 0] + np.sqrt(1 - r**2) * basis[:, 1]
    b[:, 1] = -r * basis[:, 0] + np.sqrt(1 - r**2) * basis[:, 1]
    assert frechet_distance(a, b, basis) == pytest.approx(4 * (1 - np.sqrt(1 - r**2)))


def test_frechet_floor_is_the_one_stated() -> None:
    reference = vectors(0, 4000)
    n = 256
    expected = 2 / n * (FEATURES + FEATURES * (FEATURES + 1) / 4)
    assert frechet_distance(vectors(1, n), vectors(2, n), reference) == pytest.approx(expected, rel=0.2)


def test_a_feature_that_never_varies_drops_out_until_a_set_departs_from_it() -> None:
    a, b, reference = vectors(0, 50), vectors(1, 50), vectors(2, 50)
    for constant in (a, b, reference):
        constant[:, 0] = 0.3
    without = frechet_distance(a, b, reference)
    rescaled = reference.copy()
    rescaled[:, 0] = 0.7  # another constant changes nothing
    assert frechet_distance(a, b, rescaled) == pytest.approx(without)
    b[:, 0] = 0.4  # two floors of 0.05 away
    assert frechet_distance(a, b, reference) == pytest.approx(without + 4)


def test_frechet_tells_real_variety_from_collapse_and_noise() -> None:
    real, other, noise = random_rolls(0, 200), random_rolls(1, 200), random_rolls(2, 200, density=0.2)
    reference = embed(real, 2)
    same = frechet_distance(embed(other, 2), reference, reference)
    collapsed = frechet_distance(embed(np.repeat(other[:1], 200, axis=0), 2), reference, reference)
    noisy = frechet_distance(embed(noise, 2), reference, reference)
    assert same < collapsed < noisy


def test_fewer_than_two_windows_have_no_distance() -> None:
    many, one = vectors(0, 10), vectors(1, 1)
    for sets in ((one, many, many), (many, one, many), (many, many, one)):
        assert np.isnan(frechet_distance(*sets))
    assert np.isnan(mean_distance(silence(1)))
    assert np.isnan(mean_distance(silence(0)))


def test_mean_distance_is_that_of_all_pairs() -> None:
    rolls = silence(4)
    rolls[0, PIANO, 0, [60, 62]] = True
    rolls[1, PIANO, 0, [60, 64]] = True  # windows 2 and 3 are silent
    # 0-1: 1 - 1/3; each of 0, 1 with each silent window: 1; silent with silent: 0.
    assert mean_distance(rolls) == pytest.approx((2 / 3 + 4) / 6)


def test_mean_distance_does_not_depend_on_its_blocks() -> None:
    rolls = random_rolls(0, 600, density=0.1)[:, :, :4]  # three blocks of rows
    flat = rolls.reshape(600, -1)
    total = sum(
        (1 - (flat[i] & flat[i + 1 :]).sum(axis=1) / (flat[i] | flat[i + 1 :]).sum(axis=1)).sum() for i in range(599)
    )
    assert mean_distance(rolls) == pytest.approx(total / (600 * 599 / 2), rel=1e-12)


def test_diversity_is_zero_for_a_collapsed_set_and_about_one_for_two_halves() -> None:
    real = random_rolls(0, 100)
    assert diversity_ratio(pairs(np.repeat(real[:1], 50, axis=0)), pairs(real)) == 0
    assert diversity_ratio(pairs(silence(50)), pairs(real)) == 0
    assert diversity_ratio(pairs(real[:50]), pairs(real[50:])) == pytest.approx(1, abs=0.02)
    assert np.isnan(diversity_ratio(pairs(real), pairs(np.repeat(real[:1], 2, axis=0))))
    assert np.isnan(diversity_ratio(pairs(real[:1]), pairs(real)))


def test_a_continuation_that_follows_its_start_scores_one() -> None:
    real = random_rolls(0, 20)
    assert start_sensitivity(pairs(real, np.arange(20)), pairs(real)) == pytest.approx(1)
    assert start_sensitivity(
        pairs(np.repeat(real, 3, axis=0), np.repeat(np.arange(20), 3)), pairs(real)
    ) == pytest.approx(1)


def test_a_continuation_that_ignores_its_start_scores_zero() -> None:
    real = random_rolls(0, 20)
    equal = np.repeat(real[:1], 20, axis=0)
    assert start_sensitivity(pairs(equal, np.arange(20)), pairs(real)) == 0
    # As varied as real music, but by chance alone: what a diversity ratio cannot tell.
    varied = random_rolls(1, 80)
    assert diversity_ratio(pairs(varied), pairs(real)) == pytest.approx(1, abs=0.02)
    assert start_sensitivity(pairs(varied, np.repeat(np.arange(20), 4)), pairs(real)) == pytest.approx(0, abs=0.02)


def test_noise_within_a_start_is_taken_off() -> None:
    rolls = silence(4)
    rolls[:2, PIANO, 0, [60, 62]] = True
    rolls[1, PIANO, 0, 64] = True  # same start: 1 - 2/3
    rolls[2:, GUITAR, 0, 60] = True  # the other start: equal twice, at 1 from both
    real = silence(2)
    real[0, PIANO, 0, [60, 62]] = True
    real[1, PIANO, 0, [60, 64]] = True  # 2/3 apart
    starts = np.array(["x", "x", "y", "y"])
    assert start_sensitivity(pairs(rolls, starts), pairs(real)) == pytest.approx((1 - (1 / 3 + 0) / 2) / (2 / 3))


def test_one_start_has_no_sensitivity_and_wrong_starts_are_refused() -> None:
    real = random_rolls(0, 4)
    assert np.isnan(start_sensitivity(pairs(real, np.zeros(4)), pairs(real)))
    with pytest.raises(ValueError, match="one value per window"):
        pairs(real, np.arange(3))


def bars_of(pitches: range) -> np.ndarray:
    """A window with these piano pitches on at the first step."""
    rolls = silence()
    rolls[0, PIANO, 0, pitches] = True
    return rolls


def test_windows_alike_to_95_percent_are_duplicates() -> None:
    whole, nineteen, eighteen = bars_of(range(40, 60)), bars_of(range(41, 60)), bars_of(range(42, 60))
    assert pairs(np.concatenate([whole, nineteen])).duplicate_rate == 1  # 19/20 is enough
    assert pairs(np.concatenate([whole, eighteen])).duplicate_rate == 0
    # 18/19 is not: only two of three have a duplicate, one of them the other's.
    assert pairs(np.concatenate([whole, nineteen, eighteen, bars_of(range(60, 70))])).duplicate_rate == 2 / 4


def test_silent_windows_are_duplicates_of_each_other_and_of_nothing_else() -> None:
    assert pairs(np.concatenate([silence(2), bars_of(range(60, 61))])).duplicate_rate == 2 / 3
    assert pairs(np.concatenate([silence(1), bars_of(range(60, 61))])).duplicate_rate == 0
    assert np.isnan(pairs(silence(1)).duplicate_rate) and np.isnan(pairs(silence(0)).duplicate_rate)


def test_duplicates_are_found_across_blocks() -> None:
    rolls = random_rolls(0, 600)
    assert pairs(rolls).duplicate_rate == 0
    rolls[590] = rolls[3]  # of other blocks of rows
    rolls[[300, 301]] = rolls[299]  # of one block
    assert pairs(rolls).duplicate_rate == 5 / 600


def test_pairs_within_and_between_groups_do_not_depend_on_blocks_or_order() -> None:
    rolls, groups = random_rolls(0, 300), np.arange(300) % 7
    one = pairs(rolls, groups)
    within = [mean_distance(rolls[groups == group]) for group in range(7)]
    counts = [sum(groups == group) for group in range(7)]
    weights = [count * (count - 1) / 2 for count in counts]
    assert one.within == pytest.approx(np.average(within, weights=weights), rel=1e-12)
    everything = 300 * 299 / 2
    assert one.mean == pytest.approx(
        (one.within * sum(weights) + one.between * (everything - sum(weights))) / everything
    )
    order = np.random.default_rng(1).permutation(300)
    assert pairs(rolls[order], groups[order]).between == pytest.approx(one.between, rel=1e-12)


def noise_response(continuations: np.ndarray, real: np.ndarray) -> tuple[float, np.ndarray]:
    """`noise_sensitivity` of whole windows, and of each track."""
    values = noise_sensitivity(continuations, WindowSet(real, np.arange(len(real)), 2))
    return float(values[0]), values[1:]


def test_noise_sensitivity_by_hand() -> None:
    a, b, c = bars_of(range(60, 62)), bars_of(range(61, 63)), bars_of(range(70, 71))
    real = np.concatenate([a, c])  # at 1 from each other
    # One start, two variations, two places: a against b (1 - 1/3), then c against c.
    made = np.stack([np.concatenate([a, c]), np.concatenate([b, c])])[None]
    whole, by_track = noise_response(made, real)
    assert whole == by_track[PIANO] == pytest.approx((2 / 3 + 0) / 2)
    assert np.isnan(np.delete(by_track, PIANO)).all()


def test_noise_sensitivity_is_that_of_windows_of_one_start_and_place() -> None:
    made = random_rolls(0, 12).reshape(2, 3, 2, 5, 32, 128)
    real = random_rolls(1, 9)
    expected = np.mean([mean_distance(made[start, :, place]) for start in range(2) for place in range(2)])
    assert noise_response(made, real)[0] == pytest.approx(expected / mean_distance(real), rel=1e-12)
    by_track = noise_response(made, real)[1]
    real[:5, BASS] = real[0, BASS]  # real basses vary less, so that of the continuations does more, compared with them
    less_real = noise_response(made, real)[1]
    assert less_real[BASS] == pytest.approx(by_track[BASS] / (1 - 10 / 36), rel=0.02)
    np.testing.assert_array_equal(np.delete(less_real, BASS), np.delete(by_track, BASS))
    repeated = np.repeat(made[:, :1], 3, axis=1)  # starts and places differ as before, variations do not
    whole, by_track = noise_response(repeated, real)
    assert whole == 0 and not by_track.any()


def test_noise_that_moves_one_track_only_is_seen_in_that_track() -> None:
    made = np.repeat(random_rolls(0, 4).reshape(4, 1, 1, 5, 32, 128), 2, axis=1)
    made[:, 1, :, DRUMS] = random_rolls(1, 4)[:, None, DRUMS]
    made[..., STRINGS, :, :] = False
    real = random_rolls(2, 30)
    whole, by_track = noise_response(made, real)
    assert by_track[DRUMS] == pytest.approx(1, abs=0.05)
    assert (by_track[[PIANO, GUITAR, BASS]] == 0).all()
    assert 0.1 < whole < 0.5
    assert np.isnan(by_track[STRINGS])  # it never sounds: neither follows the noise nor resists it
    made[0, 0, 0, STRINGS, 0, 60] = True
    assert noise_response(made, real)[1][STRINGS] == pytest.approx(1 / 4, rel=0.05)


def test_noise_sensitivity_needs_two_variations_and_real_variety() -> None:
    made = random_rolls(0, 4).reshape(2, 2, 1, 5, 32, 128)
    for continuations, real in (
        (made[:, :1], random_rolls(1, 4)),
        (made[:0], random_rolls(1, 4)),
        (made, random_rolls(1, 1)),
        (made, silence(4)),
        (np.zeros_like(made), random_rolls(1, 4)),
    ):
        whole, by_track = noise_response(continuations, real)
        assert np.isnan(whole) and np.isnan(by_track).all()
