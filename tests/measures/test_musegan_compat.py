"""MuseGAN's measures as published, against its formulas written out for single bars."""

import numpy as np
import pytest

from musiclab.measures.musegan import bands, classes, musegan_compat
from musiclab.measures.music import PITCHED_PAIRS, tonal_distance

NAN = float("nan")
DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)
PIANO_GUITAR = PITCHED_PAIRS.index((PIANO, GUITAR))


def bar() -> np.ndarray:
    return np.zeros((1, 5, 96, 128), dtype=bool)


def test_the_published_chroma_is_bands_of_neighbours_and_the_right_one_is_not() -> None:
    counts = np.zeros(84, int)
    counts[[0, 6, 7, 12, 83]] = [1, 2, 4, 8, 16]  # C1, F#1, G1, C2, B7
    assert bands(counts).tolist() == [3, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16]
    assert classes(counts).tolist() == [9, 0, 0, 0, 0, 0, 2, 4, 0, 0, 0, 16]


def test_bars_without_notes_are_empty_and_have_no_other_value() -> None:
    values = musegan_compat(bar())
    np.testing.assert_array_equal(values["EB"], [[1] * 5])
    for name in ("UPC", "QN", "DP", "TD"):
        assert np.isnan(values[name]).all()
    low = bar()
    low[0, PIANO, :, [23, 108]] = True  # beyond the 84 pitches
    assert musegan_compat(low)["EB"][0, PIANO] == 1
    low[0, PIANO, 95, [24, 107]] = True
    assert musegan_compat(low)["EB"][0, PIANO] == 0
    assert musegan_compat(low)["UPC"][0, PIANO] == 2


def test_used_classes_by_both_chromas() -> None:
    one = bar()
    one[0, PIANO, 0, [36, 48, 60, 72]] = True  # one class in four octaves
    one[0, GUITAR, 0, [59, 60, 62, 64]] = True  # four classes in one band (59 to 65)
    one[0, DRUMS, 0, 36] = True
    np.testing.assert_array_equal(musegan_compat(one, bands)["UPC"], [[NAN, 4, 1, NAN, NAN]])
    np.testing.assert_array_equal(musegan_compat(one, classes)["UPC"], [[NAN, 1, 4, NAN, NAN]])


def test_notes_of_three_steps_qualify_and_bar_lines_cut_them() -> None:
    one = bar()
    for start, length in ((0, 1), (10, 2), (20, 3), (93, 3)):
        one[0, PIANO, start : start + length, 60] = True
    one[0, BASS, 94:, 40] = True  # goes on in the next bar, which is not seen
    one[0, DRUMS, 0, 36] = True
    np.testing.assert_array_equal(musegan_compat(one)["QN"], [[NAN, 0.5, NAN, 0, NAN]])


@pytest.mark.parametrize(
    ("steps", "score"),
    [
        (range(0, 96, 6), 1),  # 16ths
        (range(0, 96, 12), 1),  # 8ths
        (range(4, 96, 6), 1),  # late throughout: another phase
        ([0, 6, 12, 19], (3 + 0.3) / 4),
        ([0, 6, 12, 17], (3 + 0.3) / 4),
        ([0, 6, 12, 20], 3 / 4),
        (range(96), (1 + 2 * 0.3) / 6),
    ],
)
def test_drum_patterns(steps, score: float) -> None:
    one = bar()
    one[0, DRUMS, list(steps), 42] = True
    assert musegan_compat(one)["DP"] == pytest.approx([score])


def test_distances_are_means_of_four_beats_that_must_all_sound() -> None:
    one = bar()
    one[0, PIANO, :, 60] = True
    one[0, GUITAR, ::24, 60] = True
    one[0, GUITAR, 72, [60, 67]] = [False, True]  # a fifth in the last beat
    fifth = np.sqrt((2 * np.sin(np.pi / 12)) ** 2 + 2 + 0.75)
    assert musegan_compat(one, classes)["TD"][0, PIANO_GUITAR] == pytest.approx(fifth / 4)
    # Pitch 60 lies in band 5, pitch 67 in band 6: a semitone apart by this chroma.
    step = np.sqrt((2 * np.sin(7 * np.pi / 12)) ** 2 + 2 + 0.75)
    assert musegan_compat(one, bands)["TD"][0, PIANO_GUITAR] == pytest.approx(step / 4)
    assert np.isnan(np.delete(musegan_compat(one)["TD"][0], PIANO_GUITAR)).all()
    one[0, GUITAR, 48] = False
    assert np.isnan(musegan_compat(one)["TD"]).all()


def test_with_the_right_chroma_a_bar_of_one_harmony_is_as_far_as_ours_says() -> None:
    rng = np.random.default_rng(0)
    one = bar()
    for track in range(1, 5):
        one[0, track, :, 24 + rng.choice(84, 4, replace=False)] = True
    np.testing.assert_allclose(musegan_compat(one, classes)["TD"][0], tonal_distance(one, 24))


def test_bars_are_rows() -> None:
    rng = np.random.default_rng(1)
    several = rng.random((7, 5, 96, 128)) < 0.01
    together = musegan_compat(several)
    for name, rows in together.items():
        alone = [musegan_compat(each[None])[name][0] for each in several]
        np.testing.assert_allclose(rows, alone)


def test_bars_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="must have 96 steps, 24 a beat; got 8"):
        musegan_compat(np.zeros((1, 5, 8, 128), bool))
